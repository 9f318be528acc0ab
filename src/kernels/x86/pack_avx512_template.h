/* Template: packs a panel of A or B as rows of 32-bit words, one row a step of k.
 *
 *     float32   a word is x(i, k)                            one k a step
 *     bf16      a word is x(i, 2p), x(i, 2p + 1), rounded    two k a step
 *
 *     panel:  | step 0: words of i = 0 .. width-1 | step 1: ... | ...       i counts rows of A, columns of B
 *
 * A source that is contiguous along i is copied (bf16: two rows of k interleaved).  One that is contiguous along k goes
 * through a transpose of 16 x 16 words in registers.  Any other is gathered first and then takes that road.
 *
 * The includer defines PACK_TARGET, PACK_K (k per step), and, for 16 words in a register,
 *   PACK_ALONG(x, k_stride, n_k, mask)  words i = 0..15 (by mask) of the step at x; n_k of its k exist
 *   PACK_STEPS(x, n_k)                  words of one i for 16 steps; x contiguous in k, n_k of 16 * PACK_K exist */

/* 16 x 16 words; r[i] is row i, and becomes column i. */
PACK_TARGET ISB_INLINE void transpose16(__m512i r[16]) {
    __m512i t[16];
#define PAIR(i)                                             \
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]); \
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    ISB_REPEAT8(PAIR)
#undef PAIR
#define QUAD(i)                                              \
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);            \
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);        \
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);    \
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    QUAD(0) QUAD(4) QUAD(8) QUAD(12)
#undef QUAD
    /* r[4 * q + c], 128-bit lane l: column 4 * l + c of rows 4 * q .. 4 * q + 3 */
#define COLUMN(c)                                                                                            \
    {                                                                                                        \
        const __m512i even_lo = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88);                                  \
        const __m512i odd_lo = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd);                                   \
        const __m512i even_hi = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);                             \
        const __m512i odd_hi = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);                              \
        r[c] = _mm512_shuffle_i32x4(even_lo, even_hi, 0x88);                                                 \
        r[4 + c] = _mm512_shuffle_i32x4(odd_lo, odd_hi, 0x88);                                               \
        r[8 + c] = _mm512_shuffle_i32x4(even_lo, even_hi, 0xdd);                                             \
        r[12 + c] = _mm512_shuffle_i32x4(odd_lo, odd_hi, 0xdd);                                              \
    }
    COLUMN(0) COLUMN(1) COLUMN(2) COLUMN(3)
#undef COLUMN
}

ISB_INLINE __mmask16 first16(size_t n) { return (__mmask16)((1u << (n < 16 ? n : 16)) - 1); }

/* Source contiguous along i. */
PACK_TARGET ISB_INLINE void pack_along(size_t width, size_t count, size_t k, const float *x, ptrdiff_t k_stride,
                                       uint32_t *panel) {
    for (size_t p = 0; p < k; p += PACK_K, x += PACK_K * k_stride, panel += width) {
        for (size_t i = 0; i < width; i += 16) {
            const __m512i words =
                i < count ? PACK_ALONG(x + i, k_stride, k - p, first16(count - i)) : _mm512_setzero_si512();
            if (width - i >= 16) {
                _mm512_storeu_si512(panel + i, words);
            } else {
                _mm512_mask_storeu_epi32(panel + i, first16(width - i), words);
            }
        }
    }
}

/* Words of element i of the panel for the 16 steps from k; zeros where i or k is past the end. */
PACK_TARGET ISB_INLINE __m512i pack_row(size_t i, size_t count, size_t n_k, const float *x, ptrdiff_t stride,
                                        ptrdiff_t k_stride) {
    if (i >= count) return _mm512_setzero_si512();
    x += (ptrdiff_t)i * stride;
    if (k_stride == 1) return PACK_STEPS(x, n_k);
    float gathered[16 * PACK_K];
    for (size_t p = 0; p < n_k && p < 16 * PACK_K; ++p) gathered[p] = x[(ptrdiff_t)p * k_stride];
    return PACK_STEPS(gathered, n_k);
}

/* Any source, through the transpose.  A row of words may be stored past its end, over what is stored next; the last
 * step is not. */
PACK_TARGET ISB_INLINE void pack_transposed(size_t width, size_t count, size_t k, const float *x, ptrdiff_t stride,
                                            ptrdiff_t k_stride, uint32_t *panel) {
    const size_t n_steps = (k + PACK_K - 1) / PACK_K;
    for (size_t i = 0; i < width; i += 16) {
        const int whole = width - i >= 16;
        for (size_t s = 0; s < n_steps; s += 16) {
            const float *from = x + (ptrdiff_t)i * stride + (ptrdiff_t)(s * PACK_K) * k_stride;
            uint32_t *to = panel + s * width + i;
            const size_t left = n_steps - s, n_k = k - s * PACK_K, rows = count > i ? count - i : 0;
            __m512i r[16];
#define LOAD(j) r[j] = pack_row(j, rows, n_k, from, stride, k_stride);
            ISB_REPEAT16(LOAD)
#undef LOAD
            transpose16(r);
#define STORE(j)                                                                       \
    if (j + 1 < left || (whole && j < left)) {                                         \
        _mm512_storeu_si512(to + j * width, r[j]);                                     \
    } else if (j < left) {                                                             \
        _mm512_mask_storeu_epi32(to + j * width, first16(width - i), r[j]);            \
    }
            ISB_REPEAT16(STORE)
#undef STORE
        }
    }
}

/* k_padded: whole steps, at least k; the rest is zeros. */
PACK_TARGET ISB_INLINE void pack_panel(size_t width, size_t count, size_t k, size_t k_padded, const float *x,
                                       ptrdiff_t stride, ptrdiff_t k_stride, void *panel) {
    if (stride == 1) {
        pack_along(width, count, k, x, k_stride, panel);
    } else {
        pack_transposed(width, count, k, x, stride, k_stride, panel);
    }
    const size_t n_steps = (k + PACK_K - 1) / PACK_K, n_padded = k_padded / PACK_K;
    memset((uint32_t *)panel + n_steps * width, 0, (n_padded - n_steps) * width * sizeof(uint32_t));
}
