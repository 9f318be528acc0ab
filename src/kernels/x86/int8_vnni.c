/* M1's sums of int8 products on AVX-512 VNNI.
 *
 * vpdpbusd adds to each of 16 int32 the four products of unsigned bytes with signed ones, exactly.  One side of every
 * sum is therefore kept as byte + 128, and 128 times the sum of the other side is taken off again:
 *
 *     weights w + 128, activations a     sum (w + 128) a = sum w a + 128 sum a        so rows of sums start at -128 sum a
 *     keys k + 128, query q              the same
 *     attention weights b, values v      b is unsigned already: two bytes, high and low, each with sums of its own
 *
 * A panel of W is 32 outputs: [k / 4][32][4], so that a step, four k, is two registers, and it meets up to 14 rows:
 *
 *              w: 16 words    16 words
 *     a[0]     sum0_0         sum0_1           28 sums, 2 registers of W, 1 broadcast word of a: 31 of 32.  A step is 28
 *     ...                                      instructions of 64 multiply-adds for 2 loads of W and 14 of words of a.
 *     a[13]    sum13_0        sum13_1
 *
 * A panel is read from memory by the first rows and from L1 or L2 by the others. */
#include "kernels/tiers.h"

#if ISB__X86

#include <string.h>

#include "kernels/x86/target.h"

#define VNNI ISB_TARGET_VNNI static
#define VNNI_INLINE ISB_TARGET_VNNI ISB_INLINE

enum {
    MR = 14,
    PANEL = 32,
    STEP_NBYTES = 4 * PANEL,
    K_PAD = 16, /* four steps: a row alone takes them at once */
    ROWS_AT_ONCE = 64,
    SLOTS = ISB__KEY_GROUP
};

VNNI_INLINE __mmask16 first(size_t n) {
    return (__mmask16)_bzhi_u32(0xffff, n < 16 ? (unsigned)n : 16);
}

VNNI_INLINE __m512i broadcast_word(const void *p) {
    int32_t word;
    memcpy(&word, p, sizeof word);
    return _mm512_set1_epi32(word);
}

/* ---- products ---- */

static size_t panel_nbytes(size_t k) { return isb__round_up(k, K_PAD) * PANEL; }

static size_t packed_nbytes(size_t n, size_t k) {
    return isb__round_up(n, PANEL) / PANEL * panel_nbytes(k);
}

/* Padding is w = 0; its k meet zeros in any case. */
static void pack(size_t n, size_t k, const int8_t *w, void *packed) {
    uint8_t *panel = packed;
    memset(packed, 128, packed_nbytes(n, k));
    for (size_t j = 0; j < n; ++j) {
        uint8_t *column = panel + j / PANEL * panel_nbytes(k) + j % PANEL * 4;
        for (size_t i = 0; i < k; ++i) {
            column[i / 4 * STEP_NBYTES + i % 4] = (uint8_t)(w[j * k + i] + 128);
        }
    }
}

/* -128 times the sum of n bytes, n a multiple of 4. */
VNNI_INLINE int32_t offset_of(const int8_t *a, size_t n) {
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += 64) {
        const __m512i bytes = _mm512_maskz_loadu_epi32(first((n - i) / 4), a + i);
        sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(-128), bytes);
    }
    return -_mm512_reduce_add_epi32(sum);
}

/* Few rows would wait for their own sums, so they take several steps at once, each with sums of its own. */
VNNI_INLINE size_t chains_for(size_t rows) { return rows == 1 ? 4 : rows == 2 ? 2 : 1; }

/* One panel by some rows; rows and n_vectors (of 16 outputs) are constants in each copy of this function.  Sums i are
 * those of row i % rows and of the steps s with s % chains == i / rows. */
VNNI_INLINE void panel_rows(size_t rows, size_t n_vectors, size_t n_steps, const int8_t *a,
                            size_t lda, const uint8_t *w, const int32_t *start, int32_t *c,
                            size_t ldc) {
    const size_t chains = chains_for(rows);
#define START(i)                                                                          \
    __m512i sum##i##_0 = i < rows ? _mm512_set1_epi32(start[i]) : _mm512_setzero_si512(); \
    __m512i sum##i##_1 = sum##i##_0;
    ISB_REPEAT14(START)
#undef START
    for (size_t s = 0; s < n_steps; s += chains, a += 4 * chains, w += STEP_NBYTES * chains) {
#define STEP(i)                                                                        \
    if (i < rows * chains) {                                                           \
        const uint8_t *words = w + i / rows * STEP_NBYTES;                             \
        const __m512i word = broadcast_word(a + i % rows * lda + i / rows * 4);        \
        sum##i##_0 = _mm512_dpbusd_epi32(sum##i##_0, _mm512_loadu_si512(words), word); \
        if (n_vectors == 2) {                                                          \
            const __m512i more = _mm512_loadu_si512(words + 64);                       \
            sum##i##_1 = _mm512_dpbusd_epi32(sum##i##_1, more, word);                  \
        }                                                                              \
    }
        ISB_REPEAT14(STEP)
#undef STEP
    }
    if (chains == 4) {
        sum0_0 = _mm512_add_epi32(sum0_0, sum2_0);
        sum0_1 = _mm512_add_epi32(sum0_1, sum2_1);
        sum1_0 = _mm512_add_epi32(sum1_0, sum3_0);
        sum1_1 = _mm512_add_epi32(sum1_1, sum3_1);
    } else if (chains == 2) {
        sum1_0 = _mm512_add_epi32(sum1_0, sum3_0);
        sum1_1 = _mm512_add_epi32(sum1_1, sum3_1);
        sum0_0 = _mm512_add_epi32(sum0_0, sum2_0);
        sum0_1 = _mm512_add_epi32(sum0_1, sum2_1);
    }
    if (rows == 1) {
        sum0_0 = _mm512_add_epi32(sum0_0, sum1_0);
        sum0_1 = _mm512_add_epi32(sum0_1, sum1_1);
    }
#define STORE(i)                                                               \
    if (i < rows) {                                                            \
        _mm512_storeu_si512(c + i * ldc, sum##i##_0);                          \
        if (n_vectors == 2) _mm512_storeu_si512(c + i * ldc + 16, sum##i##_1); \
    }
    ISB_REPEAT14(STORE)
#undef STORE
}

VNNI void whole_panel(size_t rows, size_t n_steps, const int8_t *a, size_t lda, const uint8_t *w,
                      const int32_t *start, int32_t *c, size_t ldc) {
    switch (rows) {
#define ROWS(i) \
    case i + 1: panel_rows(i + 1, 2, n_steps, a, lda, w, start, c, ldc); break;
        ISB_REPEAT14(ROWS)
#undef ROWS
    default: break;
    }
}

/* The last panel, where C has no room for more than 16 outputs. */
VNNI void half_panel(size_t rows, size_t n_steps, const int8_t *a, size_t lda, const uint8_t *w,
                     const int32_t *start, int32_t *c, size_t ldc) {
    switch (rows) {
#define ROWS(i) \
    case i + 1: panel_rows(i + 1, 1, n_steps, a, lda, w, start, c, ldc); break;
        ISB_REPEAT14(ROWS)
#undef ROWS
    default: break;
    }
}

/* At most ROWS_AT_ONCE rows, in blocks of about the same size. */
VNNI void product_rows(size_t m, size_t n, size_t k, const int8_t *a, size_t lda, const uint8_t *w,
                       int32_t *c, size_t ldc) {
    int32_t start[ROWS_AT_ONCE];
    const size_t n_steps = isb__round_up(k, K_PAD) / 4, n_blocks = (m + MR - 1) / MR;
    for (size_t r = 0; r < m; ++r) start[r] = offset_of(a + r * lda, 4 * n_steps);
    for (size_t j = 0; j < n; j += PANEL, w += panel_nbytes(k)) {
        for (size_t block = 0, r = 0; block < n_blocks; ++block) {
            const size_t rows = (m - r + n_blocks - block - 1) / (n_blocks - block);
            int32_t *to = c + r * ldc + j;
            if (n - j > 16) {
                whole_panel(rows, n_steps, a + r * lda, lda, w, start + r, to, ldc);
            } else {
                half_panel(rows, n_steps, a + r * lda, lda, w, start + r, to, ldc);
            }
            r += rows;
        }
    }
}

VNNI void product(size_t m, size_t n, size_t k, const int8_t *a, size_t lda, const void *packed,
                  int32_t *c, size_t ldc) {
    for (size_t r = 0; r < m; r += ROWS_AT_ONCE) {
        const size_t rows = m - r < ROWS_AT_ONCE ? m - r : ROWS_AT_ONCE;
        product_rows(rows, n, k, a + r * lda, lda, packed, c + r * ldc, ldc);
    }
}

/* ---- attention ---- */

/* Bytes `slot % 4` of the words of a quarter of the group. */
VNNI void store_value(size_t D, const int8_t *value, int8_t *group, size_t slot) {
    const unsigned shift = 8 * (unsigned)(slot % 4);
    const __m512i byte = _mm512_set1_epi32((int32_t)(255u << shift));
    const __m128i by = _mm_cvtsi32_si128((int)shift);
    int8_t *words = group + slot / 4 * 4 * D;
    for (size_t d = 0; d < D; d += 16) {
        const __mmask16 mask = first(D - d);
        const __m512i wide = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, value + d));
        const __m512i old = _mm512_maskz_loadu_epi32(mask, words + 4 * d);
        const __m512i both =
            _mm512_or_si512(_mm512_andnot_si512(byte, old), _mm512_sll_epi32(wide, by));
        _mm512_mask_storeu_epi32(words + 4 * d, mask, both);
    }
}

/* n groups of keys, at most 4: their sums do not wait for each other.  n is a constant in each copy. */
VNNI_INLINE void scores_of(size_t n, size_t D, const int8_t *q, const uint8_t *keys, __m512i offset,
                           int32_t *to) {
#define START(g) __m512i sum##g = offset;
    ISB_REPEAT4(START)
#undef START
    for (size_t d = 0; d < D; d += 4, keys += 4 * SLOTS) {
        const __m512i word = broadcast_word(q + d);
#define STEP(g) \
    if (g < n) sum##g = _mm512_dpbusd_epi32(sum##g, _mm512_loadu_si512(keys + g * D * SLOTS), word);
        ISB_REPEAT4(STEP)
#undef STEP
    }
#define STORE(g) \
    if (g < n) _mm512_storeu_si512(to + g * SLOTS, sum##g);
    ISB_REPEAT4(STORE)
#undef STORE
}

VNNI void scores(size_t D, size_t n_groups, const int8_t *q, const uint8_t *keys, int32_t *to) {
    const __m512i offset = _mm512_set1_epi32(offset_of(q, D));
    size_t g = 0;
    for (; g + 4 <= n_groups; g += 4, keys += 4 * D * SLOTS) {
        scores_of(4, D, q, keys, offset, to + g * SLOTS);
    }
    if (n_groups - g >= 2) {
        scores_of(2, D, q, keys, offset, to + g * SLOTS);
        g += 2;
        keys += 2 * D * SLOTS;
    }
    if (n_groups - g >= 1) scores_of(1, D, q, keys, offset, to + g * SLOTS);
}

/* The sums of n channels, 16 (n_vectors - 1) < n <= 16 n_vectors; n_vectors is a constant in each copy. */
VNNI_INLINE void mix_channels(size_t n_vectors, size_t n, size_t D, size_t n_slots,
                              const uint8_t *high, const uint8_t *low, const int8_t *values,
                              int32_t *sums, int accumulate) {
    const __mmask16 all = first(16), last = first(n - 16 * (n_vectors - 1));
#define START(i) __m512i high##i = _mm512_setzero_si512(), low##i = high##i;
    ISB_REPEAT4(START)
#undef START
    for (size_t j = 0; j < n_slots; j += 4, values += 4 * D) {
        const __m512i b_high = broadcast_word(high + j), b_low = broadcast_word(low + j);
#define STEP(i)                                                                        \
    if (i < n_vectors) {                                                               \
        const __m512i v =                                                              \
            _mm512_maskz_loadu_epi32(i + 1 < n_vectors ? all : last, values + 64 * i); \
        high##i = _mm512_dpbusd_epi32(high##i, b_high, v);                             \
        low##i = _mm512_dpbusd_epi32(low##i, b_low, v);                                \
    }
        ISB_REPEAT4(STEP)
#undef STEP
    }
#define STORE(i)                                                                        \
    if (i < n_vectors) {                                                                \
        const __mmask16 mask = i + 1 < n_vectors ? all : last;                          \
        __m512i sum = _mm512_add_epi32(_mm512_slli_epi32(high##i, 8), low##i);          \
        if (accumulate)                                                                 \
            sum = _mm512_add_epi32(sum, _mm512_maskz_loadu_epi32(mask, sums + 16 * i)); \
        _mm512_mask_storeu_epi32(sums + 16 * i, mask, sum);                             \
    }
    ISB_REPEAT4(STORE)
#undef STORE
}

VNNI void mix(size_t D, size_t n_groups, const uint8_t *high, const uint8_t *low,
              const int8_t *values, int32_t *sums, int accumulate) {
    for (size_t d = 0; d < D; d += 64) {
        const size_t n = D - d < 64 ? D - d : 64;
        switch ((n + 15) / 16) {
#define VECTORS(i)                                                                       \
    case i + 1:                                                                          \
        mix_channels(i + 1, n, D, n_groups * SLOTS, high, low, values + 4 * d, sums + d, \
                     accumulate);                                                        \
        break;
            ISB_REPEAT4(VECTORS)
#undef VECTORS
        default: break;
        }
    }
}

void isb__int8_overlay_vnni(isb__int8_ops *ops) {
    ops->packed_nbytes = packed_nbytes;
    ops->pack = pack;
    ops->product = product;
    ops->store_value = store_value;
    ops->scores = scores;
    ops->mix = mix;
}

#endif
