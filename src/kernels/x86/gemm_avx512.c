/* float32 matrix kernel on AVX-512: 14 x 32, exact class. */
#include "kernels/tiers.h"

#if ISB__X86

#include <string.h>

#include "kernels/x86/target.h"

#define PACK_TARGET ISB_TARGET_AVX512
#define PACK_K 1
#define PACK_ALONG load_along
#define PACK_STEPS load_steps

ISB_TARGET_AVX512 ISB_INLINE __m512i load_along(const float *x, ptrdiff_t k_stride, size_t n_k, __mmask16 mask) {
    (void)k_stride, (void)n_k;
    return _mm512_maskz_loadu_epi32(mask, x);
}

ISB_TARGET_AVX512 ISB_INLINE __m512i load_steps(const float *x, size_t n_k) {
    return _mm512_maskz_loadu_epi32((__mmask16)_bzhi_u32(0xffff, n_k < 16 ? (unsigned)n_k : 16), x);
}

#include "kernels/x86/pack_avx512_template.h"

#define GEMM_TARGET ISB_TARGET_AVX512
#define GEMM_K 1
#define GEMM_MADD _mm512_fmadd_ps
#include "kernels/x86/gemm_14x32_template.h"

ISB_TARGET_AVX512 static void pack_a(size_t m, size_t k, const float *a, ptrdiff_t row_stride, ptrdiff_t col_stride,
                                     void *panel) {
    pack_panel(MR, m, k, k, a, row_stride, col_stride, panel);
}

ISB_TARGET_AVX512 static void pack_b(size_t k, size_t n, const float *b, ptrdiff_t row_stride, ptrdiff_t col_stride,
                                     void *panel) {
    pack_panel(NR, n, k, k, b, col_stride, row_stride, panel);
}

const isb__gemm_kernel isb__gemm_f32_avx512 = {
    .name = "f32_avx512_14x32",
    .mr = MR, .nr = NR, .kr = 1,
    .mc = 14 * 20, .nc = 512, .kc = 384,
    .element_nbytes = sizeof(float),
    .pack_a = pack_a, .pack_b = pack_b, .micro = micro,
};

#endif
