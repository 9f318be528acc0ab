/* M1's kernels.  The portable ones against plain computations of docs/m1.md, in wider types where that is possible;
 * those of every tier this machine has against the portable ones, bit for bit, with ends against a page without
 * access and with the numbers that make trouble: zeros, subnormals, the huge, infinities, NaNs. */
#include <float.h>
#include <math.h>

#include "check.h"
#include "guard.h"
#include "kernels/int8.h"
#include "kernels/ops.h"

enum { ROUNDS = 300, N_SYMBOLS = 257, SLOTS = ISB__KEY_GROUP };

static const isb__int8_ops *ref;

static void report(const isb__int8_ops *ops, const char *what, size_t size0, size_t size1,
                   size_t size2, int ok) {
    char detail[120];
    snprintf(detail, sizeof detail, "%s on %s, %zu, %zu, %zu", what, ops->tier, size0, size1,
             size2);
    check_report(ok, __FILE__, __LINE__, "kernel agrees", detail);
}

/* Equal bits, any NaN for any NaN. */
static int same_floats(size_t n, const float *a, const float *b) {
    for (size_t i = 0; i < n; ++i) {
        if (isnan(a[i]) ? !isnan(b[i]) : memcmp(&a[i], &b[i], sizeof *a) != 0) return 0;
    }
    return 1;
}
static int same_bytes(size_t n, const void *a, const void *b) {
    return n == 0 || memcmp(a, b, n) == 0;
}

static guard random_bytes(isb__rng *rng, size_t n) {
    guard g = guard_alloc(n);
    for (size_t i = 0; i < n; ++i) ((uint8_t *)g.data)[i] = (uint8_t)isb__rng_below(rng, 256);
    return g;
}

/* How wild numbers are: plain ones, or any of these among them. */
static float awkward_float(isb__rng *rng, uint64_t wildness) {
    static const float special[] = {0.0f,   -0.0f,  1.0f,   -1.0f,   0.5f,     -0.34657359f, 87.0f,
                                    -88.0f, 200.0f, 1e-20f, FLT_MIN, 1e-40f,   -1e-45f,      1e-31f,
                                    8e-31f, 1e20f,  -3e38f, FLT_MAX, INFINITY, -INFINITY,    NAN};
    const size_t n_special = sizeof special / sizeof *special;
    if (isb__rng_below(rng, 16) >= wildness) return random_float(rng) * 4;
    return special[isb__rng_below(rng, wildness < 4 ? n_special - 6 : n_special)];
}
static guard awkward_floats(isb__rng *rng, size_t n) {
    static const uint64_t choices[] = {0, 0, 1, 4, 16};
    const uint64_t wildness = choices[isb__rng_below(rng, 5)];
    const float size =
        isb__rng_below(rng, 4) ? 1.0f : ldexpf(1.0f, (int)random_size(rng, 0, 250) - 140);
    guard g = guard_alloc(n * sizeof(float));
    for (size_t i = 0; i < n; ++i) ((float *)g.data)[i] = awkward_float(rng, wildness) * size;
    return g;
}
static guard random_ints(isb__rng *rng, size_t n, int64_t most) {
    guard g = guard_alloc(n * sizeof(int32_t));
    for (size_t i = 0; i < n; ++i) {
        ((int32_t *)g.data)[i] =
            (int32_t)((int64_t)isb__rng_below(rng, (uint64_t)(2 * most + 1)) - most);
    }
    return g;
}
static void free_all(guard **all, size_t n) {
    for (size_t i = 0; i < n; ++i) guard_free(all[i]);
}
#define FREE(...)                                \
    do {                                         \
        guard *all[] = {__VA_ARGS__};            \
        free_all(all, sizeof all / sizeof *all); \
    } while (0)

/* ---- products ---- */

static void test_product(const isb__int8_ops *ops, isb__rng *rng, size_t m, size_t n, size_t k) {
    const size_t lda = isb__round_up(k, ISB__INT8_ALIGN) + isb__rng_below(rng, 2) * ISB__INT8_ALIGN;
    const size_t n_padded = isb__round_up(n, 16), ldc = n_padded + isb__rng_below(rng, 2) * 16;
    const size_t a_nbytes = (m - 1) * lda + isb__round_up(k, ISB__INT8_ALIGN);
    const size_t c_size = (m - 1) * ldc + n_padded;
    guard a = random_bytes(rng, a_nbytes), w = random_bytes(rng, n * k);
    guard packed = guard_alloc(ops->packed_nbytes(n, k)), c = guard_alloc(c_size * sizeof(int32_t));
    int8_t *row = a.data;
    const int8_t *weights = w.data;
    const int32_t *got = c.data;
    for (size_t r = 0; r < m; ++r) {
        for (size_t i = k; i < isb__round_up(k, ISB__INT8_ALIGN); ++i) row[r * lda + i] = 0;
    }
    ops->pack(n, k, w.data, packed.data);
    if (ops->begin) ops->begin();
    ops->product(m, n, k, a.data, lda, packed.data, c.data, ldc);
    if (ops->end) ops->end();
    int ok = 1;
    for (size_t r = 0; r < m; ++r) {
        for (size_t j = 0; j < n; ++j) {
            int64_t sum = 0;
            for (size_t i = 0; i < k; ++i) sum += (int64_t)row[r * lda + i] * weights[j * k + i];
            ok &= got[r * ldc + j] == sum;
        }
        for (size_t j = n_padded; r + 1 < m && j < ldc; ++j)
            ok &= (uint32_t)got[r * ldc + j] == 0xa5a5a5a5;
    }
    report(ops, "product", m, n, k, ok);
    FREE(&a, &w, &packed, &c);
}

static void test_products(const isb__int8_ops *ops, isb__rng *rng) {
    for (size_t m = 1; m <= 66; ++m) {
        test_product(ops, rng, m, random_size(rng, 1, 100), random_size(rng, 1, 300));
    }
    for (int round = 0; round < 60; ++round) {
        test_product(ops, rng, random_size(rng, 1, 8), random_size(rng, 1, 70),
                     random_size(rng, 1, 1100));
    }
    test_product(ops, rng, 3, 257, 256);
    test_product(ops, rng, 130, 33, 65);
}

/* The largest sums that the limits of docs/m1.md allow, of both signs. */
static void test_largest_product(const isb__int8_ops *ops) {
    enum { K = 32768, N = 16 };
    guard a = guard_alloc(K), w = guard_alloc(N * K),
          packed = guard_alloc(ops->packed_nbytes(N, K));
    int32_t *c = aligned_alloc(64, N * sizeof *c);
    memset(a.data, -128, K);
    memset(w.data, -128, K);
    memset((char *)w.data + K, 127, (N - 1) * K);
    ops->pack(N, K, w.data, packed.data);
    if (ops->begin) ops->begin();
    ops->product(1, N, K, a.data, K, packed.data, c, N);
    if (ops->end) ops->end();
    CHECK_EQ(c[0], 128 * 128 * K);
    CHECK_EQ(c[1], -128 * 127 * K);
    CHECK_EQ(c[N - 1], -128 * 127 * K);
    free(c);
    FREE(&a, &w, &packed);
}

/* ---- rows ---- */

static void test_quantise(const isb__int8_ops *ops, isb__rng *rng, size_t n) {
    guard x = awkward_floats(rng, n), q0 = guard_alloc(n), q1 = guard_alloc(n);
    const float s0 = ref->quantise(n, x.data, q0.data), s1 = ops->quantise(n, x.data, q1.data);
    report(ops, "quantise", n, 0, 0, same_floats(1, &s0, &s1) && same_bytes(n, q0.data, q1.data));
    FREE(&x, &q0, &q1);
}

static void test_norm(const isb__int8_ops *ops, isb__rng *rng, size_t n) {
    guard x = awkward_floats(rng, n), gain = awkward_floats(rng, n), q0 = guard_alloc(n),
          q1 = guard_alloc(n);
    const float eps = isb__rng_below(rng, 4) ? 1e-5f : 0.0f;
    const float s0 = ref->norm(n, x.data, gain.data, eps, q0.data);
    const float s1 = ops->norm(n, x.data, gain.data, eps, q1.data);
    report(ops, "norm", n, 0, 0, same_floats(1, &s0, &s1) && same_bytes(n, q0.data, q1.data));
    FREE(&x, &gain, &q0, &q1);
}

static void test_scale(const isb__int8_ops *ops, isb__rng *rng, size_t n) {
    const size_t padded = isb__round_up(n, 16);
    guard c = random_ints(rng, padded, INT32_MAX), w = awkward_floats(rng, padded),
          y0 = awkward_floats(rng, padded);
    guard y1 = guard_alloc(padded * sizeof(float));
    const float s = awkward_float(rng, 4);
    memcpy(y1.data, y0.data, padded * sizeof(float));
    ref->scale_add(n, c.data, s, w.data, y0.data);
    ops->scale_add(n, c.data, s, w.data, y1.data);
    report(ops, "scale_add", n, 0, 0, same_floats(n, y0.data, y1.data));
    ref->scale(n, c.data, s, w.data, y0.data);
    ops->scale(n, c.data, s, w.data, y1.data);
    report(ops, "scale", n, 0, 0, same_floats(n, y0.data, y1.data));
    FREE(&c, &w, &y0, &y1);
}

static void test_gate(const isb__int8_ops *ops, isb__rng *rng, size_t n) {
    guard gate = random_ints(rng, n, isb__rng_below(rng, 2) ? 2000 : INT32_MAX),
          up = random_ints(rng, n, 100000);
    guard w_gate = awkward_floats(rng, n), w_up = awkward_floats(rng, n);
    guard h0 = guard_alloc(n * sizeof(float)), h1 = guard_alloc(n * sizeof(float));
    const float s = isb__rng_below(rng, 4) ? 1e-3f : awkward_float(rng, 4);
    ref->gate_silu(n, gate.data, up.data, s, w_gate.data, w_up.data, h0.data);
    ops->gate_silu(n, gate.data, up.data, s, w_gate.data, w_up.data, h1.data);
    report(ops, "gate_silu", n, 0, 0, same_floats(n, h0.data, h1.data));
    ref->gate_relu(n, gate.data, up.data, s, w_gate.data, w_up.data, h0.data);
    ops->gate_relu(n, gate.data, up.data, s, w_gate.data, w_up.data, h1.data);
    report(ops, "gate_relu", n, 0, 0, same_floats(n, h0.data, h1.data));
    FREE(&gate, &up, &w_gate, &w_up, &h0, &h1);
}

static void test_exp(const isb__int8_ops *ops, isb__rng *rng, size_t n) {
    guard x = awkward_floats(rng, n), y0 = guard_alloc(n * sizeof(float)),
          y1 = guard_alloc(n * sizeof(float));
    for (size_t i = 0; i < n; ++i) ((float *)x.data)[i] *= 25;
    ref->exp(n, x.data, y0.data);
    ops->exp(n, x.data, y1.data);
    report(ops, "exp", n, 0, 0, same_bytes(n * sizeof(float), y0.data, y1.data));
    ops->exp(n, x.data, x.data);
    report(ops, "exp in place", n, 0, 0, same_bytes(n * sizeof(float), y0.data, x.data));
    FREE(&x, &y0, &y1);
}

/* ---- attention ---- */

static void test_stores(const isb__int8_ops *ops, isb__rng *rng, size_t D) {
    guard row = random_bytes(rng, D), keys = random_bytes(rng, D * SLOTS),
          values = random_bytes(rng, D * SLOTS);
    guard keys0 = guard_alloc(D * SLOTS), values0 = guard_alloc(D * SLOTS);
    const size_t slot = (size_t)isb__rng_below(rng, SLOTS);
    const int8_t *x = row.data;
    memcpy(keys0.data, keys.data, D * SLOTS);
    memcpy(values0.data, values.data, D * SLOTS);
    for (size_t d = 0; d < D; ++d) {
        ((uint8_t *)keys0.data)[d / 4 * 64 + slot * 4 + d % 4] = (uint8_t)(x[d] + 128);
        ((int8_t *)values0.data)[slot / 4 * 4 * D + 4 * d + slot % 4] = x[d];
    }
    ops->store_key(D, x, keys.data, slot);
    ops->store_value(D, x, values.data, slot);
    report(ops, "store_key", D, slot, 0, same_bytes(D * SLOTS, keys0.data, keys.data));
    report(ops, "store_value", D, slot, 0, same_bytes(D * SLOTS, values0.data, values.data));
    FREE(&row, &keys, &values, &keys0, &values0);
}

static void test_scores(const isb__int8_ops *ops, isb__rng *rng, size_t D, size_t n_groups) {
    guard q = random_bytes(rng, D), keys = random_bytes(rng, n_groups * D * SLOTS);
    guard scores = guard_alloc(n_groups * SLOTS * sizeof(int32_t));
    ops->scores(D, n_groups, q.data, keys.data, scores.data);
    int ok = 1;
    for (size_t slot = 0; slot < n_groups * SLOTS; ++slot) {
        const uint8_t *group = (const uint8_t *)keys.data + slot / SLOTS * SLOTS * D;
        int64_t sum = 0;
        for (size_t d = 0; d < D; ++d) {
            sum += ((int8_t *)q.data)[d] *
                   ((int64_t)group[d / 4 * 64 + slot % SLOTS * 4 + d % 4] - 128);
        }
        ok &= ((int32_t *)scores.data)[slot] == sum;
    }
    report(ops, "scores", D, n_groups, 0, ok);
    FREE(&q, &keys, &scores);
}

static void test_mix(const isb__int8_ops *ops, isb__rng *rng, size_t D, size_t n_groups,
                     int accumulate) {
    const size_t n_slots = n_groups * SLOTS;
    guard high = random_bytes(rng, n_slots), low = random_bytes(rng, n_slots),
          values = random_bytes(rng, n_slots * D);
    guard sums = random_ints(rng, D, 1000000), start = guard_alloc(D * sizeof(int32_t));
    for (size_t i = 0; i < n_slots; ++i) ((uint8_t *)high.data)[i] &= 127;
    memcpy(start.data, sums.data, D * sizeof(int32_t));
    ops->mix(D, n_groups, high.data, low.data, values.data, sums.data, accumulate);
    int ok = 1;
    for (size_t d = 0; d < D; ++d) {
        int64_t sum = accumulate ? ((int32_t *)start.data)[d] : 0;
        for (size_t slot = 0; slot < n_slots; ++slot) {
            const int64_t b = 256 * ((uint8_t *)high.data)[slot] + ((uint8_t *)low.data)[slot];
            sum += b * ((int8_t *)values.data)[slot / 4 * 4 * D + 4 * d + slot % 4];
        }
        ok &= ((int32_t *)sums.data)[d] == sum;
    }
    report(ops, "mix", D, n_groups, (size_t)accumulate, ok);
    FREE(&high, &low, &values, &sums, &start);
}

/* Scales are what quantise() returns: never negative, never NaN, but maybe infinite. */
static guard random_scales(isb__rng *rng, size_t n) {
    guard g = awkward_floats(rng, n);
    for (size_t i = 0; i < n; ++i) {
        float *s = (float *)g.data + i;
        *s = isnan(*s) ? 1.0f : fabsf(*s);
    }
    return g;
}

static void test_weights(const isb__int8_ops *ops, isb__rng *rng, size_t n_groups) {
    static const int32_t limits[] = {32767, 16383, 8191, 4095};
    const size_t n = n_groups * SLOTS, begin = random_size(rng, 0, n - 1),
                 end = random_size(rng, begin, n);
    const int32_t limit = limits[isb__rng_below(rng, 4)];
    guard scores = random_ints(rng, n, isb__rng_below(rng, 4) ? 100 : INT32_MAX),
          bias = awkward_floats(rng, n);
    guard key_scales = random_scales(rng, n), value_scales = random_scales(rng, n);
    guard work = awkward_floats(rng, n), high0 = guard_alloc(n), low0 = guard_alloc(n),
          high1 = guard_alloc(n), low1 = guard_alloc(n);
    const float a = isb__rng_below(rng, 8) ? 0.03f : fabsf(awkward_float(rng, 3));
    const float *offsets = isb__rng_below(rng, 2) ? bias.data : NULL;
    const float s0 =
        ref->weights(n_groups, begin, end, scores.data, a, key_scales.data, value_scales.data,
                     offsets, limit, work.data, high0.data, low0.data);
    const float s1 =
        ops->weights(n_groups, begin, end, scores.data, a, key_scales.data, value_scales.data,
                     offsets, limit, work.data, high1.data, low1.data);
    report(ops, "weights", n_groups, begin, end,
           same_floats(1, &s0, &s1) && !isnan(s0) && same_bytes(n, high0.data, high1.data) &&
               same_bytes(n, low0.data, low1.data));
    FREE(&scores, &bias, &key_scales, &value_scales, &work, &high0, &low0, &high1, &low1);
}

/* ---- CDFs ---- */

static void test_cdf(const isb__int8_ops *ops, isb__rng *rng) {
    guard z = awkward_floats(rng, N_SYMBOLS), cdf = guard_alloc((N_SYMBOLS + 1) * sizeof(uint32_t));
    uint32_t expected[N_SYMBOLS + 1];
    const uint32_t *got = cdf.data;
    if (isb__rng_below(rng, 2)) ((float *)z.data)[isb__rng_below(rng, N_SYMBOLS)] = 20.0f;
    ref->cdf(z.data, expected);
    ops->cdf(z.data, cdf.data);
    int ok = same_bytes(sizeof expected, expected, got) && got[0] == 0 && got[N_SYMBOLS] == 65536;
    for (size_t i = 0; i < N_SYMBOLS; ++i) ok &= got[i] < got[i + 1];
    report(ops, "cdf", 0, 0, 0, ok);
    FREE(&z, &cdf);
}

static void test_cdf_edges(const isb__int8_ops *ops) {
    float z[N_SYMBOLS];
    uint32_t cdf[N_SYMBOLS + 1];
    for (size_t i = 0; i < N_SYMBOLS; ++i) z[i] = NAN;
    ops->cdf(z, cdf);
    CHECK_EQ(cdf[1], 65536 - 256); /* a sum of 0 counts as w[0] = 1 */
    for (size_t i = 0; i < N_SYMBOLS; ++i) z[i] = -3.0f;
    ops->cdf(z, cdf);
    CHECK_EQ(cdf[1],
             65536 - 256 * 255); /* 65279 / 257 is 254 and 1 / 257; the first gets what is left */
    CHECK_EQ(cdf[2], 65536 - 255 * 255);
    z[N_SYMBOLS - 1] = 100.0f;
    ops->cdf(z, cdf);
    CHECK_EQ(cdf[N_SYMBOLS - 1], 256);
    z[17] = INFINITY; /* all of z - m are NaN or -infinity */
    ops->cdf(z, cdf);
    CHECK_EQ(cdf[1], 65536 - 256);
}

/* ---- the portable kernels by their definition ---- */

/* Bits of e(x), computed from docs/m1.md in another language. */
static void test_exp_values(void) {
    static const float known[][2] = {
        {0x1p+0f, 0x1.5bf0a8p+1f},        {-0x1p+0f, 0x1.78b564p-2f},
        {0x1p-1f, 0x1.a61298p+0f},        {-0x1.62e43p-2f, 0x1.6a09e6p-1f},
        {0x1.921fb6p+1f, 0x1.724048p+4f}, {-0x1.44p+4f, 0x1.b93de2p-30f},
        {0x1.5ep+6f, 0x1.2d7566p+126f},   {-0x1.5b999ap+6f, 0x1.8c1f12p-126f},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i) {
        float y;
        ref->exp(1, known[i], &y);
        CHECK(memcmp(&y, &known[i][1], sizeof y) == 0);
    }
}

static void test_exp_accuracy(void) {
    double worst = 0;
    for (uint32_t i = 0; i < 1000000; ++i) {
        const float x = -87.0f + 175.0f * (float)i / 1000000;
        float y;
        int exponent;
        ref->exp(1, &x, &y);
        frexp(exp((double)x), &exponent);
        const double error = fabs((double)y - exp((double)x)) / ldexp(1.0, exponent - 24);
        worst = error > worst ? error : worst;
    }
    printf("exp: largest error %.2f ulp\n", worst);
    CHECK(worst <= 3.0);
}

static void test_quantise_values(void) {
    const float x[8] = {127.0f, -127.0f, 2.5f, 3.5f, -2.5f, NAN, 0.49f, -63.5f};
    const int8_t expected[8] = {127, -127, 2, 4, -2, -127, 0, -64};
    int8_t q[8];
    CHECK(ref->quantise(8, x, q) == 1.0f);
    CHECK(memcmp(q, expected, 8) == 0);
    const float tiny[4] = {0x1.fffffep-101f, 0, 0, 0}, least[4] = {0x1p-100f, -0x1p-101f, 0, 0};
    CHECK(ref->quantise(4, tiny, q) == 0.0f && q[0] == 0);
    CHECK(ref->quantise(4, least, q) == 0x1p-100f / 127.0f && q[0] == 127 && q[1] == -64 &&
          q[2] == 0);
    const float huge[4] = {INFINITY, 1.0f, -1.0f, -INFINITY};
    CHECK(isinf(ref->quantise(4, huge, q)) && q[0] == -127 && q[1] == 0 && q[2] == 0 &&
          q[3] == -127);
}

/* Within 4 float32 roundings and the rounding to int8 of the norm in double; and the order of the sum. */
static void test_norm_definition(isb__rng *rng) {
    enum { N = 48 };
    float x[N], gain[N], lane[16] = {0};
    int8_t q[N];
    random_floats(rng, N, x);
    random_floats(rng, N, gain);
    const float s = ref->norm(N, x, gain, 1e-5f, q);
    double sum = 0;
    for (size_t i = 0; i < N; ++i) sum += (double)x[i] * (double)x[i];
    for (size_t i = 0; i < N; ++i) {
        const double y = (double)x[i] * (double)gain[i] / sqrt(sum / N + 1e-5);
        CHECK(fabs(y - (double)s * q[i]) <= 0.5001 * (double)s);
    }
    int8_t plain[N];
    float v[N];
    for (size_t i = 0; i < N; ++i) {
        const float square = x[i] * x[i];
        lane[i % 16] = lane[i % 16] + square;
        v[i] = x[i] * gain[i];
    }
    for (int width = 8; width > 0; width /= 2) {
        for (int l = 0; l < width; ++l) lane[l] = lane[l] + lane[l + width];
    }
    const float sv = ref->quantise(N, v, plain),
                expected = sv * (1.0f / sqrtf(lane[0] / 48.0f + 1e-5f));
    CHECK(same_floats(1, &s, &expected) && memcmp(q, plain, N) == 0);
}

/* b times what is returned, beside softmax times the values' scales in double. */
static void test_weights_definition(isb__rng *rng) {
    enum { GROUPS = 3, N = GROUPS * SLOTS, BEGIN = 5, END = 41 };
    int32_t scores[N];
    float key_scales[N], value_scales[N], bias[N], work[N];
    uint8_t high[N], low[N];
    for (size_t i = 0; i < N; ++i) {
        scores[i] = (int32_t)isb__rng_below(rng, 200000) - 100000;
        key_scales[i] = 0.01f * (1.5f + random_float(rng));
        value_scales[i] = 1.5f + random_float(rng);
        bias[i] = random_float(rng);
    }
    const float s = ref->weights(GROUPS, BEGIN, END, scores, 0.003f, key_scales, value_scales, bias,
                                 32767, work, high, low);
    double t[N], most = -1e300, sum = 0;
    for (size_t i = BEGIN; i < END; ++i) {
        t[i] = scores[i] * ((double)0.003f * (double)key_scales[i]) + (double)bias[i];
        most = t[i] > most ? t[i] : most;
    }
    for (size_t i = BEGIN; i < END; ++i) sum += exp(t[i] - most);
    unsigned largest = 0;
    for (size_t i = 0; i < N; ++i) {
        const unsigned b = 256u * high[i] + low[i];
        const double p =
            i < BEGIN || i >= END ? 0 : exp(t[i] - most) / sum * (double)value_scales[i];
        CHECK(fabs(b * (double)s - p) <= 0.51 * (double)s + 1e-4 * p);
        largest = b > largest ? b : largest;
    }
    CHECK_EQ(largest, 32767);
}

/* Each probability within a unit and a rounding of softmax's; the first largest one takes the rest. */
static void test_cdf_definition(isb__rng *rng) {
    float z[N_SYMBOLS];
    uint32_t cdf[N_SYMBOLS + 1];
    double sum = 0;
    for (size_t i = 0; i < N_SYMBOLS; ++i) {
        z[i] = 5 * random_float(rng);
        sum += exp((double)z[i]);
    }
    z[200] = z[100] = 5.5f;
    ref->cdf(z, cdf);
    sum = 0;
    for (size_t i = 0; i < N_SYMBOLS; ++i) sum += exp((double)z[i]);
    for (size_t i = 0; i < N_SYMBOLS; ++i) {
        const double n = 1 + 65279 * exp((double)z[i]) / sum, got = cdf[i + 1] - cdf[i];
        CHECK(i == 100 ? got >= n : fabs(got - n) <= 1.1 + 1e-5 * n);
    }
}

/* What the page says of gates and scales, with one operation a line. */
static void test_gate_definition(void) {
    int32_t gate[16], up[16];
    float w_gate[16], w_up[16], h[16], silu[16], y[16];
    for (int i = 0; i < 16; ++i) {
        gate[i] = 16777217 * (i - 8);
        up[i] = 1000 * i;
        w_gate[i] = 1e-7f * (float)(i + 1);
        w_up[i] = 1e-3f;
        y[i] = 0.1f;
    }
    ref->gate_relu(16, gate, up, 0.3f, w_gate, w_up, h);
    ref->gate_silu(16, gate, up, 0.3f, w_gate, w_up, silu);
    ref->scale_add(16, gate, 0.3f, w_gate, y);
    for (int i = 0; i < 16; ++i) {
        const float gate_scale = 0.3f * w_gate[i], up_scale = 0.3f * w_up[i];
        const float g = (float)gate[i] * gate_scale, u = (float)up[i] * up_scale;
        const float minus = -g;
        float e;
        ref->exp(1, &minus, &e);
        const float below = 1.0f + e, act = g / below, with_silu = act * u;
        const float with_relu = (g > 0 ? g : 0.0f) * u, added = 0.1f + g;
        CHECK(same_floats(1, &h[i], &with_relu) && same_floats(1, &silu[i], &with_silu));
        CHECK(same_floats(1, &y[i], &added));
    }
}

static void test_definitions(isb__rng *rng) {
    test_exp_values();
    test_exp_accuracy();
    test_quantise_values();
    test_norm_definition(rng);
    test_weights_definition(rng);
    test_cdf_definition(rng);
    test_gate_definition();
}

static void test_tier(const isb__int8_ops *ops, isb__rng *rng) {
    test_products(ops, rng);
    test_largest_product(ops);
    for (size_t i = 0; i < ROUNDS; ++i) {
        const size_t n = i < 100 ? i + 1 : random_size(rng, 1, 1100);
        test_quantise(ops, rng, isb__round_up(n, 4));
        test_norm(ops, rng, isb__round_up(n, 16));
        test_scale(ops, rng, n);
        test_gate(ops, rng, isb__round_up(n, 16));
        test_exp(ops, rng, n);
        test_weights(ops, rng, random_size(rng, 1, 20));
        test_weights(ops, rng, 1);
        test_cdf(ops, rng);
    }
    for (size_t D = 4; D <= 256; D += 4) {
        test_stores(ops, rng, D);
        test_scores(ops, rng, D, random_size(rng, 1, 9));
        for (int accumulate = 0; accumulate < 2; ++accumulate) {
            test_mix(ops, rng, D, random_size(rng, 1, 5), accumulate);
        }
    }
    test_cdf_edges(ops);
}

int main(int argc, char **argv) {
    isb__rng rng;
    isb__rng_seed(&rng, check_begin(argc, argv));
    ref = isb__int8_ops_for(ISB__CPU_REF);
    test_definitions(&rng);
    for (int tier = 0; tier <= (int)isb__cpu_detect(); ++tier) {
        const isb__int8_ops *ops = isb__int8_ops_for((isb__cpu_tier)tier);
        CHECK(strcmp(ops->tier, isb__cpu_tier_name((isb__cpu_tier)tier)) == 0);
        test_tier(ops, &rng);
    }
    return check_end();
}
