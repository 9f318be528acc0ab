/* M1: logits become integer CDFs by a fixed sequence of exact operations.
 *
 *     e_x = exp(logit_x - largest logit)     ops->exp; the largest is exactly 1
 *     w_x = floor(2^32 e_x)                  the multiplication by a power of two is exact
 *     cdf = isb__cdf_from_weights(w)         integers
 *
 * A stream begins with the document boundary (id 256), so the CDF of an empty context is the
 * model's output at position 0 and byte i stands at position i + 1. */
#include "data/m1.h"

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/path.h"
#include "kernels/ops.h"
#include "nn/checkpoint.h"
#include "nn/engine.h"

enum { DEFAULT_STREAMS = 64, BOUNDARY = ISB__END, CONFIG_LIMIT_NBYTES = 1 << 20 };
static const char STATIC_TYPE[] = "isobit-static";

typedef struct m1_source {
    isb_context *ctx;
    const isb__ops *ops;
    isb_model *owned; /* NULL if the model is borrowed */
    isb__engine *engine;
    isb__engine_request *requests; /* [n_streams] */
    int32_t *tokens;               /* of all requests of a call */
    size_t tokens_capacity;
    const isb__cdf_request *current;
} m1_source;

static void logits_to_cdf(const isb__ops *ops, const float *logits, uint32_t *cdf) {
    float e[ISB__N_SYMBOLS];
    uint64_t weights[ISB__N_SYMBOLS], any = 0;
    const float most = ops->max(ISB__N_SYMBOLS, logits);
    for (int x = 0; x < ISB__N_SYMBOLS; ++x) e[x] = logits[x] - most;
    ops->exp(ISB__N_SYMBOLS, e, e);
    for (int x = 0; x < ISB__N_SYMBOLS; ++x) {
        weights[x] =
            e[x] >= 0.0f && e[x] <= 1.0f ? (uint64_t)(e[x] * 0x1p32f) : 0; /* 0 for a NaN */
        any |= weights[x];
    }
    if (any == 0) weights[0] = 1; /* all NaN: a broken model still makes a code */
    isb__cdf_from_weights(weights, ISB__N_SYMBOLS, ISB__CDF_PRECISION, cdf);
}

static void cdf_sink(void *user, size_t request, size_t row, const float *logits) {
    const m1_source *m1 = user;
    logits_to_cdf(m1->ops, logits, m1->current[request].cdfs + row * (ISB__N_SYMBOLS + 1));
}

/* An empty stream takes the boundary first. */
static bool begins(const m1_source *m1, const isb__cdf_request *request) {
    return request->restart || isb__engine_position(m1->engine, request->stream) == 0;
}

static isb_status m1_evaluate(void *self, size_t worker, size_t n,
                              const isb__cdf_request *requests) {
    m1_source *m1 = self;
    (void)worker;
    size_t n_tokens = 0, used = 0;
    for (size_t i = 0; i < n; ++i) n_tokens += requests[i].n_bytes + 1;
    ISB_TRY(
        isb__grow_array(m1->ctx, n_tokens, sizeof *m1->tokens, &m1->tokens_capacity, &m1->tokens));
    for (size_t i = 0; i < n; ++i) {
        const isb__cdf_request *from = &requests[i];
        isb__engine_request *to = &m1->requests[i];
        *to =
            (isb__engine_request){from->stream, from->restart, m1->tokens + used, 0, from->n_cdfs};
        if (begins(m1, from)) m1->tokens[used + to->n_tokens++] = BOUNDARY;
        for (size_t j = 0; j < from->n_bytes; ++j)
            m1->tokens[used + to->n_tokens++] = from->bytes[j];
        used += to->n_tokens;
    }
    m1->current = requests;
    return isb__engine_evaluate(m1->engine, n, m1->requests, cdf_sink, m1);
}

static isb_status m1_rewind(void *self, size_t stream, size_t n) {
    m1_source *m1 = self;
    const size_t position = isb__engine_position(m1->engine, stream),
                 n_bytes = position > 0 ? position - 1 : 0;
    if (n > n_bytes) {
        return isb__fail(m1->ctx, ISB_ERR_RANGE, "cannot rewind an M1 stream of %zu bytes by %zu",
                         n_bytes, n);
    }
    return isb__engine_rewind(m1->engine, stream, n);
}

static void m1_free(void *self) {
    m1_source *m1 = self;
    if (!m1) return;
    isb__engine_free(m1->engine);
    isb_model_free(m1->owned);
    isb__free(m1->ctx, m1->requests);
    isb__free(m1->ctx, m1->tokens);
    isb__free(m1->ctx, m1);
}

/* The first text names the rules above: they change, it changes. */
static isb_status m1_identity(isb_context *ctx, const isb_model *model, isb__id128 *identity) {
    static const char rules[] = "isobit-m1-1";
    const isb__id128 weights = isb__model_identity(model);
    uint8_t parameters[9] = {ISB__CDF_PRECISION};
    for (int i = 0; i < 8; ++i)
        parameters[1 + i] = (uint8_t)((uint64_t)model->config.context_length >> 8 * i);
    isb__hasher *hasher = isb__hasher_create();
    if (!hasher) return isb__fail(ctx, ISB_ERR_NO_MEMORY, "no memory for the identity of an M1");
    isb__hasher_update(hasher, rules, sizeof rules);
    isb__hasher_update(hasher, weights.bytes, sizeof weights.bytes);
    isb__hasher_update(hasher, parameters, sizeof parameters);
    *identity = isb__hasher_finish(hasher);
    return ISB_OK;
}

static isb_status check_is_byte_model(isb_context *ctx, const isb_model *model) {
    if (model->config.vocab_size == ISB__N_SYMBOLS && strcmp(model->tokenizer, "bytes") == 0)
        return ISB_OK;
    if (model->config.vocab_size == ISB__N_SYMBOLS && model->tokenizer[0] == '\0') return ISB_OK;
    return isb__fail(
        ctx, ISB_ERR_SHAPE,
        "an M1 models bytes: tokenizer \"bytes\" and %d ids; this model has tokenizer \"%s\" "
        "and %lld ids; train one with the tokenizer bytes",
        ISB__N_SYMBOLS, model->tokenizer, (long long)model->config.vocab_size);
}

isb_status isb__m1_from_model(isb_context *ctx, const isb_model *model, size_t n_streams,
                              isb__cdf_source *source) {
    isb_status status = ISB_OK;
    isb__id128 identity;
    m1_source *m1 = NULL;
    if (n_streams == 0) n_streams = DEFAULT_STREAMS;
    ISB_TRY(check_is_byte_model(ctx, model));
    ISB_TRY(m1_identity(ctx, model, &identity));
    ISB_TRY(isb__alloc(ctx, sizeof *m1, &m1));
    m1->ctx = ctx;
    m1->ops = isb__ops_for(ctx->cpu);
    ISB_TRY_GOTO(isb__alloc_array(ctx, n_streams, sizeof *m1->requests, &m1->requests));
    ISB_TRY_GOTO(isb__engine_create(ctx, model, n_streams, 0, &m1->engine));
    *source = (isb__cdf_source){.self = m1,
                                .n_symbols = ISB__N_SYMBOLS,
                                .precision_nbits = ISB__CDF_PRECISION,
                                .max_streams = n_streams,
                                .n_workers = 1,
                                .identity = identity,
                                .evaluate = m1_evaluate,
                                .rewind = m1_rewind,
                                .free = m1_free};
    return ISB_OK;
fail:
    m1_free(m1);
    return status;
}

/* ---- folders ---- */

/* [257] whole numbers whose sum a CDF can be made of. */
static isb_status read_counts(isb_context *ctx, const char *path, const json_t *root,
                              uint64_t *counts) {
    const json_t *array = json_object_get(root, "counts");
    uint64_t sum = 0;
    if (!json_is_array(array) || json_array_size(array) != ISB__N_SYMBOLS) {
        return isb__fail(ctx, ISB_ERR_FORMAT, "%s: \"counts\" must be an array of %d whole numbers",
                         path, ISB__N_SYMBOLS);
    }
    for (size_t x = 0; x < ISB__N_SYMBOLS; ++x) {
        const json_t *value = json_array_get(array, x);
        const json_int_t count = json_integer_value(value);
        if (!json_is_integer(value) || count < 0 || (uint64_t)count >= (UINT64_C(1) << 48) - sum) {
            return isb__fail(
                ctx, ISB_ERR_FORMAT,
                "%s: count %zu must be a whole number from 0, and all together below 2^48", path,
                x);
        }
        counts[x] = (uint64_t)count;
        sum += counts[x];
    }
    if (sum == 0) return isb__fail(ctx, ISB_ERR_EMPTY, "%s: all counts are 0", path);
    return ISB_OK;
}

/* *is_static: the folder's config.json says that it holds counts, which are then read.  A file
 * that is missing or damaged is left to the loader of models, which says so. */
static isb_status read_static(isb_context *ctx, const char *dir, bool *is_static,
                              uint64_t *counts) {
    char *path = NULL;
    uint8_t *text = NULL;
    size_t nbytes = 0;
    *is_static = false;
    ISB_TRY(isb__path_join(ctx, dir, "config.json", &path));
    isb_status status = ISB_OK;
    if (isb__path_exists(path))
        status = isb__file_read(ctx, path, CONFIG_LIMIT_NBYTES, &text, &nbytes);
    json_t *root = text ? json_loadb((const char *)text, nbytes, 0, NULL) : NULL;
    const char *type = json_string_value(json_object_get(root, "model_type"));
    if (type && strcmp(type, STATIC_TYPE) == 0) {
        *is_static = true;
        status = read_counts(ctx, path, root, counts);
    }
    json_decref(root);
    isb__free(ctx, text);
    isb__free(ctx, path);
    return status;
}

isb_status isb__m1_open(isb_context *ctx, const char *dir, size_t n_streams,
                        isb__cdf_source *source) {
    uint64_t counts[ISB__N_SYMBOLS];
    bool is_static;
    isb_model *model = NULL;
    ISB_TRY(read_static(ctx, dir, &is_static, counts));
    if (is_static) return isb__cdf_source_static(ctx, counts, source);
    ISB_TRY(isb_model_load(ctx, dir, &model));
    const isb_status status = isb__m1_from_model(ctx, model, n_streams, source);
    if (status != ISB_OK)
        isb_model_free(model);
    else
        ((m1_source *)source->self)->owned = model;
    return status;
}

isb_status isb__m1_flops_per_byte(isb_context *ctx, const char *dir, double *flops) {
    uint64_t counts[ISB__N_SYMBOLS];
    bool is_static;
    char *path = NULL;
    isb__config_file file;
    *flops = 0;
    ISB_TRY(read_static(ctx, dir, &is_static, counts));
    if (is_static) return ISB_OK;
    ISB_TRY(isb__path_join(ctx, dir, "config.json", &path));
    const isb_status status = isb__config_json_read(ctx, path, &file);
    isb__free(ctx, path);
    if (status == ISB_OK) *flops = 2.0 * (double)isb__model_count(&file.config, 0);
    return status;
}

static char *static_text(const uint64_t *counts) {
    json_t *array = json_array();
    for (size_t x = 0; x < ISB__N_SYMBOLS; ++x)
        json_array_append_new(array, json_integer((json_int_t)counts[x]));
    json_t *root = json_pack("{s:s, s:i, s:o}", "model_type", STATIC_TYPE, "vocab_size",
                             ISB__N_SYMBOLS, "counts", array);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

static isb_status write_static_config(isb_context *ctx, const char *dir, const uint64_t *counts) {
    char *path = NULL, *text = static_text(counts);
    isb_status status =
        text ? ISB_OK
             : isb__fail(ctx, ISB_ERR_NO_MEMORY, "no memory to write the static M1 %s", dir);
    if (status == ISB_OK) status = isb__dir_create(ctx, dir);
    if (status == ISB_OK) status = isb__path_join(ctx, dir, "config.json", &path);
    if (status == ISB_OK) status = isb__file_write(ctx, path, text, strlen(text));
    isb__free(ctx, path);
    free(text);
    return status;
}

isb_status isb__m1_write_static(isb_context *ctx, const char *dir, const uint64_t *counts) {
    uint64_t sum = 0;
    for (size_t x = 0; x < ISB__N_SYMBOLS; ++x) sum += counts[x];
    if (sum == 0)
        return isb__fail(ctx, ISB_ERR_EMPTY, "a static M1 needs a corpus with at least one byte");
    char *temporary = NULL;
    ISB_TRY(isb__path_temporary(ctx, dir, &temporary));
    isb_status status = isb__dir_remove(ctx, temporary);
    if (status == ISB_OK) status = write_static_config(ctx, temporary, counts);
    if (status == ISB_OK) status = isb__dir_commit(ctx, temporary, dir);
    isb__free(ctx, temporary);
    return status;
}
