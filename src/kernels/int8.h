/* Kernels of M1's arithmetic, docs/m1.md: the same bits on every tier.
 *
 * `ref` is portable C and the definition; avx2, avx512 (VNNI) and amx (int8 tiles) replace what they improve.
 * Every kernel is for one thread, never allocates and never fails.
 *
 * Rows of int8 activations are padded with zeros to ISB__INT8_ALIGN bytes, and start at multiples of it.  Loads may
 * touch all of the padding; arrays of float32 and int32 that are said to be padded reach to a multiple of 16 elements.
 */
#ifndef ISB_KERNELS_INT8_H
#define ISB_KERNELS_INT8_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

enum { ISB__INT8_ALIGN = 64, ISB__KEY_GROUP = 16 };

typedef struct isb__int8_ops {
    const char *tier;

    /* ---- products ---- */
    /* W [n, k] int8 row-major, any n and k, in the tier's own form: panels, padding, sums that undo an offset. */
    size_t (*packed_nbytes)(size_t n, size_t k);
    void (*pack)(size_t n, size_t k, const int8_t *w, void *packed); /* packed: 64-byte aligned */
    /* c[r * ldc + j] = sum over i < k of a[r * lda + i] * w[j, i], for r < m, j < n.  a: padded rows, lda a multiple
     * of ISB__INT8_ALIGN; c: rows padded to a multiple of 16 beyond n (what is written there is undefined), ldc a
     * multiple of 16, 64-byte aligned.  Any m >= 1; good from m = 1 (one stream) to 64. */
    void (*product)(size_t m, size_t n, size_t k, const int8_t *a, size_t lda, const void *packed,
                    int32_t *c, size_t ldc);
    /* Around a run of products on a thread (AMX tile configuration); may be NULL. */
    void (*begin)(void);
    void (*end)(void);

    /* ---- rows; n a multiple of 16 unless said otherwise ---- */
    /* quantise() of docs/m1.md: q [n], padding untouched; returns s.  Any n that is a multiple of 4. */
    float (*quantise)(size_t n, const float *x, int8_t *q);
    /* norm(x, gain): q [n]; returns s. */
    float (*norm)(size_t n, const float *x, const float *gain, float eps, int8_t *q);
    /* y[i] = f32(c[i]) * (s * w[i]);  the second adds that to y.  Any n; arrays padded. */
    void (*scale)(size_t n, const int32_t *c, float s, const float *w, float *y);
    void (*scale_add)(size_t n, const int32_t *c, float s, const float *w, float *y);
    /* h[i] = act(f32(gate[i]) * (s * w_gate[i])) * (f32(up[i]) * (s * w_up[i])) */
    void (*gate_silu)(size_t n, const int32_t *gate, const int32_t *up, float s,
                      const float *w_gate, const float *w_up, float *h);
    void (*gate_relu)(size_t n, const int32_t *gate, const int32_t *up, float s,
                      const float *w_gate, const float *w_up, float *h);

    /* ---- attention of one head.  D: a multiple of 4 ----
     * Keys lie in groups of 16 slots: keys[g][D/4][16][4] uint8, key + 128, so that one vector register holds four
     * channels of 16 keys.  Values lie in groups of 16 slots too: values[g][4][D][4] int8, four slots of a channel together.
     * Their scales: key_scales[slot], value_scales[slot]. */
    void (*store_key)(size_t D, const int8_t *key, uint8_t *group, size_t slot_in_group);
    void (*store_value)(size_t D, const int8_t *value, int8_t *group, size_t slot_in_group);
    /* scores[16 g + i] = sum over d of q[d] key[d], for n_groups groups that lie one after another; q: [D]. */
    void (*scores)(size_t D, size_t n_groups, const int8_t *q, const uint8_t *keys,
                   int32_t *scores);
    /* The weights b of docs/m1.md for slots begin <= i < end of n_groups groups; all others get 0.  t[i] = f32(scores[i]) * (a *
     * key_scales[i]) (+ bias[i], if bias is not NULL).  limit: 2^B - 1.  high, low: [16 n_groups], b = 256 high + low.
     * work: [16 n_groups] floats.  Returns 1 / (c * (f32(z) * 2^-19)), or 0 where the output is 0. */
    float (*weights)(size_t n_groups, size_t begin, size_t end, const int32_t *scores, float a,
                     const float *key_scales, const float *value_scales, const float *bias,
                     int32_t limit, float *work, uint8_t *high, uint8_t *low);
    /* sums[d] (+)= sum over slots of b[slot] value[slot][d]; accumulate: start from sums, else from 0. */
    void (*mix)(size_t D, size_t n_groups, const uint8_t *high, const uint8_t *low,
                const int8_t *values, int32_t *sums, int accumulate);

    /* ---- the rest ---- */
    void (*exp)(size_t n, const float *x, float *y); /* e(x) of docs/m1.md; any n; may alias */
    /* "From logits to integers": z [257], cdf [258]. */
    void (*cdf)(const float *z, uint32_t *cdf);
} isb__int8_ops;

/* The table of a tier (static storage). */
const isb__int8_ops *isb__int8_ops_for(isb__cpu_tier tier);

#endif
