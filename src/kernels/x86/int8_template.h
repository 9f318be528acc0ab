/* Template: the float32 part of M1's kernels in terms of 16 lanes, for any tier; the bits are those of ref/int8.c.
 *
 * Every product and sum is an operation of its own: no fused multiply-add.  v_max(a, b) and v_min(a, b) are
 * a > b ? a : b and a < b ? a : b, which decides what becomes of NaNs, so the order of their arguments matters.
 * Maxima start from a number, pass NaNs over, and their zeros are +0, so their order does not.
 *
 * The includer defines what vector_template.h asks for (lanes_avx2.h, lanes_avx512.h), and
 *   v_abs(x), v_negated(x)
 *   v_where_between(x, y, begin, end, i)   x in the lanes l with begin <= i + l < end, y in the others
 *   the type i16 of 16 int32, i_zero(), i_set1(x), i_add(a, b), i_max(a, b)
 *   i_load(p, n), i_store(p, n, x)         as those of floats
 *   i_sum(x), i_most(x)                    over the lanes: modulo 2^32; the largest
 *   i_rounded(x), i_truncated(x)           from float32; v_from_int(x) to it
 *   i_first_equal(a, b)                    the index of the first equal lane, 16 if none is
 *   i_scaled(x, r)                         trunc(x * r), the product in double
 *   i_prefix(x), i_last(x)                 lane l: the sum of lanes 0 .. l; all lanes: the last one
 *   i_store_bytes(p, n, x)                 the low byte of the first n lanes
 *   i_store_split(high, low, x)            bits 8 to 15 of each lane, bits 0 to 7 */

enum { N_SYMBOLS = 257, N_SYMBOLS_PADDED = 272 };

V v16 v_exp_m1(v16 x) {
    x = v_min(v_max(x, v_set1(ISB__EXP_MIN)), v_set1(ISB__EXP_MAX));
    const v16 t = v_add(v_mul(x, v_set1(ISB__EXP_LOG2E)), v_set1(ISB__EXP_ROUND));
    const v16 n = v_sub(t, v_set1(ISB__EXP_ROUND));
    const v16 r =
        v_sub(v_sub(x, v_mul(n, v_set1(ISB__EXP_LN2_HI))), v_mul(n, v_set1(ISB__EXP_LN2_LO)));
    v16 p = v_add(v_mul(v_set1(ISB__EXP_C6), r), v_set1(ISB__EXP_C5));
    p = v_add(v_mul(p, r), v_set1(ISB__EXP_C4));
    p = v_add(v_mul(p, r), v_set1(ISB__EXP_C3));
    p = v_add(v_mul(p, r), v_set1(ISB__EXP_C2));
    p = v_add(v_mul(p, r), v_set1(1.0f));
    p = v_add(v_mul(p, r), v_set1(1.0f));
    return v_scale(p, t);
}

V_KERNEL void exp_each(size_t n, const float *x, float *y) {
    V_EACH(i, count, n, v_store(y + i, count, v_exp_m1(v_load(x + i, count))););
}

/* ---- rows ---- */

/* The n values from x on, each times its gain if there is a gain: a constant where this is inlined. */
V v16 values_at(const float *x, const float *gain, size_t i, size_t n) {
    return gain ? v_mul(v_load(x + i, n), v_load(gain + i, n)) : v_load(x + i, n);
}

/* Four chains of maxima hide their latency. */
V float largest(size_t n, const float *x, const float *gain) {
    v16 most0 = v_set1(0.0f), most1 = most0, most2 = most0, most3 = most0;
    const size_t n_whole = n / (4 * LANES) * (4 * LANES);
    for (size_t i = 0; i < n_whole; i += 4 * LANES) {
        most0 = v_max(v_abs(values_at(x, gain, i, LANES)), most0);
        most1 = v_max(v_abs(values_at(x, gain, i + LANES, LANES)), most1);
        most2 = v_max(v_abs(values_at(x, gain, i + 2 * LANES, LANES)), most2);
        most3 = v_max(v_abs(values_at(x, gain, i + 3 * LANES, LANES)), most3);
    }
    x += n_whole;
    gain = gain ? gain + n_whole : NULL;
    V_EACH(i, count, n - n_whole, most0 = v_max(v_abs(values_at(x, gain, i, count)), most0););
    return v_most(v_max(v_max(most0, most1), v_max(most2, most3)));
}

V float quantise_values(size_t n, const float *x, const float *gain, int8_t *q) {
    const float most = largest(n, x, gain);
    if (!(most >= 0x1p-100f)) {
        memset(q, 0, n);
        return 0.0f;
    }
    const v16 inverse = v_set1(127.0f / most), low = v_set1(-127.0f), high = v_set1(127.0f);
    V_EACH(i, count, n, {
        const v16 v = v_mul(values_at(x, gain, i, count), inverse);
        i_store_bytes(q + i, count, i_rounded(v_min(v_max(v, low), high)));
    });
    return most / 127.0f;
}

V_KERNEL float quantise(size_t n, const float *x, int8_t *q) {
    return quantise_values(n, x, NULL, q);
}

V_KERNEL float norm(size_t n, const float *x, const float *gain, float eps, int8_t *q) {
    v16 sum = v_set1(0.0f);
    for (size_t i = 0; i < n; i += LANES) {
        const v16 xi = v_load(x + i, LANES);
        sum = v_add(sum, v_mul(xi, xi));
    }
    const float r = 1.0f / sqrtf(v_sum(sum) / (float)n + eps);
    return quantise_values(n, x, gain, q) * r;
}

/* f32(c) * (s * w) */
V v16 scaled(const int32_t *c, v16 s, const float *w, size_t n) {
    return v_mul(v_from_int(i_load(c, n)), v_mul(s, v_load(w, n)));
}

V_KERNEL void scale(size_t n, const int32_t *c, float s, const float *w, float *y) {
    const v16 factor = v_set1(s);
    V_EACH(i, count, n, v_store(y + i, count, scaled(c + i, factor, w + i, count)););
}

V_KERNEL void scale_add(size_t n, const int32_t *c, float s, const float *w, float *y) {
    const v16 factor = v_set1(s);
    V_EACH(i, count, n, {
        const v16 more = scaled(c + i, factor, w + i, count);
        v_store(y + i, count, v_add(v_load(y + i, count), more));
    });
}

V_KERNEL void gate_silu(size_t n, const int32_t *gate, const int32_t *up, float s,
                        const float *w_gate, const float *w_up, float *h) {
    const v16 factor = v_set1(s), one = v_set1(1.0f);
    for (size_t i = 0; i < n; i += LANES) {
        const v16 g = scaled(gate + i, factor, w_gate + i, LANES);
        const v16 act = v_div(g, v_add(one, v_exp_m1(v_negated(g))));
        v_store(h + i, LANES, v_mul(act, scaled(up + i, factor, w_up + i, LANES)));
    }
}

V_KERNEL void gate_relu(size_t n, const int32_t *gate, const int32_t *up, float s,
                        const float *w_gate, const float *w_up, float *h) {
    const v16 factor = v_set1(s), zero = v_set1(0.0f);
    for (size_t i = 0; i < n; i += LANES) {
        const v16 g = scaled(gate + i, factor, w_gate + i, LANES);
        v_store(h + i, LANES, v_mul(v_max(g, zero), scaled(up + i, factor, w_up + i, LANES)));
    }
}

/* ---- attention ---- */

/* The largest of t[begin .. end), all of them into work; lanes outside get what they get. */
V float weights_scores(size_t begin, size_t end, const int32_t *scores_of, float a,
                       const float *key_scales, const float *bias, float *work) {
    const v16 factor = v_set1(a), least = v_set1(-INFINITY);
    v16 most = least;
    for (size_t i = begin / LANES * LANES; i < end; i += LANES) {
        v16 t = scaled(scores_of + i, factor, key_scales + i, LANES);
        if (bias) t = v_add(t, v_load(bias + i, LANES));
        v_store(work + i, LANES, t);
        most = v_max(v_where_between(t, least, begin, end, i), most);
    }
    return v_most(most);
}

/* The second pass: w = e(t - most) times the values' scales, 0 outside; returns the largest, and z. */
V float weights_exp(size_t begin, size_t end, float most, const float *value_scales, float *work,
                    uint32_t *z) {
    const v16 shift = v_set1(most), zero = v_set1(0.0f), unit = v_set1(0x1p+19f);
    v16 top = zero;
    i16 sum = i_zero();
    for (size_t i = begin / LANES * LANES; i < end; i += LANES) {
        const v16 e = v_exp_m1(v_sub(v_load(work + i, LANES), shift));
        const v16 inside = v_where_between(e, zero, begin, end, i);
        const v16 weighted = v_mul(e, v_load(value_scales + i, LANES));
        const v16 w = v_where_between(weighted, zero, begin, end, i);
        sum = i_add(sum, i_rounded(v_mul(inside, unit)));
        top = v_max(w, top);
        v_store(work + i, LANES, w);
    }
    *z = i_sum(sum);
    return v_most(top);
}

/* No group at all is the common case, not worth a call of memset. */
V void zero_groups(size_t from, size_t to, uint8_t *high, uint8_t *low) {
    for (size_t i = from; i < to; i += LANES) i_store_split(high + i, low + i, i_zero());
}

V_KERNEL float weights(size_t n_groups, size_t begin, size_t end, const int32_t *scores_of, float a,
                       const float *key_scales, const float *value_scales, const float *bias,
                       int32_t limit, float *work, uint8_t *high, uint8_t *low) {
    uint32_t z;
    const float most = bias ? weights_scores(begin, end, scores_of, a, key_scales, bias, work)
                            : weights_scores(begin, end, scores_of, a, key_scales, NULL, work);
    const float top = weights_exp(begin, end, most, value_scales, work, &z);
    const size_t from = begin / LANES * LANES, to = (end + LANES - 1) / LANES * LANES;
    if (!(top >= 0x1p-100f && top < INFINITY)) {
        zero_groups(0, n_groups * LANES, high, low);
        return 0.0f;
    }
    zero_groups(0, from, high, low);
    zero_groups(to, n_groups * LANES, high, low);
    const float c = (float)limit / top;
    const v16 factor = v_set1(c);
    for (size_t i = from; i < to; i += LANES) {
        i_store_split(high + i, low + i, i_rounded(v_mul(v_load(work + i, LANES), factor)));
    }
    return 1.0f / (c * ((float)z * 0x1p-19f));
}

/* ---- from logits to integers ---- */

/* Weights of the symbols, zeros in the padding.  Returns the first one with the largest. */
V size_t cdf_weights(const float *z, int32_t *w, int32_t *sum_of) {
    v16 most_z = v_set1(-INFINITY);
    V_EACH(i, count, N_SYMBOLS, most_z = v_max_first(v_load(z + i, count), most_z, count););
    const v16 shift = v_set1(v_most(most_z)), unit = v_set1(0x1p+22f);
    i16 sum = i_zero(), most = i_zero();
    V_EACH(i, count, N_SYMBOLS, {
        const v16 e = v_mul(v_exp_m1(v_sub(v_load(z + i, count), shift)), unit);
        const i16 wi = i_truncated(v_where_between(e, v_set1(0.0f), 0, count, 0));
        i_store(w + i, LANES, wi);
        sum = i_add(sum, wi);
        most = i_max(most, wi);
    });
    *sum_of = (int32_t)i_sum(sum);
    const i16 largest_w = i_set1(i_most(most));
    size_t best = 0, lane = LANES;
    for (; lane == LANES; best += LANES) lane = i_first_equal(i_load(w + best, LANES), largest_w);
    return best - LANES + lane;
}

V_KERNEL void cdf(const float *z, uint32_t *to) {
    int32_t w[N_SYMBOLS_PADDED], sum;
    const size_t best = cdf_weights(z, w, &sum);
    if (sum == 0) w[0] = sum = 1;
    const double r = 65279.0 / (double)sum;
    i16 total = i_zero();
    for (size_t i = 0; i < N_SYMBOLS_PADDED; i += LANES) { /* less 1, so that the padding is 0 */
        const i16 n = i_scaled(i_load(w + i, LANES), r);
        i_store(w + i, LANES, n);
        total = i_add(total, n);
    }
    w[best] += 65279 - (int32_t)i_sum(total);
    to[0] = 0;
    i16 carry = i_zero();
    V_EACH(i, count, N_SYMBOLS, {
        const i16 sums = i_prefix(i_add(i_load(w + i, LANES), i_set1(1)));
        i_store((int32_t *)to + i + 1, count, i_add(sums, carry));
        carry = i_add(carry, i_last(sums));
    });
}

static void overlay_rows(isb__int8_ops *ops) {
    ops->quantise = quantise;
    ops->norm = norm;
    ops->scale = scale;
    ops->scale_add = scale_add;
    ops->gate_silu = gate_silu;
    ops->gate_relu = gate_relu;
    ops->weights = weights;
    ops->exp = exp_each;
    ops->cdf = cdf;
}
