/* Training graph: forward with the activations kept, backward layer by layer, for B rows of T
 * tokens.  No autograd: each layer has its forward and its backward side by side (layer_*.c).
 * Memory is planned once.
 *
 * Products use ops->gemm_close with weights packed once a step; sums over tokens are made in
 * fixed blocks in order, so losses and gradients do not depend on the thread count. */
#ifndef ISB_NN_GRAPH_H
#define ISB_NN_GRAPH_H

#include "nn/model.h"

typedef struct isb__graph isb__graph;

typedef struct isb__graph_options {
    size_t B, T;
    int training;  /* 0: a forward-only graph (evaluation) */
    int use_exact; /* exact-class products (for tests) */
    /* Keep only the input of each layer and make the rest again in the backward pass: about a third
     * more products, the same bits. */
    int recompute;
} isb__graph_options;

/* model: borrowed, must outlive.  Errors: NO_MEMORY with the plan's size in the text. */
isb_status isb__graph_create(isb_context *ctx, isb_model *model, const isb__graph_options *options,
                             isb__graph **graph);
void isb__graph_free(isb__graph *graph);
size_t isb__graph_nbytes(const isb__graph *graph);
/* The plan's size without allocating it; 0 for a batch that no graph takes. */
size_t isb__graph_estimate_nbytes(isb_context *ctx, const isb_model_config *config,
                                  const isb__graph_options *options);

/* Weights changed: pack them again at the next pass. */
void isb__graph_weights_changed(isb__graph *graph);

typedef struct isb__batch {
    const int32_t *inputs;  /* [B, T] ids */
    const int32_t *targets; /* [B, T] ids, or -1: no loss there */
    const int32_t *
        starts; /* [B, T] first position of the row that position t may attend to (<= t); NULL: 0 */
} isb__batch;

typedef struct isb__loss {
    double nats; /* sum over targets >= 0 of -ln p, without z-loss */
    double z;    /* sum of lse^2 */
    int64_t n_targets;
} isb__loss;

/* Forward; token_nats [B, T] (may be NULL) gets -ln p of each target (0 where masked). */
isb_status isb__graph_forward(isb__graph *graph, const isb__batch *batch, float *token_nats,
                              isb__loss *loss);
/* Forward and backward: adds to grads (a block of model->n_floats laid out like the parameters)
 * the gradient of scale * sum over targets (nats + z_weight * lse^2).  The loss head computes
 * logits in chunks of tokens: [B*T, V] never exists. */
isb_status isb__graph_backward(isb__graph *graph, const isb__batch *batch, float scale,
                               float z_weight, float *grads, isb__loss *loss);

#endif
