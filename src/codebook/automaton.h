/* Greedy longest match as a finite automaton that reads every byte once.
 *
 * The strings form a trie.  A state is a node: the bytes since the last token's end.  Where the next byte has no child,
 * greedy matching would take the longest string on the way to the node and read the bytes after it again.  What comes
 * of that depends on the node alone, so it is computed beforehand (LinMaxMatch: Song et al. 2021, "Fast WordPiece
 * Tokenization", arXiv 2012.15524):
 *
 *   node that is a string    pops itself; goes on from the root
 *   any other node v         pops its tokens, often one; goes on from a shallower node, link(v), never the root;
 *                            of a cut (codebook.h), the first of them is the string it stands for
 *
 * and then the byte is tried again.  Every byte is a string of its own, so the root has all 256 children and every node
 * has a token to pop.  Each retry pops a token, each token has a byte, and each byte is taken by one step down: for
 * every text, there are at most as many retries as bytes.
 *
 * The trie is a double array (Aoe 1989) of 8-byte units, one for each node:
 *
 *     63                 32 31            9  8  7      0
 *     +--------------------+--------------+---+--------+      child of a state by byte b: u = units[base(state) + b];
 *     |        link        |     base     | a | label  |      it is there if label(u) == b
 *     +--------------------+--------------+---+--------+
 *     link   the base of the node where popping leads
 *     base   where the node's children begin; no two nodes have the same one, so that a unit with the right label in
 *            the right place can only be this node's, and so that the base names the node
 *     a      the node is a string
 *
 * The unit of a node is the state itself: it says both where the next byte's unit is, and where it is if popping comes
 * first, and neither load waits for the other.  Multiples of 128 are nobody's base: an empty unit's label is its place
 * modulo 128, which belongs to such a base, so it never matches. */
#ifndef ISB_CODEBOOK_AUTOMATON_H
#define ISB_CODEBOOK_AUTOMATON_H

#include "base/context.h"

typedef uint64_t isb__state;

enum {
    ISB__ROOT_BASE = 1,
    ISB__STATE_ACCEPTS = 1 << 8,
    ISB__POPS_MANY = 1 << 23,
    ISB__AUTOMATON_MAX_BASE = (1 << 23) - 1,
    ISB__NOWHERE_BASES = 128
};
#define ISB__STATE_ROOT ((isb__state)ISB__ROOT_BASE << 32 | (isb__state)ISB__ROOT_BASE << 9)

/* Lists of more than one token, linked from the last to the first, so that lists share their beginnings. */
typedef struct isb__pop {
    uint32_t token;    /* id << 9 | number of tokens up to this one */
    uint32_t previous; /* meaningless for the first */
} isb__pop;

/* n_units is such that any base and any byte stay inside. */
typedef struct isb__automaton {
    isb__state *units; /* [n_units] */
    /* [n_bases]: the node's number of bytes << 24 | the id it pops, or MANY | where its last token is in pops */
    uint32_t *nodes;
    uint32_t *links; /* [n_bases]: the base of the node where popping leads */
    isb__pop *pops;
    size_t n_units, n_bases, n_pops, n_nodes;
} isb__automaton;

/* strings: sorted bytewise, distinct, with every single byte; string i is bytes[offsets[i] .. offsets[i + 1]).
 * ids: of each string, NULL: their order; a string with the id of one that it begins with is a cut (codebook.h).
 * Errors: NO_MEMORY, RANGE (more nodes than there can be bases). */
isb_status isb__automaton_create(isb_context *ctx, const uint8_t *bytes, const uint64_t *offsets,
                                 size_t n_strings, const uint32_t *ids, isb__automaton *automaton);
void isb__automaton_free(isb_context *ctx, isb__automaton *automaton);
size_t isb__automaton_nbytes(const isb__automaton *automaton);

static inline uint32_t isb__state_base(isb__state state) { return (uint32_t)state >> 9; }
/* The child by this byte if it is there, else a unit with another label. */
static inline isb__state isb__state_next(const isb__automaton *a, isb__state state, uint8_t byte) {
    return a->units[(size_t)isb__state_base(state) + byte];
}
/* The same after popping. */
static inline isb__state isb__state_retry(const isb__automaton *a, isb__state state, uint8_t byte) {
    return a->units[(size_t)(state >> 32) + byte];
}
static inline bool isb__unit_matches(isb__state unit, uint8_t byte) {
    return (uint8_t)unit == byte;
}
/* The id that a node pops, or MANY | the last of them. */
static inline uint32_t isb__node_pops(const isb__automaton *a, uint32_t base) {
    return a->nodes[base] & 0xffffff;
}
/* How many bytes lead to it. */
static inline uint32_t isb__node_nbytes(const isb__automaton *a, uint32_t base) {
    return a->nodes[base] >> 24;
}
static inline size_t isb__pop_count(const isb__pop *last) { return last->token & 0x1ff; }
static inline uint32_t isb__pop_id(const isb__pop *pop) { return pop->token >> 9; }

#endif
