/* Template: the vector kernels in terms of 16 lanes, as in ref/vector.c, for any tier.
 *
 * The includer defines V (target attribute and inlining), V_KERNEL (target attribute, static), the type v16 and
 *   v_load(p, n), v_store(p, n, x)     the first n <= 16 lanes; a load gives 0 in the others
 *   v_set1, v_add, v_sub, v_mul, v_div, v_sqrt, v_fma (a * b + c)
 *   v_max, v_min                       a > b ? a : b and a < b ? a : b: the second when either is a NaN
 *   v_add_first(a, b, n), v_fma_first(a, b, c, n), v_max_first(a, b, n)   lanes from n on keep the sum, c, b
 *   v_where_positive(a, x)             x where a > 0, else 0
 *   v_scale(p, t)                      p times 2 to the integer in the low bits of t = integer + ISB__EXP_ROUND
 *   v_sum(x), v_most(x)                over the lanes; the sum as a tree: +8, +4, +2, +1
 *   v_sum4(a, b, c, d, y)              y[0..3] = the sums of four vectors
 *   the type vd16 of 16 doubles, vd_zero(), vd_add_square(sum, x), vd_sum(x) */

enum { BLOCK = 4096 };

/* ---- exact class ---- */

V_KERNEL float dot(size_t n, const float *a, const float *b) {
    v16 sum = v_set1(0.0f);
    V_EACH(i, count, n, sum = v_fma_first(v_load(a + i, count), v_load(b + i, count), sum, count););
    return v_sum(sum);
}

V_KERNEL float sum_of(size_t n, const float *x) {
    v16 sum = v_set1(0.0f);
    V_EACH(i, count, n, sum = v_add_first(sum, v_load(x + i, count), count););
    return v_sum(sum);
}

V_KERNEL float max_of(size_t n, const float *x) {
    v16 most = v_set1(-INFINITY);
    V_EACH(i, count, n, most = v_max_first(v_load(x + i, count), most, count););
    return v_most(most) + 0.0f;
}

V_KERNEL void axpy(size_t n, float alpha, const float *x, float *y) {
    const v16 factor = v_set1(alpha);
    V_EACH(i, count, n, v_store(y + i, count, v_fma(factor, v_load(x + i, count), v_load(y + i, count))););
}

/* Four rows share each load of x, and the shuffles of their sums. */
V_KERNEL void dots(size_t count, size_t n, const float *x, const float *a, size_t lda, float *y) {
    size_t j = 0;
    for (; j + 4 <= count; j += 4, a += 4 * lda) {
        v16 sum0 = v_set1(0.0f);
        v16 sum1 = sum0;
        v16 sum2 = sum0;
        v16 sum3 = sum0;
        V_EACH(i, some, n, {
            const v16 xi = v_load(x + i, some);
            sum0 = v_fma_first(xi, v_load(a + i, some), sum0, some);
            sum1 = v_fma_first(xi, v_load(a + lda + i, some), sum1, some);
            sum2 = v_fma_first(xi, v_load(a + 2 * lda + i, some), sum2, some);
            sum3 = v_fma_first(xi, v_load(a + 3 * lda + i, some), sum3, some);
        });
        v_sum4(sum0, sum1, sum2, sum3, y + j);
    }
    for (; j < count; ++j, a += lda) y[j] = dot(n, x, a);
}

/* y stays in registers while the rows go by, 64 columns at a time. */
V_KERNEL void axpys(size_t count, size_t n, const float *w, const float *a, size_t lda, float *y) {
    size_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        v16 y0 = v_load(y + i, LANES);
        v16 y1 = v_load(y + i + LANES, LANES);
        v16 y2 = v_load(y + i + 2 * LANES, LANES);
        v16 y3 = v_load(y + i + 3 * LANES, LANES);
        const float *row = a + i;
        for (size_t j = 0; j < count; ++j, row += lda) {
            const v16 wj = v_set1(w[j]);
            y0 = v_fma(wj, v_load(row, LANES), y0);
            y1 = v_fma(wj, v_load(row + LANES, LANES), y1);
            y2 = v_fma(wj, v_load(row + 2 * LANES, LANES), y2);
            y3 = v_fma(wj, v_load(row + 3 * LANES, LANES), y3);
        }
        v_store(y + i, LANES, y0);
        v_store(y + i + LANES, LANES, y1);
        v_store(y + i + 2 * LANES, LANES, y2);
        v_store(y + i + 3 * LANES, LANES, y3);
    }
    a += i;
    y += i;
    V_EACH(k, some, n - i, {
        v16 yk = v_load(y + k, some);
        for (size_t j = 0; j < count; ++j) yk = v_fma(v_set1(w[j]), v_load(a + j * lda + k, some), yk);
        v_store(y + k, some, yk);
    });
}

/* Lane by lane what isb__expf() does. */
V v16 v_exp(v16 x) {
    x = v_min(v_set1(ISB__EXP_MAX), v_max(v_set1(ISB__EXP_MIN), x));
    const v16 t = v_fma(x, v_set1(ISB__EXP_LOG2E), v_set1(ISB__EXP_ROUND));
    const v16 n = v_sub(t, v_set1(ISB__EXP_ROUND));
    const v16 r = v_fma(n, v_set1(-ISB__EXP_LN2_LO), v_fma(n, v_set1(-ISB__EXP_LN2_HI), x));
    v16 p = v_fma(v_set1(ISB__EXP_C6), r, v_set1(ISB__EXP_C5));
    p = v_fma(p, r, v_set1(ISB__EXP_C4));
    p = v_fma(p, r, v_set1(ISB__EXP_C3));
    p = v_fma(p, r, v_set1(ISB__EXP_C2));
    p = v_fma(p, r, v_set1(1.0f));
    p = v_fma(p, r, v_set1(1.0f));
    return v_scale(p, t);
}

V_KERNEL void exp_each(size_t n, const float *x, float *y) {
    V_EACH(i, count, n, v_store(y + i, count, v_exp(v_load(x + i, count))););
}

V_KERNEL void scale_mul(size_t n, const float *x, float s, const float *g, float *y) {
    const v16 factor = v_set1(s);
    V_EACH(i, count, n, v_store(y + i, count, v_mul(v_mul(v_load(x + i, count), factor), v_load(g + i, count))););
}

/* -a, with the sign of a zero as C's unary minus has it. */
V v16 v_negate(v16 a) { return v_mul(a, v_set1(-1.0f)); }

V_KERNEL void silu_mul(size_t n, const float *a, const float *b, float *h) {
    const v16 one = v_set1(1.0f);
    V_EACH(i, count, n, {
        const v16 x = v_load(a + i, count);
        const v16 silu = v_div(x, v_add(one, v_exp(v_negate(x))));
        v_store(h + i, count, v_mul(silu, v_load(b + i, count)));
    });
}

V_KERNEL void relu_mul(size_t n, const float *a, const float *b, float *h) {
    const v16 zero = v_set1(0.0f);
    V_EACH(i, count, n, v_store(h + i, count, v_mul(v_max(v_load(a + i, count), zero), v_load(b + i, count))););
}

/* ---- close class ---- */

V_KERNEL void silu_mul_backward(size_t n, const float *a, const float *b, const float *dh, float *da, float *db) {
    const v16 one = v_set1(1.0f);
    V_EACH(i, count, n, {
        const v16 x = v_load(a + i, count);
        const v16 d = v_load(dh + i, count);
        const v16 s = v_div(one, v_add(one, v_exp(v_negate(x))));
        const v16 silu = v_mul(x, s);
        const v16 slope = v_fma(silu, v_sub(one, s), s);
        v_store(da + i, count, v_mul(v_mul(d, v_load(b + i, count)), slope));
        v_store(db + i, count, v_mul(d, silu));
    });
}

V_KERNEL void relu_mul_backward(size_t n, const float *a, const float *b, const float *dh, float *da, float *db) {
    V_EACH(i, count, n, {
        const v16 x = v_load(a + i, count);
        const v16 d = v_where_positive(x, v_load(dh + i, count));
        v_store(da + i, count, v_where_positive(x, v_mul(d, v_load(b + i, count))));
        v_store(db + i, count, v_where_positive(x, v_mul(d, x)));
    });
}

V_KERNEL void adamw(size_t n, float *p, const float *g, float *m, float *v, float gscale, float lr, float beta1,
                    float beta2, float c1, float c2, float eps, float wd) {
    const v16 scale = v_set1(gscale);
    const v16 keep1 = v_set1(beta1);
    const v16 keep2 = v_set1(beta2);
    const v16 take1 = v_set1(1.0f - beta1);
    const v16 take2 = v_set1(1.0f - beta2);
    V_EACH(i, count, n, {
        const v16 grad = v_mul(v_load(g + i, count), scale);
        const v16 mean = v_fma(keep1, v_load(m + i, count), v_mul(take1, grad));
        const v16 square = v_fma(keep2, v_load(v + i, count), v_mul(v_mul(take2, grad), grad));
        const v16 old = v_load(p + i, count);
        const v16 below = v_add(v_sqrt(v_mul(square, v_set1(c2))), v_set1(eps));
        const v16 step = v_fma(v_set1(wd), old, v_div(v_mul(mean, v_set1(c1)), below));
        v_store(m + i, count, mean);
        v_store(v + i, count, square);
        v_store(p + i, count, v_fma(v_set1(-lr), step, old));
    });
}

/* z becomes exp(z - most); returns the sum, in double over blocks. */
V_KERNEL double exp_and_sum(size_t n, float *z, float most) {
    const v16 shift = v_set1(most);
    double total = 0;
    for (size_t begin = 0; begin < n; begin += BLOCK) {
        const size_t block = n - begin < BLOCK ? n - begin : BLOCK;
        float *x = z + begin;
        v16 sum = v_set1(0.0f);
        V_EACH(i, count, block, {
            const v16 e = v_exp(v_sub(v_load(x + i, count), shift));
            v_store(x + i, count, e);
            sum = v_add_first(sum, e, count);
        });
        total += (double)v_sum(sum);
    }
    return total;
}

V_KERNEL float softmax_xent(size_t n, float *z, int64_t target, float scale, float z_weight, float *lse_out) {
    const float most = max_of(n, z), z_target = target < 0 ? 0.0f : z[target];
    const double sum = exp_and_sum(n, z, most), lse = (double)most + log(sum);
    const float factor = target < 0 ? 0.0f : (float)((double)scale * (1.0 + 2.0 * (double)z_weight * lse) / sum);
    const v16 factors = v_set1(factor);
    V_EACH(i, count, n, v_store(z + i, count, v_mul(v_load(z + i, count), factors)););
    if (lse_out) *lse_out = (float)lse;
    if (target < 0) return 0.0f;
    z[target] -= scale;
    return (float)(lse - (double)z_target);
}

V_KERNEL double sumsq(size_t n, const float *x) {
    double total = 0;
    for (size_t begin = 0; begin < n; begin += BLOCK) {
        const size_t block = n - begin < BLOCK ? n - begin : BLOCK;
        vd16 sum = vd_zero();
        V_EACH(i, count, block, sum = vd_add_square(sum, v_load(x + begin + i, count)););
        total += vd_sum(sum);
    }
    return total;
}

static void overlay(isb__ops *ops) {
    ops->dot = dot;
    ops->sum = sum_of;
    ops->max = max_of;
    ops->axpy = axpy;
    ops->dots = dots;
    ops->axpys = axpys;
    ops->exp = exp_each;
    ops->scale_mul = scale_mul;
    ops->silu_mul = silu_mul;
    ops->relu_mul = relu_mul;
    ops->silu_mul_backward = silu_mul_backward;
    ops->relu_mul_backward = relu_mul_backward;
    ops->adamw = adamw;
    ops->softmax_xent = softmax_xent;
    ops->sumsq = sumsq;
}
