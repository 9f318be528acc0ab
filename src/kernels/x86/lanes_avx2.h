/* 16 lanes of float32 as two registers of AVX2: the vocabulary of vector_template.h and int8_template.h. */
#ifndef ISB_KERNELS_X86_LANES_AVX2_H
#define ISB_KERNELS_X86_LANES_AVX2_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/ref/exp.h"
#include "kernels/x86/lanes.h"

#define V ISB_TARGET_AVX2 ISB_INLINE
#define V_KERNEL ISB_TARGET_AVX2 static

typedef struct v16 {
    __m256 lo, hi;
} v16;
typedef struct vd16 {
    __m256d q[4];
} vd16;

/* All ones in the first n of 8 lanes; n may be past either end. */
V __m256i first(ptrdiff_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
V __m256i first_lo(size_t n) { return first((ptrdiff_t)n); }
V __m256i first_hi(size_t n) { return first((ptrdiff_t)n - 8); }

V v16 v_load(const float *p, size_t n) {
    if (n == 16) return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
    return (v16){_mm256_maskload_ps(p, first_lo(n)), n > 8 ? _mm256_maskload_ps(p + 8, first_hi(n)) : _mm256_setzero_ps()};
}
V void v_store(float *p, size_t n, v16 x) {
    if (n == 16) {
        _mm256_storeu_ps(p, x.lo);
        _mm256_storeu_ps(p + 8, x.hi);
    } else {
        _mm256_maskstore_ps(p, first_lo(n), x.lo);
        if (n > 8) _mm256_maskstore_ps(p + 8, first_hi(n), x.hi);
    }
}
V v16 v_set1(float x) { return (v16){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
V v16 v_add(v16 a, v16 b) { return (v16){_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
V v16 v_sub(v16 a, v16 b) { return (v16){_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
V v16 v_mul(v16 a, v16 b) { return (v16){_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
V v16 v_div(v16 a, v16 b) { return (v16){_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
V v16 v_sqrt(v16 a) { return (v16){_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
V v16 v_fma(v16 a, v16 b, v16 c) {
    return (v16){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
V v16 v_max(v16 a, v16 b) { return (v16){_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
V v16 v_min(v16 a, v16 b) { return (v16){_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
/* Lanes of x for the first n, of y for the others. */
V v16 v_blend(v16 x, v16 y, size_t n) {
    if (n == 16) return x;
    return (v16){_mm256_blendv_ps(y.lo, x.lo, _mm256_castsi256_ps(first_lo(n))),
                 _mm256_blendv_ps(y.hi, x.hi, _mm256_castsi256_ps(first_hi(n)))};
}
V v16 v_add_first(v16 sum, v16 x, size_t n) { return v_blend(v_add(sum, x), sum, n); }
V v16 v_fma_first(v16 a, v16 b, v16 c, size_t n) { return v_blend(v_fma(a, b, c), c, n); }
V v16 v_max_first(v16 a, v16 b, size_t n) { return v_blend(v_max(a, b), b, n); }
V v16 v_where_positive(v16 a, v16 x) {
    const __m256 zero = _mm256_setzero_ps();
    return (v16){_mm256_and_ps(_mm256_cmp_ps(a.lo, zero, _CMP_GT_OQ), x.lo),
                 _mm256_and_ps(_mm256_cmp_ps(a.hi, zero, _CMP_GT_OQ), x.hi)};
}
V __m256 scale8(__m256 p, __m256 t) {
    const __m256i n = _mm256_sub_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(ISB__EXP_ROUND_BITS));
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(n, 23)));
}
V v16 v_scale(v16 p, v16 t) { return (v16){scale8(p.lo, t.lo), scale8(p.hi, t.hi)}; }
V float v_sum(v16 x) {
    const __m256 x8 = _mm256_add_ps(x.lo, x.hi);
    const __m128 x4 = _mm_add_ps(_mm256_castps256_ps128(x8), _mm256_extractf128_ps(x8, 1));
    const __m128 x2 = _mm_add_ps(x4, _mm_movehl_ps(x4, x4));
    return _mm_cvtss_f32(_mm_add_ss(x2, _mm_movehdup_ps(x2)));
}
V __m128 sum_quarters(v16 x) {
    const __m256 x8 = _mm256_add_ps(x.lo, x.hi);
    return _mm_add_ps(_mm256_castps256_ps128(x8), _mm256_extractf128_ps(x8, 1));
}
/* The tree's last two steps for two vectors, then four at once. */
V void v_sum4(v16 a, v16 b, v16 c, v16 d, float *y) {
    const __m128 a4 = sum_quarters(a), b4 = sum_quarters(b), c4 = sum_quarters(c), d4 = sum_quarters(d);
    const __m128 ab = _mm_add_ps(_mm_unpacklo_ps(a4, b4), _mm_unpackhi_ps(a4, b4));
    const __m128 cd = _mm_add_ps(_mm_unpacklo_ps(c4, d4), _mm_unpackhi_ps(c4, d4));
    _mm_storeu_ps(y, _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab)));
}
V float v_most(v16 x) {
    const __m256 x8 = _mm256_max_ps(x.lo, x.hi);
    const __m128 x4 = _mm_max_ps(_mm256_castps256_ps128(x8), _mm256_extractf128_ps(x8, 1));
    const __m128 x2 = _mm_max_ps(x4, _mm_movehl_ps(x4, x4));
    return _mm_cvtss_f32(_mm_max_ss(x2, _mm_movehdup_ps(x2)));
}

V vd16 vd_zero(void) {
    const __m256d zero = _mm256_setzero_pd();
    return (vd16){{zero, zero, zero, zero}};
}
V __m256d add_square(__m256d sum, __m128 x) {
    const __m256d wide = _mm256_cvtps_pd(x);
    return _mm256_fmadd_pd(wide, wide, sum);
}
V vd16 vd_add_square(vd16 sum, v16 x) {
    return (vd16){{add_square(sum.q[0], _mm256_castps256_ps128(x.lo)), add_square(sum.q[1], _mm256_extractf128_ps(x.lo, 1)),
                   add_square(sum.q[2], _mm256_castps256_ps128(x.hi)), add_square(sum.q[3], _mm256_extractf128_ps(x.hi, 1))}};
}
V double vd_sum(vd16 x) {
    const __m256d x4 = _mm256_add_pd(_mm256_add_pd(x.q[0], x.q[1]), _mm256_add_pd(x.q[2], x.q[3]));
    const __m128d x2 = _mm_add_pd(_mm256_castpd256_pd128(x4), _mm256_extractf128_pd(x4, 1));
    return _mm_cvtsd_f64(_mm_add_sd(x2, _mm_unpackhi_pd(x2, x2)));
}

V v16 v_abs(v16 x) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return (v16){_mm256_andnot_ps(sign, x.lo), _mm256_andnot_ps(sign, x.hi)};
}
V v16 v_negated(v16 x) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return (v16){_mm256_xor_ps(x.lo, sign), _mm256_xor_ps(x.hi, sign)};
}

/* ---- 16 lanes of int32 ---- */

typedef struct i16 {
    __m256i lo, hi;
} i16;

V i16 i_set1(int32_t x) { return (i16){_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
V i16 i_zero(void) { return i_set1(0); }
V i16 i_load(const int32_t *p, size_t n) {
    if (n == 16) return (i16){_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)(p + 8))};
    return (i16){_mm256_maskload_epi32(p, first_lo(n)),
                 n > 8 ? _mm256_maskload_epi32(p + 8, first_hi(n)) : _mm256_setzero_si256()};
}
V void i_store(int32_t *p, size_t n, i16 x) {
    if (n == 16) {
        _mm256_storeu_si256((__m256i *)p, x.lo);
        _mm256_storeu_si256((__m256i *)(p + 8), x.hi);
    } else {
        _mm256_maskstore_epi32(p, first_lo(n), x.lo);
        if (n > 8) _mm256_maskstore_epi32(p + 8, first_hi(n), x.hi);
    }
}
V i16 i_add(i16 a, i16 b) { return (i16){_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
V i16 i_max(i16 a, i16 b) { return (i16){_mm256_max_epi32(a.lo, b.lo), _mm256_max_epi32(a.hi, b.hi)}; }
V uint32_t i_sum(i16 x) {
    const __m256i x8 = _mm256_add_epi32(x.lo, x.hi);
    const __m128i x4 = _mm_add_epi32(_mm256_castsi256_si128(x8), _mm256_extracti128_si256(x8, 1));
    const __m128i x2 = _mm_add_epi32(x4, _mm_shuffle_epi32(x4, 0x4e));
    return (uint32_t)_mm_cvtsi128_si32(_mm_add_epi32(x2, _mm_shuffle_epi32(x2, 0xb1)));
}
V int32_t i_most(i16 x) {
    const __m256i x8 = _mm256_max_epi32(x.lo, x.hi);
    const __m128i x4 = _mm_max_epi32(_mm256_castsi256_si128(x8), _mm256_extracti128_si256(x8, 1));
    const __m128i x2 = _mm_max_epi32(x4, _mm_shuffle_epi32(x4, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(x2, _mm_shuffle_epi32(x2, 0xb1)));
}
V i16 i_rounded(v16 x) { return (i16){_mm256_cvtps_epi32(x.lo), _mm256_cvtps_epi32(x.hi)}; }
V i16 i_truncated(v16 x) { return (i16){_mm256_cvttps_epi32(x.lo), _mm256_cvttps_epi32(x.hi)}; }
V v16 v_from_int(i16 x) { return (v16){_mm256_cvtepi32_ps(x.lo), _mm256_cvtepi32_ps(x.hi)}; }
V size_t i_first_equal(i16 a, i16 b) {
    const int lo = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(a.lo, b.lo)));
    const int hi = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(a.hi, b.hi)));
    return (size_t)_bit_scan_forward(0x10000 | hi << 8 | lo);
}
V __m128i scaled4(__m128i x, __m256d factor) {
    return _mm256_cvttpd_epi32(_mm256_mul_pd(_mm256_cvtepi32_pd(x), factor));
}
V __m256i scaled8(__m256i x, __m256d factor) {
    return _mm256_set_m128i(scaled4(_mm256_extracti128_si256(x, 1), factor),
                            scaled4(_mm256_castsi256_si128(x), factor));
}
V i16 i_scaled(i16 x, double r) {
    const __m256d factor = _mm256_set1_pd(r);
    return (i16){scaled8(x.lo, factor), scaled8(x.hi, factor)};
}
V __m256i last8(__m256i x) { return _mm256_permutevar8x32_epi32(x, _mm256_set1_epi32(7)); }
/* Halves of a register first, then the lower half's sum is added to the upper one. */
V __m256i prefix8(__m256i x) {
    x = _mm256_add_epi32(x, _mm256_slli_si256(x, 4));
    x = _mm256_add_epi32(x, _mm256_slli_si256(x, 8));
    const __m256i third = _mm256_permutevar8x32_epi32(x, _mm256_set1_epi32(3));
    return _mm256_add_epi32(x, _mm256_blend_epi32(_mm256_setzero_si256(), third, 0xf0));
}
V i16 i_prefix(i16 x) {
    const __m256i lo = prefix8(x.lo);
    return (i16){lo, _mm256_add_epi32(prefix8(x.hi), last8(lo))};
}
V i16 i_last(i16 x) { return (i16){last8(x.hi), last8(x.hi)}; }
/* The low bytes of 16 lanes, whose other bytes are lost. */
V __m128i low_bytes(i16 x) {
    const __m256i low = _mm256_set1_epi32(255);
    const __m256i words = _mm256_packus_epi32(_mm256_and_si256(x.lo, low), _mm256_and_si256(x.hi, low));
    const __m256i in_order = _mm256_permute4x64_epi64(words, 0xd8);
    return _mm_packus_epi16(_mm256_castsi256_si128(in_order), _mm256_extracti128_si256(in_order, 1));
}
V void i_store_bytes(int8_t *p, size_t n, i16 x) {
    const __m128i bytes = low_bytes(x);
    if (n == 16) {
        _mm_storeu_si128((__m128i *)p, bytes);
    } else {
        int8_t some[16];
        _mm_storeu_si128((__m128i *)some, bytes);
        memcpy(p, some, n);
    }
}
V void i_store_split(uint8_t *high, uint8_t *low, i16 x) {
    const i16 above = {_mm256_srli_epi32(x.lo, 8), _mm256_srli_epi32(x.hi, 8)};
    _mm_storeu_si128((__m128i *)high, low_bytes(above));
    _mm_storeu_si128((__m128i *)low, low_bytes(x));
}
V __m256 where_between8(__m256 x, __m256 y, ptrdiff_t begin, ptrdiff_t end) {
    const __m256i before = first(begin), all = first(end);
    return _mm256_blendv_ps(y, x, _mm256_castsi256_ps(_mm256_andnot_si256(before, all)));
}
V v16 v_where_between(v16 x, v16 y, size_t begin, size_t end, size_t i) {
    if (begin <= i && i + 16 <= end) return x; /* nearly always */
    const ptrdiff_t from = (ptrdiff_t)begin - (ptrdiff_t)i, to = (ptrdiff_t)end - (ptrdiff_t)i;
    return (v16){where_between8(x.lo, y.lo, from, to), where_between8(x.hi, y.hi, from - 8, to - 8)};
}

#endif
