/* Batches on their way to the device: two of them, so that the next is prepared and copied while
 * the device works on the last. */
#ifndef ISB_CUDA_FEED_H
#define ISB_CUDA_FEED_H

#include "cuda/gpu.h"
#include "nn/graph.h"

/* A batch on the device. */
typedef struct isb__gpu_batch {
    int32_t *d_inputs, *d_targets, *d_starts; /* [B, T] */
    int32_t *d_first_keys;                    /* [B, tiles of T]: cuda/gpu.h */
    int32_t *d_order, *d_begin;               /* tokens sorted by id: isb__gpu_embed_backward() */
    size_t n_runs;
    int64_t n_targets;
    int slot;
} isb__gpu_batch;

typedef struct isb__feed isb__feed;

/* Errors: NO_MEMORY. */
isb_status isb__feed_create(isb_context *ctx, isb__gpu *gpu, size_t B, size_t T, size_t V,
                            isb__feed **feed);
void isb__feed_free(isb__feed *feed);
/* Of the memory on the device, which the caller gives once. */
size_t isb__feed_device_nbytes(const isb__feed *feed);
void isb__feed_set_memory(isb__feed *feed, void *d_memory);
size_t isb__feed_host_nbytes(const isb__feed *feed);

/* Checks the batch and puts its copying in line; work that is put in line next finds it there.
 * Errors: RANGE. */
isb_status isb__feed_put(isb__feed *feed, const isb__batch *batch, isb__gpu_batch *on_device);
/* All work on it is in line. */
void isb__feed_used(isb__feed *feed, const isb__gpu_batch *on_device);

#endif
