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

void isb__norm_forward_rows(const isb__nn *nn, const isb__norm *norm, isb__rows rows,
                            const float *residual, float *y) {
    const isb__ops *ops = nn->ops;
    const size_t C = norm->C;
    for (size_t i = 0; i < rows.n; ++i) {
        const size_t m = rows.begin + i;
        float *x = norm->x + m * C;
        if (residual) ops->axpy(C, 1, residual + m * C, x);
        const float r = 1.0f / sqrtf(ops->dot(C, x, x) / (float)C + norm->eps);
        norm->inv_rms[m] = r;
        ops->scale_mul(C, x, r, norm->g, y + i * C);
    }
}

/* The block's part of dg goes to work [block, 0], products of a row to work [block, 1]. */
void isb__norm_backward_rows(const isb__nn *nn, const isb__norm *norm, isb__rows rows, float *dy,
                             float *dx, float *work) {
    const isb__ops *ops = nn->ops;
    const size_t C = norm->C;
    float *dg = work + rows.begin / nn->rows * 2 * C, *product = dg + C;
    memset(dg, 0, C * sizeof *dg);
    for (size_t i = 0; i < rows.n; ++i) {
        const size_t m = rows.begin + i;
        const float r = norm->inv_rms[m], *x = norm->x + m * C;
        float *dy_row = dy + i * C, *dx_row = dx + m * C;
        ops->scale_mul(C, dy_row, r, x, product);
        ops->axpy(C, 1, product, dg);
        ops->scale_mul(C, dy_row, 1, norm->g, dy_row);
        ops->axpy(C, r, dy_row, dx_row);
        ops->axpy(C, -ops->dot(C, dy_row, x) * r * r * r / (float)C, x, dx_row);
    }
}

void isb__norm_add_dg(const isb__nn *nn, const isb__norm *norm, const float *work, float *dg) {
    const size_t n_blocks = isb__row_blocks(nn, norm->M);
    for (size_t i = 0; i < n_blocks; ++i) nn->ops->axpy(norm->C, 1, work + i * 2 * norm->C, dg);
}
