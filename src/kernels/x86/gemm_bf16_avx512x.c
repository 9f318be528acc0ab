/* bf16 matrix kernel on AVX512_BF16: 14 x 32, two k a step, float32 sums.  Close class: operands are rounded to bf16
 * (relative error at most 2^-8 each), subnormals count as zero.  Worth using where vdpbf16ps is as fast as a float32 FMA. */
#include "kernels/tiers.h"

#if ISB__X86

#include <string.h>

#include "kernels/x86/load_bf16.h"
#include "kernels/x86/target.h"

#define PACK_TARGET ISB_TARGET_AVX512X
#define PACK_K 2
#define PACK_ALONG isb__load_bf16_along
#define PACK_STEPS isb__load_bf16_steps
#include "kernels/x86/pack_avx512_template.h"

#define GEMM_TARGET ISB_TARGET_AVX512X
#define GEMM_K 2
#define GEMM_MADD(a, b, c) \
    _mm512_dpbf16_ps((c), (__m512bh)_mm512_castps_si512(a), (__m512bh)_mm512_castps_si512(b))
#include "kernels/x86/gemm_14x32_template.h"

ISB_TARGET_AVX512X static void pack_a(size_t m, size_t k, const float *a, ptrdiff_t row_stride, ptrdiff_t col_stride,
                                      void *panel) {
    pack_panel(MR, m, k, isb__round_up(k, 2), a, row_stride, col_stride, panel);
}

ISB_TARGET_AVX512X static void pack_b(size_t k, size_t n, const float *b, ptrdiff_t row_stride, ptrdiff_t col_stride,
                                      void *panel) {
    pack_panel(NR, n, k, isb__round_up(k, 2), b, col_stride, row_stride, panel);
}

const isb__gemm_kernel isb__gemm_bf16_avx512x = {
    .name = "bf16_avx512x_14x32",
    .mr = MR, .nr = NR, .kr = 2,
    .mc = 14 * 20, .nc = 512, .kc = 768,
    .element_nbytes = sizeof(uint16_t),
    .pack_a = pack_a, .pack_b = pack_b, .micro = micro,
};

#endif
