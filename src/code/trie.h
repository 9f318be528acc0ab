/* A cache of windows' prefixes, for codes that reset M1 with every window: there, what M1 says
 * after a prefix is the same wherever the prefix occurs, so it is computed once.  English at b = 16
 * needs some hundred thousand prefixes; after them M1 is hardly asked.
 *
 * Nodes are numbered from 1, the empty prefix; 0 is none.  A hash table maps (node, byte) to the
 * child.  Memory grows in blocks up to a limit; a full cache keeps what it has and takes nothing
 * more.
 *
 * Any number of threads may look up and add at once, without locks: a node is written before its
 * entry in the table is, by one compare-and-swap, and neither changes afterwards.  Only
 * isb__trie_reserve(), which makes the table larger, needs the cache for itself. */
#ifndef ISB_CODE_TRIE_H
#define ISB_CODE_TRIE_H

#include <stdatomic.h>

#include "code/window.h"

enum { ISB__TRIE_ROOT = 1, ISB__TRIE_BLOCK = 1024 /* nodes */ };
#define ISB__TRIE_LIMIT_NBYTES ((size_t)512 << 20)

typedef struct isb__trie_node {
    isb__u192 low, high; /* the node's interval */
    isb__u192 cell;      /* exact: its lowest own cell; greedy and delay: its padded code */
    bool has_cell;
} isb__trie_node;

typedef struct isb__trie_block {
    isb__trie_node nodes[ISB__TRIE_BLOCK];
    uint16_t cdfs[ISB__TRIE_BLOCK][ISB__N_BYTES];
} isb__trie_block;

typedef struct isb__trie {
    isb_context *ctx;
    size_t limit_nbytes, max_nodes;   /* max_nodes: room in the table and under the limit */
    atomic_size_t n_nodes;            /* taken; beyond max_nodes when full */
    isb__trie_block *_Atomic *blocks; /* [n_blocks], NULL until a node is in them */
    size_t n_blocks;
    _Atomic uint64_t *table; /* parent << 32 | byte << 24 | child; 0: empty; open addressing */
    int table_log2;          /* at most half full */
} isb__trie;

void isb__trie_init(isb__trie *trie, isb_context *ctx, size_t limit_nbytes);
void isb__trie_free(isb__trie *trie);
/* Makes room in the table for n_more nodes, or as many as the limit allows.  One thread alone.
 * Errors: NO_MEMORY. */
isb_status isb__trie_reserve(isb__trie *trie, size_t n_more);
size_t isb__trie_count(const isb__trie *trie); /* nodes */
size_t isb__trie_nbytes(const isb__trie *trie);

uint32_t isb__trie_child(const isb__trie *trie, uint32_t parent, uint8_t byte);
/* Adds the child (parent 0: the root), copying node and cdf, unless it is there.  *index: its number,
 * or 0 if the cache is full.  Errors: NO_MEMORY. */
isb_status isb__trie_add(isb__trie *trie, uint32_t parent, uint8_t byte, const isb__trie_node *node,
                         const uint16_t *cdf, uint32_t *index);

static inline isb__trie_block *isb__trie_block_of(const isb__trie *trie, uint32_t index) {
    return atomic_load_explicit(&trie->blocks[index / ISB__TRIE_BLOCK], memory_order_acquire);
}
static inline const isb__trie_node *isb__trie_node_at(const isb__trie *trie, uint32_t index) {
    return &isb__trie_block_of(trie, index)->nodes[index % ISB__TRIE_BLOCK];
}
static inline const uint16_t *isb__trie_cdf(const isb__trie *trie, uint32_t index) {
    return isb__trie_block_of(trie, index)->cdfs[index % ISB__TRIE_BLOCK];
}

#endif
