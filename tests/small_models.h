/* Small models with random weights, for tests of what stands on models. */
#ifndef ISB_TESTS_SMALL_MODELS_H
#define ISB_TESTS_SMALL_MODELS_H

#include "base/io.h"
#include "check.h"
#include "nn/checkpoint.h"

static inline isb_context *small_context(const char *cpu, int n_threads) {
    isb_context_options options;
    isb_context_options_init(&options);
    options.cpu = cpu;
    options.n_threads = n_threads;
    isb_context *ctx = NULL;
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    return ctx;
}

/* Weights large enough that the distributions are far from flat. */
static inline isb_model *small_model(isb_context *ctx, int64_t vocab_size, int64_t context_length,
                                     uint64_t seed) {
    isb_model_config config;
    CHECK_OK(ctx, isb_model_config_init(ctx, "nano", &config));
    config.vocab_size = vocab_size;
    config.hidden_size = 32;
    config.n_heads = 2;
    config.intermediate_size = 48;
    config.context_length = context_length;
    isb_model *model = NULL;
    CHECK_OK(ctx, isb__model_create(ctx, &config, &model));
    isb__model_init_weights(model, seed);
    for (size_t i = 0; i < model->n_floats; ++i) model->data[i] *= 8.0f;
    return model;
}

static inline void small_save(isb_context *ctx, isb_model *model, const char *tokenizer,
                              const char *tokenizer_identity, const char *dir) {
    snprintf(model->tokenizer, sizeof model->tokenizer, "%s", tokenizer);
    snprintf(model->tokenizer_identity, sizeof model->tokenizer_identity, "%s", tokenizer_identity);
    CHECK_OK(ctx, isb__dir_create(ctx, dir));
    CHECK_OK(ctx, isb__model_save(ctx, model, dir));
}

/* An M1 folder. */
static inline void small_m1(isb_context *ctx, uint64_t seed, const char *dir) {
    isb_model *model = small_model(ctx, 257, 32, seed);
    small_save(ctx, model, "bytes", "", dir);
    isb_model_free(model);
}

#endif
