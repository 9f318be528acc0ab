/* CDFs: every symbol has a count, the sum is exact, and the shares are right. */
#include "check.h"
#include "toy_source.h"

#include <math.h>

#include "base/context.h"
#include "base/rng.h"
#include "code/cdf.h"

static void check_valid(const uint32_t *cdf, int n, int precision) {
    CHECK_EQ(cdf[0], 0);
    CHECK_EQ(cdf[n], INT64_C(1) << precision);
    int increasing = 1;
    for (int x = 0; x < n; x++) increasing &= cdf[x] < cdf[x + 1];
    CHECK(increasing);
}

/* The definition, with a division for each symbol and the rest found by counting. */
static void check_definition(const uint64_t *weights, int n, int precision, const uint32_t *cdf) {
    const uint64_t total = UINT64_C(1) << precision;
    uint64_t sum = 0, rest = total;
    int largest = 0, good = 1;
    for (int x = 0; x < n; x++) sum += weights[x];
    for (int x = n - 1; x >= 0; x--) {
        if (weights[x] >= weights[largest]) largest = x;
        rest -= 1 + weights[x] * (total - (uint64_t)n) / sum;
    }
    for (int x = 0; x < n; x++) {
        const uint64_t count =
            1 + weights[x] * (total - (uint64_t)n) / sum + (x == largest ? rest : 0);
        good &= cdf[x + 1] - cdf[x] == count;
    }
    CHECK(good);
}

static void test_random_weights(isb__rng *rng) {
    uint64_t weights[257];
    uint32_t cdf[258], again[258];
    for (int turn = 0; turn < 300; turn++) {
        const int n = turn % 3 ? 256 + turn % 2 : 1 + (int)isb__rng_below(rng, 256);
        const int precision = n > 256 ? 9 + turn % 8 : 8 + turn % 9;
        const int bits = 1 + turn % 40;
        for (int x = 0; x < n; x++) weights[x] = isb__rng_below(rng, UINT64_C(1) << bits);
        weights[isb__rng_below(rng, (uint64_t)n)] += 1;
        isb__cdf_from_weights(weights, n, precision, cdf);
        check_valid(cdf, n, precision);
        check_definition(weights, n, precision, cdf);
        const int fewer = n < 256 ? n : 256;
        isb__cdf_requantise(cdf, fewer, 8 + turn % 9, again);
        check_valid(again, fewer, 8 + turn % 9);
    }
}

static void test_extremes(void) {
    uint64_t weights[257] = {0};
    uint32_t cdf[258];
    weights[256] = (UINT64_C(1) << 48) - 1; /* a certain symbol: the others keep one count each */
    isb__cdf_from_weights(weights, 257, 16, cdf);
    check_valid(cdf, 257, 16);
    CHECK_EQ(cdf[256], 256);
    weights[256] = 0;
    weights[0] = 1;
    isb__cdf_from_weights(weights, 256, 8, cdf); /* as many symbols as counts */
    check_valid(cdf, 256, 8);
    for (int x = 0; x < 256; x++) weights[x] = 1;
    isb__cdf_from_weights(weights, 256, 16, cdf);
    CHECK_EQ(cdf[1], 256);
    CHECK_EQ(cdf[255], 65280);
}

static void test_static_source(isb_context *ctx) {
    uint64_t counts[257];
    uint32_t expected[258], got[3][258];
    for (int x = 0; x < 257; x++) counts[x] = (uint64_t)(x * x);
    isb__cdf_source source, other;
    CHECK_OK(ctx, isb__cdf_source_static(ctx, counts, &source));
    isb__cdf_from_weights(counts, 257, source.precision_nbits, expected);
    CHECK_EQ(source.n_symbols, 257);
    const uint8_t bytes[2] = {1, 2};
    const isb__cdf_request requests[2] = {
        {.stream = 0, .restart = 1, .n_cdfs = 1, .cdfs = got[0]},
        {.stream = 1, .restart = 1, .bytes = bytes, .n_bytes = 2, .n_cdfs = 2, .cdfs = got[1]}};
    CHECK_OK(ctx, source.evaluate(source.self, 0, 2, requests));
    for (int i = 0; i < 3; i++) CHECK(memcmp(got[i], expected, sizeof expected) == 0);
    counts[7] += 100000;
    CHECK_OK(ctx, isb__cdf_source_static(ctx, counts, &other));
    CHECK(memcmp(&source.identity, &other.identity, sizeof source.identity) != 0);
    source.free(source.self);
    other.free(other.self);
}

/* Requests spread over threads give what they give one by one; a failure on any thread is told. */
static void test_spread(void) {
    enum { N = 23 };
    static uint32_t together[N][3][ISB__N_SYMBOLS + 1], alone[3][ISB__N_SYMBOLS + 1];
    isb_context_options options;
    isb_context_options_init(&options);
    options.n_threads = 4;
    isb_context *ctx = NULL;
    isb__cdf_source source;
    isb__cdf_request requests[N];
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    CHECK_OK(ctx, toy_source_create(ctx, 2, 300, N, &source));
    for (size_t i = 0; i < N; i++) {
        requests[i] = (isb__cdf_request){.stream = i,
                                         .restart = 1,
                                         .bytes = (const uint8_t *)toy_english + i,
                                         .n_bytes = 3,
                                         .n_cdfs = 3,
                                         .cdfs = together[i][0]};
    }
    CHECK_OK(ctx, isb__cdf_evaluate(ctx, &source, N, requests));
    for (size_t i = 0; i < N; i++) {
        isb__cdf_request request = requests[i];
        request.cdfs = alone[0];
        CHECK_OK(ctx, isb__cdf_evaluate(ctx, &source, 1, &request));
        CHECK(memcmp(alone, together[i], sizeof alone) == 0);
    }
    toy_source *toy = source.self;
    for (size_t at = 1; at <= 4; at++) {
        isb__fail(ctx, ISB_ERR_ARGUMENT, "an older failure");
        atomic_store(&toy->fail_after, atomic_load(&toy->n_calls) + at);
        CHECK_STATUS(isb__cdf_evaluate(ctx, &source, N, requests), ISB_ERR_CANCELLED);
        CHECK(strcmp(isb_context_error(ctx), "an older failure") != 0);
    }
    CHECK_EQ(atomic_load(&toy->n_clashes), 0);
    source.free(source.self);
    isb_context_free(ctx);
}

/* A row without END: every byte keeps its count, but the first of the largest, which has END's too. */
static void test_rows(isb__rng *rng) {
    uint64_t weights[257];
    uint32_t cdf[258];
    uint16_t row[256];
    for (int turn = 0; turn < 200; turn++) {
        for (int x = 0; x < 257; x++)
            weights[x] = isb__rng_below(rng, turn % 4 ? 1u << turn % 30 : 1);
        weights[isb__rng_below(rng, 257)] += 1 + isb__rng_below(rng, 1u << turn % 30);
        isb__cdf_from_weights(weights, 257, 16, cdf);
        isb__cdf_row(cdf, 257, 16, 16, row);
        int largest = 0, good = row[0] == 0;
        for (int x = 1; x < 256; x++) {
            if (cdf[x + 1] - cdf[x] > cdf[largest + 1] - cdf[largest]) largest = x;
        }
        for (int x = 0; x < 256; x++) {
            const uint32_t end = x < 255 ? row[x + 1] : 65536;
            const uint32_t expected = cdf[x + 1] - cdf[x] + (x == largest ? 65536 - cdf[256] : 0);
            good &= end - row[x] == expected;
        }
        CHECK(good);
    }
}

int main(int argc, char **argv) {
    isb__rng rng;
    isb_context *ctx = NULL;
    isb__rng_seed(&rng, check_begin(argc, argv));
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    test_random_weights(&rng);
    test_extremes();
    test_static_source(ctx);
    test_spread();
    test_rows(&rng);
    isb_context_free(ctx);
    return check_end();
}
