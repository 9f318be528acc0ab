/* The tree of all strings under an M1, grown where it is heavy.
 *
 * A node is a string of bytes, with a weight that falls strictly from a node to its children.  A node is open until
 * M1 has been asked what comes after it; then the owner's `expand` adds those children that matter.
 *
 *   root -- "t" -- "th" -- "the"        children lie one after another, by byte, so the order of a
 *      \        \- "to"                 depth-first walk is the bytewise order of the strings
 *       \- "w" ...
 *
 * A round expands all open nodes down to some weight, and what they bring down to the same weight.  M1's streams each
 * walk a stretch of the tree in bytewise order, going back to what two neighbours share and feeding the rest: about
 * one byte is fed for one node.
 */
#ifndef ISB_CODEBOOK_TREE_H
#define ISB_CODEBOOK_TREE_H

#include "code/cdf.h"
#include "codebook/candidates.h"

enum { ISB__TREE_ROOT = 0, ISB__TREE_MAX_DEPTH = 255 };
#define ISB__TREE_END UINT32_MAX

typedef struct isb__tree_node {
    double weight;
    uint32_t parent; /* of the root: itself */
    uint32_t first_child;
    uint16_t n_children;
    uint8_t byte, depth;
    uint8_t state; /* the owner's */
    bool open;
} isb__tree_node;

typedef struct isb__tree isb__tree;

/* Adds the children of an expanded node with isb__tree_add(), in the order of their bytes.
 * cdf: as the source gives it. */
typedef isb_status (*isb__tree_expand)(void *user, isb__tree *tree, uint32_t node,
                                       const uint32_t *cdf);

struct isb__tree {
    isb_context *ctx;
    const isb__cdf_source *source;
    isb__tree_expand expand;
    void *user;

    isb__tree_node *nodes; /* a parent before its children */
    size_t n_nodes, capacity;
    size_t n_expanded, n_fed; /* nodes M1 was asked about, and bytes fed for that */

    struct isb__tree_walker *walkers; /* [max_streams] */
    isb__cdf_request *requests;       /* [max_streams] */
    uint32_t *cdfs;                   /* [max_streams][n_symbols + 1] */
    uint32_t *starts;                 /* the nodes a round begins with */
    size_t starts_capacity;
    double *weights; /* scratch */
    size_t weights_capacity;
};

/* A root with weight 1 and state `state`.  source: borrowed until isb__tree_free(), which is fine
 * after a failure too. */
isb_status isb__tree_init(isb__tree *tree, isb_context *ctx, const isb__cdf_source *source,
                          uint8_t state, isb__tree_expand expand, void *user);
void isb__tree_free(isb__tree *tree);

/* The new node is the last one.  Errors: NO_MEMORY, RANGE (2^32 nodes). */
isb_status isb__tree_add(isb__tree *tree, uint32_t parent, const isb__tree_node *child);

/* One round over open nodes that are heavier than `above`; *done: there are none.  What is expanded in the end, when
 * it is done, depends on `above` alone; the order does not matter. */
isb_status isb__tree_round(isb__tree *tree, double above, bool *done);
/* Drops nodes lighter than `below`, but none of depth 0 or 1.  Numbers of nodes change. */
isb_status isb__tree_drop(isb__tree *tree, double below);

/* The next node in bytewise order, or ISB__TREE_END. */
uint32_t isb__tree_next(const isb__tree *tree, uint32_t node);
/* The string of the node: [depth], at most ISB__TREE_MAX_DEPTH. */
void isb__tree_string(const isb__tree *tree, uint32_t node, uint8_t *bytes);

/* The strings and weights of the nodes chosen[0 .. n).  Returns owned. */
isb_status isb__tree_collect(const isb__tree *tree, const uint32_t *chosen, size_t n,
                             isb__candidates *strings);

/* The n-th largest value, 1 <= n <= count; reorders them. */
double isb__nth_largest(double *values, size_t count, size_t n);

#endif
