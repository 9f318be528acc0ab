/* isb_codebook_build: reads the corpus, opens the M1, and lets src/codebook/ choose. */
#include <isobit/codebook.h>

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "codebook/choose.h"
#include "codebook/codebook.h"
#include "codebook/search.h"
#include "codebook/windows.h"
#include "m1/m1.h"

enum {
    DEFAULT_IDS = 65536,
    DEFAULT_ROUNDS = 6,
    DEFAULT_MAX_NBYTES = 32,
    M1_STREAMS = 64,
    M1_OVERSHOOT = 3 /* strings asked of M1 for each one wanted, when use decides */
};

void isb_codebook_build_options_init(isb_codebook_build_options *options) {
    *options = (isb_codebook_build_options){
        .struct_size = sizeof *options, .kind = "phrase", .n_rounds = -1, .choose = 1};
    isb_corpus_options_init(&options->corpus);
}

typedef struct builder {
    isb_context *ctx;
    isb_codebook_build_options options; /* with defaults filled in */
    isb__kind kind;
    uint8_t *bytes; /* the text: documents with a line break after each */
    uint64_t *ends;
    size_t nbytes, bytes_capacity, n_documents, ends_capacity;
    isb__candidates m1, chosen;
    char m1_identity[33];
    isb_codebook_round last; /* what was reported last: of the codebook that is given */
    char *card;              /* jansson's */
} builder;

static isb_status add_document(builder *b, const uint8_t *bytes, size_t nbytes) {
    ISB_TRY(isb__grow_array(b->ctx, b->nbytes + nbytes + 1, 1, &b->bytes_capacity, &b->bytes));
    ISB_TRY(
        isb__grow_array(b->ctx, b->n_documents + 1, sizeof *b->ends, &b->ends_capacity, &b->ends));
    memcpy(b->bytes + b->nbytes, bytes, nbytes);
    b->nbytes += nbytes;
    b->ends[b->n_documents++] = b->nbytes;
    b->bytes[b->nbytes++] = '\n';
    return ISB_OK;
}

static isb_status read_all(builder *b, isb_corpus *corpus) {
    isb__progress_state progress;
    isb__progress_begin(&progress, b->ctx, "read", "byte", 0);
    for (;;) {
        const uint8_t *text;
        size_t nbytes;
        ISB_TRY(isb_corpus_next(corpus, &text, &nbytes));
        if (!text) break;
        if (nbytes > 0) ISB_TRY(add_document(b, text, nbytes));
        const double fraction = isb_corpus_fraction(corpus);
        progress.total = fraction > 0 ? (double)b->nbytes / fraction : 0;
        isb__progress_update(&progress, (double)b->nbytes, "");
    }
    isb__progress_end(&progress, (double)b->nbytes, "");
    if (b->n_documents == 0)
        return isb__fail(b->ctx, ISB_ERR_EMPTY, "the corpus has no text to build a codebook from");
    return ISB_OK;
}

static isb_status read_corpus(builder *b, const char *const *paths, size_t n_paths) {
    isb_corpus *corpus = NULL;
    ISB_TRY(isb_corpus_open(b->ctx, paths, n_paths, &b->options.corpus, &corpus));
    const isb_status status = read_all(b, corpus);
    isb_corpus_free(corpus);
    return status;
}

static void fill_defaults(isb_codebook_build_options *o) {
    if (o->n_ids == 0) o->n_ids = DEFAULT_IDS;
    if (!o->kind) o->kind = "phrase";
    if (o->n_rounds < 0) o->n_rounds = DEFAULT_ROUNDS;
    if (o->max_string_nbytes == 0) o->max_string_nbytes = DEFAULT_MAX_NBYTES;
}

static bool is_windows(const char *kind) {
    return strcmp(kind, "exact") == 0 || strcmp(kind, "delay") == 0;
}

static isb_status check(const builder *b, size_t n_paths) {
    const isb_codebook_build_options *o = &b->options;
    const int64_t least = ISB_CODEBOOK_MIN_IDS + (int64_t)o->n_specials;
    if (o->n_ids < least || o->n_ids > ISB_CODEBOOK_MAX_IDS) {
        return isb__fail(
            b->ctx, ISB_ERR_RANGE,
            "a codebook of %lld ids; it may have %lld (every byte and the special ids) "
            "to %d",
            (long long)o->n_ids, (long long)least, ISB_CODEBOOK_MAX_IDS);
    }
    if (o->max_string_nbytes > ISB_CODEBOOK_MAX_STRING_NBYTES) {
        return isb__fail(b->ctx, ISB_ERR_RANGE,
                         "strings of up to %zu bytes; a codebook's may have at most %d",
                         o->max_string_nbytes, ISB_CODEBOOK_MAX_STRING_NBYTES);
    }
    if (n_paths == 0 && !o->m1_dir) {
        return isb__fail(b->ctx, ISB_ERR_ARGUMENT,
                         "a codebook is built from an M1, a corpus, or both, and there is neither");
    }
    if (is_windows(o->kind) && !o->m1_dir) {
        return isb__fail(b->ctx, ISB_ERR_ARGUMENT,
                         "kind %s compiles the windows of an M1: give the M1's folder", o->kind);
    }
    return ISB_OK;
}

static void note_round(void *user, const isb_codebook_round *round) {
    builder *b = user;
    b->last = *round;
    if (b->options.report) b->options.report(b->options.report_user, round);
}

/* How the codebook was made, as JSON.  Without memory for it there is no card. */
static void write_card(builder *b) {
    const isb_codebook_build_options *o = &b->options;
    json_t *card = json_pack("{s:s, s:s, s:I}", "made_by", "isobit " ISB_VERSION, "kind", o->kind,
                             "max_string_nbytes", (json_int_t)o->max_string_nbytes);
    if (card && o->m1_dir) json_object_set_new(card, "m1_identity", json_string(b->m1_identity));
    if (card && b->n_documents > 0) {
        json_object_set_new(card, "text_nbytes",
                            json_integer((json_int_t)(b->nbytes - b->n_documents)));
        json_object_set_new(card, "n_documents", json_integer((json_int_t)b->n_documents));
        json_object_set_new(card, "by_use", json_boolean(o->choose));
        json_object_set_new(card, "rounds", json_integer(b->last.round));
        json_object_set_new(card, "bytes_per_token", json_real(b->last.bytes_per_token));
    }
    if (card && o->note) json_object_set_new(card, "text", json_string(o->note));
    b->card = card ? json_dumps(card, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(card);
}

static isb_codebook_create_options create_options(builder *b) {
    write_card(b);
    isb_codebook_create_options options;
    isb_codebook_create_options_init(&options);
    options.name = b->options.name;
    options.kind = b->options.kind;
    options.card = b->card;
    options.specials = b->options.specials;
    options.n_specials = b->options.n_specials;
    return options;
}

static isb_status build_windows(builder *b, const isb__cdf_source *source,
                                isb_codebook **codebook) {
    isb__code_params params;
    isb__code_params_init(&params, ISB__CODE_EQUAL_INFO);
    params.variant = strcmp(b->options.kind, "exact") == 0 ? ISB__EXACT : ISB__DELAY;
    params.window_nbits = params.token_nbits = 16;
    params.reset_windows = 1;
    uint32_t *codes = NULL;
    size_t *decoded = NULL;
    ISB_TRY(isb__compile_windows(b->ctx, source, &params, &b->chosen, &codes, &decoded));
    const isb_codebook_create_options options = create_options(b);
    const isb__codebook_content content = {.bytes = b->chosen.bytes,
                                           .offsets = b->chosen.offsets,
                                           .n_strings = b->chosen.n,
                                           .ids = codes,
                                           .decoded = decoded,
                                           .n_codes = (size_t)1 << params.token_nbits};
    const isb_status status = isb__codebook_from_sorted(b->ctx, &content, &options, codebook);
    isb__free(b->ctx, codes);
    isb__free(b->ctx, decoded);
    return status;
}

static isb_status search(builder *b, const isb__cdf_source *source, size_t n_strings) {
    const bool by_use = b->options.choose && b->n_documents > 0;
    const size_t wanted = by_use ? n_strings * M1_OVERSHOOT : n_strings;
    const size_t limit = ISB_CODEBOOK_MAX_IDS - 1;
    return isb__search_m1(b->ctx, source, &b->kind, wanted < limit ? wanted : limit,
                          b->options.max_string_nbytes, &b->m1);
}

static isb_status with_m1(builder *b, size_t n_strings, isb_codebook **codebook) {
    isb__cdf_source source = {.self = NULL};
    ISB_TRY(isb__m1_open(b->ctx, b->options.m1_dir, M1_STREAMS, &source));
    isb__id128_hex(&source.identity, b->m1_identity);
    const isb_status status = is_windows(b->options.kind) ? build_windows(b, &source, codebook)
                                                          : search(b, &source, n_strings);
    if (source.free) source.free(source.self);
    return status;
}

static isb_status choose(builder *b, size_t n_strings, isb_codebook **codebook) {
    const isb__text text = {b->bytes, b->nbytes, b->ends, b->n_documents};
    const isb__choose_job job = {.ctx = b->ctx,
                                 .text = b->n_documents ? &text : NULL,
                                 .m1 = b->options.m1_dir ? &b->m1 : NULL,
                                 .kind = &b->kind,
                                 .n_strings = n_strings,
                                 .max_nbytes = b->options.max_string_nbytes,
                                 .n_rounds = b->options.n_rounds,
                                 .by_use = b->options.choose,
                                 .report = note_round,
                                 .report_user = b};
    ISB_TRY(isb__choose(&job, &b->chosen));
    const isb_codebook_create_options options = create_options(b);
    const isb__codebook_content content = {.bytes = b->chosen.bytes,
                                           .offsets = b->chosen.offsets,
                                           .n_strings = b->chosen.n,
                                           .n_codes = b->chosen.n};
    return isb__codebook_from_sorted(b->ctx, &content, &options, codebook);
}

static isb_status build(builder *b, const char *const *paths, size_t n_paths,
                        isb_codebook **codebook) {
    ISB_TRY(check(b, n_paths));
    const size_t n_strings = (size_t)b->options.n_ids - 1 - b->options.n_specials;
    if (is_windows(b->options.kind)) return with_m1(b, n_strings, codebook);
    ISB_TRY(isb__kind_by_name(b->ctx, b->options.kind, &b->kind));
    if (n_paths > 0) ISB_TRY(read_corpus(b, paths, n_paths));
    if (b->options.m1_dir) ISB_TRY(with_m1(b, n_strings, codebook));
    return choose(b, n_strings, codebook);
}

isb_status isb_codebook_build(isb_context *context, const char *const *paths, size_t n_paths,
                              const isb_codebook_build_options *options, isb_codebook **codebook) {
    *codebook = NULL;
    builder b = {.ctx = context, .options = *options};
    fill_defaults(&b.options);
    const isb_status status = build(&b, paths, n_paths, codebook);
    isb__candidates_free(context, &b.m1);
    isb__candidates_free(context, &b.chosen);
    isb__free(context, b.bytes);
    isb__free(context, b.ends);
    free(b.card);
    return status;
}
