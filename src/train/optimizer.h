/* Optimisers: AdamW (Loshchilov and Hutter 2019) and Adafactor (Shazeer and Stern 2018, as in T5X).
 *
 * Work is cut into fixed slices of tensors, and sums over slices are made in order: a step's
 * result does not depend on the number of threads.
 *
 * On several ranks, each keeps AdamW's state for its share of the parameters and updates those
 * (shares.h); Adafactor's state is small, and every rank has all of it. */
#ifndef ISB_TRAIN_OPTIMIZER_H
#define ISB_TRAIN_OPTIMIZER_H

#include <isobit/train.h>

#include "comm/comm.h"
#include "nn/checkpoint.h"
#include "nn/model.h"

typedef struct isb__optimizer_options {
    isb_optimizer kind;
    double beta1, beta2, eps; /* AdamW */
    double weight_decay;      /* p -= lr * weight_decay * p, on matrices; 0: none */
    isb__comm *comm;          /* borrowed; NULL: one process */
    double embedding_rate;    /* isb__param.rate of the embedding; 0: 1 */
} isb__optimizer_options;

/* One tensor to train. */
typedef struct isb__param {
    char name[96];
    size_t rows, cols;
    int is_vector; /* rows == 1 */
    int decay;     /* weight decay applies */
    double rate;   /* times the learning rate, but not times the decay; 0: 1 */
    float *data, *grad;
} isb__param;
/* The tensors of a model, with gradients in a block laid out like the parameters.  params:
 * [model->n_tensors]. */
void isb__params_of_model(const isb_model *model, float *grads, isb__param *params);

typedef struct isb__optimizer isb__optimizer;

/* params: copied; the data and gradients they point to are borrowed. */
isb_status isb__optimizer_create(isb_context *ctx, size_t n_params, const isb__param *params,
                                 const isb__optimizer_options *options, isb__optimizer **optimizer);
void isb__optimizer_free(isb__optimizer *optimizer);
/* Bytes of state and scratch. */
size_t isb__optimizer_nbytes(const isb__optimizer *optimizer);
/* The same before anything is allocated, on one rank; of the parameters only their shapes count. */
isb_status isb__optimizer_estimate_nbytes(isb_context *ctx, size_t n_params,
                                          const isb__param *params,
                                          const isb__optimizer_options *options, size_t *nbytes);

/* Gradients become zero. */
void isb__optimizer_zero(isb__optimizer *optimizer);
/* Sums the gradients over the ranks; the norm of all of them.  Errors here and below: RANK. */
isb_status isb__optimizer_reduce(isb__optimizer *optimizer, double *norm);
/* Updates the parameters, on all ranks, from gscale * gradients.  step: 0 for the first. */
isb_status isb__optimizer_step(isb__optimizer *optimizer, double gscale, double lr, uint64_t step);

/* Rank 0 gets the whole state, in memory that the next step frees; and back: parameters and state
 * of all ranks become those of rank 0.  Errors: NO_MEMORY. */
isb_status isb__optimizer_pull(isb__optimizer *optimizer);
isb_status isb__optimizer_push(isb__optimizer *optimizer);
/* The state as named tensors, for checkpoints.  refs: [isb__optimizer_n_tensors()]; they point
 * into the optimiser.  On several ranks after pull(); data is NULL where this rank has not all. */
size_t isb__optimizer_n_tensors(const isb__optimizer *optimizer);
void isb__optimizer_tensors(const isb__optimizer *optimizer, isb__tensor_ref *refs);

#endif
