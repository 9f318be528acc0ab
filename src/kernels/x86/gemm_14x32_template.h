/* Template: the 14 x 32 micro kernel of AVX-512.
 *
 *              b0: 16 words   b1: 16 words
 *     a[0]     c0_0           c0_1             28 accumulators, 2 registers of B, 1 broadcast word of A: 31 of 32.
 *     ...                                      A step is 28 multiply-adds for 2 loads and 14 broadcasts, all of which
 *     a[13]    c13_0          c13_1            a core can fetch from L2, so neither panel needs to be in L1.
 *
 * The includer defines GEMM_TARGET, GEMM_K (k per step: 1 for float32, 2 for bf16) and GEMM_MADD(a, b, c), which adds
 * the products of the words of a and b to c. */

enum { MR = 14, NR = 32 };

ISB_INLINE float load_word(const char *p) {
    float x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* m is a constant in each copy of this function; rows from m on vanish. */
GEMM_TARGET ISB_INLINE void micro_rows(size_t m, size_t n, size_t n_steps, const char *a, const char *b, float *c,
                                       size_t ldc, int accumulate) {
    const __mmask16 mask0 = (__mmask16)_bzhi_u32(0xffff, (unsigned)n);
    const __mmask16 mask1 = (__mmask16)_bzhi_u32(0xffff, n > 16 ? (unsigned)n - 16 : 0);
#define START(i) __m512 c##i##_0 = _mm512_setzero_ps(), c##i##_1 = c##i##_0;
    ISB_REPEAT14(START)
#undef START
    if (accumulate) {
#define LOAD(i)                                                      \
    if (i < m) {                                                     \
        c##i##_0 = _mm512_maskz_loadu_ps(mask0, c + i * ldc);        \
        c##i##_1 = _mm512_maskz_loadu_ps(mask1, c + i * ldc + 16);   \
    }
        ISB_REPEAT14(LOAD)
#undef LOAD
    }
#define AHEAD(i)                                                    \
    _mm_prefetch((const char *)(c + (MR + i) * ldc), _MM_HINT_T0);  \
    _mm_prefetch((const char *)(c + (MR + i) * ldc + 16), _MM_HINT_T0);
    ISB_REPEAT14(AHEAD)
#undef AHEAD
    for (size_t s = 0; s < n_steps; ++s, a += 4 * MR, b += 4 * NR) {
        const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 64);
#define STEP(i)                                                     \
    if (i < m) {                                                    \
        const __m512 word = _mm512_set1_ps(load_word(a + 4 * i));   \
        c##i##_0 = GEMM_MADD(word, b0, c##i##_0);                   \
        c##i##_1 = GEMM_MADD(word, b1, c##i##_1);                   \
    }
        ISB_REPEAT14(STEP)
#undef STEP
    }
    if (n == NR) {
#define STORE(i)                                          \
    if (i < m) {                                          \
        _mm512_storeu_ps(c + i * ldc, c##i##_0);          \
        _mm512_storeu_ps(c + i * ldc + 16, c##i##_1);     \
    }
        ISB_REPEAT14(STORE)
#undef STORE
    } else {
#define STORE(i)                                                    \
    if (i < m) {                                                    \
        _mm512_mask_storeu_ps(c + i * ldc, mask0, c##i##_0);        \
        _mm512_mask_storeu_ps(c + i * ldc + 16, mask1, c##i##_1);   \
    }
        ISB_REPEAT14(STORE)
#undef STORE
    }
}

GEMM_TARGET static void micro(size_t m, size_t n, size_t kb, const void *a, const void *b, float *c, size_t ldc,
                              int accumulate) {
    switch (m) {
#define ROWS(i) \
    case i + 1: micro_rows(i + 1, n, kb / GEMM_K, a, b, c, ldc, accumulate); break;
        ISB_REPEAT14(ROWS)
#undef ROWS
        default: break;
    }
}
