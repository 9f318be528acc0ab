/* Portable kernels of M1's arithmetic: the definition of the bits that every tier gives.  docs/m1.md has the formulas.
 *
 * Sums are of integers, so their order is free.  The float32 operations are not: each one here is one IEEE-754
 * operation, rounded to nearest even, in the order of the page.  A compiler keeps to that if it
 *   - computes float in float32: x87 registers, which hold more, are refused below;
 *   - contracts no product and sum into a fused multiply-add: -ffp-contract=off, and the pragma for clang, whose default
 *     is to contract (gcc does not under -std=c17 and would warn about the pragma);
 *   - takes no liberties: -ffast-math is refused.
 * Bytes are only ever bytes and words only words, so either byte order will do.
 *
 * Loops have inner loops of a fixed length, which compilers turn into vectors at -O2. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/ref/exp.h"
#include "kernels/tiers.h"

#if !defined(FLT_EVAL_METHOD) || FLT_EVAL_METHOD != 0
#error \
    "M1 needs floats without excess precision (FLT_EVAL_METHOD 0); 32-bit x86: -msse2 -mfpmath=sse; s390x: -fexcess-precision=fast"
#endif
#ifdef __FAST_MATH__
#error "M1 needs IEEE-754 arithmetic: compile without -ffast-math"
#endif
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

enum {
    LANES = 16,
    ROWS = 8,
    K_BLOCK = 512,
    DOT_BLOCK = ISB__INT8_ALIGN,
    SLOTS = ISB__KEY_GROUP,
    MAX_D = 256,
    N_SYMBOLS = 257
};

/* rne(x) for |x| <= 2^22: the sum is so large that its last place is 1.  A NaN must not come here. */
static inline int32_t round_to_int(float x) { return (int32_t)((x + 0x1.8p+23f) - 0x1.8p+23f); }

/* e(x).  How it works is in ref/exp.h, which has the same polynomial in fused operations. */
static inline float exp_of(float x) {
    x = x > ISB__EXP_MIN ? x : ISB__EXP_MIN;
    x = x < ISB__EXP_MAX ? x : ISB__EXP_MAX;
    const float t = x * ISB__EXP_LOG2E + ISB__EXP_ROUND;
    const float n = t - ISB__EXP_ROUND;
    const float r = (x - n * ISB__EXP_LN2_HI) - n * ISB__EXP_LN2_LO;
    float p = ISB__EXP_C6;
    p = p * r + ISB__EXP_C5;
    p = p * r + ISB__EXP_C4;
    p = p * r + ISB__EXP_C3;
    p = p * r + ISB__EXP_C2;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &p, sizeof bits);
    bits += (uint32_t)(int32_t)n << 23;
    memcpy(&p, &bits, sizeof p);
    return p;
}

/* ---- products: of int16, which even the oldest vector instructions multiply and add in pairs ---- */

/* Rows are padded with zeros like those of activations. */
static size_t padded(size_t k) { return isb__round_up(k, ISB__INT8_ALIGN); }

static size_t packed_nbytes(size_t n, size_t k) { return n * padded(k) * sizeof(int16_t); }

static void pack(size_t n, size_t k, const int8_t *w, void *packed) {
    int16_t *row = packed;
    for (size_t j = 0; j < n; ++j, w += k, row += padded(k)) {
        for (size_t i = 0; i < padded(k); ++i) row[i] = i < k ? w[i] : 0;
    }
}

static int32_t dot_block(const int16_t *a, const int16_t *w) {
    int32_t sum = 0;
    for (int i = 0; i < DOT_BLOCK; ++i) sum += a[i] * w[i];
    return sum;
}

static int32_t dot(size_t n, const int16_t *a, const int16_t *w) {
    int32_t sum = 0;
    for (size_t i = 0; i < n; i += DOT_BLOCK) sum += dot_block(a + i, w + i);
    return sum;
}

/* A block of activations in int16: at most ROWS rows by K_BLOCK. */
typedef struct wide_block {
    size_t rows, k;
    int16_t a[ROWS][K_BLOCK];
} wide_block;

static void widen(size_t rows, size_t k, const int8_t *a, size_t lda, wide_block *wide) {
    wide->rows = rows;
    wide->k = k;
    for (size_t r = 0; r < rows; ++r) {
        for (size_t i = 0; i < k; ++i) wide->a[r][i] = a[r * lda + i];
    }
}

/* A row of W meets all rows of the block while it is in the cache. */
static void product_block(const wide_block *wide, size_t n, const int16_t *w, size_t ldw,
                          int accumulate, int32_t *c, size_t ldc) {
    for (size_t j = 0; j < n; ++j, w += ldw) {
        for (size_t r = 0; r < wide->rows; ++r) {
            const int32_t sum = dot(wide->k, wide->a[r], w);
            c[r * ldc + j] = accumulate ? c[r * ldc + j] + sum : sum;
        }
    }
}

static void product(size_t m, size_t n, size_t k, const int8_t *a, size_t lda, const void *packed,
                    int32_t *c, size_t ldc) {
    const int16_t *w = packed;
    for (size_t r = 0; r < m; r += ROWS) {
        for (size_t from = 0; from < padded(k); from += K_BLOCK) {
            const size_t rows = m - r < ROWS ? m - r : ROWS;
            const size_t block = padded(k) - from < K_BLOCK ? padded(k) - from : K_BLOCK;
            wide_block wide;
            widen(rows, block, a + r * lda + from, lda, &wide);
            product_block(&wide, n, w + from, padded(k), from > 0, c + r * ldc, ldc);
        }
    }
}

/* ---- rows ---- */

/* x[i], or x[i] * gain[i] where there is a gain. */
static inline float value_at(const float *x, const float *gain, size_t i) {
    return gain ? x[i] * gain[i] : x[i];
}

static inline float quantise_values(size_t n, const float *restrict x, const float *restrict gain,
                                    int8_t *restrict q) {
    float lane[4] = {0};
    for (size_t i = 0; i < n; i += 4) {
        for (size_t l = 0; l < 4; ++l) {
            const float size = fabsf(value_at(x, gain, i + l));
            lane[l] = size > lane[l] ? size : lane[l];
        }
    }
    const float most01 = lane[0] > lane[1] ? lane[0] : lane[1];
    const float most23 = lane[2] > lane[3] ? lane[2] : lane[3];
    const float most = most01 > most23 ? most01 : most23;
    if (!(most >= 0x1p-100f)) {
        memset(q, 0, n);
        return 0.0f;
    }
    const float inverse = 127.0f / most;
    for (size_t i = 0; i < n; i += 4) {
        for (size_t l = 0; l < 4; ++l) {
            float v = value_at(x, gain, i + l) * inverse;
            v = v > -127.0f ? v : -127.0f;
            v = v < 127.0f ? v : 127.0f;
            q[i + l] = (int8_t)round_to_int(v);
        }
    }
    return most / 127.0f;
}

static float quantise(size_t n, const float *x, int8_t *q) {
    return quantise_values(n, x, NULL, q);
}

static float norm(size_t n, const float *x, const float *gain, float eps, int8_t *q) {
    float lane[LANES] = {0};
    for (size_t i = 0; i < n; i += LANES) {
        for (size_t l = 0; l < LANES; ++l) lane[l] = lane[l] + x[i + l] * x[i + l];
    }
    for (size_t width = LANES / 2; width > 0; width /= 2) {
        for (size_t l = 0; l < width; ++l) lane[l] = lane[l] + lane[l + width];
    }
    const float r = 1.0f / sqrtf(lane[0] / (float)n + eps);
    return quantise_values(n, x, gain, q) * r;
}

static void scale(size_t n, const int32_t *restrict c, float s, const float *restrict w,
                  float *restrict y) {
    for (size_t i = 0; i < n; ++i) y[i] = (float)c[i] * (s * w[i]);
}

static void scale_add(size_t n, const int32_t *restrict c, float s, const float *restrict w,
                      float *restrict y) {
    for (size_t i = 0; i < n; ++i) y[i] = y[i] + (float)c[i] * (s * w[i]);
}

static void gate_silu(size_t n, const int32_t *restrict gate, const int32_t *restrict up, float s,
                      const float *restrict w_gate, const float *restrict w_up, float *restrict h) {
    for (size_t i = 0; i < n; i += LANES) {
        for (size_t l = i; l < i + LANES; ++l) {
            const float g = (float)gate[l] * (s * w_gate[l]);
            h[l] = g / (1.0f + exp_of(-g)) * ((float)up[l] * (s * w_up[l]));
        }
    }
}

static void gate_relu(size_t n, const int32_t *restrict gate, const int32_t *restrict up, float s,
                      const float *restrict w_gate, const float *restrict w_up, float *restrict h) {
    for (size_t i = 0; i < n; i += LANES) {
        for (size_t l = i; l < i + LANES; ++l) {
            const float g = (float)gate[l] * (s * w_gate[l]);
            h[l] = (g > 0.0f ? g : 0.0f) * ((float)up[l] * (s * w_up[l]));
        }
    }
}

/* ---- attention ---- */

/* Four bytes at a time; adding 128 to a byte turns its highest bit. */
static void store_key(size_t D, const int8_t *key, uint8_t *group, size_t slot) {
    for (size_t d = 0; d < D; d += 4) {
        uint32_t word;
        memcpy(&word, key + d, sizeof word);
        word ^= 0x80808080;
        memcpy(group + d * SLOTS + slot * 4, &word, sizeof word);
    }
}

static void store_value(size_t D, const int8_t *value, int8_t *group, size_t slot) {
    int8_t *column = group + slot / 4 * 4 * D + slot % 4;
    for (size_t d = 0; d < D; ++d) column[4 * d] = value[d];
}

/* Four bytes lie together in both products of attention, so there are four partial sums of each result; they meet at the
 * end.  `four` repeated is what those bytes are multiplied by. */
static inline void add_products(size_t n, const int16_t *restrict four, const int8_t *restrict x,
                                int32_t *restrict partial) {
    int16_t repeated[LANES];
    for (size_t i = 0; i < LANES; ++i) repeated[i] = four[i % 4];
    for (size_t i = 0; i < n; i += LANES) {
        for (size_t l = 0; l < LANES; ++l) partial[i + l] += repeated[l] * x[i + l];
    }
}

static inline int32_t sum4(const int32_t *x) { return x[0] + x[1] + x[2] + x[3]; }

static void scores(size_t D, size_t n_groups, const int8_t *restrict q,
                   const uint8_t *restrict keys, int32_t *restrict to) {
    for (size_t g = 0; g < n_groups; ++g, to += SLOTS) {
        int32_t partial[4 * SLOTS] = {0};
        for (size_t d = 0; d < D; d += 4, keys += 4 * SLOTS) {
            const int16_t four[4] = {q[d], q[d + 1], q[d + 2], q[d + 3]};
            int8_t signed_keys[4 * SLOTS];
            for (size_t i = 0; i < 4 * SLOTS; ++i) signed_keys[i] = (int8_t)(keys[i] - 128);
            add_products(4 * SLOTS, four, signed_keys, partial);
        }
        for (size_t slot = 0; slot < SLOTS; ++slot) to[slot] = sum4(partial + 4 * slot);
    }
}

/* The weights before they are rounded, in work[begin .. end): e(t - max) * value_scale.  Returns the largest; *z: the
 * sum before values come in, in units of 2^-19. */
static float weigh(size_t begin, size_t end, const int32_t *restrict scores_of, float a,
                   const float *restrict key_scales, const float *restrict value_scales,
                   const float *restrict bias, float *restrict work, uint32_t *z) {
    float most = -INFINITY, top = 0;
    for (size_t i = begin; i < end; ++i) {
        float t = (float)scores_of[i] * (a * key_scales[i]);
        if (bias) t = t + bias[i];
        most = t > most ? t : most;
        work[i] = t;
    }
    for (size_t i = begin; i < end; ++i) work[i] = exp_of(work[i] - most);
    *z = 0;
    for (size_t i = begin; i < end; ++i) *z += (uint32_t)round_to_int(work[i] * 0x1p+19f);
    for (size_t i = begin; i < end; ++i) {
        work[i] = work[i] * value_scales[i];
        top = work[i] > top ? work[i] : top;
    }
    return top;
}

static float weights(size_t n_groups, size_t begin, size_t end, const int32_t *scores_of, float a,
                     const float *key_scales, const float *value_scales, const float *bias,
                     int32_t limit, float *work, uint8_t *high, uint8_t *low) {
    uint32_t z;
    const float top = weigh(begin, end, scores_of, a, key_scales, value_scales, bias, work, &z);
    memset(high, 0, n_groups * SLOTS);
    memset(low, 0, n_groups * SLOTS);
    if (!(top >= 0x1p-100f && top < INFINITY)) return 0.0f;
    const float c = (float)limit / top;
    for (size_t i = begin; i < end; ++i) {
        const int32_t b = round_to_int(work[i] * c);
        high[i] = (uint8_t)(b >> 8);
        low[i] = (uint8_t)(b & 255);
    }
    return 1.0f / (c * ((float)z * 0x1p-19f));
}

static void mix(size_t D, size_t n_groups, const uint8_t *restrict high,
                const uint8_t *restrict low, const int8_t *restrict values, int32_t *restrict sums,
                int accumulate) {
    int32_t partial[4 * MAX_D] = {0};
    for (size_t j = 0; j < n_groups * SLOTS; j += 4, values += 4 * D) {
        int16_t b[4];
        for (size_t i = 0; i < 4; ++i) b[i] = (int16_t)(256 * high[j + i] + low[j + i]);
        add_products(4 * D, b, values, partial);
    }
    for (size_t d = 0; d < D; ++d) sums[d] = (accumulate ? sums[d] : 0) + sum4(partial + 4 * d);
}

/* ---- the rest ---- */

static void exp_each(size_t n, const float *x, float *y) {
    for (size_t i = 0; i < n; ++i) y[i] = exp_of(x[i]);
}

static void cdf(const float *z, uint32_t *to) {
    float most = -INFINITY;
    for (size_t x = 0; x < N_SYMBOLS; ++x) most = z[x] > most ? z[x] : most;
    uint32_t w[N_SYMBOLS], sum = 0;
    size_t best = 0;
    for (size_t x = 0; x < N_SYMBOLS; ++x) {
        w[x] = (uint32_t)(int32_t)(exp_of(z[x] - most) * 0x1p+22f);
        sum += w[x];
        if (w[x] > w[best]) best = x;
    }
    if (sum == 0) w[0] = sum = 1;
    const double r = 65279.0 / (double)sum;
    uint32_t total = 0;
    for (size_t x = 0; x < N_SYMBOLS; ++x) {
        w[x] = 1 + (uint32_t)((double)w[x] * r);
        total += w[x];
    }
    w[best] += 65536 - total;
    to[0] = 0;
    for (size_t x = 0; x < N_SYMBOLS; ++x) to[x + 1] = to[x] + w[x];
}

void isb__int8_overlay_ref(isb__int8_ops *ops) {
    *ops = (isb__int8_ops){
        .packed_nbytes = packed_nbytes,
        .pack = pack,
        .product = product,
        .quantise = quantise,
        .norm = norm,
        .scale = scale,
        .scale_add = scale_add,
        .gate_silu = gate_silu,
        .gate_relu = gate_relu,
        .store_key = store_key,
        .store_value = store_value,
        .scores = scores,
        .weights = weights,
        .mix = mix,
        .exp = exp_each,
        .cdf = cdf,
    };
}
