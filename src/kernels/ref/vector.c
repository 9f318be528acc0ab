/* Portable vector kernels.  The exact ones define the bits that every tier gives; the close ones define what is meant. */
#include <float.h>
#include <math.h>

#include "kernels/ref/exp.h"
#include "kernels/tiers.h"

enum { LANES = 16, BLOCK = 4096 };

static float add_lanes(float lane[LANES]) {
    for (int width = LANES / 2; width > 0; width /= 2) {
        for (int j = 0; j < width; ++j) lane[j] += lane[j + width];
    }
    return lane[0];
}

static float dot_ref(size_t n, const float *a, const float *b) {
    float lane[LANES] = {0};
    for (size_t i = 0; i < n; ++i) lane[i % LANES] = fmaf(a[i], b[i], lane[i % LANES]);
    return add_lanes(lane);
}

static float sum_ref(size_t n, const float *x) {
    float lane[LANES] = {0};
    for (size_t i = 0; i < n; ++i) lane[i % LANES] += x[i];
    return add_lanes(lane);
}

/* Adding +0 makes the maximum of -0 and +0 be +0 in whatever order they come. */
static float max_ref(size_t n, const float *x) {
    float most = -INFINITY;
    for (size_t i = 0; i < n; ++i) most = x[i] > most ? x[i] : most;
    return most + 0.0f;
}

static void axpy_ref(size_t n, float alpha, const float *x, float *y) {
    for (size_t i = 0; i < n; ++i) y[i] = fmaf(alpha, x[i], y[i]);
}

static void dots_ref(size_t count, size_t n, const float *x, const float *a, size_t lda, float *y) {
    for (size_t j = 0; j < count; ++j) y[j] = dot_ref(n, x, a + j * lda);
}

static void axpys_ref(size_t count, size_t n, const float *w, const float *a, size_t lda,
                      float *y) {
    for (size_t j = 0; j < count; ++j) axpy_ref(n, w[j], a + j * lda, y);
}

static void exp_ref(size_t n, const float *x, float *y) {
    for (size_t i = 0; i < n; ++i) y[i] = isb__expf(x[i]);
}

static void scale_mul_ref(size_t n, const float *x, float s, const float *g, float *y) {
    for (size_t i = 0; i < n; ++i) y[i] = x[i] * s * g[i];
}

static void silu_mul_ref(size_t n, const float *a, const float *b, float *h) {
    for (size_t i = 0; i < n; ++i) h[i] = a[i] / (1.0f + isb__expf(-a[i])) * b[i];
}

static void relu_mul_ref(size_t n, const float *a, const float *b, float *h) {
    for (size_t i = 0; i < n; ++i) h[i] = (a[i] > 0.0f ? a[i] : 0.0f) * b[i];
}

/* With s = sigmoid(a): d(a s)/da = s + a s (1 - s). */
static void silu_mul_backward_ref(size_t n, const float *a, const float *b, const float *dh,
                                  float *da, float *db) {
    for (size_t i = 0; i < n; ++i) {
        const float s = 1.0f / (1.0f + isb__expf(-a[i])), silu = a[i] * s;
        da[i] = dh[i] * b[i] * (s + silu * (1.0f - s));
        db[i] = dh[i] * silu;
    }
}

static void relu_mul_backward_ref(size_t n, const float *a, const float *b, const float *dh,
                                  float *da, float *db) {
    for (size_t i = 0; i < n; ++i) {
        const int on = a[i] > 0.0f;
        da[i] = on ? dh[i] * b[i] : 0.0f;
        db[i] = on ? dh[i] * a[i] : 0.0f;
    }
}

static void adamw_ref(size_t n, float *p, const float *g, float *m, float *v, float gscale,
                      float lr, float beta1, float beta2, float c1, float c2, float eps, float wd) {
    for (size_t i = 0; i < n; ++i) {
        const float grad = g[i] * gscale;
        m[i] = beta1 * m[i] + (1.0f - beta1) * grad;
        v[i] = beta2 * v[i] + (1.0f - beta2) * grad * grad;
        p[i] -= lr * (m[i] * c1 / (sqrtf(v[i] * c2) + eps) + wd * p[i]);
    }
}

/* exp(z - max) in place, then one multiplication makes it the gradient; the target's element loses `scale`. */
static float softmax_xent_ref(size_t n, float *z, int64_t target, float scale, float z_weight,
                              float *lse_out) {
    const float most = max_ref(n, z), z_target = target < 0 ? 0.0f : z[target];
    double sum = 0;
    for (size_t i = 0; i < n; ++i) {
        z[i] = isb__expf(z[i] - most);
        sum += (double)z[i];
    }
    const double lse = (double)most + log(sum);
    const float factor =
        target < 0 ? 0.0f : (float)((double)scale * (1.0 + 2.0 * (double)z_weight * lse) / sum);
    for (size_t i = 0; i < n; ++i) z[i] *= factor;
    if (lse_out) *lse_out = (float)lse;
    if (target < 0) return 0.0f;
    z[target] -= scale;
    return (float)(lse - (double)z_target);
}

static double sumsq_ref(size_t n, const float *x) {
    double total = 0;
    for (size_t begin = 0; begin < n; begin += BLOCK) {
        const size_t end = n - begin < BLOCK ? n : begin + BLOCK;
        double block = 0;
        for (size_t i = begin; i < end; ++i) block += (double)x[i] * (double)x[i];
        total += block;
    }
    return total;
}

void isb__ops_overlay_vector_ref(isb__ops *ops) {
    ops->dot = dot_ref;
    ops->sum = sum_ref;
    ops->max = max_ref;
    ops->axpy = axpy_ref;
    ops->dots = dots_ref;
    ops->axpys = axpys_ref;
    ops->exp = exp_ref;
    ops->scale_mul = scale_mul_ref;
    ops->silu_mul = silu_mul_ref;
    ops->relu_mul = relu_mul_ref;
    ops->silu_mul_backward = silu_mul_backward_ref;
    ops->relu_mul_backward = relu_mul_backward_ref;
    ops->adamw = adamw_ref;
    ops->softmax_xent = softmax_xent_ref;
    ops->sumsq = sumsq_ref;
}
