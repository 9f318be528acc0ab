/* float32 matrix kernel on AVX2 and FMA: 6 x 16, exact class.
 *
 *              b0: 8 floats   b1
 *     a[0]     c0_0           c0_1     12 accumulators, 2 registers of B, 1 or 2 broadcasts of A: 16 in all
 *     ...
 *     a[5]     c5_0           c5_1 */
#include "kernels/tiers.h"

#if ISB__X86

#include <string.h>

#include "kernels/x86/target.h"

enum { MR = 6, NR = 16 };

/* ---- packing: panel[k][width], as in ref/gemm.c ---- */

ISB_TARGET_AVX2 ISB_INLINE void transpose8(__m256 r[8]) {
    __m256 t[8];
#define PAIR(i)                                           \
    t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]); \
    t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    PAIR(0) PAIR(1) PAIR(2) PAIR(3)
#undef PAIR
#define QUAD(i)                                                                 \
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], _MM_SHUFFLE(1, 0, 1, 0));          \
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], _MM_SHUFFLE(3, 2, 3, 2));      \
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], _MM_SHUFFLE(1, 0, 1, 0));  \
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], _MM_SHUFFLE(3, 2, 3, 2));
    QUAD(0) QUAD(4)
#undef QUAD
#define COLUMN(i)                                                               \
    {                                                                           \
        const __m256 low = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);        \
        r[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);                \
        r[i] = low;                                                             \
    }
    COLUMN(0) COLUMN(1) COLUMN(2) COLUMN(3)
#undef COLUMN
}

static void pack_strided(size_t width, size_t count, size_t k, const float *x, ptrdiff_t stride, ptrdiff_t k_stride,
                         float *panel) {
    for (size_t p = 0; p < k; ++p) {
        for (size_t i = 0; i < width; ++i) {
            panel[p * width + i] = i < count ? x[(ptrdiff_t)i * stride + (ptrdiff_t)p * k_stride] : 0.0f;
        }
    }
}

static void pack_along(size_t width, size_t count, size_t k, const float *x, ptrdiff_t k_stride, float *panel) {
    for (size_t p = 0; p < k; ++p, x += k_stride, panel += width) {
        memcpy(panel, x, count * sizeof *x);
        for (size_t i = count; i < width; ++i) panel[i] = 0.0f;
    }
}

/* Source contiguous along k: 8 x 8 at a time.  Rows of the panel are stored past their end, over what is stored next;
 * the last steps, where nothing follows, are left to the plain loop. */
ISB_TARGET_AVX2 ISB_INLINE void pack_transposed(size_t width, size_t count, size_t k, const float *x, ptrdiff_t stride,
                                                float *panel) {
    const size_t whole = k > 8 ? (k - 1) / 8 * 8 : 0;
    for (size_t i = 0; i < width; i += 8) {
        for (size_t p = 0; p < whole; p += 8) {
            const float *from = x + (ptrdiff_t)i * stride + p;
            float *to = panel + p * width + i;
            __m256 r[8];
#define LOAD(j) r[j] = i + j < count ? _mm256_loadu_ps(from + j * stride) : _mm256_setzero_ps();
            ISB_REPEAT8(LOAD)
#undef LOAD
            transpose8(r);
#define STORE(j) _mm256_storeu_ps(to + j * width, r[j]);
            ISB_REPEAT8(STORE)
#undef STORE
        }
    }
    pack_strided(width, count, k - whole, x + whole, stride, 1, panel + whole * width);
}

ISB_TARGET_AVX2 ISB_INLINE void pack_panel(size_t width, size_t count, size_t k, const float *x, ptrdiff_t stride,
                                           ptrdiff_t k_stride, float *panel) {
    if (stride == 1) {
        pack_along(width, count, k, x, k_stride, panel);
    } else if (k_stride == 1) {
        pack_transposed(width, count, k, x, stride, panel);
    } else {
        pack_strided(width, count, k, x, stride, k_stride, panel);
    }
}

ISB_TARGET_AVX2 static void pack_a(size_t m, size_t k, const float *a, ptrdiff_t row_stride, ptrdiff_t col_stride,
                                   void *panel) {
    pack_panel(MR, m, k, a, row_stride, col_stride, panel);
}

ISB_TARGET_AVX2 static void pack_b(size_t k, size_t n, const float *b, ptrdiff_t row_stride, ptrdiff_t col_stride,
                                   void *panel) {
    pack_panel(NR, n, k, b, col_stride, row_stride, panel);
}

/* ---- micro kernel ---- */

/* m is a constant in each copy of this function; c has all 16 columns. */
ISB_TARGET_AVX2 ISB_INLINE void micro_rows(size_t m, size_t k, const float *a, const float *b, float *c, size_t ldc,
                                           int accumulate) {
#define START(i) __m256 c##i##_0 = _mm256_setzero_ps(), c##i##_1 = c##i##_0;
    ISB_REPEAT6(START)
#undef START
    if (accumulate) {
#define LOAD(i)                                        \
    if (i < m) {                                       \
        c##i##_0 = _mm256_loadu_ps(c + i * ldc);       \
        c##i##_1 = _mm256_loadu_ps(c + i * ldc + 8);   \
    }
        ISB_REPEAT6(LOAD)
#undef LOAD
    }
    for (size_t p = 0; p < k; ++p, a += MR, b += NR) {
        const __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
#define STEP(i)                                          \
    if (i < m) {                                         \
        const __m256 x = _mm256_broadcast_ss(a + i);     \
        c##i##_0 = _mm256_fmadd_ps(x, b0, c##i##_0);     \
        c##i##_1 = _mm256_fmadd_ps(x, b1, c##i##_1);     \
    }
        ISB_REPEAT6(STEP)
#undef STEP
    }
#define STORE(i)                                       \
    if (i < m) {                                       \
        _mm256_storeu_ps(c + i * ldc, c##i##_0);       \
        _mm256_storeu_ps(c + i * ldc + 8, c##i##_1);   \
    }
    ISB_REPEAT6(STORE)
#undef STORE
}

ISB_TARGET_AVX2 static void micro_whole(size_t m, size_t k, const float *a, const float *b, float *c, size_t ldc,
                                        int accumulate) {
    switch (m) {
#define ROWS(i) \
    case i + 1: micro_rows(i + 1, k, a, b, c, ldc, accumulate); break;
        ISB_REPEAT6(ROWS)
#undef ROWS
        default: break;
    }
}

/* A tile with fewer columns is computed in a buffer. */
static void micro(size_t m, size_t n, size_t kb, const void *a, const void *b, float *c, size_t ldc, int accumulate) {
    if (n == NR) {
        micro_whole(m, kb, a, b, c, ldc, accumulate);
        return;
    }
    float buffer[MR * NR] = {0};
    for (size_t i = 0; accumulate && i < m; ++i) memcpy(buffer + i * NR, c + i * ldc, n * sizeof *c);
    micro_whole(m, kb, a, b, buffer, NR, accumulate);
    for (size_t i = 0; i < m; ++i) memcpy(c + i * ldc, buffer + i * NR, n * sizeof *c);
}

const isb__gemm_kernel isb__gemm_f32_avx2 = {
    .name = "f32_avx2_6x16",
    .mr = MR, .nr = NR, .kr = 1,
    .mc = 6 * 28, .nc = 512, .kc = 256,
    .element_nbytes = sizeof(float),
    .pack_a = pack_a, .pack_b = pack_b, .micro = micro,
};

#endif
