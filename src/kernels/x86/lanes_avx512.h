/* 16 lanes of float32 as one register of AVX-512, ends by masks: the vocabulary of vector_template.h and
 * int8_template.h. */
#ifndef ISB_KERNELS_X86_LANES_AVX512_H
#define ISB_KERNELS_X86_LANES_AVX512_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/ref/exp.h"
#include "kernels/x86/lanes.h"

#define V ISB_TARGET_AVX512 ISB_INLINE
#define V_KERNEL ISB_TARGET_AVX512 static

typedef __m512 v16;
typedef struct vd16 {
    __m512d lo, hi;
} vd16;

V __mmask16 first(size_t n) { return (__mmask16)_bzhi_u32(0xffff, (unsigned)n); }

V v16 v_load(const float *p, size_t n) { return n == 16 ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(first(n), p); }
V void v_store(float *p, size_t n, v16 x) {
    if (n == 16) {
        _mm512_storeu_ps(p, x);
    } else {
        _mm512_mask_storeu_ps(p, first(n), x);
    }
}
V v16 v_set1(float x) { return _mm512_set1_ps(x); }
V v16 v_add(v16 a, v16 b) { return _mm512_add_ps(a, b); }
V v16 v_sub(v16 a, v16 b) { return _mm512_sub_ps(a, b); }
V v16 v_mul(v16 a, v16 b) { return _mm512_mul_ps(a, b); }
V v16 v_div(v16 a, v16 b) { return _mm512_div_ps(a, b); }
V v16 v_sqrt(v16 a) { return _mm512_sqrt_ps(a); }
V v16 v_fma(v16 a, v16 b, v16 c) { return _mm512_fmadd_ps(a, b, c); }
V v16 v_max(v16 a, v16 b) { return _mm512_max_ps(a, b); }
V v16 v_min(v16 a, v16 b) { return _mm512_min_ps(a, b); }
V v16 v_add_first(v16 sum, v16 x, size_t n) {
    return n == 16 ? _mm512_add_ps(sum, x) : _mm512_mask_add_ps(sum, first(n), sum, x);
}
V v16 v_fma_first(v16 a, v16 b, v16 c, size_t n) {
    return n == 16 ? _mm512_fmadd_ps(a, b, c) : _mm512_mask3_fmadd_ps(a, b, c, first(n));
}
V v16 v_max_first(v16 a, v16 b, size_t n) {
    return n == 16 ? _mm512_max_ps(a, b) : _mm512_mask_max_ps(b, first(n), a, b);
}
V v16 v_where_positive(v16 a, v16 x) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, _mm512_setzero_ps(), _CMP_GT_OQ), x);
}
V v16 v_scale(v16 p, v16 t) {
    const __m512i n = _mm512_sub_epi32(_mm512_castps_si512(t), _mm512_set1_epi32(ISB__EXP_ROUND_BITS));
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(n, 23)));
}
V float v_sum(v16 x) {
    const __m256 x8 = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    const __m128 x4 = _mm_add_ps(_mm256_castps256_ps128(x8), _mm256_extractf128_ps(x8, 1));
    const __m128 x2 = _mm_add_ps(x4, _mm_movehl_ps(x4, x4));
    return _mm_cvtss_f32(_mm_add_ss(x2, _mm_movehdup_ps(x2)));
}
/* The tree's first two steps, each for two vectors at once, leave four sums of each vector in a quarter of one register. */
V v16 add_halves(v16 a, v16 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}
V v16 add_quarters(v16 ab, v16 cd) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
}
V void v_sum4(v16 a, v16 b, v16 c, v16 d, float *y) {
    const v16 x4 = add_quarters(add_halves(a, b), add_halves(c, d));
    const v16 x2 = _mm512_add_ps(x4, _mm512_permute_ps(x4, 0x4e));
    const v16 x1 = _mm512_add_ps(x2, _mm512_permute_ps(x2, 0xb1));
    const __m512i firsts = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    _mm_storeu_ps(y, _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, x1)));
}
V float v_most(v16 x) { return _mm512_reduce_max_ps(x); }

V vd16 vd_zero(void) { return (vd16){_mm512_setzero_pd(), _mm512_setzero_pd()}; }
V vd16 vd_add_square(vd16 sum, v16 x) {
    const __m512d lo = _mm512_cvtps_pd(_mm512_castps512_ps256(x));
    const __m512d hi = _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
    return (vd16){_mm512_fmadd_pd(lo, lo, sum.lo), _mm512_fmadd_pd(hi, hi, sum.hi)};
}
V double vd_sum(vd16 x) { return _mm512_reduce_add_pd(_mm512_add_pd(x.lo, x.hi)); }

V v16 v_abs(v16 x) { return _mm512_abs_ps(x); }
V v16 v_negated(v16 x) { return _mm512_xor_ps(x, _mm512_set1_ps(-0.0f)); }

/* ---- 16 lanes of int32 ---- */

typedef __m512i i16;

V i16 i_zero(void) { return _mm512_setzero_si512(); }
V i16 i_set1(int32_t x) { return _mm512_set1_epi32(x); }
V i16 i_load(const int32_t *p, size_t n) {
    return n == 16 ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi32(first(n), p);
}
V void i_store(int32_t *p, size_t n, i16 x) {
    if (n == 16) {
        _mm512_storeu_si512(p, x);
    } else {
        _mm512_mask_storeu_epi32(p, first(n), x);
    }
}
V i16 i_add(i16 a, i16 b) { return _mm512_add_epi32(a, b); }
V i16 i_max(i16 a, i16 b) { return _mm512_max_epi32(a, b); }
V uint32_t i_sum(i16 x) { return (uint32_t)_mm512_reduce_add_epi32(x); }
V int32_t i_most(i16 x) { return _mm512_reduce_max_epi32(x); }
V i16 i_rounded(v16 x) { return _mm512_cvtps_epi32(x); }
V i16 i_truncated(v16 x) { return _mm512_cvttps_epi32(x); }
V v16 v_from_int(i16 x) { return _mm512_cvtepi32_ps(x); }
V size_t i_first_equal(i16 a, i16 b) {
    return (size_t)_bit_scan_forward(0x10000 | _mm512_cmpeq_epi32_mask(a, b));
}
V i16 i_scaled(i16 x, double r) {
    const __m512d factor = _mm512_set1_pd(r);
    const __m512d lo = _mm512_cvtepi32_pd(_mm512_castsi512_si256(x));
    const __m512d hi = _mm512_cvtepi32_pd(_mm512_extracti64x4_epi64(x, 1));
    const __m256i lo_n = _mm512_cvttpd_epi32(_mm512_mul_pd(lo, factor));
    const __m256i hi_n = _mm512_cvttpd_epi32(_mm512_mul_pd(hi, factor));
    return _mm512_inserti64x4(_mm512_castsi256_si512(lo_n), hi_n, 1);
}
V i16 i_prefix(i16 x) {
    const __m512i zero = _mm512_setzero_si512();
    x = _mm512_add_epi32(x, _mm512_alignr_epi32(x, zero, 15));
    x = _mm512_add_epi32(x, _mm512_alignr_epi32(x, zero, 14));
    x = _mm512_add_epi32(x, _mm512_alignr_epi32(x, zero, 12));
    return _mm512_add_epi32(x, _mm512_alignr_epi32(x, zero, 8));
}
V i16 i_last(i16 x) { return _mm512_permutexvar_epi32(_mm512_set1_epi32(15), x); }
V void i_store_bytes(int8_t *p, size_t n, i16 x) {
    const __m128i bytes = _mm512_cvtepi32_epi8(x);
    if (n == 16) {
        _mm_storeu_si128((__m128i *)p, bytes);
    } else {
        _mm_mask_storeu_epi8(p, first(n), bytes);
    }
}
V void i_store_split(uint8_t *high, uint8_t *low, i16 x) {
    _mm_storeu_si128((__m128i *)high, _mm512_cvtepi32_epi8(_mm512_srli_epi32(x, 8)));
    _mm_storeu_si128((__m128i *)low, _mm512_cvtepi32_epi8(x));
}
V v16 v_where_between(v16 x, v16 y, size_t begin, size_t end, size_t i) {
    if (begin <= i && i + 16 <= end) return x; /* nearly always */
    const __mmask16 before = begin > i ? first(begin - i) : 0, all = first(end - i < 16 ? end - i : 16);
    return _mm512_mask_mov_ps(y, (__mmask16)(all & ~before), x);
}

#endif
