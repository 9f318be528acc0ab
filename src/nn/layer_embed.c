/* Token embedding: a gather, and its transpose, a scatter that adds.
 *
 * Tokens with one id add to one row, so the scatter is cut by columns: a task walks all tokens
 * in order for its slice of the row.  No two tasks write one place, and the order of each sum is
 * the order of the tokens. */
#include <string.h>

#include "nn/layers.h"

enum { SLICE = 32 }; /* columns of a task: two cache lines */

typedef struct embed_job {
    const isb__nn *nn;
    size_t M, C;
    const int32_t *ids;
    const float *from;
    float *to;
} embed_job;

static void gather_task(void *arg, size_t task, int thread) {
    (void)thread;
    const embed_job *job = arg;
    const size_t begin = task * ISB__TOKEN_BLOCK,
                 end = begin + ISB__TOKEN_BLOCK < job->M ? begin + ISB__TOKEN_BLOCK : job->M;
    for (size_t m = begin; m < end; ++m) {
        memcpy(job->to + m * job->C, job->from + (size_t)job->ids[m] * job->C,
               job->C * sizeof(float));
    }
}

void isb__embed_forward(const isb__nn *nn, size_t M, size_t C, const int32_t *ids,
                        const float *table, float *x) {
    embed_job job = {nn, M, C, ids, table, x};
    isb__parallel(nn->ctx, isb__token_blocks(M), gather_task, &job);
}

static void scatter_task(void *arg, size_t task, int thread) {
    (void)thread;
    const embed_job *job = arg;
    const size_t begin = task * SLICE, n = begin + SLICE < job->C ? SLICE : job->C - begin;
    for (size_t m = 0; m < job->M; ++m) {
        job->nn->ops->axpy(n, 1, job->from + m * job->C + begin,
                           job->to + (size_t)job->ids[m] * job->C + begin);
    }
}

void isb__embed_backward(const isb__nn *nn, size_t M, size_t C, const int32_t *ids, const float *dx,
                         float *dtable) {
    embed_job job = {nn, M, C, ids, dx, dtable};
    isb__parallel(nn->ctx, (C + SLICE - 1) / SLICE, scatter_task, &job);
}
