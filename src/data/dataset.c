/* Reads a dataset.  The .bin is mapped and its ids are widened as they are read; of the .idx, which
 * is checked against the .json and against the size of the .bin, only lengths and running sums are
 * kept. */
#include "data/dataset.h"

#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "data/dataset_meta.h"
#include "data/options.h"

static uint64_t load_u64(const uint8_t *p) {
    uint64_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

static int32_t load_i32(const uint8_t *p) {
    int32_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

static isb_status check_header(isb_context *ctx, const char *path, const isb__map *idx,
                               const isb_dataset_info *info) {
    if (idx->nbytes < ISB__IDX_HEADER_NBYTES ||
        memcmp(idx->data, ISB__IDX_MAGIC, ISB__IDX_MAGIC_NBYTES) != 0) {
        return isb__fail(
            ctx, ISB_ERR_FORMAT,
            "%s is not an index: it should begin with MMIDIDX and have at least 34 bytes", path);
    }
    const uint64_t version = load_u64(idx->data + ISB__IDX_VERSION_AT);
    if (version != 1)
        return isb__fail(ctx, ISB_ERR_VERSION, "%s has index version %" PRIu64 ", expected 1", path,
                         version);
    const int dtype = idx->data[ISB__IDX_DTYPE_AT],
              expected = info->id_nbytes == 2 ? ISB__DTYPE_UINT16 : ISB__DTYPE_INT32;
    if (dtype != expected) {
        return isb__fail(ctx, ISB_ERR_CORRUPT,
                         "%s has ids of type code %d, its .json says %d (8: uint16, 4: int32)",
                         path, dtype, expected);
    }
    const uint64_t n = load_u64(idx->data + ISB__IDX_SEQUENCES_AT),
                   n_marks = load_u64(idx->data + ISB__IDX_DOCUMENTS_AT);
    if (n != info->n_documents || n_marks != n + 1) {
        return isb__fail(ctx, ISB_ERR_CORRUPT,
                         "%s has %" PRIu64 " sequences and %" PRIu64
                         " document marks, its .json says %" PRIu64 " documents",
                         path, n, n_marks, info->n_documents);
    }
    const uint64_t fits = (idx->nbytes - ISB__IDX_HEADER_NBYTES) / ISB__IDX_DOCUMENT_NBYTES;
    if (n > fits || idx->nbytes != ISB__IDX_HEADER_NBYTES + 8 + n * ISB__IDX_DOCUMENT_NBYTES) {
        return isb__fail(ctx, ISB_ERR_CORRUPT,
                         "%s has %zu bytes, which is not right for %" PRIu64
                         " documents: is it cut short?",
                         path, idx->nbytes, n);
    }
    return ISB_OK;
}

static isb_status read_documents(isb__dataset *dataset, const char *path, const uint8_t *idx) {
    isb_context *ctx = dataset->ctx;
    const isb_dataset_info *info = &dataset->info;
    const size_t n = (size_t)info->n_documents;
    const uint8_t *lengths = idx + ISB__IDX_HEADER_NBYTES, *offsets = lengths + 4 * n,
                  *marks = offsets + 8 * n;
    ISB_TRY(isb__alloc_array(ctx, n, sizeof *dataset->lengths, &dataset->lengths));
    ISB_TRY(isb__alloc_array(ctx, n + 1, sizeof *dataset->starts, &dataset->starts));
    uint64_t start = 0;
    for (size_t d = 0; d < n; ++d) {
        const int32_t length = load_i32(lengths + 4 * d);
        if (length < 0 || load_u64(offsets + 8 * d) != start * (uint64_t)info->id_nbytes ||
            load_u64(marks + 8 * d) != d) {
            return isb__fail(ctx, ISB_ERR_CORRUPT,
                             "%s: document %zu has length %d, offset %" PRIu64 " and mark %" PRIu64
                             "; expected offset %" PRIu64 " and mark %zu",
                             path, d, length, load_u64(offsets + 8 * d), load_u64(marks + 8 * d),
                             start * (uint64_t)info->id_nbytes, d);
        }
        dataset->lengths[d] = length;
        dataset->starts[d] = start;
        start += (uint64_t)length;
    }
    dataset->starts[n] = start;
    if (start != info->n_tokens || load_u64(marks + 8 * n) != n) {
        return isb__fail(ctx, ISB_ERR_CORRUPT,
                         "%s counts %" PRIu64 " tokens, its .json says %" PRIu64, path, start,
                         info->n_tokens);
    }
    return ISB_OK;
}

static isb_status read_index(isb__dataset *dataset, const char *path, uint64_t checksum) {
    isb__map idx = {0};
    ISB_TRY(isb__map_open(dataset->ctx, path, &idx));
    isb_status status = check_header(dataset->ctx, path, &idx, &dataset->info);
    if (status == ISB_OK && isb__hash64(idx.data, idx.nbytes, 0) != checksum) {
        status = isb__fail(dataset->ctx, ISB_ERR_CORRUPT,
                           "%s has checksum %016" PRIx64 ", its .json says %016" PRIx64, path,
                           isb__hash64(idx.data, idx.nbytes, 0), checksum);
    }
    if (status == ISB_OK) status = read_documents(dataset, path, idx.data);
    isb__map_close(&idx);
    return status;
}

static isb_status map_ids(isb__dataset *dataset, const char *path) {
    const isb_dataset_info *info = &dataset->info;
    ISB_TRY(isb__map_open(dataset->ctx, path, &dataset->bin));
    const size_t found = dataset->bin.nbytes, id_nbytes = (size_t)info->id_nbytes;
    if (found % id_nbytes == 0 && found / id_nbytes == info->n_tokens) return ISB_OK;
    return isb__fail(dataset->ctx, ISB_ERR_CORRUPT,
                     "%s has %zu bytes, expected %" PRIu64 " tokens of %zu bytes: it is %s", path,
                     found, info->n_tokens, id_nbytes,
                     found / id_nbytes < info->n_tokens ? "cut short" : "not of this dataset");
}

static isb_status map_raw(isb__dataset *dataset, const char *path, uint64_t checksum) {
    const isb_dataset_info *info = &dataset->info;
    const char *why;
    if (info->first_byte_id == 0) return ISB_OK;
    ISB_TRY(isb__map_open(dataset->ctx, path, &dataset->raw));
    const uint64_t *words = (const uint64_t *)(const void *)dataset->raw.data;
    if (!isb__raw_table_fits(words, dataset->raw.nbytes / sizeof *words, info->n_documents,
                             info->n_tokens, info->n_bytes, &why))
        return isb__fail(dataset->ctx, ISB_ERR_CORRUPT, "%s: %s; prepare the data again", path,
                         why);
    const uint64_t found = isb__hash64(dataset->raw.data, dataset->raw.nbytes, 0);
    if (found != checksum) {
        return isb__fail(dataset->ctx, ISB_ERR_CORRUPT,
                         "%s has checksum %016" PRIx64 ", its .json says %016" PRIx64, path, found,
                         checksum);
    }
    dataset->raw_starts = words + ISB__RAW_HEADER_NWORDS;
    dataset->raw_anchors = dataset->raw_starts + info->n_documents + 1;
    return ISB_OK;
}

/* The steps in order; each needs a path that lives as long as the step. */
static isb_status load(isb__dataset *dataset, const char *prefix) {
    isb_context *ctx = dataset->ctx;
    char *json = NULL, *idx = NULL, *bin = NULL, *raw = NULL;
    isb__dataset_meta meta;
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(isb__dataset_path(ctx, prefix, ".json", &json));
    ISB_TRY_GOTO(isb__dataset_path(ctx, prefix, ".idx", &idx));
    ISB_TRY_GOTO(isb__dataset_path(ctx, prefix, ".bin", &bin));
    ISB_TRY_GOTO(isb__dataset_path(ctx, prefix, ISB__RAW_SUFFIX, &raw));
    ISB_TRY_GOTO(isb__strdup(ctx, prefix, &dataset->prefix));
    ISB_TRY_GOTO(isb__dataset_meta_read(ctx, json, &meta));
    dataset->info = meta.info;
    dataset->bin_checksum = meta.bin_checksum;
    ISB_TRY_GOTO(read_index(dataset, idx, meta.idx_checksum));
    ISB_TRY_GOTO(map_ids(dataset, bin));
    ISB_TRY_GOTO(map_raw(dataset, raw, meta.raw_checksum));
fail:
    isb__free(ctx, json);
    isb__free(ctx, idx);
    isb__free(ctx, bin);
    isb__free(ctx, raw);
    return status;
}

isb_status isb__dataset_open(isb_context *ctx, const char *prefix, isb__dataset **dataset_out) {
    *dataset_out = NULL;
    isb__dataset *dataset = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *dataset, &dataset));
    dataset->ctx = ctx;
    const isb_status status = load(dataset, prefix);
    if (status != ISB_OK) {
        isb__dataset_close(dataset);
        return status;
    }
    *dataset_out = dataset;
    return ISB_OK;
}

void isb__dataset_close(isb__dataset *dataset) {
    if (!dataset) return;
    isb_context *ctx = dataset->ctx;
    isb__map_close(&dataset->bin);
    isb__map_close(&dataset->raw);
    isb__free(ctx, dataset->lengths);
    isb__free(ctx, dataset->starts);
    isb__free(ctx, dataset->prefix);
    isb__free(ctx, dataset);
}

static uint32_t id_at(const isb__dataset *dataset, uint64_t index) {
    if (dataset->info.id_nbytes == 2)
        return ((const uint16_t *)(const void *)dataset->bin.data)[index];
    return ((const uint32_t *)(const void *)dataset->bin.data)[index];
}

isb_status isb__dataset_verify(const isb__dataset *dataset) {
    const isb_dataset_info *info = &dataset->info;
    const uint64_t checksum = isb__hash64(dataset->bin.data, dataset->bin.nbytes, 0);
    if (checksum != dataset->bin_checksum) {
        return isb__fail(dataset->ctx, ISB_ERR_CORRUPT,
                         "%s.bin has checksum %016" PRIx64 ", its .json says %016" PRIx64
                         "; prepare the data again",
                         dataset->prefix, checksum, dataset->bin_checksum);
    }
    for (uint64_t i = 0; i < info->n_tokens; ++i) {
        if (id_at(dataset, i) < (uint64_t)info->n_codes) continue;
        return isb__fail(dataset->ctx, ISB_ERR_CORRUPT,
                         "%s.bin has id %" PRIu32 " at token %" PRIu64 ", ids go to %" PRId64,
                         dataset->prefix, id_at(dataset, i), i, info->n_codes - 1);
    }
    return ISB_OK;
}

void isb__dataset_read(const isb__dataset *dataset, uint64_t from, size_t count, int32_t *ids) {
    const uint32_t n_codes = (uint32_t)dataset->info.n_codes;
    for (size_t i = 0; i < count; ++i) {
        const uint32_t id = id_at(dataset, from + i);
        ids[i] = id < n_codes ? (int32_t)id : 0;
    }
}

isb_status isb_dataset_get_info(isb_context *ctx, const char *prefix, int full,
                                isb_dataset_info *info) {
    *info = (isb_dataset_info){0};
    isb__dataset *dataset = NULL;
    ISB_TRY(isb__dataset_open(ctx, prefix, &dataset));
    const isb_status status = full ? isb__dataset_verify(dataset) : ISB_OK;
    if (status == ISB_OK) *info = dataset->info;
    isb__dataset_close(dataset);
    return status;
}
