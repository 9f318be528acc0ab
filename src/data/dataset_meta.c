/* PREFIX.json: what the ids of a dataset mean, and checksums that tie its three files together. */
#include "data/dataset_meta.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/tokenizer.h"

enum { VERSION = 1, LIMIT_NBYTES = 1 << 20 };
static const char FORMAT[] = "isobit-dataset";

isb_status isb__dataset_path(isb_context *ctx, const char *prefix, const char *suffix,
                             char **path) {
    const size_t capacity = strlen(prefix) + strlen(suffix) + 1;
    ISB_TRY(isb__alloc(ctx, capacity, path));
    snprintf(*path, capacity, "%s%s", prefix, suffix);
    return ISB_OK;
}

isb_status isb__dataset_find_beside(isb_context *ctx, const char *prefix, const char *suffix,
                                    char **path) {
    static const char *const sides[] = {"", ".train", ".valid", ".test"};
    char *stem = NULL;
    *path = NULL;
    ISB_TRY(isb__strdup(ctx, prefix, &stem));
    isb_status status = ISB_OK;
    for (size_t i = 0; i < sizeof sides / sizeof *sides && status == ISB_OK && !*path; ++i) {
        const size_t n = strlen(stem), m = strlen(sides[i]);
        if (n < m || strcmp(stem + n - m, sides[i]) != 0) continue;
        stem[n - m] = '\0';
        status = isb__dataset_path(ctx, stem, suffix, path);
        if (status == ISB_OK && !isb__path_exists(*path)) {
            isb__free(ctx, *path);
            *path = NULL;
        }
    }
    isb__free(ctx, stem);
    return status;
}

isb_status isb__dataset_find_codebook(isb_context *ctx, const char *prefix, char **path) {
    return isb__dataset_find_beside(ctx, prefix, ISB__CODEBOOK_SUFFIX, path);
}

/* Cleaning up after a failure must not fail: no memory is allocated.  Longer paths cannot have been
 * opened. */
void isb__dataset_remove(const char *prefix) {
    static const char *const suffixes[] = {".json", ".idx", ".bin", ISB__RAW_SUFFIX};
    char path[PATH_MAX];
    for (int i = 0; i < 4; ++i) {
        const int length = snprintf(path, sizeof path, "%s%s", prefix, suffixes[i]);
        if (length > 0 && (size_t)length < sizeof path) unlink(path);
    }
}

static void format_checksum(uint64_t checksum, char hex[17]) {
    snprintf(hex, 17, "%016" PRIx64, checksum);
}

isb_status isb__dataset_meta_write(isb_context *ctx, isb__writer *writer,
                                   const isb__dataset_meta *meta) {
    const isb_dataset_info *info = &meta->info;
    char bin_hex[17], idx_hex[17];
    format_checksum(meta->bin_checksum, bin_hex);
    format_checksum(meta->idx_checksum, idx_hex);
    /* clang-format off */
    json_t *root = json_pack(
        "{s:s, s:i, s:s, s:s, s:I, s:i, s:I, s:I, s:I, s:s, s:s}",
        "format", FORMAT,
        "version", VERSION,
        "tokenizer", info->tokenizer,
        isb__identity_key(info->tokenizer), info->tokenizer_identity,
        "n_codes", (json_int_t)info->n_codes,
        "id_nbytes", info->id_nbytes,
        "n_documents", (json_int_t)info->n_documents,
        "n_tokens", (json_int_t)info->n_tokens,
        "n_bytes", (json_int_t)info->n_bytes,
        "bin_xxh3_64", bin_hex,
        "idx_xxh3_64", idx_hex);
    /* clang-format on */
    const bool specials = info->n_ids != info->n_codes + 1;
    bool good = !specials || json_object_set_new(root, "n_ids", json_integer(info->n_ids)) == 0;
    if (info->first_byte_id > 0) {
        char raw_hex[17];
        format_checksum(meta->raw_checksum, raw_hex);
        good &= json_object_set_new(root, "first_byte_id", json_integer(info->first_byte_id)) == 0;
        good &= json_object_set_new(root, "raw_xxh3_64", json_string(raw_hex)) == 0;
    }
    char *text = root && good ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (!text) return isb__fail(ctx, ISB_ERR_NO_MEMORY, "no memory for a dataset's description");
    isb_status status = isb__writer_write(writer, text, strlen(text));
    if (status == ISB_OK) status = isb__writer_write(writer, "\n", 1);
    free(text);
    return status;
}

typedef struct meta_reader {
    isb_context *ctx;
    const char *path;
    json_t *root;
} meta_reader;

static isb_status get_number(const meta_reader *r, const char *key, uint64_t limit,
                             uint64_t *number) {
    const json_t *value = json_object_get(r->root, key);
    const json_int_t found = json_integer_value(value);
    if (!json_is_integer(value) || found < 0 || (uint64_t)found > limit) {
        return isb__fail(r->ctx, ISB_ERR_CORRUPT,
                         "%s: \"%s\" should be an integer from 0 to %" PRIu64, r->path, key, limit);
    }
    *number = (uint64_t)found;
    return ISB_OK;
}

static isb_status get_text(const meta_reader *r, const char *key, char *text, size_t capacity) {
    const json_t *value = json_object_get(r->root, key);
    if (!json_is_string(value) || json_string_length(value) >= capacity) {
        return isb__fail(r->ctx, ISB_ERR_CORRUPT,
                         "%s: \"%s\" should be a string of at most %zu bytes", r->path, key,
                         capacity - 1);
    }
    memcpy(text, json_string_value(value), json_string_length(value) + 1);
    return ISB_OK;
}

static isb_status get_checksum(const meta_reader *r, const char *key, uint64_t *checksum) {
    char hex[17];
    ISB_TRY(get_text(r, key, hex, sizeof hex));
    if (strlen(hex) != 16 || strspn(hex, "0123456789abcdef") != 16) {
        return isb__fail(r->ctx, ISB_ERR_CORRUPT,
                         "%s: \"%s\" should be 16 hexadecimal digits, found \"%s\"", r->path, key,
                         hex);
    }
    *checksum = strtoull(hex, NULL, 16);
    return ISB_OK;
}

static isb_status check_format(const meta_reader *r) {
    const char *format = json_string_value(json_object_get(r->root, "format"));
    if (!format || strcmp(format, FORMAT) != 0) {
        return isb__fail(r->ctx, ISB_ERR_FORMAT,
                         "%s does not describe a dataset: \"format\" should be \"%s\"", r->path,
                         FORMAT);
    }
    uint64_t version;
    ISB_TRY(get_number(r, "version", INT32_MAX, &version));
    if (version == VERSION) return ISB_OK;
    return isb__fail(r->ctx, ISB_ERR_VERSION,
                     "%s has version %" PRIu64
                     ", this isobit reads version %d; prepare the data again",
                     r->path, version, VERSION);
}

/* Only where there are raw bytes. */
static isb_status get_raw_bytes(const meta_reader *r, isb__dataset_meta *meta, uint64_t n_codes,
                                uint64_t n_ids) {
    uint64_t first;
    if (!json_object_get(r->root, "first_byte_id")) return ISB_OK;
    ISB_TRY(get_number(r, "first_byte_id", INT32_MAX, &first));
    ISB_TRY(get_checksum(r, "raw_xxh3_64", &meta->raw_checksum));
    meta->info.first_byte_id = (int64_t)first;
    if (first > n_codes && first + ISB__RAW_IDS == n_ids) return ISB_OK;
    return isb__fail(r->ctx, ISB_ERR_CORRUPT,
                     "%s: the first byte has id %" PRIu64 "; expected it after %" PRIu64
                     " and %d before the end of %" PRIu64 " ids",
                     r->path, first, n_codes, ISB__RAW_IDS, n_ids);
}

static isb_status get_all(const meta_reader *r, isb__dataset_meta *meta) {
    isb_dataset_info *info = &meta->info;
    uint64_t n_codes, n_ids, id_nbytes;
    ISB_TRY(check_format(r));
    ISB_TRY(get_text(r, "tokenizer", info->tokenizer, sizeof info->tokenizer));
    ISB_TRY(get_text(r, isb__identity_key(info->tokenizer), info->tokenizer_identity,
                     sizeof info->tokenizer_identity));
    ISB_TRY(get_number(r, "n_codes", INT32_MAX - 1, &n_codes));
    n_ids = n_codes + 1;
    if (json_object_get(r->root, "n_ids")) ISB_TRY(get_number(r, "n_ids", INT32_MAX, &n_ids));
    ISB_TRY(get_number(r, "id_nbytes", 4, &id_nbytes));
    ISB_TRY(get_number(r, "n_documents", INT64_MAX, &info->n_documents));
    ISB_TRY(get_number(r, "n_tokens", INT64_MAX, &info->n_tokens));
    ISB_TRY(get_number(r, "n_bytes", INT64_MAX, &info->n_bytes));
    ISB_TRY(get_checksum(r, "bin_xxh3_64", &meta->bin_checksum));
    ISB_TRY(get_checksum(r, "idx_xxh3_64", &meta->idx_checksum));
    ISB_TRY(get_raw_bytes(r, meta, n_codes, n_ids));
    info->n_codes = (int64_t)n_codes;
    info->n_ids = (int64_t)n_ids;
    info->id_nbytes = (int)id_nbytes;
    if (n_ids <= n_codes) {
        return isb__fail(r->ctx, ISB_ERR_CORRUPT,
                         "%s: %" PRIu64 " ids for %" PRIu64 " codes and the boundary", r->path,
                         n_ids, n_codes);
    }
    if ((id_nbytes != 2 && id_nbytes != 4) || n_codes == 0) {
        return isb__fail(r->ctx, ISB_ERR_CORRUPT,
                         "%s: ids of %d bytes with %" PRIu64 " codes; ids have 2 or 4 bytes",
                         r->path, info->id_nbytes, n_codes);
    }
    if (id_nbytes == 2 && n_codes > 65536) {
        return isb__fail(r->ctx, ISB_ERR_RANGE,
                         "%s: %" PRIu64 " codes do not fit ids of 2 bytes (at most 65536)", r->path,
                         n_codes);
    }
    return ISB_OK;
}

static isb_status parse(meta_reader *r, const uint8_t *text, size_t nbytes,
                        isb__dataset_meta *meta) {
    json_error_t error;
    r->root = json_loadb((const char *)text, nbytes, JSON_REJECT_DUPLICATES, &error);
    if (!r->root)
        return isb__fail(r->ctx, ISB_ERR_CORRUPT, "%s:%d: %s", r->path, error.line, error.text);
    const isb_status status = get_all(r, meta);
    json_decref(r->root);
    return status;
}

isb_status isb__dataset_meta_read(isb_context *ctx, const char *path, isb__dataset_meta *meta) {
    *meta = (isb__dataset_meta){0};
    meta_reader r = {ctx, path, NULL};
    uint8_t *text = NULL;
    size_t nbytes = 0;
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        return isb__fail(ctx, ISB_ERR_NOT_FOUND,
                         "%s is missing: the name (without .bin, .idx or .json) is wrong, or the "
                         "dataset was never finished",
                         path);
    }
    ISB_TRY(isb__file_read(ctx, path, LIMIT_NBYTES, &text, &nbytes));
    const isb_status status = parse(&r, text, nbytes, meta);
    isb__free(ctx, text);
    return status;
}
