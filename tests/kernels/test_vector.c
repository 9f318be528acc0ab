/* The vector kernels of every tier this machine has.  Exact class: the bits of the portable tier for many lengths and
 * alignments, ends against a page without access.  Close class: against double.  And the accuracy of exp. */
#include <float.h>
#include <math.h>

#include "base/context.h"
#include "check.h"
#include "guard.h"
#include "kernels/ops.h"
#include "kernels/ref/exp.h"

enum { MAX_N = 70, LONG_N = 10007, N_BUFFERS = 6 };

static int tier_count; /* tiers up to the processor's own */

static void report(const char *what, const isb__ops *ops, size_t n, int ok) {
    char detail[120];
    snprintf(detail, sizeof detail, "%s on %s, n = %zu", what, ops->tier, n);
    check_report(ok, __FILE__, __LINE__, "kernel agrees", detail);
}

static int same_bits(const float *a, const float *b, size_t n) {
    return n == 0 || memcmp(a, b, n * sizeof *a) == 0;
}

/* Values where bits go wrong: zeros of both signs, subnormals, large and small, ends of exp's range. */
static float awkward_float(isb__rng *rng) {
    static const float special[] = {0.0f,   -0.0f,   1.0f,   -1.0f,  FLT_MIN, -FLT_MIN,
                                    1e-40f, -1e-40f, 1e-20f, -1e20f, 87.0f,   -87.0f,
                                    88.0f,  -88.0f,  200.0f, -200.f, 0.5f,    -0.34657359f};
    const uint64_t pick = isb__rng_below(rng, 4);
    if (pick == 0) return special[isb__rng_below(rng, sizeof special / sizeof *special)];
    return random_float(rng) * (pick == 1 ? 100.0f : 1.0f);
}

typedef struct buffers {
    guard g[N_BUFFERS];
    float *x[N_BUFFERS];
} buffers;

static void buffers_make(buffers *b, isb__rng *rng, size_t n) {
    for (int i = 0; i < N_BUFFERS; ++i) {
        b->g[i] = guard_alloc(n * sizeof(float));
        b->x[i] = b->g[i].data;
        for (size_t j = 0; j < n; ++j) b->x[i][j] = awkward_float(rng);
    }
}
static void buffers_free(buffers *b) {
    for (int i = 0; i < N_BUFFERS; ++i) guard_free(&b->g[i]);
}

/* ---- exact class ---- */

static void test_reductions(const isb__ops *ref, const isb__ops *ops, const buffers *b, size_t n) {
    const float dot[2] = {ref->dot(n, b->x[0], b->x[1]), ops->dot(n, b->x[0], b->x[1])};
    const float sum[2] = {ref->sum(n, b->x[0]), ops->sum(n, b->x[0])};
    const float max[2] = {ref->max(n, b->x[0]), ops->max(n, b->x[0])};
    report("dot", ops, n, same_bits(&dot[0], &dot[1], 1));
    report("sum", ops, n, same_bits(&sum[0], &sum[1], 1));
    report("max", ops, n, same_bits(&max[0], &max[1], 1));
}

typedef void (*map_fn)(const isb__ops *ops, size_t n, const float *a, const float *b, float *y);
static void map_axpy(const isb__ops *ops, size_t n, const float *a, const float *b, float *y) {
    (void)b;
    ops->axpy(n, 1.7f, a, y);
}
static void map_exp(const isb__ops *ops, size_t n, const float *a, const float *b, float *y) {
    (void)b;
    ops->exp(n, a, y);
}
static void map_scale_mul(const isb__ops *ops, size_t n, const float *a, const float *b, float *y) {
    ops->scale_mul(n, a, 0.3f, b, y);
}
static void map_silu_mul(const isb__ops *ops, size_t n, const float *a, const float *b, float *y) {
    ops->silu_mul(n, a, b, y);
}
static void map_relu_mul(const isb__ops *ops, size_t n, const float *a, const float *b, float *y) {
    ops->relu_mul(n, a, b, y);
}

static const struct {
    const char *name;
    map_fn fn;
} maps[] = {{"axpy", map_axpy},
            {"exp", map_exp},
            {"scale_mul", map_scale_mul},
            {"silu_mul", map_silu_mul},
            {"relu_mul", map_relu_mul}};

static void test_maps(const isb__ops *ref, const isb__ops *ops, const buffers *b, size_t n) {
    for (size_t i = 0; i < sizeof maps / sizeof *maps; ++i) {
        memcpy(b->x[3], b->x[2], n * sizeof(float));
        maps[i].fn(ref, n, b->x[0], b->x[1], b->x[2]);
        maps[i].fn(ops, n, b->x[0], b->x[1], b->x[3]);
        report(maps[i].name, ops, n, same_bits(b->x[2], b->x[3], n));
        if (maps[i].fn == map_axpy) continue; /* the others may work in place */
        memcpy(b->x[3], b->x[0], n * sizeof(float));
        maps[i].fn(ops, n, b->x[3], b->x[1], b->x[3]);
        report(maps[i].name, ops, n, same_bits(b->x[2], b->x[3], n));
    }
}

static void test_exact(const isb__ops *ops, isb__rng *rng) {
    const isb__ops *ref = isb__ops_for(ISB__CPU_REF);
    for (size_t n = 0; n <= MAX_N + 1; ++n) {
        const size_t length = n <= MAX_N ? n : LONG_N;
        buffers b;
        buffers_make(&b, rng, length);
        test_reductions(ref, ops, &b, length);
        test_maps(ref, ops, &b, length);
        buffers_free(&b);
    }
}

/* The order of summation is the documented one, not just the same everywhere. */
static void test_dot_definition(isb__rng *rng) {
    float a[53], b[53], lane[16] = {0};
    random_floats(rng, 53, a);
    random_floats(rng, 53, b);
    for (int i = 0; i < 53; ++i) lane[i % 16] = fmaf(a[i], b[i], lane[i % 16]);
    for (int width = 8; width > 0; width /= 2) {
        for (int j = 0; j < width; ++j) lane[j] += lane[j + width];
    }
    const float got = isb__ops_for(ISB__CPU_REF)->dot(53, a, b);
    CHECK(same_bits(&got, &lane[0], 1));
}

/* ---- exp ---- */

/* Error in units in the last place of the exact value (double is far more exact). */
static double exp_error_ulp(float x) {
    const double exact = exp((double)x);
    int exponent;
    frexp(exact, &exponent);
    return fabs((double)isb__expf(x) - exact) / ldexp(1.0, exponent - 24);
}

/* Every 61st float32 of the range, both signs: 36 million would take a minute. */
static void test_exp_accuracy(void) {
    double worst = 0;
    for (uint32_t bits = 0; bits <= 0x42b00000; bits += 61) { /* 88.0f */
        for (uint32_t sign = 0; sign < 2; ++sign) {
            const uint32_t signed_bits = bits | sign << 31;
            float x;
            memcpy(&x, &signed_bits, sizeof x);
            if (x < ISB__EXP_MIN) continue;
            const double error = exp_error_ulp(x);
            worst = error > worst ? error : worst;
        }
        if (bits < 0x30000000) bits += 61 * 1024; /* below 2^-31 it is 1 */
    }
    printf("exp: largest error %.3f ulp\n", worst);
    CHECK(worst <= 2.0);
}

static void test_exp_edges(void) {
    CHECK(isb__expf(0.0f) == 1.0f && isb__expf(-0.0f) == 1.0f);
    CHECK(isb__expf(1000.0f) == isb__expf(88.0f) && isfinite(isb__expf(88.0f)));
    CHECK(isb__expf(-1000.0f) == isb__expf(-87.0f) && isb__expf(-87.0f) >= FLT_MIN);
    CHECK(isb__expf(INFINITY) == isb__expf(88.0f) && isb__expf(-INFINITY) == isb__expf(-87.0f));
    for (int tier = 0; tier < tier_count; ++tier) {
        float x[19], y[19];
        for (int i = 0; i < 19; ++i) x[i] = NAN;
        isb__ops_for((isb__cpu_tier)tier)->exp(19, x, y);
        CHECK(isnan(y[0]) && isnan(y[18]));
    }
    CHECK(isnan(isb__expf(NAN)));
}

/* ---- close class: tolerances are a few float32 roundings of the largest term ---- */

static int close_to(double got, double expected, double size, double n_roundings) {
    return fabs(got - expected) <= n_roundings * 0x1p-24 * size + 1e-37;
}

static double sigmoid(double a) { return 1 / (1 + exp(-a)); }

static void test_backward(const isb__ops *ops, isb__rng *rng, size_t n) {
    buffers b;
    buffers_make(&b, rng, n);
    const float *a = b.x[0], *gate = b.x[1], *dh = b.x[2];
    float *da = b.x[3], *db = b.x[4];
    for (int i = 0; i < 3; ++i) random_floats(rng, n, b.x[i]); /* the awkward ones overflow */
    for (size_t i = 0; i < n; ++i) b.x[0][i] *= 6;
    ops->silu_mul_backward(n, a, gate, dh, da, db);
    int ok = 1;
    for (size_t i = 0; i < n; ++i) {
        const double s = sigmoid((double)a[i]), slope = s + (double)a[i] * s * (1 - s);
        const double size = fabs((double)dh[i]) * 8;
        ok &= close_to((double)da[i], (double)dh[i] * (double)gate[i] * slope,
                       size * fabs((double)gate[i]), 16);
        ok &= close_to((double)db[i], (double)dh[i] * (double)a[i] * s, size, 16);
    }
    report("silu_mul_backward", ops, n, ok);
    ops->relu_mul_backward(n, a, gate, dh, da, db);
    ok = 1;
    for (size_t i = 0; i < n; ++i) {
        const double on = a[i] > 0;
        ok &= close_to((double)da[i], on * (double)dh[i] * (double)gate[i],
                       fabs((double)dh[i] * (double)gate[i]), 1);
        ok &= close_to((double)db[i], on * (double)dh[i] * (double)a[i],
                       fabs((double)dh[i] * (double)a[i]), 1);
    }
    report("relu_mul_backward", ops, n, ok);
    buffers_free(&b);
}

static void test_adamw(const isb__ops *ops, isb__rng *rng, size_t n) {
    const double lr = 0.01, beta1 = 0.9, beta2 = 0.95, c1 = 1 / (1 - 0.9), c2 = 1 / (1 - 0.95),
                 eps = 1e-8, wd = 0.1;
    const double gscale = 0.5;
    buffers b;
    buffers_make(&b, rng, n);
    for (size_t i = 0; i < n; ++i) {
        for (int j = 0; j < 4; ++j) b.x[j][i] = random_float(rng);
        b.x[3][i] = fabsf(b.x[3][i]);
    }
    float *p = b.x[0], *g = b.x[1], *m = b.x[2], *v = b.x[3], *old = b.x[4];
    memcpy(old, p, n * sizeof *p);
    double expected[3][MAX_N];
    for (size_t i = 0; i < n; ++i) {
        const double grad = (double)g[i] * gscale;
        expected[1][i] = beta1 * (double)m[i] + (1 - beta1) * grad;
        expected[2][i] = beta2 * (double)v[i] + (1 - beta2) * grad * grad;
        expected[0][i] =
            (double)p[i] -
            lr * (expected[1][i] * c1 / (sqrt(expected[2][i] * c2) + eps) + wd * (double)p[i]);
    }
    ops->adamw(n, p, g, m, v, (float)gscale, (float)lr, (float)beta1, (float)beta2, (float)c1,
               (float)c2, (float)eps, (float)wd);
    int ok = 1;
    for (size_t i = 0; i < n; ++i) {
        ok &= close_to((double)m[i], expected[1][i], 1, 8) &&
              close_to((double)v[i], expected[2][i], 1, 8);
        ok &= close_to((double)p[i], expected[0][i], 1 + fabs((double)p[i] - (double)old[i]) * 100,
                       8);
    }
    report("adamw", ops, n, ok);
    buffers_free(&b);
}

static void test_softmax_xent(const isb__ops *ops, isb__rng *rng, size_t n, int64_t target,
                              float z_weight) {
    guard z = guard_alloc(n * sizeof(float)), old = guard_alloc(n * sizeof(float));
    float *x = z.data, lse = 0;
    for (size_t i = 0; i < n; ++i) x[i] = 12 * random_float(rng);
    memcpy(old.data, x, n * sizeof *x);
    const float *logits = old.data, scale = 0.25f;
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += exp((double)logits[i]);
    const double lse_expected = log(sum);
    const float loss = ops->softmax_xent(n, x, target, scale, z_weight, &lse);
    int ok = close_to((double)lse, lse_expected, 24, 4);
    ok &= target < 0 ? loss == 0
                     : close_to((double)loss, lse_expected - (double)logits[target], 24, 4);
    for (size_t i = 0; i < n; ++i) {
        const double p = exp((double)logits[i]) / sum;
        const double expected =
            target < 0 ? 0
                       : (double)scale *
                             (p + 2 * (double)z_weight * lse_expected * p - ((int64_t)i == target));
        /* z - max rounds once (24 * 2^-24 at most in the exponent), then exp and a product */
        ok &= close_to((double)x[i], expected, p + ((int64_t)i == target), 40);
    }
    report("softmax_xent", ops, n, ok);
    guard_free(&z);
    guard_free(&old);
}

static void test_softmax_nan(const isb__ops *ops) {
    float z[21] = {0}, lse;
    z[20] = NAN;
    CHECK(isnan(ops->softmax_xent(21, z, 3, 1.0f, 0.0f, &lse)));
}

static void test_sumsq(const isb__ops *ops, isb__rng *rng, size_t n) {
    guard x = guard_alloc(n * sizeof(float));
    random_floats(rng, n, x.data);
    double expected = 0;
    for (size_t i = 0; i < n; ++i)
        expected += (double)((float *)x.data)[i] * (double)((float *)x.data)[i];
    const double got = ops->sumsq(n, x.data);
    report("sumsq", ops, n, fabs(got - expected) <= 1e-12 * (expected + 1e-30));
    guard_free(&x);
}

static void test_close(const isb__ops *ops, isb__rng *rng) {
    for (size_t n = 0; n <= MAX_N; ++n) {
        test_backward(ops, rng, n);
        test_adamw(ops, rng, n);
        test_sumsq(ops, rng, n);
        if (n == 0) continue;
        const int64_t target = (int64_t)isb__rng_below(rng, n);
        test_softmax_xent(ops, rng, n, target, 0.0f);
        test_softmax_xent(ops, rng, n, target, 1e-3f);
        test_softmax_xent(ops, rng, n, -1, 1e-3f);
    }
    test_softmax_xent(ops, rng, LONG_N, LONG_N - 1, 1e-4f);
    test_sumsq(ops, rng, LONG_N);
    test_softmax_nan(ops);
}

int main(int argc, char **argv) {
    isb__rng rng;
    isb__rng_seed(&rng, check_begin(argc, argv));
    tier_count = (int)isb__cpu_detect() + 1;
    test_dot_definition(&rng);
    test_exp_accuracy();
    test_exp_edges();
    for (int tier = 0; tier < tier_count; ++tier) {
        const isb__ops *ops = isb__ops_for((isb__cpu_tier)tier);
        test_exact(ops, &rng);
        test_close(ops, &rng);
    }
    return check_end();
}
