/* M1's kernels on AVX2.
 *
 * vpmaddwd adds two products of int16 to an int32 and is exact; the instruction for bytes, vpmaddubsw, saturates.  So bytes
 * are widened: those of a row of activations once for a block of k, those of W by the load, again for each block of rows.
 * Where bytes of four k, or of four slots, lie in one word, its even and odd bytes become two words of int16 by shifts:
 *
 *     word  | b3 | b2 | b1 | b0 |      even: | b2 | b0 |      odd: | b3 | b1 |
 *
 * A panel of W is 16 outputs, [k / 2][16][2], a step is two k:
 *
 *              w: 8 pairs    8 pairs
 *     a[0]     sum0_0        sum0_1        12 sums, 2 registers of W, 1 broadcast pair of a, 1 product: 16 in all
 *     ...
 *     a[5]     sum5_0        sum5_1 */
#include "kernels/tiers.h"

#if ISB__X86

#include <math.h>
#include <string.h>

#include "kernels/x86/lanes_avx2.h"

#include "kernels/x86/int8_template.h"

enum { MR = 6, PANEL = 16, K_PAD = 16, K_BLOCK = 512, SLOTS = ISB__KEY_GROUP };

V __m256i broadcast_word(const void *p) {
    int32_t word;
    memcpy(&word, p, sizeof word);
    return _mm256_set1_epi32(word);
}
V __m256i load8(const void *p) { return _mm256_loadu_si256(p); }
V __m256i even_bytes(__m256i words) { return _mm256_srai_epi16(_mm256_slli_epi16(words, 8), 8); }
V __m256i odd_bytes(__m256i words) { return _mm256_srai_epi16(words, 8); }
V __m256i add_products(__m256i sum, __m256i x, __m256i y) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(x, y));
}

/* ---- products ---- */

static size_t panel_nbytes(size_t k) { return isb__round_up(k, K_PAD) * PANEL; }

static size_t packed_nbytes(size_t n, size_t k) {
    return isb__round_up(n, PANEL) / PANEL * panel_nbytes(k);
}

static void pack(size_t n, size_t k, const int8_t *w, void *packed) {
    int8_t *panel = packed;
    memset(packed, 0, packed_nbytes(n, k));
    for (size_t j = 0; j < n; ++j) {
        int8_t *column = panel + j / PANEL * panel_nbytes(k) + j % PANEL * 2;
        for (size_t i = 0; i < k; ++i) column[i / 2 * 2 * PANEL + i % 2] = w[j * k + i];
    }
}

/* One panel by some rows of int16, K_BLOCK apart; rows is a constant in each copy of this function. */
V void panel_rows(size_t rows, size_t n_steps, const int16_t *a, const int8_t *w, int32_t *c,
                  size_t ldc, int accumulate) {
#define START(i)                                 \
    __m256i sum##i##_0 = _mm256_setzero_si256(); \
    __m256i sum##i##_1 = sum##i##_0;             \
    if (accumulate && i < rows) {                \
        sum##i##_0 = load8(c + i * ldc);         \
        sum##i##_1 = load8(c + i * ldc + 8);     \
    }
    ISB_REPEAT6(START)
#undef START
    for (size_t s = 0; s < n_steps; ++s, a += 2, w += 2 * PANEL) {
        const __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)w));
        const __m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(w + PANEL)));
#define STEP(i)                                               \
    if (i < rows) {                                           \
        const __m256i pair = broadcast_word(a + i * K_BLOCK); \
        sum##i##_0 = add_products(sum##i##_0, w0, pair);      \
        sum##i##_1 = add_products(sum##i##_1, w1, pair);      \
    }
        ISB_REPEAT6(STEP)
#undef STEP
    }
#define STORE(i)                                                       \
    if (i < rows) {                                                    \
        _mm256_storeu_si256((__m256i *)(c + i * ldc), sum##i##_0);     \
        _mm256_storeu_si256((__m256i *)(c + i * ldc + 8), sum##i##_1); \
    }
    ISB_REPEAT6(STORE)
#undef STORE
}

V_KERNEL void panel(size_t rows, size_t n_steps, const int16_t *a, const int8_t *w, int32_t *c,
                    size_t ldc, int accumulate) {
    switch (rows) {
#define ROWS(i) \
    case i + 1: panel_rows(i + 1, n_steps, a, w, c, ldc, accumulate); break;
        ISB_REPEAT6(ROWS)
#undef ROWS
    default: break;
    }
}

/* n bytes to int16; n a multiple of 16. */
V_KERNEL void widen(size_t n, const int8_t *a, int16_t *wide) {
    for (size_t i = 0; i < n; i += 16) {
        const __m128i bytes = _mm_loadu_si128((const __m128i *)(a + i));
        _mm256_storeu_si256((__m256i *)(wide + i), _mm256_cvtepi8_epi16(bytes));
    }
}

/* At most MR rows. */
V_KERNEL void product_rows(size_t rows, size_t n, size_t k, const int8_t *a, size_t lda,
                           const int8_t *w, int32_t *c, size_t ldc) {
    int16_t wide[MR * K_BLOCK];
    const size_t k_padded = isb__round_up(k, K_PAD);
    for (size_t from = 0; from < k_padded; from += K_BLOCK) {
        const size_t block = k_padded - from < K_BLOCK ? k_padded - from : K_BLOCK;
        for (size_t i = 0; i < rows; ++i) widen(block, a + i * lda + from, wide + i * K_BLOCK);
        for (size_t j = 0; j < n; j += PANEL) {
            const int8_t *part = w + j / PANEL * panel_nbytes(k) + from * PANEL;
            panel(rows, block / 2, wide, part, c + j, ldc, from > 0);
        }
    }
}

/* Blocks of about the same number of rows. */
V_KERNEL void product(size_t m, size_t n, size_t k, const int8_t *a, size_t lda, const void *packed,
                      int32_t *c, size_t ldc) {
    const size_t n_blocks = (m + MR - 1) / MR;
    for (size_t block = 0, r = 0; block < n_blocks; ++block) {
        const size_t rows = (m - r + n_blocks - block - 1) / (n_blocks - block);
        product_rows(rows, n, k, a + r * lda, lda, packed, c + r * ldc, ldc);
        r += rows;
    }
}

/* ---- attention ---- */

/* Keys are bytes of key + 128, so 128 times the sum of q is taken off: where the sums start. */
V_KERNEL void scores(size_t D, size_t n_groups, const int8_t *q, const uint8_t *keys, int32_t *to) {
    const __m256i low = _mm256_set1_epi16(255);
    int32_t offset = 0;
    for (size_t d = 0; d < D; ++d) offset -= 128 * q[d];
    for (size_t g = 0; g < n_groups; ++g, to += SLOTS) {
        __m256i sum0 = _mm256_set1_epi32(offset), sum1 = sum0;
        for (size_t d = 0; d < D; d += 4, keys += 4 * SLOTS) {
            const __m256i word = broadcast_word(q + d), k0 = load8(keys), k1 = load8(keys + 32);
            const __m256i even = even_bytes(word), odd = odd_bytes(word);
            sum0 = add_products(sum0, _mm256_and_si256(k0, low), even);
            sum1 = add_products(sum1, _mm256_and_si256(k1, low), even);
            sum0 = add_products(sum0, _mm256_srli_epi16(k0, 8), odd);
            sum1 = add_products(sum1, _mm256_srli_epi16(k1, 8), odd);
        }
        _mm256_storeu_si256((__m256i *)to, sum0);
        _mm256_storeu_si256((__m256i *)(to + 8), sum1);
    }
}

/* Weights of four slots as two words: slots 0 and 2, slots 1 and 3. */
V void split_weights(const uint8_t *high, const uint8_t *low, __m256i *even, __m256i *odd) {
    uint32_t h, l;
    memcpy(&h, high, sizeof h);
    memcpy(&l, low, sizeof l);
    *even = _mm256_set1_epi32((int32_t)((h & 0x00ff00ff) << 8 | (l & 0x00ff00ff)));
    *odd = _mm256_set1_epi32((int32_t)((h & 0xff00ff00) | (l >> 8 & 0x00ff00ff)));
}

/* The sums of n channels, 8 (n_vectors - 1) < n <= 8 n_vectors, n a multiple of 4; n_vectors is a constant in each
 * copy. */
V void mix_channels(size_t n_vectors, size_t n, size_t D, size_t n_slots, const uint8_t *high,
                    const uint8_t *low, const int8_t *values, int32_t *sums, int accumulate) {
    const int whole = n == 8 * n_vectors;
    const __m256i mask = first_lo(n - 8 * (n_vectors - 1));
#define START(i) __m256i sum##i = _mm256_setzero_si256();
    ISB_REPEAT8(START)
#undef START
    for (size_t j = 0; j < n_slots; j += 4, values += 4 * D) {
        __m256i even, odd;
        split_weights(high + j, low + j, &even, &odd);
#define STEP(i)                                                                               \
    if (i < n_vectors) {                                                                      \
        const __m256i v = i + 1 < n_vectors || whole                                          \
                              ? load8(values + 32 * i)                                        \
                              : _mm256_maskload_epi32((const void *)(values + 32 * i), mask); \
        sum##i = add_products(sum##i, even_bytes(v), even);                                   \
        sum##i = add_products(sum##i, odd_bytes(v), odd);                                     \
    }
        ISB_REPEAT8(STEP)
#undef STEP
    }
#define STORE(i)                                                                            \
    if (i < n_vectors) {                                                                    \
        const __m256i stored = i + 1 < n_vectors ? first_lo(8) : mask;                      \
        if (accumulate)                                                                     \
            sum##i = _mm256_add_epi32(sum##i, _mm256_maskload_epi32(sums + 8 * i, stored)); \
        _mm256_maskstore_epi32(sums + 8 * i, stored, sum##i);                               \
    }
    ISB_REPEAT8(STORE)
#undef STORE
}

V_KERNEL void mix(size_t D, size_t n_groups, const uint8_t *high, const uint8_t *low,
                  const int8_t *values, int32_t *sums, int accumulate) {
    for (size_t d = 0; d < D; d += 64) {
        const size_t n = D - d < 64 ? D - d : 64;
        switch ((n + 7) / 8) {
#define VECTORS(i)                                                                       \
    case i + 1:                                                                          \
        mix_channels(i + 1, n, D, n_groups * SLOTS, high, low, values + 4 * d, sums + d, \
                     accumulate);                                                        \
        break;
            ISB_REPEAT8(VECTORS)
#undef VECTORS
        default: break;
        }
    }
}

void isb__int8_overlay_avx2(isb__int8_ops *ops) {
    overlay_rows(ops);
    ops->packed_nbytes = packed_nbytes;
    ops->pack = pack;
    ops->product = product;
    ops->scores = scores;
    ops->mix = mix;
}

#endif
