/* RMS norm (Zhang and Sennrich 2019), with the addition of the residual stream that comes before
 * it.
 *
 *     y = x r g,  r = 1 / sqrt(mean(x^2) + eps)
 *     dg = sum over tokens of dy x r
 *     dx = r (dy g) - x r^3 mean(dy g x)
 *
 * A row is a few kilobytes and is passed over several times by vector kernels while it lies in
 * L1. */
#include <math.h>
#include <string.h>

#include "nn/layers.h"

typedef struct norm_job {
    const isb__nn *nn;
    const isb__norm *norm;
    const float *residual;
    float *y, *dy, *dx, *work;
} norm_job;

static void forward_task(void *arg, size_t task, int thread) {
    (void)thread;
    const norm_job *job = arg;
    const isb__norm *norm = job->norm;
    const isb__ops *ops = job->nn->ops;
    const size_t C = norm->C, begin = task * ISB__TOKEN_BLOCK;
    const size_t end = begin + ISB__TOKEN_BLOCK < norm->M ? begin + ISB__TOKEN_BLOCK : norm->M;
    for (size_t m = begin; m < end; ++m) {
        float *x = norm->x + m * C;
        if (job->residual) ops->axpy(C, 1, job->residual + m * C, x);
        const float r = 1.0f / sqrtf(ops->dot(C, x, x) / (float)C + norm->eps);
        norm->inv_rms[m] = r;
        ops->scale_mul(C, x, r, norm->g, job->y + m * C);
    }
}

void isb__norm_forward(const isb__nn *nn, const isb__norm *norm, const float *residual, float *y) {
    norm_job job = {.nn = nn, .norm = norm, .residual = residual, .y = y};
    isb__parallel(nn->ctx, isb__token_blocks(norm->M), forward_task, &job);
}

/* The block's part of dg goes to work [block, 0], products of a row to work [block, 1]. */
static void backward_task(void *arg, size_t task, int thread) {
    (void)thread;
    const norm_job *job = arg;
    const isb__norm *norm = job->norm;
    const isb__ops *ops = job->nn->ops;
    const size_t C = norm->C, begin = task * ISB__TOKEN_BLOCK;
    const size_t end = begin + ISB__TOKEN_BLOCK < norm->M ? begin + ISB__TOKEN_BLOCK : norm->M;
    float *dg = job->work + task * 2 * C, *product = dg + C;
    memset(dg, 0, C * sizeof *dg);
    for (size_t m = begin; m < end; ++m) {
        const float r = norm->inv_rms[m], *x = norm->x + m * C;
        float *dy = job->dy + m * C, *dx = job->dx + m * C;
        ops->scale_mul(C, dy, r, x, product);
        ops->axpy(C, 1, product, dg);
        ops->scale_mul(C, dy, 1, norm->g, dy);
        ops->axpy(C, r, dy, dx);
        ops->axpy(C, -ops->dot(C, dy, x) * r * r * r / (float)C, x, dx);
    }
}

void isb__norm_backward(const isb__nn *nn, const isb__norm *norm, float *dy, float *dx, float *dg,
                        float *work) {
    norm_job job = {.nn = nn, .norm = norm, .dy = dy, .dx = dx, .work = work};
    const size_t n_blocks = isb__token_blocks(norm->M);
    isb__parallel(nn->ctx, n_blocks, backward_task, &job);
    for (size_t i = 0; i < n_blocks; ++i) nn->ops->axpy(norm->C, 1, work + i * 2 * norm->C, dg);
}
