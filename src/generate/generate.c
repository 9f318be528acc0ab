/* Generation: the engine gives logits, the sampler a token, the tokenizer's stream its bytes.
 *
 *     boundary, [marker of tokens,] prompt's tokens -> engine -> logits -> token -> decoder -> bytes
 *                                    ^                   |
 *                                    +-------------------+
 *
 * The prompt is encoded as a document of its own, so its last window ends where the prompt
 * ends.  Its tokens go through the decoder too: where M1 is not reset at every window, the
 * bytes to come depend on the bytes before. */
#include <isobit/generate.h>

#include <math.h>
#include <string.h>

#include "base/context.h"
#include "data/dataset_raw.h"
#include "data/tokenizer.h"
#include "generate/sampling.h"
#include "nn/engine.h"

enum { DEFAULT_TOKENS = 256 };

typedef struct generation {
    isb_context *ctx;
    const isb_generate_options *options;
    isb_generate_result *result;
    isb_model *model;
    isb__tokenizer *tokenizer;
    isb__token_stream decoder;
    isb__engine *engine;
    isb__sampler *sampler;
    float *logits;   /* [V] after the last token */
    int32_t *prompt; /* boundary, marker, and the prompt's tokens */
    size_t n_prompt, n_lead;
    bool stop; /* the caller's write() or max_nbytes said so */
} generation;

void isb_generate_options_init(isb_generate_options *options) {
    *options = (isb_generate_options){.struct_size = sizeof *options, .temperature = -1};
}

static isb_status check_options(isb_context *ctx, const isb_generate_options *o) {
    if (o->struct_size != sizeof *o) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "isb_generate_options has struct_size %zu, expected %zu: fill it with "
                         "isb_generate_options_init() first",
                         o->struct_size, sizeof *o);
    }
    if (!o->model_dir)
        return isb__fail(ctx, ISB_ERR_ARGUMENT, "model_dir is NULL: give the folder of a model");
    if (!o->prompt && o->prompt_nbytes > 0) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT, "prompt is NULL but prompt_nbytes is %zu",
                         o->prompt_nbytes);
    }
    if (!isfinite(o->temperature))
        return isb__fail(ctx, ISB_ERR_RANGE, "temperature is %g; it must be finite",
                         o->temperature);
    if (!(o->top_p >= 0 && o->top_p <= 1)) {
        return isb__fail(ctx, ISB_ERR_RANGE, "top_p is %g; it must be 0 to 1", o->top_p);
    }
    if (o->top_k < 0)
        return isb__fail(ctx, ISB_ERR_RANGE, "top_k is %lld; it must be 0 or more",
                         (long long)o->top_k);
    return ISB_OK;
}

/* ---- set-up ---- */

static isb_status open_all(generation *g) {
    const isb_generate_options *o = g->options;
    ISB_TRY(isb_model_load(g->ctx, o->model_dir, &g->model));
    ISB_TRY(
        isb__tokenizer_open_for_model(g->ctx, g->model, o->model_dir, o->m1_dir, &g->tokenizer));
    ISB_TRY(isb__token_stream_open(g->tokenizer, &g->decoder));
    ISB_TRY(isb__engine_create(g->ctx, g->model, 1, 0, &g->engine));
    const size_t V = (size_t)g->model->config.vocab_size;
    const isb__sampling sampling = {.temperature = o->temperature < 0 ? 1 : o->temperature,
                                    .top_p = o->top_p == 0 ? 1 : o->top_p,
                                    .top_k = (size_t)o->top_k,
                                    .seed = o->seed};
    ISB_TRY(isb__alloc_array(g->ctx, V, sizeof *g->logits, &g->logits));
    /* Special ids after the boundary have no text: none is ever drawn. */
    return isb__sampler_create(g->ctx, (size_t)g->tokenizer->n_codes + 1, &sampling, &g->sampler);
}

static void close_all(generation *g) {
    isb__sampler_free(g->sampler);
    isb__engine_free(g->engine);
    isb__token_stream_close(&g->decoder);
    isb__tokenizer_free(g->tokenizer);
    isb_model_free(g->model);
    isb__free(g->ctx, g->logits);
    isb__free(g->ctx, g->prompt);
}

static isb_status encode_prompt(generation *g) {
    const isb__bytes_view document = {g->options->prompt, g->options->prompt_nbytes};
    isb__encoded encoded = {0};
    ISB_TRY(isb__tokenizer_encode(g->tokenizer, 1, &document, &encoded, NULL, NULL));
    ISB_TRY(isb__alloc_array(g->ctx, encoded.count + 2, sizeof *g->prompt, &g->prompt));
    const int64_t first_byte_id = g->tokenizer->first_byte_id;
    g->prompt[g->n_prompt++] = (int32_t)g->tokenizer->n_codes;
    if (first_byte_id > 0) g->prompt[g->n_prompt++] = (int32_t)isb__tokens_marker(first_byte_id);
    g->n_lead = g->n_prompt;
    for (size_t i = 0; i < encoded.count; ++i) g->prompt[g->n_prompt++] = (int32_t)encoded.ids[i];
    g->result->n_prompt_tokens = encoded.count;
    return ISB_OK;
}

/* ---- tokens ---- */

static void keep_logits(void *user, size_t request, size_t row, const float *logits) {
    generation *g = user;
    (void)request, (void)row;
    memcpy(g->logits, logits, (size_t)g->model->config.vocab_size * sizeof *logits);
}

static isb_status append(generation *g, const int32_t *tokens, size_t n) {
    const isb__engine_request request = {.tokens = tokens, .n_tokens = n, .n_logits = 1};
    return isb__engine_evaluate(g->engine, 1, &request, keep_logits, g);
}

static isb_status decode(generation *g, int32_t token, const uint8_t **bytes, size_t *nbytes) {
    return isb__token_stream_push(&g->decoder, (uint32_t)token, bytes, nbytes);
}

static isb_status read_prompt(generation *g) {
    ISB_TRY(encode_prompt(g));
    for (size_t i = g->n_lead; i < g->n_prompt; ++i) {
        const uint8_t *bytes = NULL;
        size_t nbytes = 0;
        ISB_TRY(decode(g, g->prompt[i], &bytes, &nbytes));
    }
    return append(g, g->prompt, g->n_prompt);
}

static void emit(generation *g, const uint8_t *bytes, size_t nbytes) {
    const uint64_t limit = g->options->max_nbytes;
    if (limit > 0 && nbytes >= limit - g->result->n_bytes) {
        nbytes = (size_t)(limit - g->result->n_bytes);
        g->stop = true;
    }
    g->result->n_bytes += nbytes;
    if (nbytes > 0 && g->options->write && g->options->write(g->options->write_user, bytes, nbytes))
        g->stop = true;
}

static uint64_t token_limit(const isb_generate_options *o) {
    if (o->max_tokens > 0) return o->max_tokens;
    return o->max_nbytes > 0 ? UINT64_MAX : DEFAULT_TOKENS;
}

static isb_status write_text(generation *g) {
    const int32_t boundary = (int32_t)g->tokenizer->n_codes;
    const uint64_t limit = token_limit(g->options);
    while (!g->stop) {
        const int32_t token = (int32_t)isb__sampler_draw(g->sampler, g->logits,
                                                         g->options->ignore_end ? boundary : -1);
        if (token == boundary) {
            g->result->ended = 1;
            return ISB_OK;
        }
        const uint8_t *bytes = NULL;
        size_t nbytes = 0;
        ISB_TRY(decode(g, token, &bytes, &nbytes));
        g->result->n_tokens += 1;
        emit(g, bytes, nbytes);
        if (g->result->n_tokens == limit || g->stop) return ISB_OK;
        ISB_TRY(append(g, &token, 1));
    }
    return ISB_OK;
}

static isb_status run(generation *g) {
    ISB_TRY(open_all(g));
    ISB_TRY(read_prompt(g));
    const double start_s = isb__now_s();
    const isb_status status = write_text(g);
    isb_generate_result *result = g->result;
    result->seconds = isb__now_s() - start_s;
    result->tokens_per_s = result->seconds > 0 ? (double)result->n_tokens / result->seconds : 0;
    result->bytes_per_s = result->seconds > 0 ? (double)result->n_bytes / result->seconds : 0;
    return status;
}

isb_status isb_generate(isb_context *ctx, const isb_generate_options *options,
                        isb_generate_result *result) {
    isb_generate_result unused;
    if (!ctx || !options) return ISB_ERR_ARGUMENT;
    generation g = {.ctx = ctx, .options = options, .result = result ? result : &unused};
    *g.result = (isb_generate_result){0};
    ISB_TRY(check_options(ctx, options));
    const isb_status status = run(&g);
    close_all(&g);
    return status;
}
