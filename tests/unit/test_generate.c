/* Sampling against what it promises, and generation from models of random weights: seeds,
 * limits, ends. */
#include <isobit/generate.h>

#include <math.h>

#include "base/rng.h"
#include "check.h"
#include "data/tokenizer.h"
#include "generate/sampling.h"
#include "small_models.h"
#include "temp_dir.h"

/* ---- sampling ---- */

enum { V = 50, N_DRAWS = 20000 };

static void draw_many(isb_context *ctx, isb__sampling sampling, const float *logits,
                      ptrdiff_t banned, int counts[V]) {
    isb__sampler *sampler = NULL;
    CHECK_OK(ctx, isb__sampler_create(ctx, V, &sampling, &sampler));
    memset(counts, 0, V * sizeof *counts);
    for (int i = 0; i < N_DRAWS; ++i) {
        const size_t id = isb__sampler_draw(sampler, logits, banned);
        CHECK_FATAL(id < V);
        ++counts[id];
    }
    isb__sampler_free(sampler);
}

/* Exactly the tokens of `kept` (with their relative probabilities) are drawn, each as often as
 * it should be, within five standard deviations. */
static void check_counts(const int counts[V], const double p[V], const int kept[V]) {
    double sum = 0;
    int n_wrong = 0;
    for (int i = 0; i < V; ++i) sum += kept[i] ? p[i] : 0;
    for (int i = 0; i < V; ++i) {
        const double mean = kept[i] ? N_DRAWS * p[i] / sum : 0;
        if (fabs(counts[i] - mean) > 5 * sqrt(mean) + (kept[i] ? 1 : 0)) ++n_wrong;
    }
    CHECK_EQ(n_wrong, 0);
}

/* Keeps the k most probable, then of these the fewest that have top_p of their sum, by sorting. */
static void choose_kept(const double p[V], int k, double top_p, ptrdiff_t banned, int kept[V]) {
    int order[V], n = 0;
    for (int i = 0; i < V; ++i) {
        kept[i] = 0;
        if (i == banned) continue;
        int at = n++;
        for (; at > 0 && p[order[at - 1]] < p[i]; --at) order[at] = order[at - 1];
        order[at] = i;
    }
    if (k > 0 && k < n) n = k;
    double sum = 0, part = 0;
    for (int i = 0; i < n; ++i) sum += p[order[i]];
    for (int i = 0; i < n && (i == 0 || part < top_p * sum); ++i) {
        kept[order[i]] = 1;
        part += p[order[i]];
    }
}

static void test_sampling(isb_context *ctx, uint64_t seed) {
    static const struct {
        double temperature, top_p;
        size_t top_k;
        ptrdiff_t banned;
    } cases[] = {
        {1, 1, 0, -1}, {0.5, 1, 0, -1}, {3, 1, 0, 7},     {1, 0.9, 0, -1}, {1, 0.3, 0, 7},
        {1, 1, 5, -1}, {2, 0.7, 8, -1}, {1, 1e-9, 0, -1}, {1, 1, 1, 7},    {1, 1, V + 5, -1},
    };
    float logits[V];
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    for (int i = 0; i < V; ++i) logits[i] = (float)(2 * isb__rng_normal(&rng));
    logits[7] = 6.0f; /* would be drawn most, were it not banned */
    for (size_t c = 0; c < sizeof cases / sizeof *cases; ++c) {
        double p[V];
        int kept[V], counts[V], again[V];
        const isb__sampling sampling = {cases[c].temperature, cases[c].top_p, cases[c].top_k, seed};
        for (int i = 0; i < V; ++i) p[i] = exp((double)logits[i] / cases[c].temperature);
        choose_kept(p, (int)cases[c].top_k, cases[c].top_p, cases[c].banned, kept);
        draw_many(ctx, sampling, logits, cases[c].banned, counts);
        check_counts(counts, p, kept);
        draw_many(ctx, sampling, logits, cases[c].banned, again);
        CHECK(memcmp(counts, again, sizeof counts) == 0);
    }
    int counts[V];
    draw_many(ctx, (isb__sampling){0, 1, 0, seed}, logits, -1, counts);
    CHECK_EQ(counts[7], N_DRAWS);
    draw_many(ctx, (isb__sampling){1e-30, 0.9, 0, seed}, logits, -1,
              counts); /* no NaN from 0 * inf */
    CHECK_EQ(counts[7], N_DRAWS);
    float equal[V] = {0};
    draw_many(ctx, (isb__sampling){0, 1, 0, seed}, equal, 0, counts);
    CHECK_EQ(counts[1], N_DRAWS);
}

/* ---- generation ---- */

typedef struct collected {
    uint8_t bytes[8192];
    size_t nbytes;
    int n_calls, stop_after; /* calls; 0: never */
} collected;

static int collect(void *user, const uint8_t *bytes, size_t nbytes) {
    collected *c = user;
    CHECK_FATAL(c->nbytes + nbytes <= sizeof c->bytes && nbytes > 0);
    memcpy(c->bytes + c->nbytes, bytes, nbytes);
    c->nbytes += nbytes;
    return ++c->n_calls == c->stop_after;
}

static isb_generate_result generate(isb_context *ctx, isb_generate_options *options,
                                    collected *text) {
    isb_generate_result result;
    const int stop_after = text->stop_after;
    *text = (collected){.stop_after = stop_after};
    options->write = collect;
    options->write_user = text;
    CHECK_OK(ctx, isb_generate(ctx, options, &result));
    CHECK_EQ(result.n_bytes, text->nbytes);
    return result;
}

static void make_m2(isb_context *ctx, const char *spec, const char *m1, const char *dir,
                    uint64_t seed) {
    isb__tokenizer *tokenizer = NULL;
    CHECK_OK(ctx, isb__tokenizer_open(ctx, spec, m1, &tokenizer));
    isb_model *model = small_model(ctx, tokenizer->n_codes + 1, 24, seed);
    small_save(ctx, model, tokenizer->spec, tokenizer->identity, dir);
    isb_model_free(model);
    isb__tokenizer_free(tokenizer);
}

static int same_text(const collected *a, const collected *b) {
    return a->nbytes == b->nbytes && memcmp(a->bytes, b->bytes, a->nbytes) == 0;
}

/* The seed decides, and nothing else: not the tier, the threads, or how the prompt's length
 * compares with the context. */
static void test_seeds(isb_context *ctx, const char *dir, const char *m1, size_t bytes_per_call) {
    static collected first, other;
    first.stop_after = other.stop_after = 0;
    isb_generate_options options;
    isb_generate_options_init(&options);
    options.model_dir = dir;
    options.m1_dir = m1;
    options.max_tokens = 40;
    options.ignore_end = 1;
    options.seed = 5;
    options.prompt =
        (const uint8_t *)"A prompt that is longer than the context of twenty-four positions.";
    options.prompt_nbytes = strlen((const char *)options.prompt);
    isb_generate_result result = generate(ctx, &options, &first);
    CHECK_EQ(result.n_tokens, 40);
    CHECK_EQ(result.ended, 0);
    CHECK(result.n_prompt_tokens > 0 && first.nbytes > 0);
    if (bytes_per_call > 0) CHECK_EQ(first.nbytes, bytes_per_call * 40);
    isb_context *plain = small_context("ref", 1);
    generate(plain, &options, &other);
    CHECK(same_text(&first, &other));
    isb_context_free(plain);
    options.seed = 6;
    generate(ctx, &options, &other);
    CHECK(!same_text(&first, &other));
    options.temperature = 0;
    generate(ctx, &options, &first);
    options.seed = 7;
    generate(ctx, &options, &other);
    CHECK(same_text(&first, &other)); /* greedy needs no seed */
    options.prompt_nbytes = 0;
    options.temperature = 1;
    result = generate(ctx, &options, &first);
    CHECK_EQ(result.n_prompt_tokens, 0);
    CHECK_EQ(result.n_tokens, 40);
    options.max_nbytes = 7;
    options.max_tokens = 0;
    result = generate(ctx, &options, &other);
    CHECK_EQ(other.nbytes, 7);
    CHECK(memcmp(first.bytes, other.bytes, 7) == 0);
    options.max_nbytes = 0;
    other.stop_after = 2;
    result = generate(ctx, &options, &other);
    CHECK_EQ(other.n_calls, 2);
    CHECK(result.n_tokens < 256);
}

/* A model that likes the boundary best ends at once, unless told to go on. */
static void test_end(isb_context *ctx, uint64_t seed) {
    static collected text;
    isb_model *model = small_model(ctx, 257, 24, seed);
    const size_t C = (size_t)model->config.hidden_size;
    for (size_t i = 0; i < C; ++i) model->params.embed[256 * C + i] = 50.0f;
    for (size_t i = 0; i < C; ++i) model->params.norm[i] = 1.0f;
    small_save(ctx, model, "bytes", "", temp_path("ending"));
    isb_model_free(model);
    isb_generate_options options;
    isb_generate_options_init(&options);
    options.model_dir = temp_path("ending");
    options.temperature = 0;
    isb_generate_result result = generate(ctx, &options, &text);
    CHECK_EQ(result.ended, 1);
    CHECK_EQ(result.n_tokens, 0);
    CHECK_EQ(text.nbytes, 0);
    options.ignore_end = 1;
    result = generate(ctx, &options, &text);
    CHECK_EQ(result.ended, 0);
    CHECK_EQ(result.n_tokens, 256);
    CHECK_EQ(text.nbytes, 256);
}

static void test_errors(isb_context *ctx, uint64_t seed) {
    isb_generate_options options;
    isb_generate_result result;
    isb_generate_options_init(&options);
    CHECK_STATUS(isb_generate(ctx, &options, &result), ISB_ERR_ARGUMENT);
    options.model_dir = temp_path("nothing");
    CHECK_STATUS(isb_generate(ctx, &options, &result), ISB_ERR_NOT_FOUND);
    options.top_p = 1.5;
    CHECK_STATUS(isb_generate(ctx, &options, &result), ISB_ERR_RANGE);
    options.top_p = 0;
    options.temperature = (double)NAN;
    CHECK_STATUS(isb_generate(ctx, &options, &result), ISB_ERR_RANGE);
    options.temperature = 1;
    options.top_k = -1;
    CHECK_STATUS(isb_generate(ctx, &options, &result), ISB_ERR_RANGE);
    options.top_k = 0;
    options.struct_size = 8;
    CHECK_STATUS(isb_generate(ctx, &options, &result), ISB_ERR_ARGUMENT);
    isb_generate_options_init(&options);
    make_m2(ctx, "ac:token=8", temp_path("m1"), temp_path("of-ac"), seed);
    options.model_dir = temp_path("of-ac");
    options.m1_dir = temp_path("m1");
    CHECK_STATUS(isb_generate(ctx, &options, &result), ISB_ERR_UNSUPPORTED);
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    temp_dir_begin();
    isb_context *ctx = small_context(NULL, 3);
    test_sampling(ctx, seed);
    small_m1(ctx, seed, temp_path("m1"));
    make_m2(ctx, "bytes", NULL, temp_path("of-bytes"), seed);
    test_seeds(ctx, temp_path("of-bytes"), NULL, 1);
    make_m2(ctx, "window:b=16,token=8", temp_path("m1"), temp_path("of-windows"), seed);
    test_seeds(ctx, temp_path("of-windows"), temp_path("m1"), 0);
    make_m2(ctx, "window:b=32,token=8,reset=0", temp_path("m1"), temp_path("of-text"), seed);
    test_seeds(ctx, temp_path("of-text"), temp_path("m1"), 0);
    test_end(ctx, seed);
    test_errors(ctx, seed);
    isb_context_free(ctx);
    temp_dir_end();
    return check_end();
}
