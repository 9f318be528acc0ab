/* The training graph on a GPU: the layers of nn/graph.h, in bf16 with float32 sums. */
#ifndef ISB_CUDA_GPU_GRAPH_H
#define ISB_CUDA_GPU_GRAPH_H

#include "cuda/feed.h"

typedef struct isb__gpu_graph isb__gpu_graph;

/* Regions of device memory, laid one after another; with base NULL they are only counted. */
typedef struct isb__gpu_plan {
    unsigned char *base;
    size_t nbytes;
} isb__gpu_plan;
/* [rows, cols] of elements; aligned to 256 bytes. */
void *isb__gpu_plan_take(isb__gpu_plan *plan, size_t rows, size_t cols, size_t element_nbytes);

/* recompute: only the residual stream is kept of each layer.  Errors: SHAPE, UNSUPPORTED. */
isb_status isb__gpu_graph_create(isb_context *ctx, isb__gpu *gpu, const isb_model *model, size_t B,
                                 size_t T, int recompute, isb__gpu_graph **graph);
void isb__gpu_graph_free(isb__gpu_graph *graph);
/* To be called twice: to count, and with memory. */
void isb__gpu_graph_plan(isb__gpu_graph *graph, isb__gpu_plan *plan);
/* After that.  Blocks laid out like the model's; weights are read and gradients added to.
 * Errors: NO_MEMORY. */
isb_status isb__gpu_graph_set_weights(isb__gpu_graph *graph, const float *d_weights,
                                      const isb__bf16 *d_weights_bf16, float *d_grads);

/* Puts in line: the forward pass and the loss. */
isb_status isb__gpu_graph_forward(isb__gpu_graph *graph, const isb__gpu_batch *batch);
/* With the loss's gradient, as far as it comes before layers; then the layers, from last to
 * first. */
isb_status isb__gpu_graph_begin_backward(isb__gpu_graph *graph, const isb__gpu_batch *batch,
                                         float scale, float z_weight);
isb_status isb__gpu_graph_end_backward(isb__gpu_graph *graph, const isb__gpu_batch *batch);
const float *isb__gpu_graph_nats(const isb__gpu_graph *graph);
const double *isb__gpu_graph_sums(const isb__gpu_graph *graph);

#endif
