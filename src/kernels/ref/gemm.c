/* Portable matrix kernel: the definition of the exact class.  c = fma(a_k, b_k, c) for k = 0, 1, ... */
#include <math.h>
#include <string.h>

#include "kernels/tiers.h"

enum { MR = 4, NR = 8 };

/* panel[k * width + i] = x(i, k): the one packed format of float32 kernels, for A by rows and for B by columns. */
static void pack_panel(size_t width, size_t count, size_t k, const float *x, ptrdiff_t stride,
                       ptrdiff_t k_stride, float *panel) {
    for (size_t p = 0; p < k; ++p) {
        for (size_t i = 0; i < width; ++i) {
            panel[p * width + i] =
                i < count ? x[(ptrdiff_t)i * stride + (ptrdiff_t)p * k_stride] : 0.0f;
        }
    }
}

static void pack_a_ref(size_t m, size_t k, const float *a, ptrdiff_t row_stride,
                       ptrdiff_t col_stride, void *panel) {
    pack_panel(MR, m, k, a, row_stride, col_stride, panel);
}

static void pack_b_ref(size_t k, size_t n, const float *b, ptrdiff_t row_stride,
                       ptrdiff_t col_stride, void *panel) {
    pack_panel(NR, n, k, b, col_stride, row_stride, panel);
}

static void micro_ref(size_t m, size_t n, size_t kb, const void *a_panel, const void *b_panel,
                      float *c, size_t ldc, int accumulate) {
    float sum[MR][NR] = {{0}};
    if (accumulate) {
        for (size_t i = 0; i < m; ++i) memcpy(sum[i], c + i * ldc, n * sizeof *c);
    }
    const float *a = a_panel, *b = b_panel;
    for (size_t p = 0; p < kb; ++p, a += MR, b += NR) {
        for (size_t i = 0; i < m; ++i) {
            for (size_t j = 0; j < n; ++j) sum[i][j] = fmaf(a[i], b[j], sum[i][j]);
        }
    }
    for (size_t i = 0; i < m; ++i) memcpy(c + i * ldc, sum[i], n * sizeof *c);
}

const isb__gemm_kernel isb__gemm_f32_ref = {
    .name = "f32_ref_4x8",
    .mr = MR,
    .nr = NR,
    .kr = 1,
    .mc = 64,
    .nc = 512,
    .kc = 256,
    .element_nbytes = sizeof(float),
    .pack_a = pack_a_ref,
    .pack_b = pack_b_ref,
    .micro = micro_ref,
};
