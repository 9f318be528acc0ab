/* Opens the datasets of a run.  Text is tokenised into OUT/data/tokens.{train,valid,test};
 * OUT/data/source.json says from what, so that a second run on the same text need not do it
 * again. */
#include "train/train_data.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/path.h"
#include "base/rng.h"
#include "data/paths.h"
#include "data/tokenizer.h"
#include "m1/m1.h"

static const char tokens_name[] = "data/tokens", source_name[] = "data/source.json",
                  m1_name[] = "m1";
enum { SOURCE_LIMIT = 1 << 28 };

static const char *given_m1(const isb_train_options *options) {
    return options->m1_dir ? options->m1_dir : options->prepare.m1_dir;
}

/* ---- text to tokens ---- */

static isb_prepare_options prepare_options(const isb_train_options *options) {
    isb_prepare_options prepare = options->prepare;
    if (!prepare.tokenizer) prepare.tokenizer = "codebook";
    prepare.m1_dir = options->prepare.m1_dir ? options->prepare.m1_dir : options->m1_dir;
    prepare.split_files = 1;
    if (options->raw_share > 0) prepare.raw_bytes = 1;
    return prepare;
}

static json_t *describe_files(const isb__file_list *list) {
    json_t *files = json_array();
    for (size_t i = 0; i < list->count; ++i) {
        struct stat info = {0};
        if (stat(list->paths[i], &info) != 0) continue;
        json_t *file = json_pack("[s%, I, I, I]", list->paths[i], strlen(list->paths[i]),
                                 (json_int_t)info.st_size, (json_int_t)info.st_mtim.tv_sec,
                                 (json_int_t)info.st_mtim.tv_nsec);
        /* a name that is no UTF-8 cannot be written: then the text is never taken for the same */
        if (json_array_append_new(files, file) != 0) {
            json_decref(files);
            return NULL;
        }
    }
    return files;
}

/* What the tokens depend on, as a text to compare; NULL: cannot be said, as for standard input.
 * Freed with free(). */
static char *describe_source(const isb_prepare_options *prepare, const isb__tokenizer *tokenizer,
                             const isb__file_list *list) {
    const isb_corpus_options *c = &prepare->corpus;
    json_t *files = list->sizes_known ? describe_files(list) : NULL;
    if (!files) return NULL;
    json_t *source =
        json_pack("{s:s, s:s, s:i, s:I, s:i, s:i, s:I, s:o}", "tokenizer", tokenizer->spec,
                  isb__identity_key(tokenizer->spec), tokenizer->identity, "format", (int)c->format,
                  "plain_document_nbytes", (json_int_t)c->plain_document_nbytes, "valid_permille",
                  c->valid_permille, "test_permille", c->test_permille, "max_nbytes",
                  (json_int_t)c->max_nbytes, "files", files);
    if (prepare->raw_bytes) (void)json_object_set_new(source, "raw_bytes", json_true());
    char *text = source ? json_dumps(source, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
    json_decref(source);
    return text;
}

static isb_status same_source(isb_context *ctx, const char *path, const char *source, bool *same) {
    uint8_t *old = NULL;
    size_t nbytes = 0;
    *same = false;
    if (!source || !isb__path_exists(path)) return ISB_OK;
    ISB_TRY(isb__file_read(ctx, path, SOURCE_LIMIT, &old, &nbytes));
    *same = nbytes == strlen(source) && memcmp(old, source, nbytes) == 0;
    isb__free(ctx, old);
    return ISB_OK;
}

/* source.json is removed first and written last: while it is there, it tells the truth. */
static isb_status prepare_unless_same(isb_context *ctx, const isb_train_options *options,
                                      const isb_prepare_options *prepare, const char *prefix,
                                      const char *source_path, const char *source) {
    bool same;
    ISB_TRY(same_source(ctx, source_path, source, &same));
    if (same) {
        isb__log(ctx, ISB_LOG_INFO,
                 "the tokens in %s were made from the same text and are used again", prefix);
        return ISB_OK;
    }
    isb_prepare_result result;
    ISB_TRY(isb__dir_remove(ctx, source_path));
    ISB_TRY(isb_prepare(ctx, options->text_paths, options->n_text_paths, prefix, prepare, &result));
    isb__log(ctx, ISB_LOG_INFO,
             "%" PRIu64 " documents, %" PRIu64 " bytes, %" PRIu64 " tokens: %.3f bytes/token",
             result.n_documents, result.n_bytes, result.n_tokens, result.bytes_per_token);
    return source ? isb__file_write(ctx, source_path, source, strlen(source)) : ISB_OK;
}

static isb_status make_tokens(isb_context *ctx, const isb_train_options *options,
                              const char *prefix) {
    const isb_prepare_options prepare = prepare_options(options);
    isb__file_list list = {0};
    isb__tokenizer *tokenizer = NULL;
    char *folder = NULL, *source_path = NULL, *source = NULL;
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(isb__tokenizer_open(ctx, prepare.tokenizer, prepare.m1_dir, &tokenizer));
    ISB_TRY_GOTO(isb__file_list_make(ctx, options->text_paths, options->n_text_paths, &list));
    ISB_TRY_GOTO(isb__path_join(ctx, options->out_dir, "data", &folder));
    ISB_TRY_GOTO(isb__dir_create(ctx, folder));
    ISB_TRY_GOTO(isb__path_join(ctx, options->out_dir, source_name, &source_path));
    source = describe_source(&prepare, tokenizer, &list);
    ISB_TRY_GOTO(prepare_unless_same(ctx, options, &prepare, prefix, source_path, source));
fail:
    free(source);
    isb__free(ctx, source_path);
    isb__free(ctx, folder);
    isb__file_list_free(&list);
    isb__tokenizer_free(tokenizer);
    return status;
}

/* ---- datasets ---- */

static isb_status dataset_exists(isb_context *ctx, const char *prefix, bool *exists) {
    char *json = NULL;
    ISB_TRY(isb__path_append(ctx, prefix, ".json", &json));
    *exists = isb__path_exists(json);
    isb__free(ctx, json);
    return ISB_OK;
}

/* PREFIX itself, or PREFIX.train.  A name that ends in .train has its validation set beside it. */
static isb_status find_names(isb_context *ctx, const char *prefix, char **train, char **valid) {
    static const char suffix[] = ".train";
    const size_t length = strlen(prefix), stem = length - (sizeof suffix - 1);
    bool exact;
    ISB_TRY(dataset_exists(ctx, prefix, &exact));
    ISB_TRY(isb__path_append(ctx, prefix, exact ? "" : suffix, train));
    if (!exact || length < sizeof suffix || strcmp(prefix + stem, suffix) != 0) {
        return isb__path_append(ctx, prefix, ".valid", valid);
    }
    char *base = NULL;
    ISB_TRY(isb__strdup(ctx, prefix, &base));
    base[stem] = '\0';
    const isb_status status = isb__path_append(ctx, base, ".valid", valid);
    isb__free(ctx, base);
    return status;
}

static isb_status open_valid(isb__train_data *data, const char *prefix) {
    isb_context *ctx = data->ctx;
    bool exists;
    ISB_TRY(dataset_exists(ctx, prefix, &exists));
    if (!exists) return ISB_OK;
    ISB_TRY(isb__dataset_open(ctx, prefix, &data->valid));
    const isb_dataset_info *a = &data->train->info, *b = &data->valid->info;
    if (strcmp(a->tokenizer, b->tokenizer) != 0 ||
        strcmp(a->tokenizer_identity, b->tokenizer_identity) != 0) {
        return isb__fail(
            ctx, ISB_ERR_MISMATCH,
            "%s was made by the tokenizer %s (%.32s), but the training data by %s (%.32s)", prefix,
            b->tokenizer, b->tokenizer_identity, a->tokenizer, a->tokenizer_identity);
    }
    if (a->first_byte_id != b->first_byte_id) {
        return isb__fail(ctx, ISB_ERR_MISMATCH,
                         "of %s and the training data only one has raw bytes; prepare them together",
                         prefix);
    }
    if (b->n_tokens > 0) return ISB_OK;
    isb__dataset_close(data->valid);
    data->valid = NULL;
    return ISB_OK;
}

static isb_status open_datasets(isb__train_data *data, const char *prefix) {
    isb_context *ctx = data->ctx;
    char *train = NULL, *valid = NULL;
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(find_names(ctx, prefix, &train, &valid));
    ISB_TRY_GOTO(isb__dataset_open(ctx, train, &data->train));
    ISB_TRY_GOTO(open_valid(data, valid));
    const isb_dataset_info *info = &data->train->info;
    const uint64_t counts =
        isb__mix64(isb__mix64(info->n_documents, info->n_tokens), info->n_bytes);
    snprintf(data->fingerprint, sizeof data->fingerprint, "%016" PRIx64,
             isb__mix64(data->train->bin_checksum, counts));
fail:
    isb__free(ctx, valid);
    isb__free(ctx, train);
    return status;
}

/* ---- the M1 ---- */

static isb_status check_m1(isb__train_data *data) {
    isb_context *ctx = data->ctx;
    const isb_dataset_info *info = &data->train->info;
    isb__tokenizer *tokenizer = NULL;
    ISB_TRY(isb__tokenizer_open(ctx, info->tokenizer, data->m1_dir, &tokenizer));
    isb_status status = ISB_OK;
    if (strcmp(tokenizer->identity, info->tokenizer_identity) != 0) {
        status = isb__fail(
            ctx, ISB_ERR_MISMATCH,
            "the tokens were made with the M1 %s, but the M1 in %s is %s; give the one that "
            "they were made with, or prepare the data again",
            info->tokenizer_identity, data->m1_dir, tokenizer->identity);
    } else if (tokenizer->n_codes != info->n_codes) {
        status = isb__fail(
            ctx, ISB_ERR_MISMATCH, "the tokenizer %s has %lld codes, but the dataset says %lld",
            info->tokenizer, (long long)tokenizer->n_codes, (long long)info->n_codes);
    }
    isb__tokenizer_free(tokenizer);
    return status;
}

static isb_status find_m1(isb__train_data *data, const isb_train_options *options) {
    isb_context *ctx = data->ctx;
    if (given_m1(options)) {
        ISB_TRY(isb__strdup(ctx, given_m1(options), &data->m1_dir));
        return check_m1(data);
    }
    ISB_TRY(isb__path_join(ctx, options->out_dir, m1_name, &data->m1_dir));
    if (isb__path_exists(data->m1_dir)) return check_m1(data);
    return isb__fail(
        ctx, ISB_ERR_ARGUMENT,
        "the tokens were made by %s with the M1 %s; name it (--m1, m1_dir), so that the "
        "model can be used without the data",
        data->train->info.tokenizer, data->train->info.tokenizer_identity);
}

static bool same_place(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static isb_status copy_file(isb_context *ctx, const char *from_dir, const char *to_dir,
                            const char *name) {
    char *from = NULL, *to = NULL;
    uint8_t *bytes = NULL;
    size_t nbytes;
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(isb__path_join(ctx, from_dir, name, &from));
    ISB_TRY_GOTO(isb__path_join(ctx, to_dir, name, &to));
    if (isb__path_exists(from)) {
        ISB_TRY_GOTO(isb__file_read(ctx, from, SIZE_MAX / 2, &bytes, &nbytes));
        ISB_TRY_GOTO(isb__file_write(ctx, to, bytes, nbytes));
    }
fail:
    isb__free(ctx, bytes);
    isb__free(ctx, to);
    isb__free(ctx, from);
    return status;
}

/* A folder m1 that somebody trained in is not ours to replace. */
static isb_status check_replaceable(isb_context *ctx, const char *dir) {
    char *log = NULL;
    ISB_TRY(isb__path_join(ctx, dir, "log.jsonl", &log));
    const bool run = isb__path_exists(log);
    isb__free(ctx, log);
    if (!run) return ISB_OK;
    return isb__fail(
        ctx, ISB_ERR_EXISTS,
        "%s holds a training run, and a copy of the M1 would replace it; choose another out_dir",
        dir);
}

/* The model alone: an M1's folder may hold its whole training run. */
static isb_status copy_model(isb_context *ctx, const char *from, const char *temporary,
                             const char *to) {
    static const char *const names[] = {"config.json", "model.safetensors", "static.json"};
    ISB_TRY(check_replaceable(ctx, to));
    if (isb__path_exists(to) && !isb__path_is_dir(to)) (void)remove(to);
    ISB_TRY(isb__dir_remove(ctx, temporary));
    ISB_TRY(isb__dir_create(ctx, temporary));
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        ISB_TRY(copy_file(ctx, from, temporary, names[i]));
    return isb__dir_commit(ctx, temporary, to);
}

/* An M1 that is a file or in the library becomes the file `to`. */
static isb_status copy_m1_file(isb_context *ctx, const char *from, const char *to) {
    isb__m1 *m1 = NULL;
    uint8_t *bytes = NULL;
    size_t nbytes;
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(isb__m1_load(ctx, from, &m1));
    ISB_TRY_GOTO(isb__m1_to_bytes(m1, &bytes, &nbytes));
    if (isb__path_is_dir(to)) {
        ISB_TRY_GOTO(check_replaceable(ctx, to));
        ISB_TRY_GOTO(isb__dir_remove(ctx, to));
    }
    ISB_TRY_GOTO(isb__file_write(ctx, to, bytes, nbytes));
fail:
    isb__free(ctx, bytes);
    isb__m1_free(m1);
    return status;
}

static isb_status copy_m1(const isb__train_data *data, const char *out_dir) {
    isb_context *ctx = data->ctx;
    char *to = NULL, *temporary = NULL;
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(isb__path_join(ctx, out_dir, m1_name, &to));
    ISB_TRY_GOTO(isb__path_join(ctx, out_dir, ".m1.tmp", &temporary));
    if (same_place(data->m1_dir, to)) goto fail;
    if (isb__path_is_dir(data->m1_dir)) {
        ISB_TRY_GOTO(copy_model(ctx, data->m1_dir, temporary, to));
    } else {
        ISB_TRY_GOTO(copy_m1_file(ctx, data->m1_dir, to));
    }
fail:
    isb__free(ctx, temporary);
    isb__free(ctx, to);
    return status;
}

/* ---- the codebook ---- */

/* Beside the dataset, where isb_prepare() put it; in OUT, if the run goes on without that; or the
 * one in the library, by name. */
static isb_status find_codebook_file(const isb__train_data *data, const isb_train_options *options,
                                     const char *prefix, char **path) {
    isb_context *ctx = data->ctx;
    ISB_TRY(isb__dataset_find_codebook(ctx, prefix, path));
    if (*path) return ISB_OK;
    ISB_TRY(isb__path_join(ctx, options->out_dir, ISB__CODEBOOK_NAME, path));
    if (isb__path_exists(*path)) return ISB_OK;
    isb__free(ctx, *path);
    return isb__strdup(ctx, data->train->info.tokenizer, path);
}

static isb_status check_codebook(const isb__train_data *data, const isb__tokenizer *tokenizer,
                                 const char *path) {
    const isb_dataset_info *info = &data->train->info;
    if (strcmp(tokenizer->identity, info->tokenizer_identity) == 0) return ISB_OK;
    return isb__fail(data->ctx, ISB_ERR_MISMATCH,
                     "the tokens were made with the codebook %s (%s), but %s is %s (%s); put the "
                     "one that they were made with beside the dataset, or prepare the data again",
                     info->tokenizer_identity, info->tokenizer, path, tokenizer->identity,
                     tokenizer->spec);
}

static isb_status find_codebook(isb__train_data *data, const isb_train_options *options) {
    isb__tokenizer *tokenizer = NULL;
    char *path = NULL;
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(find_codebook_file(data, options, data->train->prefix, &path));
    ISB_TRY_GOTO(isb__tokenizer_open(data->ctx, path, NULL, &tokenizer));
    ISB_TRY_GOTO(check_codebook(data, tokenizer, path));
    data->codebook = tokenizer->codebook;
    tokenizer->codebook = NULL;
fail:
    isb__tokenizer_free(tokenizer);
    isb__free(data->ctx, path);
    return status;
}

static isb_status save_codebook(const isb__train_data *data, const char *out_dir) {
    char *path = NULL;
    ISB_TRY(isb__path_join(data->ctx, out_dir, ISB__CODEBOOK_NAME, &path));
    const isb_status status = isb_codebook_save(data->ctx, data->codebook, path);
    isb__free(data->ctx, path);
    return status;
}

/* ---- strings of ids ---- */

static isb_status refuse_composed(const isb__train_data *data) {
    const isb_dataset_info *info = &data->train->info;
    if (isb__spec_is_external(info->tokenizer)) {
        return isb__fail(data->ctx, ISB_ERR_ARGUMENT,
                         "composed embeddings are made of the strings of ids, but %s%s is not "
                         "there; prepare the data again with its tokenizer's pieces (--pieces), or "
                         "choose plain embeddings",
                         data->train->prefix, ISB__PIECES_SUFFIX);
    }
    return isb__fail(data->ctx, ISB_ERR_ARGUMENT,
                     "composed embeddings are made of the strings of ids, but ids of '%s' have none "
                     "to share; choose a codebook, or plain embeddings",
                     info->tokenizer);
}

/* Pieces decide the run as the ids do, so they are part of the fingerprint; a codebook has its
 * identity. */
static isb_status read_pieces(isb__train_data *data, bool asked) {
    char *path = NULL;
    ISB_TRY(isb__dataset_find_beside(data->ctx, data->train->prefix, ISB__PIECES_SUFFIX, &path));
    if (!path) return asked ? refuse_composed(data) : ISB_OK;
    const isb_status status = isb__id_strings_read(
        data->ctx, path, (size_t)data->train->info.n_codes, &data->strings);
    isb__free(data->ctx, path);
    ISB_TRY(status);
    snprintf(data->fingerprint, sizeof data->fingerprint, "%016" PRIx64,
             isb__mix64(strtoull(data->fingerprint, NULL, 16),
                        isb__id_strings_hash(&data->strings)));
    return ISB_OK;
}

/* Unless it was asked for, no strings mean no composed embeddings. */
static isb_status find_strings(isb__train_data *data, const isb_train_options *options) {
    const bool raw = data->train->info.first_byte_id > 0 && data->codebook,
               asked = options->embeddings == ISB_EMBEDDINGS_COMPOSED;
    if (options->embeddings == ISB_EMBEDDINGS_PLAIN && !raw) return ISB_OK;
    if (data->codebook)
        return isb__id_strings_of_codebook(data->ctx, data->codebook, &data->strings);
    if (isb__spec_is_external(data->train->info.tokenizer)) return read_pieces(data, asked);
    return asked ? refuse_composed(data) : ISB_OK;
}

/* ---- all together ---- */

isb_status isb__train_data_copy_tokenizer(const isb__train_data *data, const char *out_dir) {
    if (data->codebook) return save_codebook(data, out_dir);
    return data->m1_dir ? copy_m1(data, out_dir) : ISB_OK;
}

static isb_status find_tokenizer(isb__train_data *data, const isb_train_options *options) {
    const isb_dataset_info *info = &data->train->info;
    if (isb__spec_is_codebook(info->tokenizer)) return find_codebook(data, options);
    return info->tokenizer_identity[0] ? find_m1(data, options) : ISB_OK;
}

static isb_status open_from_text(isb__train_data *data, const isb_train_options *options,
                                 int resuming) {
    isb_context *ctx = data->ctx;
    char *prefix = NULL, *train = NULL;
    bool there = false;
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(isb__path_join(ctx, options->out_dir, tokens_name, &prefix));
    ISB_TRY_GOTO(isb__path_append(ctx, prefix, ".train", &train));
    ISB_TRY_GOTO(dataset_exists(ctx, train, &there));
    if (options->n_text_paths > 0 && !(resuming && there))
        ISB_TRY_GOTO(make_tokens(ctx, options, prefix));
    ISB_TRY_GOTO(open_datasets(data, prefix));
fail:
    isb__free(ctx, train);
    isb__free(ctx, prefix);
    return status;
}

isb_status isb__train_data_open(isb_context *ctx, const isb_train_options *options, int resuming,
                                isb__train_data *data) {
    *data = (isb__train_data){.ctx = ctx};
    isb_status status = ISB_OK;
    if (options->dataset_prefix) {
        ISB_TRY_GOTO(isb__strdup(ctx, options->dataset_prefix, &data->prefix));
        ISB_TRY_GOTO(open_datasets(data, data->prefix));
    } else {
        ISB_TRY_GOTO(open_from_text(data, options, resuming));
    }
    ISB_TRY_GOTO(find_tokenizer(data, options));
    ISB_TRY_GOTO(find_strings(data, options));
    return ISB_OK;
fail:
    isb__train_data_close(data);
    return status;
}

void isb__train_data_close(isb__train_data *data) {
    if (!data->ctx) return;
    isb__id_strings_free(&data->strings);
    isb__dataset_close(data->valid);
    isb__dataset_close(data->train);
    isb_codebook_free(data->codebook);
    isb__free(data->ctx, data->m1_dir);
    isb__free(data->ctx, data->prefix);
    *data = (isb__train_data){0};
}
