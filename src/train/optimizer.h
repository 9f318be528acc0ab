/* Optimisers: AdamW (Loshchilov and Hutter 2019) and Adafactor (Shazeer and Stern 2018, as in T5X).
 *
 * Work is cut into fixed slices of tensors, and sums over slices are made in order: a step's
 * result does not depend on the number of threads. */
#ifndef ISB_TRAIN_OPTIMIZER_H
#define ISB_TRAIN_OPTIMIZER_H

#include <isobit/train.h>

#include "nn/checkpoint.h"
#include "nn/model.h"

typedef struct isb__optimizer_options {
    isb_optimizer kind;
    double beta1, beta2, eps; /* AdamW */
    double weight_decay;      /* p -= lr * weight_decay * p, on matrices; 0: none */
} isb__optimizer_options;

typedef struct isb__optimizer isb__optimizer;

/* model: its list of tensors is borrowed and must outlive the optimiser. */
isb_status isb__optimizer_create(isb_context *ctx, const isb_model *model,
                                 const isb__optimizer_options *options, isb__optimizer **optimizer);
void isb__optimizer_free(isb__optimizer *optimizer);
/* Bytes of state and scratch. */
size_t isb__optimizer_nbytes(const isb__optimizer *optimizer);

/* grads: [n_floats], laid out like the parameters. */
void isb__optimizer_zero(isb__optimizer *optimizer, float *grads);
double isb__optimizer_grad_norm(isb__optimizer *optimizer, const float *grads);
/* Updates model->data from gscale * grads.  step: 0 for the first. */
void isb__optimizer_step(isb__optimizer *optimizer, isb_model *model, const float *grads,
                         double gscale, double lr, uint64_t step);

/* The state as named tensors, for checkpoints.  refs: [isb__optimizer_n_tensors()]; they point
 * into the optimiser. */
size_t isb__optimizer_n_tensors(const isb__optimizer *optimizer);
void isb__optimizer_tensors(const isb__optimizer *optimizer, isb__tensor_ref *refs);

#endif
