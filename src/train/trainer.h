/* What one step of training does to the weights, wherever they live: in memory (trainer_cpu.c) or
 * on GPUs (src/cuda).  The loop (train_loop.c) decides what is done when.
 *
 *     begin                    the gradient is zero
 *     backward, ...            each of this rank's micro-batches adds to it
 *     reduce                   sums it over the ranks; gives its norm
 *     step                     the optimiser; every rank has the new weights
 *
 * The weights on the host (model->data) and the optimiser's tensors are those of the trainer only
 * after pull() and until the next step(); push() makes the trainer's those of the host.  On a CPU
 * weights are one and the same, and pull and push only gather and spread what ranks have divided.
 *
 * Errors of all calls: CANCELLED, NO_MEMORY (with what to make smaller), RANK (comm/comm.h), DEVICE. */
#ifndef ISB_TRAIN_TRAINER_H
#define ISB_TRAIN_TRAINER_H

#include "comm/comm.h"
#include "nn/compose.h"
#include "nn/graph.h"
#include "train/optimizer.h"

typedef struct isb__trainer_options {
    size_t B, T; /* rows and tokens of a micro-batch */
    isb__optimizer_options optimizer;
    int recompute;                   /* keep less for the backward pass, compute it again */
    const isb__compose_map *compose; /* borrowed; NULL: plain embeddings */
    isb__comm *comm;                 /* borrowed; NULL: one process */
    const char *device;              /* "cpu", "cuda", "cuda:1" */
} isb__trainer_options;

typedef struct isb__trainer isb__trainer;

typedef struct isb__trainer_ops {
    void (*free)(isb__trainer *trainer);
    isb_status (*begin)(isb__trainer *trainer);
    /* Adds the gradient of scale * sum over targets (nats + z_weight * lse^2). */
    isb_status (*backward)(isb__trainer *trainer, const isb__batch *batch, float scale,
                           float z_weight, isb__loss *loss);
    isb_status (*reduce)(isb__trainer *trainer, double *norm);
    /* step: 0 for the first.  The gradient is read scaled by gscale. */
    isb_status (*step)(isb__trainer *trainer, double gscale, double lr, uint64_t step);
    /* Without gradient; token_nats [B, T] may be NULL. */
    isb_status (*forward)(isb__trainer *trainer, const isb__batch *batch, float *token_nats,
                          isb__loss *loss);
    isb_status (*pull)(isb__trainer *trainer);
    isb_status (*push)(isb__trainer *trainer);
    /* The optimiser's state (and, with composed embeddings, own and shared) as host tensors.  To
     * save: pull(), then rank 0 writes them.  To load: pull(), every rank fills those that have
     * data, push(), which spreads what only rank 0 has.  data is NULL where it is on rank 0 only.
     * refs [n_states()] are good until the next step(). */
    size_t (*n_states)(const isb__trainer *trainer);
    void (*states)(const isb__trainer *trainer, isb__tensor_ref *refs);
    /* Host memory beside the model, and device memory; bytes. */
    void (*memory)(const isb__trainer *trainer, uint64_t *host_nbytes, uint64_t *device_nbytes);
} isb__trainer_ops;

/* The first members of every trainer. */
struct isb__trainer {
    const isb__trainer_ops *ops;
    isb_context *ctx;
    isb_model *model; /* borrowed */
    size_t B, T;
};

/* By options->device.  model: borrowed, must outlive; its weights are pushed.  Errors: UNSUPPORTED
 * (this build has no CUDA, or the machine no such device), ARGUMENT (device name). */
isb_status isb__trainer_create(isb_context *ctx, isb_model *model,
                               const isb__trainer_options *options, isb__trainer **trainer);
void isb__trainer_free(isb__trainer *trainer);

/* The two kinds, for isb__trainer_create(); the second is in builds with ISB_HAVE_CUDA. */
isb_status isb__trainer_cpu_create(isb_context *ctx, isb_model *model,
                                   const isb__trainer_options *options, isb__trainer **trainer);
isb_status isb__trainer_cuda_create(isb_context *ctx, isb_model *model,
                                    const isb__trainer_options *options, isb__trainer **trainer);

#endif
