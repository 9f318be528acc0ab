/* PREFIX.shard-00003-of-00016.shard: what a shard holds and what it was made from. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/io.h"
#include "data/options.h"
#include "data/shard.h"

enum { VERSION = 1, LIMIT_NBYTES = 1 << 30 };
static const char FORMAT[] = "isobit-shard", CHECKSUM[] = "xxh3_64";

isb_status isb__shard_prefix(isb_context *ctx, const char *prefix, uint32_t index, uint32_t count,
                             char **shard_prefix) {
    const size_t capacity = strlen(prefix) + 48;
    ISB_TRY(isb__alloc(ctx, capacity, shard_prefix));
    snprintf(*shard_prefix, capacity, "%s.shard-%05" PRIu32 "-of-%05" PRIu32, prefix, index, count);
    return ISB_OK;
}

static void format_hash(uint64_t hash, char hex[17]) { snprintf(hex, 17, "%016" PRIx64, hash); }

/* Of the object's text without the checksum itself. */
static bool hash_object(const json_t *root, char hex[17]) {
    char *text = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS);
    if (text) format_hash(isb__hash64(text, strlen(text), 0), hex);
    free(text);
    return text != NULL;
}

/* ---- writing ---- */

/* All that decides which documents there are, their order, and their ids. */
static json_t *pack_origin(const isb__shard *shard, const isb_prepare_options *options,
                           const isb_dataset_info *what) {
    static const char *const formats[] = {"auto", "plain", "jsonl"};
    static const char *const splits[] = {"all", "train", "valid", "test"};
    const isb_corpus_options *c = &options->corpus;
    char inputs[17], read[17];
    format_hash(shard->inputs_hash, inputs);
    format_hash(shard->read_hash, read);
    /* clang-format off */
    return json_pack(
        "{s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:I, s:i, s:i, s:I, s:s}",
        "tokenizer", what->tokenizer,
        "tokenizer_identity", what->tokenizer_identity,
        "n_ids", (json_int_t)what->n_ids,
        "n_files", (json_int_t)shard->n_files,
        "names_and_sizes_xxh3_64", inputs,
        "read_by_all_xxh3_64", read,
        "format", formats[c->format],
        "plain_document_nbytes", (json_int_t)c->plain_document_nbytes,
        "valid_permille", isb__permille(c->valid_permille),
        "test_permille", isb__permille(c->test_permille),
        "max_nbytes", (json_int_t)c->max_nbytes,
        "split", options->split_files ? "files" : splits[c->split]);
    /* clang-format on */
}

static json_t *pack_stretch(const isb__stretch *s, size_t n_outputs) {
    json_t *array = json_pack("[I, I]", (json_int_t)s->file, (json_int_t)s->block);
    for (size_t i = 0; i < n_outputs && array; ++i)
        (void)json_array_append_new(array, json_integer((json_int_t)s->n_documents[i]));
    return array;
}

static json_t *pack(const isb__shard *shard, const isb_prepare_options *options,
                    const isb_dataset_info *what, size_t n_outputs, const uint64_t *bin_checksums) {
    json_t *bins = json_array(), *stretches = json_array();
    for (size_t i = 0; i < n_outputs; ++i) {
        char hex[17];
        format_hash(bin_checksums[i], hex);
        (void)json_array_append_new(bins, json_string(hex));
    }
    for (size_t i = 0; i < shard->n_stretches; ++i)
        (void)json_array_append_new(stretches, pack_stretch(&shard->stretches[i], n_outputs));
    const bool whole = json_array_size(bins) == n_outputs &&
                       json_array_size(stretches) == shard->n_stretches;
    json_t *root = json_pack("{s:s, s:i, s:I, s:I, s:o, s:o, s:o}", "format", FORMAT, "version",
                             VERSION, "shard", (json_int_t)shard->index, "n_shards",
                             (json_int_t)shard->count, "made_from",
                             pack_origin(shard, options, what), "bin_xxh3_64", bins, "stretches",
                             stretches);
    char hex[17];
    if (root && whole && hash_object(root, hex) &&
        json_object_set_new(root, CHECKSUM, json_string(hex)) == 0)
        return root;
    json_decref(root);
    return NULL;
}

isb_status isb__shard_file_write(const isb__shard *shard, const char *path,
                                 const isb_prepare_options *options, const isb_dataset_info *what,
                                 size_t n_outputs, const uint64_t *bin_checksums) {
    json_t *root = pack(shard, options, what, n_outputs, bin_checksums);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text) return isb__fail(shard->ctx, ISB_ERR_NO_MEMORY, "no memory to write %s", path);
    const isb_status status = isb__file_write(shard->ctx, path, text, strlen(text));
    free(text);
    return status;
}

/* ---- reading ---- */

static isb_status corrupt(const isb__shard_file *file, const char *path, const char *what) {
    return isb__fail(file->ctx, ISB_ERR_CORRUPT, "%s is damaged: %s; prepare this shard again",
                     path, what);
}

static isb_status check_format(const isb__shard_file *file, const char *path, json_t *root) {
    const char *format = json_string_value(json_object_get(root, "format"));
    if (!format || strcmp(format, FORMAT) != 0)
        return isb__fail(file->ctx, ISB_ERR_FORMAT, "%s does not describe a shard", path);
    const json_int_t version = json_integer_value(json_object_get(root, "version"));
    if (version != VERSION) {
        return isb__fail(file->ctx, ISB_ERR_VERSION,
                         "%s has version %lld, this isobit reads %d; prepare this shard again", path,
                         (long long)version, VERSION);
    }
    char expected[17], found[17] = "";
    const char *hex = json_string_value(json_object_get(root, CHECKSUM));
    if (hex && strlen(hex) == 16) memcpy(found, hex, sizeof found);
    (void)json_object_del(root, CHECKSUM);
    if (!hash_object(root, expected))
        return isb__fail(file->ctx, ISB_ERR_NO_MEMORY, "no memory to read %s", path);
    return strcmp(found, expected) == 0 ? ISB_OK
                                        : corrupt(file, path, "its checksum does not match");
}

static bool read_stretch(const json_t *array, size_t n_outputs, isb__stretch *s) {
    if (json_array_size(array) != 2 + n_outputs) return false;
    for (size_t i = 0; i < 2 + n_outputs; ++i) {
        const json_t *value = json_array_get(array, i);
        if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
        const uint64_t number = (uint64_t)json_integer_value(value);
        *(i == 0 ? &s->file : i == 1 ? &s->block : &s->n_documents[i - 2]) = number;
    }
    return true;
}

static isb_status read_stretches(isb__shard_file *file, const char *path, const json_t *array) {
    file->n_stretches = json_array_size(array);
    ISB_TRY(isb__alloc_array(file->ctx, file->n_stretches, sizeof *file->stretches,
                             &file->stretches));
    for (size_t i = 0; i < file->n_stretches; ++i) {
        if (!read_stretch(json_array_get(array, i), file->n_outputs, &file->stretches[i]))
            return corrupt(file, path, "a stretch is not a list of counts");
    }
    return ISB_OK;
}

static isb_status read_all(isb__shard_file *file, const char *path, json_t *root) {
    ISB_TRY(check_format(file, path, root));
    const json_t *bins = json_object_get(root, "bin_xxh3_64");
    const json_int_t index = json_integer_value(json_object_get(root, "shard")),
                     count = json_integer_value(json_object_get(root, "n_shards"));
    file->made_from = json_incref(json_object_get(root, "made_from"));
    file->n_outputs = json_array_size(bins);
    if (!json_is_object(file->made_from) || (file->n_outputs != 1 && file->n_outputs != 3) ||
        index < 0 || count > ISB__SHARDS_MAX || index >= count)
        return corrupt(file, path, "its parts are not those of a shard");
    file->index = (uint32_t)index;
    file->count = (uint32_t)count;
    for (size_t i = 0; i < file->n_outputs; ++i) {
        const char *hex = json_string_value(json_array_get(bins, i));
        file->bin_checksums[i] = hex ? strtoull(hex, NULL, 16) : 0;
    }
    return read_stretches(file, path, json_object_get(root, "stretches"));
}

isb_status isb__shard_file_read(isb_context *ctx, const char *path, isb__shard_file *file) {
    *file = (isb__shard_file){.ctx = ctx};
    uint8_t *text = NULL;
    size_t nbytes = 0;
    json_error_t error;
    ISB_TRY(isb__file_read(ctx, path, LIMIT_NBYTES, &text, &nbytes));
    json_t *root = json_loadb((const char *)text, nbytes, JSON_REJECT_DUPLICATES, &error);
    isb__free(ctx, text);
    const isb_status status =
        root ? read_all(file, path, root) : corrupt(file, path, "it is not whole JSON");
    json_decref(root);
    if (status != ISB_OK) isb__shard_file_close(file);
    return status;
}

void isb__shard_file_close(isb__shard_file *file) {
    if (!file->ctx) return;
    json_decref(file->made_from);
    isb__free(file->ctx, file->stretches);
    *file = (isb__shard_file){0};
}

isb_status isb__shard_file_compare(const isb__shard_file *file, const char *path,
                                   const isb__shard_file *first, const char *first_path) {
    const char *key;
    json_t *expected;
    if (json_equal(file->made_from, first->made_from)) return ISB_OK;
    json_object_foreach(first->made_from, key, expected) {
        json_t *found = json_object_get(file->made_from, key);
        if (json_equal(found, expected)) continue;
        char *a = json_dumps(found, JSON_ENCODE_ANY), *b = json_dumps(expected, JSON_ENCODE_ANY);
        const isb_status status =
            isb__fail(file->ctx, ISB_ERR_MISMATCH,
                      "%s has \"%s\": %.100s, but %s has %.100s: prepare all shards from the same "
                      "text with the same options",
                      path, key, a ? a : "none", first_path, b ? b : "?");
        free(a);
        free(b);
        return status;
    }
    return isb__fail(file->ctx, ISB_ERR_MISMATCH, "%s was made from more than %s was", path,
                     first_path);
}
