/* Tokenizers by name: a short text is parsed against one table of parameters, an M1 is opened,
 * and a codec made of both; or the text names a codebook, or ids of another program. */
#include "data/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "data/dataset_raw.h"
#include "m1/m1_device.h"

/* ---- the text ---- */

static const char *const kind_names[] = {"bytes", "window", "ac", "static-ac"};
enum { KIND_BYTES, KIND_WINDOW, KIND_AC, KIND_STATIC_AC, N_KINDS };

static const char *const variant_names[] = {
    [ISB__EXACT] = "exact", [ISB__GREEDY] = "greedy", [ISB__DELAY] = "delay"};
enum { N_VARIANTS = sizeof variant_names / sizeof *variant_names };

enum { KEY_B, KEY_VARIANT, KEY_TOKEN, KEY_RESET, KEY_PRECISION, N_KEYS };
static const struct {
    const char *name, *allowed;
    int low, high; /* high 0: not a number */
    bool of_ac;
} keys[N_KEYS] = {
    [KEY_B] = {"b", "8 to 128 bits a window", 8, 128, false},
    [KEY_VARIANT] = {"variant", "exact, greedy or delay", 0, 0, false},
    [KEY_TOKEN] = {"token", "16, 8 or 1 bits, no more than a window has", 1, 16, true},
    [KEY_RESET] = {"reset", "0 (never) or after how many windows M1 is reset, up to 1000000", 0,
                   1000000, false},
    [KEY_PRECISION] = {"precision", "8 to 16 bits; for ac 9 to 16", 8, 16, true},
};

typedef struct parser {
    isb_context *ctx;
    const char *spec;
    int kind;
    int values[N_KEYS];
    bool given[N_KEYS];
} parser;

static isb_status parse_kind(parser *p, size_t length) {
    for (p->kind = 0; p->kind < N_KINDS; ++p->kind) {
        if (strlen(kind_names[p->kind]) == length &&
            memcmp(kind_names[p->kind], p->spec, length) == 0)
            return ISB_OK;
    }
    return isb__fail(
        p->ctx, ISB_ERR_ARGUMENT,
        "tokenizer \"%s\": \"%.*s\" is not known; allowed are codebook, bytes, window, "
        "ac, static-ac, external, and a file *%s",
        p->spec, (int)length, p->spec, ISB__CODEBOOK_SUFFIX);
}

static bool key_allowed(const parser *p, int key) {
    return p->kind == KIND_WINDOW || (p->kind != KIND_BYTES && keys[key].of_ac);
}

static isb_status parse_key(const parser *p, const char *text, size_t length, int *key) {
    for (*key = 0; *key < N_KEYS; ++*key) {
        if (key_allowed(p, *key) && strlen(keys[*key].name) == length &&
            memcmp(keys[*key].name, text, length) == 0) {
            return ISB_OK;
        }
    }
    const char *allowed = p->kind == KIND_WINDOW
                              ? "allowed are b, variant, token, reset and precision"
                          : p->kind == KIND_BYTES ? "bytes has no parameters"
                                                  : "allowed are token and precision";
    return isb__fail(p->ctx, ISB_ERR_ARGUMENT,
                     "tokenizer \"%s\": \"%.*s\" is not a parameter of %s; %s", p->spec,
                     (int)length, text, kind_names[p->kind], allowed);
}

static isb_status bad_value(const parser *p, int key, const char *text, size_t length) {
    return isb__fail(p->ctx, ISB_ERR_ARGUMENT,
                     "tokenizer \"%s\": %s=%.*s is not allowed; expected %s", p->spec,
                     keys[key].name, (int)length, text, keys[key].allowed);
}

static isb_status parse_value(parser *p, int key, const char *text, size_t length) {
    int value = 0;
    if (key == KEY_VARIANT) {
        for (value = 0; value < N_VARIANTS; ++value) {
            if (strlen(variant_names[value]) == length &&
                memcmp(variant_names[value], text, length) == 0)
                break;
        }
        if (value == N_VARIANTS) return bad_value(p, key, text, length);
    } else {
        for (size_t i = 0; i < length; ++i) {
            if (text[i] < '0' || text[i] > '9' || value > keys[key].high)
                return bad_value(p, key, text, length);
            value = 10 * value + (text[i] - '0');
        }
        if (length == 0 || value < keys[key].low || value > keys[key].high)
            return bad_value(p, key, text, length);
        if (key == KEY_TOKEN && value != 1 && value != 8 && value != 16)
            return bad_value(p, key, text, length);
    }
    p->values[key] = value;
    return ISB_OK;
}

/* "key=value,key=value" */
static isb_status parse_pairs(parser *p, const char *text) {
    for (;;) {
        const size_t length = strcspn(text, ",");
        const char *equals = memchr(text, '=', length);
        int key;
        ISB_TRY(parse_key(p, text, equals ? (size_t)(equals - text) : length, &key));
        if (!equals || p->given[key]) {
            return isb__fail(p->ctx, ISB_ERR_ARGUMENT, "tokenizer \"%s\": %s %s; expected %s",
                             p->spec, keys[key].name, equals ? "is given twice" : "has no value",
                             keys[key].allowed);
        }
        ISB_TRY(parse_value(p, key, equals + 1, length - (size_t)(equals + 1 - text)));
        p->given[key] = true;
        if (text[length] == '\0') return ISB_OK;
        text += length + 1;
    }
}

static void fill_params(const parser *p, isb__code_params *params) {
    static const isb__code_kind kinds[] = {ISB__CODE_BYTES, ISB__CODE_EQUAL_INFO, ISB__CODE_AC,
                                           ISB__CODE_AC};
    isb__code_params_init(params, kinds[p->kind]);
    params->window_nbits = p->given[KEY_B] ? p->values[KEY_B] : 16;
    params->variant =
        (isb__window_variant)(p->given[KEY_VARIANT] ? p->values[KEY_VARIANT] : ISB__EXACT);
    params->reset_windows = p->given[KEY_RESET] ? p->values[KEY_RESET] : 1;
    params->precision_nbits =
        p->given[KEY_PRECISION] ? p->values[KEY_PRECISION] : ISB__CDF_PRECISION;
    params->token_nbits = p->kind == KIND_WINDOW && params->window_nbits % 16 != 0 ? 8 : 16;
    if (p->given[KEY_TOKEN]) params->token_nbits = p->values[KEY_TOKEN];
}

static void write_canonical(const parser *p, const isb__code_params *params, char *text) {
    size_t used = (size_t)snprintf(text, ISB__SPEC_NBYTES, "%s", kind_names[p->kind]);
    const int values[N_KEYS] = {[KEY_B] = params->window_nbits,
                                [KEY_TOKEN] = params->token_nbits,
                                [KEY_RESET] = params->reset_windows,
                                [KEY_PRECISION] = params->precision_nbits};
    char separator = ':';
    for (int key = 0; key < N_KEYS; ++key) {
        if (!key_allowed(p, key)) continue;
        char *to = text + used;
        const size_t room = ISB__SPEC_NBYTES - used;
        used +=
            (size_t)(key == KEY_VARIANT
                         ? snprintf(to, room, "%c%s=%s", separator, keys[key].name,
                                    variant_names[params->variant])
                         : snprintf(to, room, "%c%s=%d", separator, keys[key].name, values[key]));
        separator = ',';
    }
}

isb_status isb__tokenizer_parse(isb_context *ctx, const char *spec, isb__code_params *params,
                                bool *is_static, char *canonical) {
    parser p = {.ctx = ctx, .spec = spec};
    const size_t length = strcspn(spec, ":");
    ISB_TRY(parse_kind(&p, length));
    if (spec[length] == ':') ISB_TRY(parse_pairs(&p, spec + length + 1));
    fill_params(&p, params);
    if (isb__code_params_check(ctx, params) != ISB_OK) {
        char why[ISB__SPEC_NBYTES]; /* the error's text is about to be written over */
        snprintf(why, sizeof why, "%s", isb_context_error(ctx));
        return isb__fail(ctx, ISB_ERR_ARGUMENT, "tokenizer \"%s\": %s", spec, why);
    }
    *is_static = p.kind == KIND_STATIC_AC;
    write_canonical(&p, params, canonical);
    return ISB_OK;
}

/* ---- codes ---- */

static isb_status open_m1(isb__tokenizer *t, const char *m1_dir, bool needs_static,
                          isb__cdf_source *source) {
    if (!m1_dir) {
        return isb__fail(t->ctx, ISB_ERR_ARGUMENT, "tokenizer \"%s\" needs %s: give its folder",
                         t->spec, needs_static ? "a static M1" : "an M1");
    }
    ISB_TRY(isb__strdup(t->ctx, m1_dir, &t->m1_dir));
    ISB_TRY(isb__m1_flops_per_byte(t->ctx, m1_dir, &t->m1_flops_per_byte));
    if (needs_static && t->m1_flops_per_byte > 0) {
        return isb__fail(
            t->ctx, ISB_ERR_ARGUMENT,
            "tokenizer \"%s\" needs a static M1, and %s holds a transformer; use ac, or "
            "make a static M1 of byte counts",
            t->spec, m1_dir);
    }
    ISB_TRY(isb__m1_open_on(t->ctx, NULL, m1_dir, 0, source));
    isb__id128_hex(&source->identity, t->identity);
    return ISB_OK;
}

static isb_status open_codec(isb__tokenizer *t, const char *spec, const char *m1_dir) {
    isb__code_params params;
    isb__cdf_source source = {.self = NULL};
    bool is_static;
    ISB_TRY(isb__tokenizer_parse(t->ctx, spec, &params, &is_static, t->spec));
    const bool has_m1 = params.kind != ISB__CODE_BYTES;
    if (has_m1) ISB_TRY(open_m1(t, m1_dir, is_static, &source));
    const isb_status status =
        isb__codec_create(t->ctx, &params, has_m1 ? &source : NULL, &t->codec);
    if (status != ISB_OK) {
        if (source.free) source.free(source.self);
        return status;
    }
    t->n_codes = isb__codec_n_codes(t->codec);
    t->n_ids = t->n_codes + 1;
    return ISB_OK;
}

/* ---- codebooks ---- */

static bool ends_with(const char *text, const char *suffix) {
    const size_t n = strlen(text), m = strlen(suffix);
    return n > m && strcmp(text + n - m, suffix) == 0;
}

bool isb__spec_is_codebook(const char *spec) {
    return strcmp(spec, "codebook") == 0 || strncmp(spec, "codebook:", 9) == 0 ||
           ends_with(spec, ISB__CODEBOOK_SUFFIX);
}

static isb_status open_codebook(isb__tokenizer *t, const char *spec) {
    const char *where = strncmp(spec, "codebook:", 9) == 0 ? spec + 9
                        : strcmp(spec, "codebook") == 0    ? NULL
                                                           : spec;
    if (where && !*where) {
        return isb__fail(t->ctx, ISB_ERR_ARGUMENT,
                         "tokenizer \"%s\": a name or file is missing after the colon", spec);
    }
    ISB_TRY(isb_codebook_open(t->ctx, where, &t->codebook));
    isb_codebook_info info = {.struct_size = sizeof info};
    isb_codebook_get_info(t->codebook, &info);
    snprintf(t->spec, sizeof t->spec, "codebook:%s", info.name);
    memcpy(t->identity, info.identity, sizeof t->identity);
    t->n_codes = info.n_codes;
    t->n_ids = info.n_ids;
    return ISB_OK;
}

/* ---- ids of other programs ---- */

bool isb__spec_is_external(const char *spec) {
    return strcmp(spec, "external") == 0 || strncmp(spec, "external:", 9) == 0;
}

static isb_status open_external(isb__tokenizer *t, const char *spec) {
    enum { LOW = 3, HIGH = 1 << 24 };
    const char *comma = strchr(spec, ','), *vocab = comma ? comma + 1 : "";
    char *end = NULL;
    long n = 0;
    if (strncmp(vocab, "vocab=", 6) == 0 && vocab[6] >= '0' && vocab[6] <= '9')
        n = strtol(vocab + 6, &end, 10);
    const bool named = strncmp(spec, "external:", 9) == 0 && comma > spec + 9;
    if (!named || !end || *end || n < LOW || n > HIGH || strlen(spec) >= sizeof t->spec) {
        return isb__fail(t->ctx, ISB_ERR_ARGUMENT,
                         "tokenizer \"%s\": expected external:NAME,vocab=N, where N from %d to %d "
                         "counts the other program's ids and the boundary",
                         spec, LOW, HIGH);
    }
    snprintf(t->spec, sizeof t->spec, "%s", spec);
    t->n_codes = n - 1;
    t->n_ids = n;
    return ISB_OK;
}

/* ---- life ---- */

isb_status isb__tokenizer_open(isb_context *ctx, const char *spec, const char *m1_dir,
                               isb__tokenizer **tokenizer) {
    *tokenizer = NULL;
    isb__tokenizer *t = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *t, &t));
    t->ctx = ctx;
    const isb_status status = isb__spec_is_codebook(spec)   ? open_codebook(t, spec)
                              : isb__spec_is_external(spec) ? open_external(t, spec)
                                                            : open_codec(t, spec, m1_dir);
    if (status != ISB_OK) {
        isb__tokenizer_free(t);
        return status;
    }
    *tokenizer = t;
    return ISB_OK;
}

void isb__tokenizer_free(isb__tokenizer *t) {
    if (!t) return;
    isb__codec_free(t->codec);
    isb_codebook_free(t->codebook);
    isb__tokenizer_memory_free(t->ctx, &t->memory);
    isb__free(t->ctx, t->m1_dir);
    isb__free(t->ctx, t);
}

isb_status isb__tokenizer_add_raw_bytes(isb__tokenizer *t) {
    if (!t->codebook) {
        return isb__fail(t->ctx, ISB_ERR_UNSUPPORTED,
                         "raw bytes go beside the ids of a codebook, and \"%s\" is none", t->spec);
    }
    t->first_byte_id = t->n_ids;
    t->n_ids += ISB__RAW_IDS;
    return ISB_OK;
}

/* A model that was trained on ids of another M1 or codebook would read noise. */
static isb_status check_identity(const isb__tokenizer *t, const isb_model *model,
                                 const char *model_dir) {
    if (strcmp(t->identity, model->tokenizer_identity) == 0) return ISB_OK;
    if (t->codebook) {
        return isb__fail(t->ctx, ISB_ERR_MISMATCH,
                         "the model was trained on ids of the codebook %s, but %s/%s is %s (%s); "
                         "put the one it was trained with there",
                         model->tokenizer_identity, model_dir, ISB__CODEBOOK_NAME, t->identity,
                         t->spec);
    }
    return isb__fail(
        t->ctx, ISB_ERR_MISMATCH,
        "the model was trained on tokens of the M1 %s, but %s has the identity %s; give "
        "the folder of the M1 it was trained with",
        model->tokenizer_identity, t->m1_dir ? t->m1_dir : "no M1", t->identity);
}

isb_status isb__tokenizer_open_for_model(isb_context *ctx, const isb_model *model,
                                         const char *model_dir, const char *m1_dir,
                                         isb__tokenizer **tokenizer) {
    *tokenizer = NULL;
    if (model->tokenizer[0] == '\0') {
        return isb__fail(
            ctx, ISB_ERR_FORMAT,
            "%s: config.json does not say in its isobit section which tokenizer the model has",
            model_dir);
    }
    isb__tokenizer *t = NULL;
    char *own = NULL;
    const bool codebook = isb__spec_is_codebook(model->tokenizer);
    ISB_TRY(isb__path_join(ctx, model_dir, codebook ? ISB__CODEBOOK_NAME : "m1", &own));
    isb_status status = codebook
                            ? isb__tokenizer_open(ctx, own, NULL, &t)
                            : isb__tokenizer_open(ctx, model->tokenizer, m1_dir ? m1_dir : own, &t);
    isb__free(ctx, own);
    if (status == ISB_OK) status = check_identity(t, model, model_dir);
    if (status == ISB_OK && model->first_byte_id > 0) status = isb__tokenizer_add_raw_bytes(t);
    if (status == ISB_OK && model->first_byte_id != t->first_byte_id) {
        status = isb__fail(ctx, ISB_ERR_MISMATCH,
                           "%s: config.json says that raw bytes begin at id %lld; after the ids of "
                           "\"%s\" they begin at %lld",
                           model_dir, (long long)model->first_byte_id, t->spec,
                           (long long)t->first_byte_id);
    }
    if (status == ISB_OK && model->config.vocab_size != t->n_ids) {
        status =
            isb__fail(ctx, ISB_ERR_SHAPE,
                      "%s: the model has %lld ids; the tokenizer \"%s\" has %lld, the "
                      "boundary included",
                      model_dir, (long long)model->config.vocab_size, t->spec, (long long)t->n_ids);
    }
    if (status != ISB_OK) {
        isb__tokenizer_free(t);
        return status;
    }
    *tokenizer = t;
    return ISB_OK;
}
