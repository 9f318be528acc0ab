/* M1 as a source of CDFs: the contract of code/cdf.h, the same integers on every tier and
 * thread count, folders. */
#include "base/rng.h"
#include "check.h"
#include "code/cdf.h"
#include "data/m1.h"
#include "small_models.h"
#include "temp_dir.h"

enum { WIDTH = ISB__N_SYMBOLS + 1, N_BYTES = 600, N_STREAMS = 3 };

static uint8_t text[N_STREAMS][N_BYTES];
static uint32_t expected[N_STREAMS][N_BYTES + 1][WIDTH]; /* after 0 .. N_BYTES bytes */

static int cdf_is_valid(const uint32_t *cdf) {
    if (cdf[0] != 0 || cdf[ISB__N_SYMBOLS] != 1u << ISB__CDF_PRECISION) return 0;
    for (int x = 0; x < ISB__N_SYMBOLS; ++x) {
        if (cdf[x] >= cdf[x + 1]) return 0;
    }
    return 1;
}

static void evaluate_one(isb_context *ctx, isb__cdf_source *source, isb__cdf_request request) {
    CHECK_OK(ctx, source->evaluate(source->self, 0, 1, &request));
}

/* One byte a call, on the portable tier. */
static void make_expected(const isb_model *model) {
    isb_context *ctx = small_context("ref", 1);
    isb__cdf_source source;
    CHECK_OK(ctx, isb__m1_from_model(ctx, model, 1, &source));
    CHECK_EQ(source.n_symbols, 257);
    CHECK_EQ(source.precision_nbits, 16);
    CHECK_EQ(source.max_streams, 1);
    int n_valid = 0, n_peaked = 0;
    for (int s = 0; s < N_STREAMS; ++s) {
        evaluate_one(ctx, &source,
                     (isb__cdf_request){.restart = 1, .n_cdfs = 1, .cdfs = expected[s][0]});
        for (int i = 0; i < N_BYTES; ++i) {
            evaluate_one(
                ctx, &source,
                (isb__cdf_request){
                    .bytes = &text[s][i], .n_bytes = 1, .n_cdfs = 1, .cdfs = expected[s][i + 1]});
        }
        for (int i = 0; i <= N_BYTES; ++i) {
            n_valid += cdf_is_valid(expected[s][i]);
            for (int x = 0; x < 257; ++x)
                n_peaked += expected[s][i][x + 1] - expected[s][i][x] > 2000;
        }
    }
    CHECK_EQ(n_valid, N_STREAMS * (N_BYTES + 1));
    CHECK(n_peaked > N_BYTES); /* the model says something */
    CHECK(memcmp(expected[0][0], expected[1][0], sizeof expected[0][0]) == 0);
    source.free(source.self);
    isb_context_free(ctx);
}

/* Random pieces of several streams a call, with steps back and repeats. */
static void check_pieces(const isb_model *model, const char *cpu, int n_threads, uint64_t seed) {
    static uint32_t cdfs[N_STREAMS][N_BYTES + 1][WIDTH];
    isb_context *ctx = small_context(cpu, n_threads);
    isb__cdf_source source;
    CHECK_OK(ctx, isb__m1_from_model(ctx, model, N_STREAMS, &source));
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    size_t at[N_STREAMS] = {0}, n_wrong = 0, n_steps = 0;
    while (at[0] < N_BYTES || at[1] < N_BYTES || at[2] < N_BYTES) {
        isb__cdf_request requests[N_STREAMS];
        for (size_t s = 0; s < N_STREAMS; ++s) {
            if (++n_steps % 7 == 0) {
                const size_t back = isb__rng_below(&rng, (at[s] < 30 ? at[s] : 30) + 1);
                CHECK_OK(ctx, source.rewind(source.self, s, back));
                at[s] -= back;
            }
            size_t n = isb__rng_below(&rng, 60);
            if (n > N_BYTES - at[s]) n = N_BYTES - at[s];
            const int restart = at[s] == 0;
            const size_t n_cdfs = n == 0 ? 1 : isb__rng_below(&rng, n + 1 + (size_t)restart);
            requests[s] = (isb__cdf_request){s, restart, text[s] + at[s], n, n_cdfs, cdfs[s][0]};
            at[s] += n;
        }
        CHECK_OK(ctx, source.evaluate(source.self, 0, N_STREAMS, requests));
        for (size_t s = 0; s < N_STREAMS; ++s) {
            const size_t first = at[s] + 1 - requests[s].n_cdfs;
            n_wrong +=
                memcmp(cdfs[s], expected[s][first], requests[s].n_cdfs * sizeof cdfs[0][0]) != 0;
        }
    }
    CHECK_EQ(n_wrong, 0);
    CHECK_STATUS(source.rewind(source.self, 0, N_BYTES + 1), ISB_ERR_RANGE);
    source.free(source.self);
    isb_context_free(ctx);
}

static void test_contract(uint64_t seed) {
    static const char *const tiers[] = {"ref", "avx2", "avx512", "avx512x", "amx"};
    isb_context *ctx = small_context("ref", 1);
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    for (int s = 0; s < N_STREAMS; ++s) {
        for (int i = 0; i < N_BYTES; ++i) text[s][i] = (uint8_t)isb__rng_below(&rng, 256);
    }
    isb_model *model = small_model(ctx, 257, 40, seed);
    make_expected(model);
    for (int tier = 0; tier <= (int)isb__cpu_detect(); ++tier)
        check_pieces(model, tiers[tier], 1 + tier % 3, seed + (uint64_t)tier);
    isb_model_free(model);
    isb_context_free(ctx);
}

static int same_identity(const isb__id128 *a, const isb__id128 *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

static void test_folders(uint64_t seed) {
    isb_context *ctx = small_context(NULL, 2);
    isb__cdf_source a, b;
    double flops = 0;
    small_m1(ctx, seed, temp_path("m1"));
    CHECK_OK(ctx, isb__m1_open(ctx, temp_path("m1"), 0, &a));
    CHECK_EQ(a.max_streams, 64);
    CHECK_OK(ctx, isb__m1_open(ctx, temp_path("m1"), 2, &b));
    CHECK(same_identity(&a.identity, &b.identity));
    b.free(b.self);
    isb_model *model = small_model(ctx, 257, 33, seed);
    CHECK_OK(ctx, isb__m1_from_model(ctx, model, 2, &b));
    CHECK(!same_identity(&a.identity, &b.identity)); /* another context length is another M1 */
    b.free(b.self);
    a.free(a.self);
    isb_model_free(model);
    CHECK_OK(ctx, isb__m1_flops_per_byte(ctx, temp_path("m1"), &flops));
    CHECK_EQ(flops, 2 * (2 * (4 * 32 * 32 + 3 * 32 * 48 + 2 * 32) + 32));

    model = small_model(ctx, 300, 32, seed);
    small_save(ctx, model, "bytes", "", temp_path("wide"));
    isb_model_free(model);
    CHECK_STATUS(isb__m1_open(ctx, temp_path("wide"), 0, &a), ISB_ERR_SHAPE);
    CHECK_STATUS(isb__m1_open(ctx, temp_path("nothing"), 0, &a), ISB_ERR_NOT_FOUND);
    isb_context_free(ctx);
}

/* A model of NaNs is of no use, but must not break the coder. */
static void test_broken_model(uint64_t seed) {
    isb_context *ctx = small_context(NULL, 1);
    isb_model *model = small_model(ctx, 257, 32, seed);
    for (size_t i = 0; i < model->n_floats; ++i) model->data[i] = 0.0f / (float)(check_count < 0);
    uint32_t cdf[WIDTH];
    isb__cdf_source source;
    CHECK_OK(ctx, isb__m1_from_model(ctx, model, 1, &source));
    evaluate_one(ctx, &source, (isb__cdf_request){.restart = 1, .n_cdfs = 1, .cdfs = cdf});
    CHECK(cdf_is_valid(cdf));
    source.free(source.self);
    isb_model_free(model);
    isb_context_free(ctx);
}

static void write_config(const char *dir_name, const char *json) {
    char path[1100];
    mkdir(temp_path(dir_name), 0777);
    snprintf(path, sizeof path, "%s/config.json", temp_path(dir_name));
    temp_write(path, json, strlen(json));
}

static void test_static(void) {
    isb_context *ctx = small_context(NULL, 1);
    uint64_t counts[ISB__N_SYMBOLS] = {0};
    isb__cdf_source source;
    double flops = 1;
    CHECK_STATUS(isb__m1_write_static(ctx, temp_path("static"), counts), ISB_ERR_EMPTY);
    counts['e'] = 3000;
    counts['x'] = 1000;
    counts[256] = 10;
    for (int twice = 0; twice < 2; ++twice)
        CHECK_OK(ctx, isb__m1_write_static(ctx, temp_path("static"), counts));
    CHECK_EQ(temp_count(temp_path("static")), 1);
    CHECK_OK(ctx, isb__m1_open(ctx, temp_path("static"), 0, &source));
    CHECK_OK(ctx, isb__m1_flops_per_byte(ctx, temp_path("static"), &flops));
    CHECK(flops == 0);
    uint32_t cdf[WIDTH], wanted[WIDTH];
    evaluate_one(ctx, &source, (isb__cdf_request){.restart = 1, .n_cdfs = 1, .cdfs = cdf});
    isb__cdf_from_weights(counts, ISB__N_SYMBOLS, 16, wanted);
    CHECK(memcmp(cdf, wanted, sizeof cdf) == 0);
    source.free(source.self);

    write_config("few", "{\"model_type\": \"isobit-static\", \"counts\": [1, 2]}");
    CHECK_STATUS(isb__m1_open(ctx, temp_path("few"), 0, &source), ISB_ERR_FORMAT);
    CHECK(strstr(isb_context_error(ctx), "257"));
    write_config("none", "{\"model_type\": \"isobit-static\"}");
    CHECK_STATUS(isb__m1_open(ctx, temp_path("none"), 0, &source), ISB_ERR_FORMAT);
    write_config("cut", "{\"model_type\": \"isobit-sta");
    CHECK_STATUS(isb__m1_open(ctx, temp_path("cut"), 0, &source), ISB_ERR_CORRUPT);
    isb_context_free(ctx);
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    temp_dir_begin();
    test_contract(seed);
    test_folders(seed);
    test_broken_model(seed);
    test_static();
    temp_dir_end();
    return check_end();
}
