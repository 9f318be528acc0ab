/* The output matrix and the loss: softmax cross-entropy over the vocabulary, and z-loss.
 *
 * With 65,537 ids the logits of a batch would take more memory than all else together, so they
 * are made for a chunk of tokens, turned into their own gradient in place, used for both
 * products, and overwritten by the next chunk.  A chunk's size depends on V alone, so sums over
 * tokens are the same on any number of threads. */
#include "nn/layers.h"

enum { LOGITS_NBYTES = 64 << 20, LOSS_ROWS = 8 /* of a task */ };

typedef struct loss_job {
    const isb__nn *nn;
    const isb__head *head;
    const int32_t *targets; /* of the chunk, and so: */
    float *nats, *lse;
    size_t n;
    float scale, z_weight;
} loss_job;

size_t isb__head_chunk(size_t M, size_t V) {
    const size_t fit = LOGITS_NBYTES / sizeof(float) / V / ISB__TOKEN_BLOCK * ISB__TOKEN_BLOCK;
    const size_t chunk = fit > ISB__TOKEN_BLOCK ? fit : ISB__TOKEN_BLOCK;
    return chunk < M ? chunk : M;
}

static void loss_task(void *arg, size_t task, int thread) {
    (void)thread;
    const loss_job *job = arg;
    const size_t V = job->head->V, begin = task * LOSS_ROWS,
                 end = begin + LOSS_ROWS < job->n ? begin + LOSS_ROWS : job->n;
    for (size_t m = begin; m < end; ++m) {
        float lse = 0;
        job->nats[m] = job->nn->ops->softmax_xent(V, job->head->logits + m * V, job->targets[m],
                                                  job->scale, job->z_weight, &lse);
        job->lse[m] = job->targets[m] >= 0 ? lse : 0;
    }
}

/* Logits of n tokens, made into scale * d(nats + z_weight lse^2). */
static void chunk_forward(loss_job *job, size_t at, size_t n, const float *x,
                          const int32_t *targets) {
    const isb__head *head = job->head;
    isb__linear(job->nn, n, head->weight, x + at * head->C, head->logits);
    job->targets = targets + at;
    job->nats = head->nats + at;
    job->lse = head->lse + at;
    job->n = n;
    isb__parallel(job->nn->ctx, (n + LOSS_ROWS - 1) / LOSS_ROWS, loss_task, job);
}

isb_status isb__head_forward(const isb__nn *nn, const isb__head *head, const float *x,
                             const int32_t *targets) {
    loss_job job = {.nn = nn, .head = head};
    for (size_t at = 0; at < head->M; at += head->chunk) {
        ISB_TRY(isb__check_cancel(nn->ctx));
        chunk_forward(&job, at, head->M - at < head->chunk ? head->M - at : head->chunk, x,
                      targets);
    }
    return ISB_OK;
}

isb_status isb__head_backward(const isb__nn *nn, const isb__head *head, const float *x,
                              const int32_t *targets, float scale, float z_weight, float *dx,
                              float *dW) {
    loss_job job = {.nn = nn, .head = head, .scale = scale, .z_weight = z_weight};
    for (size_t at = 0; at < head->M; at += head->chunk) {
        const size_t n = head->M - at < head->chunk ? head->M - at : head->chunk;
        ISB_TRY(isb__check_cancel(nn->ctx));
        chunk_forward(&job, at, n, x, targets);
        isb__linear_dw(nn, n, head->V, head->C, head->logits, x + at * head->C, dW);
        isb__linear_dx(nn, n, head->weight, head->logits, dx + at * head->C);
    }
    return ISB_OK;
}
