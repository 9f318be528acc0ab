/* How the ranks of a run divide the parameters between them (ZeRO stage 1, Rajbhandari et al. 2020).
 *
 * Parameters that lie side by side in memory, with gradients laid out alike, are a block.  Each
 * block is cut into one part per rank, at borders of the optimiser's slices:
 *
 *     slices   |  0  |  1  |  2  |3|  4  |  5  |        of the block's tensors, in order
 *     parts    |  rank 0   |  rank 1  | rank 2 |
 *
 * A rank keeps the optimiser's state of its parts only. */
#ifndef ISB_TRAIN_SHARES_H
#define ISB_TRAIN_SHARES_H

#include "comm/comm.h"

typedef struct isb__block {
    float *data, *grad;
    size_t n;      /* floats, gaps between tensors included */
    size_t *parts; /* [n_ranks + 1] */
} isb__block;

typedef struct isb__shares {
    isb_context *ctx;
    isb__comm *comm; /* borrowed; NULL: one process */
    size_t n_blocks;
    isb__block *blocks;
    size_t *parts; /* of all blocks */
} isb__shares;

/* A range that no part cuts, in the order of memory within its block. */
typedef struct isb__piece {
    float *data, *grad;
    size_t n;
} isb__piece;

isb_status isb__shares_create(isb_context *ctx, isb__comm *comm, size_t n_pieces,
                              const isb__piece *pieces, isb__shares *shares);
void isb__shares_free(isb__shares *shares);
/* The block of a position in data. */
const isb__block *isb__shares_block(const isb__shares *shares, const float *data);
/* Whether this rank owns the piece at a position in data. */
bool isb__shares_own(const isb__shares *shares, const float *data);
/* This rank's part of a block. */
size_t isb__block_begin(const isb__shares *shares, const isb__block *block);
size_t isb__block_count(const isb__shares *shares, const isb__block *block);

/* Gradients: afterwards this rank's parts hold the sums over ranks; all: every part does. */
isb_status isb__shares_reduce(const isb__shares *shares, bool all);
/* Data: every rank gets the parts of others; or all of it from rank 0. */
isb_status isb__shares_gather(const isb__shares *shares);
isb_status isb__shares_broadcast(const isb__shares *shares);

#endif
