/* Loads of float32 as pairs of bf16, rounded to nearest even by AVX512_BF16, for pack_avx512_template.h. */
#ifndef ISB_KERNELS_X86_LOAD_BF16_H
#define ISB_KERNELS_X86_LOAD_BF16_H

#include <stddef.h>

#include "kernels/x86/target.h"

/* Words (x[i], x[i + k_stride]) for i = 0..15 by mask; the second is 0 where n_k == 1. */
ISB_TARGET_AVX512X ISB_INLINE __m512i isb__load_bf16_along(const float *x, ptrdiff_t k_stride, size_t n_k,
                                                           __mmask16 mask) {
    static const uint16_t interleave[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                            8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512 first = _mm512_maskz_loadu_ps(mask, x);
    const __m512 second = n_k > 1 ? _mm512_maskz_loadu_ps(mask, x + k_stride) : _mm512_setzero_ps();
    return _mm512_permutexvar_epi16(_mm512_loadu_si512(interleave), (__m512i)_mm512_cvtne2ps_pbh(second, first));
}

/* Words (x[2s], x[2s + 1]) for s = 0..15; zeros from n_k on. */
ISB_TARGET_AVX512X ISB_INLINE __m512i isb__load_bf16_steps(const float *x, size_t n_k) {
    const unsigned mask = _bzhi_u32(0xffffffffu, n_k < 32 ? (unsigned)n_k : 32);
    const __m512 first = _mm512_maskz_loadu_ps((__mmask16)mask, x);
    const __m512 second = mask >> 16 ? _mm512_maskz_loadu_ps((__mmask16)(mask >> 16), x + 16) : _mm512_setzero_ps();
    return (__m512i)_mm512_cvtne2ps_pbh(second, first);
}

#endif
