/* config.json, as Hugging Face writes it for Llama, with one section of our own.
 *
 * With rotary positions and silu the file says model_type "llama" and the weights run unchanged
 * in transformers, vLLM and llama.cpp: same tensor names, RMS norm and gated MLP, and queries
 * and keys are rotated in halves (element j with element j + D/2), which is the convention of
 * that form.  Other settings say model_type "isobit", so that nobody runs them as something they
 * are not. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "nn/checkpoint.h"

enum { CONFIG_LIMIT = 1 << 20, FORMAT_VERSION = 1 };

/* ---- writing ---- */

/* Digits after which both reals read back as they were, and no more: 1e-06, not
 * 9.9999999999999995e-07. */
static size_t digits_for(double a, double b) {
    for (int digits = 6; digits < 17; ++digits) {
        char text[2][32];
        snprintf(text[0], sizeof text[0], "%.*g", digits, a);
        snprintf(text[1], sizeof text[1], "%.*g", digits, b);
        if (strtod(text[0], NULL) == a && strtod(text[1], NULL) == b) return (size_t)digits;
    }
    return 17;
}

static json_t *config_object(const isb__config_file *file) {
    const isb_model_config *c = &file->config;
    const int rope = c->position == ISB_POSITION_ROPE, silu = c->activation == ISB_ACTIVATION_SILU;
    const int llama = rope && silu;
    json_t *section = json_pack("{s:i, s:s, s:s, s:s, s:s}", "version", FORMAT_VERSION, "position",
                                rope ? "rope" : "t5", "tokenizer", file->tokenizer,
                                isb__identity_key(file->tokenizer), file->tokenizer_identity,
                                "identity", file->identity);
    if (file->first_byte_id > 0 && section) {
        const json_int_t first = (json_int_t)file->first_byte_id;
        (void)json_object_set_new(section, "raw_bytes",
                                  json_pack("{s:I, s:I, s:I}", "first_byte_id", first,
                                            "tokens_marker", first + 256, "bytes_marker",
                                            first + 257));
    }
    /* clang-format off */
    return json_pack(
        "{s:[s], s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:f, s:f, s:b, s:b, s:b, s:f, "
        "s:I, s:I, s:b, s:s, s:o}",
        "architectures", llama ? "LlamaForCausalLM" : "IsobitForCausalLM",
        "model_type", llama ? "llama" : "isobit",
        "vocab_size", (json_int_t)c->vocab_size,
        "hidden_size", (json_int_t)c->hidden_size,
        "intermediate_size", (json_int_t)c->intermediate_size,
        "num_hidden_layers", (json_int_t)c->n_layers,
        "num_attention_heads", (json_int_t)c->n_heads,
        "num_key_value_heads", (json_int_t)c->n_heads,
        "head_dim", (json_int_t)(c->hidden_size / c->n_heads),
        "max_position_embeddings", (json_int_t)c->context_length,
        "hidden_act", silu ? "silu" : "relu",
        "rms_norm_eps", c->norm_eps,
        "rope_theta", c->rope_theta,
        "tie_word_embeddings", c->tie_embeddings,
        "attention_bias", 0,
        "mlp_bias", 0,
        "initializer_range", 0.02,
        "bos_token_id", (json_int_t)file->boundary,
        "eos_token_id", (json_int_t)file->boundary,
        "use_cache", 1,
        "torch_dtype", "float32",
        "isobit", section);
    /* clang-format on */
}

isb_status isb__config_json_write(isb_context *ctx, const char *path,
                                  const isb__config_file *file) {
    json_t *root = config_object(file);
    const size_t digits = digits_for(file->config.norm_eps, file->config.rope_theta);
    char *text = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(digits)) : NULL;
    json_decref(root);
    if (!text) return isb__fail(ctx, ISB_ERR_NO_MEMORY, "no memory to write %s", path);
    const size_t length = strlen(text);
    text[length] = '\n'; /* in place of the NUL */
    const isb_status status = isb__file_write(ctx, path, text, length + 1);
    free(text);
    return status;
}

/* ---- reading ---- */

typedef struct fields {
    isb_context *ctx;
    const char *path;
    const json_t *object;
} fields;

static isb_status wrong_field(const fields *f, const char *key, const char *expected) {
    const json_t *value = json_object_get(f->object, key);
    char *found = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    const isb_status status = isb__fail(f->ctx, ISB_ERR_FORMAT, "%s: '%s' is %.80s; expected %s",
                                        f->path, key, found ? found : "missing", expected);
    free(found);
    return status;
}

static isb_status get_integer(const fields *f, const char *key, int64_t *value) {
    const json_t *field = json_object_get(f->object, key);
    if (!json_is_integer(field)) return wrong_field(f, key, "a whole number");
    *value = json_integer_value(field);
    return ISB_OK;
}

static isb_status get_real(const fields *f, const char *key, double otherwise, double *value) {
    const json_t *field = json_object_get(f->object, key);
    if (field && !json_is_number(field)) return wrong_field(f, key, "a number");
    *value = field ? json_number_value(field) : otherwise;
    return ISB_OK;
}

static isb_status get_bool(const fields *f, const char *key, int *value) {
    const json_t *field = json_object_get(f->object, key);
    if (field && !json_is_boolean(field)) return wrong_field(f, key, "true or false");
    *value = json_is_true(field);
    return ISB_OK;
}

/* One of two words, as 0 or 1. */
static isb_status get_word(const fields *f, const char *key, const char *zero, const char *one,
                           int *value) {
    const char *text = json_string_value(json_object_get(f->object, key));
    char expected[64];
    snprintf(expected, sizeof expected, "\"%s\" or \"%s\"", zero, one);
    if (!text || (strcmp(text, zero) != 0 && strcmp(text, one) != 0))
        return wrong_field(f, key, expected);
    *value = strcmp(text, one) == 0;
    return ISB_OK;
}

static isb_status get_text(const fields *f, const char *key, char *text, size_t capacity) {
    const json_t *field = json_object_get(f->object, key);
    if (!field) return ISB_OK;
    if (!json_is_string(field) || json_string_length(field) >= capacity)
        return wrong_field(f, key, "a short text");
    memcpy(text, json_string_value(field), json_string_length(field) + 1);
    return ISB_OK;
}

/* Settings that Llama has and isobit has not. */
static isb_status check_unsupported(const fields *f, const isb_model_config *c) {
    int64_t kv_heads = c->n_heads;
    int attention_bias = 0, mlp_bias = 0;
    if (json_object_get(f->object, "num_key_value_heads"))
        ISB_TRY(get_integer(f, "num_key_value_heads", &kv_heads));
    ISB_TRY(get_bool(f, "attention_bias", &attention_bias));
    ISB_TRY(get_bool(f, "mlp_bias", &mlp_bias));
    const json_t *scaling = json_object_get(f->object, "rope_scaling"),
                 *head = json_object_get(f->object, "head_dim");
    const char *what =
        kv_heads != c->n_heads              ? "grouped key/value heads"
        : attention_bias || mlp_bias        ? "biases"
        : scaling && !json_is_null(scaling) ? "rope_scaling"
        : json_is_integer(head) && json_integer_value(head) * c->n_heads != c->hidden_size
            ? "a head_dim other than hidden_size / num_attention_heads"
            : NULL;
    return what ? isb__fail(f->ctx, ISB_ERR_UNSUPPORTED,
                            "%s asks for %s, which isobit's models do not have", f->path, what)
                : ISB_OK;
}

static isb_status read_model_fields(const fields *f, isb_model_config *c) {
    int is_ours, relu;
    ISB_TRY(get_word(f, "model_type", "llama", "isobit", &is_ours));
    ISB_TRY(get_integer(f, "vocab_size", &c->vocab_size));
    ISB_TRY(get_integer(f, "hidden_size", &c->hidden_size));
    ISB_TRY(get_integer(f, "num_hidden_layers", &c->n_layers));
    ISB_TRY(get_integer(f, "num_attention_heads", &c->n_heads));
    ISB_TRY(get_integer(f, "intermediate_size", &c->intermediate_size));
    ISB_TRY(get_integer(f, "max_position_embeddings", &c->context_length));
    ISB_TRY(get_real(f, "rms_norm_eps", 1e-6, &c->norm_eps));
    ISB_TRY(get_real(f, "rope_theta", 10000, &c->rope_theta));
    ISB_TRY(get_bool(f, "tie_word_embeddings", &c->tie_embeddings));
    ISB_TRY(get_word(f, "hidden_act", "silu", "relu", &relu));
    c->activation = relu ? ISB_ACTIVATION_RELU : ISB_ACTIVATION_SILU;
    return check_unsupported(f, c);
}

/* Models of others may have several ends, or none. */
static int64_t read_boundary(const fields *f, const isb_model_config *c) {
    const json_t *id = json_object_get(f->object, "eos_token_id");
    const bool good = json_is_integer(id) && json_integer_value(id) < c->vocab_size;
    return good ? json_integer_value(id) : -1;
}

/* The last 258 ids, if there are any: the markers' places are fixed, and written for others. */
static isb_status read_raw_bytes(const fields *section, isb__config_file *file) {
    const fields f = {section->ctx, section->path, json_object_get(section->object, "raw_bytes")};
    int64_t tokens = 0, bytes = 0;
    if (!f.object) return ISB_OK;
    ISB_TRY(get_integer(&f, "first_byte_id", &file->first_byte_id));
    ISB_TRY(get_integer(&f, "tokens_marker", &tokens));
    ISB_TRY(get_integer(&f, "bytes_marker", &bytes));
    const int64_t first = file->first_byte_id;
    if (first > 0 && first == file->config.vocab_size - 258 && tokens == first + 256 &&
        bytes == first + 257)
        return ISB_OK;
    return isb__fail(f.ctx, ISB_ERR_FORMAT,
                     "%s: raw bytes begin at id %lld with markers %lld and %lld; expected the last "
                     "258 of %lld ids, markers at the end",
                     f.path, (long long)first, (long long)tokens, (long long)bytes,
                     (long long)file->config.vocab_size);
}

/* Absent in models of others: then bytes, and nothing known of M1. */
static isb_status read_section(const fields *root, isb__config_file *file) {
    const fields f = {root->ctx, root->path, json_object_get(root->object, "isobit")};
    if (!f.object) return ISB_OK;
    int64_t version = 0;
    int t5;
    ISB_TRY(get_integer(&f, "version", &version));
    if (version != FORMAT_VERSION) {
        return isb__fail(f.ctx, ISB_ERR_VERSION,
                         "%s: its isobit section has version %lld; this build knows %d", f.path,
                         (long long)version, FORMAT_VERSION);
    }
    ISB_TRY(get_word(&f, "position", "rope", "t5", &t5));
    file->config.position = t5 ? ISB_POSITION_T5 : ISB_POSITION_ROPE;
    ISB_TRY(get_text(&f, "tokenizer", file->tokenizer, sizeof file->tokenizer));
    ISB_TRY(read_raw_bytes(&f, file));
    ISB_TRY(get_text(&f, isb__identity_key(file->tokenizer), file->tokenizer_identity,
                     sizeof file->tokenizer_identity));
    return get_text(&f, "identity", file->identity, sizeof file->identity);
}

isb_status isb__config_json_read(isb_context *ctx, const char *path, isb__config_file *file) {
    *file = (isb__config_file){
        .config = {.struct_size = sizeof file->config}, .tokenizer = "bytes", .boundary = -1};
    uint8_t *text = NULL;
    size_t nbytes = 0;
    ISB_TRY(isb__file_read(ctx, path, CONFIG_LIMIT, &text, &nbytes));
    json_error_t error;
    json_t *root = json_loadb((const char *)text, nbytes, JSON_REJECT_DUPLICATES, &error);
    isb__free(ctx, text);
    if (!root) {
        return isb__fail(ctx, ISB_ERR_CORRUPT, "%s is not whole JSON: %s in line %d", path,
                         error.text, error.line);
    }
    const fields f = {ctx, path, root};
    isb_status status = read_model_fields(&f, &file->config);
    if (status == ISB_OK) status = read_section(&f, file);
    if (status == ISB_OK) file->boundary = read_boundary(&f, &file->config);
    json_decref(root);
    return status;
}
