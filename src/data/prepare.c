/* isb_prepare(): text to token datasets.  One pass over the corpus; each document is encoded, or its
 * ids come with it, and with split_files goes to the dataset of its side.  A shard does so with its part
 * of the corpus, and describes that part for isb_merge(). */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "data/dataset_meta.h"
#include "data/encode.h"
#include "data/id_strings.h"
#include "data/import.h"
#include "data/options.h"
#include "data/shard.h"
#include "data/split.h"
#include "data/tokenizer.h"

typedef struct preparation {
    isb_context *ctx;
    const isb_prepare_options *options;
    isb__tokenizer *tokenizer;
    isb_corpus *corpus;
    isb_dataset_info what;   /* which ids */
    isb__id_strings strings; /* with raw bytes: what they decode to */
    char *prefix;          /* of this shard, or of all */
    isb__outputs outputs;
    isb__shard shard; /* all 0 without shards */
    size_t stretch;   /* of the shard's document added last */
    uint64_t n_added;
} preparation;

void isb_prepare_options_init(isb_prepare_options *options) {
    *options = (isb_prepare_options){.struct_size = sizeof *options, .tokenizer = "codebook"};
    isb_corpus_options_init(&options->corpus);
}

static isb_status check_shard(isb_context *ctx, const isb_prepare_options *o) {
    const uint32_t i = o->shard_index, n = o->n_shards;
    if (n > ISB__SHARDS_MAX || (n > 0 && i >= n) || (n == 0 && i > 0)) {
        return isb__fail(ctx, ISB_ERR_RANGE,
                         "shard %" PRIu32 " of %" PRIu32
                         "; there are at most %d, counted from 0: the last of 16 is 15",
                         i, n, ISB__SHARDS_MAX);
    }
    if (n > 0 && isb__spec_is_external(o->tokenizer)) {
        return isb__fail(ctx, ISB_ERR_UNSUPPORTED,
                         "ids of another program are copied, not made: there is nothing to divide "
                         "into shards");
    }
    return ISB_OK;
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
    if (options->pieces_path && !isb__spec_is_external(options->tokenizer)) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "pieces are the strings of external ids; '%s' has its own: leave them out",
                         options->tokenizer);
    }
    return check_shard(ctx, options);
}

static isb_status open_corpus(preparation *p, const char *const *paths, size_t n_paths) {
    isb_corpus_options options = p->options->corpus;
    if (p->options->split_files) options.split = ISB_SPLIT_ALL;
    ISB_TRY(isb_corpus_open(p->ctx, paths, n_paths, &options, &p->corpus));
    if (!p->options->n_shards) return ISB_OK;
    return isb__corpus_divide(p->corpus, p->options->shard_index, p->options->n_shards, &p->shard);
}

static isb_status open_outputs(preparation *p, const char *out_prefix) {
    const isb_prepare_options *o = p->options;
    const isb__tokenizer *tokenizer = p->tokenizer;
    p->what = (isb_dataset_info){.n_codes = tokenizer->n_codes,
                                 .n_ids = tokenizer->n_ids,
                                 .first_byte_id = tokenizer->first_byte_id};
    memcpy(p->what.tokenizer, tokenizer->spec, sizeof p->what.tokenizer);
    memcpy(p->what.tokenizer_identity, tokenizer->identity, sizeof p->what.tokenizer_identity);
    ISB_TRY(o->n_shards
                ? isb__shard_prefix(p->ctx, out_prefix, o->shard_index, o->n_shards, &p->prefix)
                : isb__strdup(p->ctx, out_prefix, &p->prefix));
    if (o->raw_bytes)
        ISB_TRY(isb__id_strings_of_codebook(p->ctx, tokenizer->codebook, &p->strings));
    return isb__outputs_open(p->ctx, p->prefix, o->split_files != 0, &p->what,
                             o->raw_bytes ? &p->strings : NULL, &p->outputs);
}

/* The corpus is ahead of what is written: the stretch of each document is known. */
static void count_in_stretch(preparation *p, size_t side) {
    const isb__shard *shard = &p->shard;
    const size_t next = p->stretch + 1;
    if (next < shard->n_stretches && shard->stretches[next].first == p->n_added) p->stretch = next;
    ++shard->stretches[p->stretch].n_documents[side];
    ++p->n_added;
}

static isb_status add_document(void *user, const isb__bytes_view *document,
                               const isb__encoded *encoded) {
    preparation *p = user;
    size_t side = 0;
    if (p->options->split_files) {
        const isb_corpus_options *o = &p->options->corpus;
        side = (size_t)isb__split_of(document->data, document->nbytes,
                                     isb__permille(o->valid_permille),
                                     isb__permille(o->test_permille)) -
               ISB_SPLIT_TRAIN;
    }
    if (p->options->n_shards) count_in_stretch(p, side);
    return isb__dataset_writer_add(p->outputs.writers[side], encoded->ids, encoded->count,
                                   document->nbytes);
}

/* Written last: a shard without it was never finished. */
static isb_status describe_shard(const preparation *p, const char *path) {
    const isb__outputs *outputs = &p->outputs;
    uint64_t checksums[ISB__OUTPUTS_MAX];
    for (size_t i = 0; i < outputs->count; ++i) {
        isb__dataset_meta meta;
        char *json = NULL;
        ISB_TRY(isb__dataset_path(p->ctx, outputs->prefixes[i], ".json", &json));
        const isb_status status = isb__dataset_meta_read(p->ctx, json, &meta);
        isb__free(p->ctx, json);
        ISB_TRY(status);
        checksums[i] = meta.bin_checksum;
    }
    return isb__shard_file_write(&p->shard, path, p->options, &p->what, outputs->count, checksums);
}

static isb_status commit(preparation *p) {
    const isb_codebook *codebook = p->tokenizer->codebook;
    char *path = NULL;
    if (!p->options->n_shards) return isb__outputs_commit(&p->outputs, p->prefix, codebook);
    ISB_TRY(isb__dataset_path(p->ctx, p->prefix, ISB__SHARD_SUFFIX, &path));
    unlink(path);
    isb_status status = isb__outputs_commit(&p->outputs, p->prefix, codebook);
    if (status == ISB_OK) {
        status = describe_shard(p, path);
        if (status != ISB_OK) isb__outputs_remove(&p->outputs);
    }
    isb__free(p->ctx, path);
    return status;
}

/* Pieces go beside the datasets; those of an older dataset of this name are not ours. */
static isb_status commit_external(preparation *p) {
    const char *pieces = p->options->pieces_path;
    isb__id_strings_remove(p->prefix);
    isb_status status = pieces ? isb__id_strings_copy(p->ctx, pieces, p->prefix) : ISB_OK;
    if (status == ISB_OK) status = commit(p);
    if (status != ISB_OK) isb__id_strings_remove(p->prefix);
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
    if (result->n_bytes == 0 && !p->options->n_shards) {
        return isb__fail(p->ctx, ISB_ERR_EMPTY,
                         "the input has no text on the wanted side of the split");
    }
    if (result->n_tokens > 0)
        result->bytes_per_token = (double)result->n_bytes / (double)result->n_tokens;
    return ISB_OK;
}

static void preparation_free(preparation *p) {
    isb__outputs_free(&p->outputs);
    isb__id_strings_free(&p->strings);
    isb__free(p->ctx, p->prefix);
    isb_corpus_free(p->corpus);
    isb__shard_close(&p->shard);
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
    if (options->pieces_path)
        ISB_TRY_GOTO(
            isb__id_strings_check(ctx, options->pieces_path, (size_t)p.tokenizer->n_codes));
    if (options->raw_bytes) ISB_TRY_GOTO(isb__tokenizer_add_raw_bytes(p.tokenizer));
    ISB_TRY_GOTO(open_outputs(&p, out_prefix));
    ISB_TRY_GOTO(make_tokens(&p, paths, n_paths, &found));
    ISB_TRY_GOTO(isb__spec_is_external(p.tokenizer->spec) ? commit_external(&p) : commit(&p));
    found.seconds = isb__now_s() - start_s;
    if (result) *result = found;
fail:
    preparation_free(&p);
    return status;
}
