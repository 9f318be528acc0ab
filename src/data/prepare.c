/* isb_prepare(): text to token datasets.  One pass over the corpus; each document is encoded, or its
 * ids come with it, and with split_files goes to the dataset of its side. */
#include <string.h>
#include <unistd.h>

#include "data/dataset_meta.h"
#include "data/encode.h"
#include "data/import.h"
#include "data/options.h"
#include "data/split.h"
#include "data/tokenizer.h"

enum { N_OUTPUTS_MAX = 3 };

typedef struct preparation {
    isb_context *ctx;
    const isb_prepare_options *options;
    isb__tokenizer *tokenizer;
    isb_corpus *corpus;
    size_t n_outputs; /* 1, or 3: train, valid, test */
    char *prefixes[N_OUTPUTS_MAX];
    isb__dataset_writer *writers[N_OUTPUTS_MAX];
} preparation;

void isb_prepare_options_init(isb_prepare_options *options) {
    *options = (isb_prepare_options){.struct_size = sizeof *options, .tokenizer = "codebook"};
    isb_corpus_options_init(&options->corpus);
}

static isb_status check(isb_context *ctx, const isb_prepare_options *options,
                        const char *out_prefix) {
    if (!options)
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "isb_prepare() needs options; fill them with isb_prepare_options_init()");
    ISB_TRY(ISB__CHECK_OPTIONS(ctx, options, "isb_prepare_options"));
    if (!options->tokenizer)
        return isb__fail(ctx, ISB_ERR_ARGUMENT, "no tokenizer; for example \"bytes\"");
    if (!out_prefix || !*out_prefix || strcmp(out_prefix, "-") == 0) {
        return isb__fail(
            ctx, ISB_ERR_ARGUMENT,
            "a dataset is three files: name their common beginning, for example data/corpus");
    }
    return ISB_OK;
}

static isb_status open_corpus(preparation *p, const char *const *paths, size_t n_paths) {
    isb_corpus_options options = p->options->corpus;
    if (p->options->split_files) options.split = ISB_SPLIT_ALL;
    return isb_corpus_open(p->ctx, paths, n_paths, &options, &p->corpus);
}

static isb_status open_outputs(preparation *p, const char *out_prefix) {
    static const char *const sides[N_OUTPUTS_MAX] = {".train", ".valid", ".test"};
    const isb__tokenizer *tokenizer = p->tokenizer;
    isb_dataset_info what = {.n_codes = tokenizer->n_codes, .n_ids = tokenizer->n_ids};
    memcpy(what.tokenizer, tokenizer->spec, sizeof what.tokenizer);
    memcpy(what.tokenizer_identity, tokenizer->identity, sizeof what.tokenizer_identity);
    p->n_outputs = p->options->split_files ? 3 : 1;
    for (size_t i = 0; i < p->n_outputs; ++i) {
        const size_t capacity = strlen(out_prefix) + 8;
        ISB_TRY(isb__alloc(p->ctx, capacity, &p->prefixes[i]));
        strcpy(p->prefixes[i], out_prefix);
        if (p->n_outputs > 1) strcat(p->prefixes[i], sides[i]);
        ISB_TRY(isb__dataset_writer_open(p->ctx, p->prefixes[i], &what, &p->writers[i]));
    }
    return ISB_OK;
}

static isb_status add_document(void *user, const isb__bytes_view *document,
                               const isb__encoded *encoded) {
    const preparation *p = user;
    size_t side = 0;
    if (p->options->split_files) {
        const isb_corpus_options *o = &p->options->corpus;
        side = (size_t)isb__split_of(document->data, document->nbytes,
                                     isb__permille(o->valid_permille),
                                     isb__permille(o->test_permille)) -
               ISB_SPLIT_TRAIN;
    }
    return isb__dataset_writer_add(p->writers[side], encoded->ids, encoded->count,
                                   document->nbytes);
}

/* The codebook goes beside the datasets, so that they can be trained on without its file. */
static isb_status save_codebook(preparation *p, const char *out_prefix, char **path) {
    *path = NULL;
    if (!p->tokenizer->codebook) return ISB_OK;
    ISB_TRY(isb__dataset_path(p->ctx, out_prefix, ISB__CODEBOOK_SUFFIX, path));
    return isb_codebook_save(p->ctx, p->tokenizer->codebook, *path);
}

/* All or none: when one fails, those already in place are removed. */
static isb_status commit_outputs(preparation *p, const char *out_prefix) {
    char *codebook = NULL;
    size_t n_done = 0;
    isb_status status = save_codebook(p, out_prefix, &codebook);
    for (; n_done < p->n_outputs && status == ISB_OK; ++n_done) {
        status = isb__dataset_writer_commit(p->writers[n_done]);
        p->writers[n_done] = NULL;
    }
    for (size_t i = 0; i + 1 < n_done && status != ISB_OK; ++i) isb__dataset_remove(p->prefixes[i]);
    if (codebook && status != ISB_OK) unlink(codebook);
    isb__free(p->ctx, codebook);
    return status;
}

static isb_status import_ids(preparation *p, const char *const *paths, size_t n_paths,
                             isb_prepare_result *result) {
    isb_corpus_options options = p->options->corpus;
    if (p->options->split_files) options.split = ISB_SPLIT_ALL;
    isb__import_job job = {.ctx = p->ctx,
                           .tokenizer = p->tokenizer,
                           .paths = paths,
                           .n_paths = n_paths,
                           .options = &options,
                           .needs_text = p->options->split_files != 0,
                           .sink = add_document,
                           .user = p};
    ISB_TRY(isb__import_ids(&job));
    result->n_documents = job.n_documents;
    result->n_tokens = job.n_tokens;
    result->n_bytes = job.n_bytes;
    return ISB_OK;
}

static isb_status encode(preparation *p, const char *const *paths, size_t n_paths,
                         isb_prepare_result *result) {
    isb__encode_job job = {.ctx = p->ctx,
                           .tokenizer = p->tokenizer,
                           .task = "prepare",
                           .sink = add_document,
                           .user = p};
    ISB_TRY(open_corpus(p, paths, n_paths));
    job.corpus = p->corpus;
    if (p->tokenizer->codec)
        isb__codec_check_windows(p->tokenizer->codec, p->options->check_windows);
    ISB_TRY(isb__encode_corpus(&job));
    isb__codec_stats stats;
    isb__tokenizer_stats(p->tokenizer, &stats);
    *result = (isb_prepare_result){
        .n_documents = job.n_documents,
        .n_tokens = job.n_tokens,
        .n_bytes = job.n_bytes,
        .n_windows = job.n_windows,
        .n_windows_failed = stats.windows_failed,
        .n_documents_failed = stats.documents_failed,
        .m1_bytes = stats.m1_bytes,
    };
    return ISB_OK;
}

static isb_status make_tokens(preparation *p, const char *const *paths, size_t n_paths,
                              isb_prepare_result *result) {
    const bool external = isb__spec_is_external(p->tokenizer->spec);
    ISB_TRY((external ? import_ids : encode)(p, paths, n_paths, result));
    if (result->n_bytes == 0) {
        return isb__fail(p->ctx, ISB_ERR_EMPTY,
                         "the input has no text on the wanted side of the split");
    }
    if (result->n_tokens > 0)
        result->bytes_per_token = (double)result->n_bytes / (double)result->n_tokens;
    return ISB_OK;
}

static void preparation_free(preparation *p) {
    for (size_t i = 0; i < p->n_outputs; ++i) {
        isb__dataset_writer_abort(p->writers[i]);
        isb__free(p->ctx, p->prefixes[i]);
    }
    isb_corpus_free(p->corpus);
    isb__tokenizer_free(p->tokenizer);
}

isb_status isb_prepare(isb_context *ctx, const char *const *paths, size_t n_paths,
                       const char *out_prefix, const isb_prepare_options *options,
                       isb_prepare_result *result) {
    preparation p = {.ctx = ctx, .options = options};
    isb_prepare_result found = {0};
    isb_status status = ISB_OK;
    const double start_s = isb__now_s();
    if (result) *result = found;
    ISB_TRY(check(ctx, options, out_prefix));
    ISB_TRY_GOTO(isb__tokenizer_open(ctx, options->tokenizer, options->m1_dir, &p.tokenizer));
    ISB_TRY_GOTO(open_outputs(&p, out_prefix));
    ISB_TRY_GOTO(make_tokens(&p, paths, n_paths, &found));
    ISB_TRY_GOTO(commit_outputs(&p, out_prefix));
    found.seconds = isb__now_s() - start_s;
    if (result) *result = found;
fail:
    preparation_free(&p);
    return status;
}
