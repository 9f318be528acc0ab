/* Tokenizers: the text and its errors, round trips with an M1 of random weights, models and
 * their M1. */
#include "base/rng.h"
#include "check.h"
#include "data/tokenizer.h"
#include "m1/m1.h"
#include "small_models.h"
#include "temp_dir.h"

static void test_parse(isb_context *ctx) {
    static const char *const cases[][2] = {
        {"bytes", "bytes"},
        {"window", "window:b=16,variant=exact,token=16,reset=1,precision=16"},
        {"window:b=24", "window:b=24,variant=exact,token=8,reset=1,precision=16"},
        {"window:b=8", "window:b=8,variant=exact,token=8,reset=1,precision=16"},
        {"window:b=32,token=1", "window:b=32,variant=exact,token=1,reset=1,precision=16"},
        {"window:precision=12,reset=0,variant=delay,b=128",
         "window:b=128,variant=delay,token=16,reset=0,precision=12"},
        {"window:variant=greedy,token=8,reset=3",
         "window:b=16,variant=greedy,token=8,reset=3,precision=16"},
        {"ac", "ac:token=16,precision=16"},
        {"ac:precision=9,token=1", "ac:token=1,precision=9"},
        {"static-ac:token=8", "static-ac:token=8,precision=16"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        char canonical[ISB__SPEC_NBYTES], again[ISB__SPEC_NBYTES];
        isb__code_params params, same;
        bool is_static;
        CHECK_OK(ctx, isb__tokenizer_parse(ctx, cases[i][0], &params, &is_static, canonical));
        CHECK(strcmp(canonical, cases[i][1]) == 0);
        CHECK_EQ(is_static, strncmp(cases[i][0], "static", 6) == 0);
        CHECK_OK(ctx, isb__tokenizer_parse(ctx, canonical, &same, &is_static, again));
        CHECK(strcmp(canonical, again) == 0);
        CHECK(memcmp(&params, &same, sizeof params) == 0);
    }
}

/* Each error names what is wrong and what is allowed. */
static void test_parse_errors(isb_context *ctx) {
    static const char *const cases[][3] = {
        {"", "\"\"", "window"},
        {"word", "word", "static-ac"},
        {"bytes:b=8", "\"b\"", "no parameters"},
        {"bytes:", "\"\"", "no parameters"},
        {"window:", "\"\"", "precision"},
        {"window:b=16,", "\"\"", "reset"},
        {"window:size=16", "size", "b, variant"},
        {"window:b", "b has no value", "8 to 128"},
        {"window:b=", "b=", "8 to 128"},
        {"window:b=7", "b=7", "8 to 128"},
        {"window:b=129", "b=129", "8 to 128"},
        {"window:b=-16", "b=-16", "8 to 128"},
        {"window:b=99999999999999999999", "b=9999", "8 to 128"},
        {"window:b=16,b=16", "twice", "8 to 128"},
        {"window:variant=lossy", "lossy", "greedy"},
        {"window:variant=exac", "exac", "greedy"},
        {"window:token=4", "token=4", "16, 8 or 1"},
        {"window:b=8,token=16", "16", "8"},
        {"window:reset=x", "reset=x", "never"},
        {"ac:b=16", "\"b\"", "token and precision"},
        {"ac:precision=8", "8", "9 to 16"},
        {"ac:precision=17", "17", "8 to 16"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        char canonical[ISB__SPEC_NBYTES];
        isb__code_params params;
        bool is_static;
        CHECK_STATUS(isb__tokenizer_parse(ctx, cases[i][0], &params, &is_static, canonical),
                     ISB_ERR_ARGUMENT);
        const char *error = isb_context_error(ctx);
        const int good = strstr(error, cases[i][1]) && strstr(error, cases[i][2]);
        if (!good) printf("\"%s\": %s\n", cases[i][0], error);
        CHECK(good);
    }
}

enum { N_DOCUMENTS = 6 };

static void round_trip(isb_context *ctx, const char *spec, const char *m1, uint64_t seed) {
    static const size_t sizes[N_DOCUMENTS] = {0, 1, 700, 33, 256, 90};
    static uint8_t bytes[N_DOCUMENTS][700];
    isb__tokenizer *tokenizer = NULL;
    isb__bytes_view documents[N_DOCUMENTS];
    isb__encoded encoded[N_DOCUMENTS];
    isb__decoded decoded[N_DOCUMENTS];
    isb__ids_view ids[N_DOCUMENTS];
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    CHECK_OK(ctx, isb__tokenizer_open(ctx, spec, m1, &tokenizer));
    for (size_t d = 0; d < N_DOCUMENTS; ++d) {
        for (size_t i = 0; i < sizes[d]; ++i)
            bytes[d][i] = (uint8_t)(isb__rng_u64(&rng) >> (d == 2 ? 62 : 8));
        documents[d] = (isb__bytes_view){bytes[d], sizes[d]};
    }
    CHECK_OK(ctx, isb__codec_encode(tokenizer->codec, N_DOCUMENTS, documents, encoded, NULL, NULL));
    uint32_t *copies[N_DOCUMENTS];
    for (size_t d = 0; d < N_DOCUMENTS; ++d) { /* the codec's memory lasts until its next call */
        copies[d] = calloc(encoded[d].count + 1, sizeof **copies);
        for (size_t i = 0; i < encoded[d].count; ++i) {
            copies[d][i] = encoded[d].ids[i];
            CHECK(copies[d][i] < tokenizer->n_codes);
        }
        ids[d] = (isb__ids_view){copies[d], encoded[d].count};
    }
    CHECK_OK(ctx, isb__codec_decode(tokenizer->codec, N_DOCUMENTS, ids, 0, decoded, NULL, NULL));
    for (size_t d = 0; d < N_DOCUMENTS; ++d) {
        CHECK_EQ(decoded[d].status, ISB_OK);
        CHECK_EQ(decoded[d].nbytes, sizes[d]);
        CHECK(decoded[d].nbytes == sizes[d] && memcmp(decoded[d].bytes, bytes[d], sizes[d]) == 0);
        free(copies[d]);
    }
    isb__tokenizer_free(tokenizer);
}

static void test_round_trips(isb_context *ctx, uint64_t seed) {
    static const char *const specs[] = {"bytes",
                                        "window",
                                        "window:b=24,reset=2",
                                        "window:b=64,variant=delay,reset=0",
                                        "window:b=8,token=1,precision=12",
                                        "ac",
                                        "ac:token=8,precision=12"};
    small_m1(ctx, seed, temp_path("m1"));
    for (size_t i = 0; i < sizeof specs / sizeof *specs; ++i)
        round_trip(ctx, specs[i], temp_path("m1"), seed + i);
    uint64_t counts[257];
    for (uint64_t i = 0; i < 257; ++i) counts[i] = i;
    CHECK_OK(ctx, isb__m1_write_static(ctx, temp_path("static"), counts));
    round_trip(ctx, "static-ac", temp_path("static"), seed);
    round_trip(ctx, "window:b=32", temp_path("static"), seed);
}

static void test_open_errors(isb_context *ctx) {
    isb__tokenizer *tokenizer = NULL;
    CHECK_STATUS(isb__tokenizer_open(ctx, "window", NULL, &tokenizer), ISB_ERR_ARGUMENT);
    CHECK(strstr(isb_context_error(ctx), "needs an M1"));
    CHECK_STATUS(isb__tokenizer_open(ctx, "static-ac", temp_path("m1"), &tokenizer),
                 ISB_ERR_ARGUMENT);
    CHECK(strstr(isb_context_error(ctx), "transformer"));
    CHECK_STATUS(isb__tokenizer_open(ctx, "window", temp_path("nothing"), &tokenizer),
                 ISB_ERR_NOT_FOUND);
    CHECK(tokenizer == NULL);
}

static void test_of_model(isb_context *ctx, uint64_t seed) {
    isb__tokenizer *tokenizer = NULL;
    const char *spec = "window:b=8,variant=exact,token=8,reset=1,precision=16";
    small_m1(ctx, seed + 1, temp_path("other"));
    CHECK_OK(ctx, isb__tokenizer_open(ctx, spec, temp_path("m1"), &tokenizer));
    CHECK_EQ(tokenizer->n_codes, 256);
    CHECK(tokenizer->m1_flops_per_byte > 0);
    isb_model *model = small_model(ctx, 257, 32, seed);
    small_save(ctx, model, spec, tokenizer->identity, temp_path("m2"));
    isb__tokenizer_free(tokenizer);

    CHECK_STATUS(isb__tokenizer_open_for_model(ctx, model, temp_path("m2"), NULL, &tokenizer),
                 ISB_ERR_NOT_FOUND);
    CHECK_OK(ctx, isb__tokenizer_open_for_model(ctx, model, temp_path("m2"), temp_path("m1"),
                                                &tokenizer));
    CHECK(strcmp(tokenizer->spec, spec) == 0);
    isb__tokenizer_free(tokenizer);
    CHECK_STATUS(
        isb__tokenizer_open_for_model(ctx, model, temp_path("m2"), temp_path("other"), &tokenizer),
        ISB_ERR_MISMATCH);
    CHECK(strstr(isb_context_error(ctx), model->tokenizer_identity));
    small_m1(ctx, seed, temp_path("m2/m1"));
    CHECK_OK(ctx, isb__tokenizer_open_for_model(ctx, model, temp_path("m2"), NULL, &tokenizer));
    isb__tokenizer_free(tokenizer);

    snprintf(model->tokenizer, sizeof model->tokenizer, "window:b=16");
    CHECK_STATUS(isb__tokenizer_open_for_model(ctx, model, temp_path("m2"), NULL, &tokenizer),
                 ISB_ERR_SHAPE);
    model->tokenizer[0] = '\0';
    CHECK_STATUS(isb__tokenizer_open_for_model(ctx, model, temp_path("m2"), NULL, &tokenizer),
                 ISB_ERR_FORMAT);
    isb_model_free(model);
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    temp_dir_begin();
    isb_context *ctx = small_context(NULL, 2);
    test_parse(ctx);
    test_parse_errors(ctx);
    test_round_trips(ctx, seed);
    test_open_errors(ctx);
    test_of_model(ctx, seed);
    isb_context_free(ctx);
    temp_dir_end();
    return check_end();
}
