/* The table of kernels.  `ref` is portable C and defines the right answer; each tier overlays what it improves
 * (ref < avx2 < avx512 < avx512x < amx) and init stops at the first tier that is missing or capped.
 *
 * Two classes:
 *   exact  the same bits on every tier, compiler and machine.  Every operation is an IEEE-754 float32 add, multiply or
 *          fused multiply-add in a stated order, so `ref` uses fmaf() and vector tiers use FMA lanes in the same
 *          order; compiled with -ffp-contract=off.  What feeds a coder uses only these.
 *   close  may round and reorder; a tolerance is stated.  For training.
 *
 * Kernels take pointers, sizes and strides; they never allocate, fail or start threads.
 */
#ifndef ISB_KERNELS_OPS_H
#define ISB_KERNELS_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

/* One way to multiply matrices: packed formats and the inner kernel.  Operands are packed from strided float32 views.
 *   A panel: up to mr rows, kb columns  -> pack_a writes  a_panel_nbytes(kb)
 *   B panel: kb rows, up to nr columns  -> pack_b writes  b_panel_nbytes(kb)
 * Short panels are padded with zeros; kb is padded to a multiple of kr. */
typedef struct isb__gemm_kernel {
    const char *name;      /* "f32_avx512_14x32" */
    size_t mr, nr, kr;     /* micro-tile, granularity of k */
    size_t mc, nc, kc;     /* cache blocks: multiples of mr, nr, kr */
    size_t element_nbytes; /* of a packed element: 4 (float32) or 2 (bf16) */
    void (*pack_a)(size_t m, size_t k, const float *a, ptrdiff_t row_stride, ptrdiff_t col_stride,
                   void *panel);
    void (*pack_b)(size_t k, size_t n, const float *b, ptrdiff_t row_stride, ptrdiff_t col_stride,
                   void *panel);
    /* c[m, n] (+)= A panel * B panel, m <= mr, n <= nr, kb a multiple of kr.  accumulate: start from c, else from 0.
     * Class exact kernels: c = fma(a_k, b_k, c) for k = 0, 1, ..., one chain per element. */
    void (*micro)(size_t m, size_t n, size_t kb, const void *a_panel, const void *b_panel, float *c,
                  size_t ldc, int accumulate);
    /* Set-up and tear-down of per-thread state around a run of micro calls (AMX tile configuration); may be NULL. */
    void (*begin)(void);
    void (*end)(void);
} isb__gemm_kernel;

static inline size_t isb__round_up(size_t x, size_t multiple) {
    return (x + multiple - 1) / multiple * multiple;
}
static inline size_t isb__a_panel_nbytes(const isb__gemm_kernel *kernel, size_t kb) {
    return kernel->mr * isb__round_up(kb, kernel->kr) * kernel->element_nbytes;
}
static inline size_t isb__b_panel_nbytes(const isb__gemm_kernel *kernel, size_t kb) {
    return kernel->nr * isb__round_up(kb, kernel->kr) * kernel->element_nbytes;
}

typedef struct isb__ops {
    const char *tier;
    const isb__gemm_kernel *gemm_exact; /* float32, one fma chain per output in order of k */
    const isb__gemm_kernel
        *gemm_close; /* the fastest for training: bf16 inputs with float32 sums, or float32 */

    /* ---- exact class ---- */
    /* sum a[i]*b[i]: 16 lanes, lane i%16 is one fma chain from 0 in order of i; then lanes are added as a tree:
     * l[j] += l[j+8] for j<8, then +4, +2, +1. */
    float (*dot)(size_t n, const float *a, const float *b);
    /* sum of x[i] in the same 16 lanes and tree. */
    float (*sum)(size_t n, const float *x);
    float (*max)(size_t n, const float *x); /* -inf for n == 0; a zero is +0; no NaNs */
    /* y[i] = fma(alpha, x[i], y[i]) */
    void (*axpy)(size_t n, float alpha, const float *x, float *y);
    /* Many of these at once, for attention.  Row j of a is a + j*lda.
     * dots: y[j] = dot(n, x, row j) for j < count.  axpys: axpy(n, w[j], row j, y) for j = 0, 1, ... in order. */
    void (*dots)(size_t count, size_t n, const float *x, const float *a, size_t lda, float *y);
    void (*axpys)(size_t count, size_t n, const float *w, const float *a, size_t lda, float *y);
    /* y[i] = e(x[i]): e is this library's own exp, see ref/exp.h; within 2 ulp of exp; x clamped to [-87, 88]. */
    void (*exp)(size_t n, const float *x, float *y);
    /* y[i] = x[i] * s * g[i], multiplied left to right (RMS norm's second half). */
    void (*scale_mul)(size_t n, const float *x, float s, const float *g, float *y);
    /* h[i] = silu(a[i]) * b[i], silu(a) = a / (1 + e(-a)); or relu(a[i]) * b[i]. */
    void (*silu_mul)(size_t n, const float *a, const float *b, float *h);
    void (*relu_mul)(size_t n, const float *a, const float *b, float *h);

    /* ---- close class ---- */
    /* Backward of the two above: da, db from dh (may alias dh for one of them: no). */
    void (*silu_mul_backward)(size_t n, const float *a, const float *b, const float *dh, float *da,
                              float *db);
    void (*relu_mul_backward)(size_t n, const float *a, const float *b, const float *dh, float *da,
                              float *db);
    /* AdamW on n parameters: m, v updated, p -= lr*(m_hat/(sqrt(v_hat)+eps) + wd*p); g is read scaled by gscale.
     * c1 = 1/(1-beta1^t), c2 = 1/(1-beta2^t). */
    void (*adamw)(size_t n, float *p, const float *g, float *m, float *v, float gscale, float lr,
                  float beta1, float beta2, float c1, float c2, float eps, float wd);
    /* Row of softmax cross-entropy: logits z[n] in place become dz = scale * (p - onehot(target) + 2*z_weight*lse*p);
     * returns -log p[target]; *lse_out = log sum exp.  target < 0: dz = 0, returns 0. */
    float (*softmax_xent)(size_t n, float *z, int64_t target, float scale, float z_weight,
                          float *lse_out);
    /* sum of squares in double, fixed order by blocks of 4096 (deterministic on one tier) */
    double (*sumsq)(size_t n, const float *x);
} isb__ops;

/* The table for a tier (static storage; filled once, any thread). */
const isb__ops *isb__ops_for(isb__cpu_tier tier);
/* gemm kernels by name for tests and benchmarks: index 0.. until NULL; `needed` is the tier it takes. */
const isb__gemm_kernel *isb__gemm_kernel_at(size_t index, isb__cpu_tier *needed);

#endif
