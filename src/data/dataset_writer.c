/* Writes a dataset.  The ids stream into .bin; of each document only its length is kept (4 bytes),
 * from which .idx is made at the end.  The three files get their names last and in an order that is
 * safe at every moment:
 *
 *     1. all bytes of all three in temporary files    3. rename .bin, then .idx
 *     2. remove an old .json                          4. rename .json
 *
 * A reader needs the .json, so it sees the old dataset, none, or the new one. */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "data/dataset_meta.h"

enum { PIECE_NIDS = 4096 };

/* One output file, its checksum and its name. */
typedef struct output {
    char *path;
    isb__writer *writer;
    isb__hasher *hasher;
    bool renamed;
} output;

struct isb__dataset_writer {
    isb_context *ctx;
    isb__dataset_meta meta;
    output bin, idx, json, raw; /* raw: only a path without raw bytes */
    isb__raw_table table;
    int32_t *lengths; /* [n_documents] */
    size_t lengths_capacity;
    isb_status status; /* the first failure: such a dataset is never committed */
};

static isb_status output_open(isb_context *ctx, const char *prefix, const char *suffix,
                              output *out) {
    ISB_TRY(isb__dataset_path(ctx, prefix, suffix, &out->path));
    out->hasher = isb__hasher_create();
    if (!out->hasher)
        return isb__fail(ctx, ISB_ERR_NO_MEMORY, "no memory for the checksum of %s", out->path);
    return isb__writer_open(ctx, out->path, &out->writer);
}

static isb_status output_write(output *out, const void *data, size_t nbytes) {
    isb__hasher_update(out->hasher, data, nbytes);
    return isb__writer_write(out->writer, data, nbytes);
}

static uint64_t output_checksum(output *out) {
    const uint64_t checksum = isb__hasher_finish64(out->hasher);
    out->hasher = NULL;
    return checksum;
}

static isb_status output_rename(output *out) {
    isb__writer *writer = out->writer;
    out->writer = NULL;
    out->renamed = true; /* even a failing commit may have got that far */
    return isb__writer_commit(writer);
}

static void output_free(isb_context *ctx, output *out, bool keep) {
    isb__writer_abort(out->writer);
    if (out->renamed && !keep) unlink(out->path);
    if (out->hasher) (void)isb__hasher_finish64(out->hasher);
    isb__free(ctx, out->path);
}

static void writer_free(isb__dataset_writer *writer, bool keep) {
    isb_context *ctx = writer->ctx;
    output_free(ctx, &writer->json, keep);
    output_free(ctx, &writer->raw, keep);
    isb__raw_table_free(&writer->table);
    output_free(ctx, &writer->idx, keep);
    output_free(ctx, &writer->bin, keep);
    isb__free(ctx, writer->lengths);
    isb__free(ctx, writer);
}

void isb__dataset_writer_abort(isb__dataset_writer *writer) {
    if (writer) writer_free(writer, false);
}

/* The table of an older dataset of this name must not lie beside a new one. */
static isb_status setup_raw(isb__dataset_writer *writer, const char *prefix,
                            const isb__id_strings *strings) {
    isb_context *ctx = writer->ctx;
    writer->table = (isb__raw_table){.ctx = ctx, .strings = strings};
    return strings ? output_open(ctx, prefix, ISB__RAW_SUFFIX, &writer->raw)
                   : isb__dataset_path(ctx, prefix, ISB__RAW_SUFFIX, &writer->raw.path);
}

static isb_status writer_setup(isb__dataset_writer *writer, const char *prefix,
                               const isb_dataset_info *what, const isb__id_strings *strings) {
    isb_context *ctx = writer->ctx;
    isb_dataset_info *info = &writer->meta.info;
    if (what->n_codes < 1 || what->n_ids <= what->n_codes || what->n_ids > INT32_MAX) {
        return isb__fail(ctx, ISB_ERR_RANGE,
                         "a tokenizer with %" PRId64 " codes and %" PRId64
                         " ids; expected at least 1 code, the boundary, and ids of 4 bytes",
                         what->n_codes, what->n_ids);
    }
    *info = *what;
    info->n_documents = info->n_tokens = info->n_bytes = 0;
    info->id_nbytes = info->n_codes <= 65536 ? 2 : 4;
    ISB_TRY(setup_raw(writer, prefix, strings));
    ISB_TRY(output_open(ctx, prefix, ".bin", &writer->bin));
    ISB_TRY(output_open(ctx, prefix, ".idx", &writer->idx));
    return output_open(ctx, prefix, ".json", &writer->json);
}

isb_status isb__dataset_writer_open(isb_context *ctx, const char *prefix,
                                    const isb_dataset_info *what, const isb__id_strings *strings,
                                    isb__dataset_writer **writer_out) {
    *writer_out = NULL;
    isb__dataset_writer *writer = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *writer, &writer));
    writer->ctx = ctx;
    const isb_status status = writer_setup(writer, prefix, what, strings);
    if (status != ISB_OK) {
        isb__dataset_writer_abort(writer);
        return status;
    }
    *writer_out = writer;
    return ISB_OK;
}

static isb_status write_narrow(output *bin, const uint32_t *ids, size_t count) {
    uint16_t narrow[PIECE_NIDS];
    while (count > 0) {
        const size_t n = count < PIECE_NIDS ? count : PIECE_NIDS;
        for (size_t i = 0; i < n; ++i) narrow[i] = (uint16_t)ids[i];
        ISB_TRY(output_write(bin, narrow, n * sizeof *narrow));
        ids += n;
        count -= n;
    }
    return ISB_OK;
}

static isb_status check_ids(const isb__dataset_writer *writer, const uint32_t *ids, size_t count) {
    const isb_dataset_info *info = &writer->meta.info;
    for (size_t i = 0; i < count; ++i) {
        if (ids[i] < info->n_codes) continue;
        return isb__fail(writer->ctx, ISB_ERR_RANGE,
                         "id %" PRIu32 " at token %zu of document %" PRIu64
                         " for %s: \"%s\" has ids 0 .. %" PRId64,
                         ids[i], i, info->n_documents, writer->bin.path, info->tokenizer,
                         info->n_codes - 1);
    }
    return ISB_OK;
}

static isb_status add(isb__dataset_writer *writer, const uint32_t *ids, size_t count,
                      uint64_t document_nbytes) {
    isb_dataset_info *info = &writer->meta.info;
    if (count > INT32_MAX) {
        return isb__fail(writer->ctx, ISB_ERR_RANGE,
                         "a document of %zu tokens; the index holds at most 2147483647", count);
    }
    ISB_TRY(check_ids(writer, ids, count));
    ISB_TRY(isb__grow_array(writer->ctx, (size_t)info->n_documents + 1, sizeof *writer->lengths,
                            &writer->lengths_capacity, &writer->lengths));
    ISB_TRY(info->id_nbytes == 4 ? output_write(&writer->bin, ids, count * sizeof *ids)
                                 : write_narrow(&writer->bin, ids, count));
    if (writer->table.strings) ISB_TRY(isb__raw_table_add(&writer->table, ids, count));
    writer->lengths[info->n_documents++] = (int32_t)count;
    info->n_tokens += count;
    info->n_bytes += document_nbytes;
    return ISB_OK;
}

isb_status isb__dataset_writer_add(isb__dataset_writer *writer, const uint32_t *ids, size_t count,
                                   uint64_t document_nbytes) {
    if (writer->status == ISB_OK) writer->status = add(writer, ids, count, document_nbytes);
    return writer->status;
}

static isb_status write_u64(output *out, uint64_t value) {
    return output_write(out, &value, sizeof value);
}

static isb_status write_index(isb__dataset_writer *writer) {
    const isb_dataset_info *info = &writer->meta.info;
    const uint64_t n = info->n_documents;
    const uint8_t dtype = info->id_nbytes == 2 ? ISB__DTYPE_UINT16 : ISB__DTYPE_INT32;
    output *idx = &writer->idx;
    ISB_TRY(output_write(idx, ISB__IDX_MAGIC, ISB__IDX_MAGIC_NBYTES));
    ISB_TRY(write_u64(idx, 1));
    ISB_TRY(output_write(idx, &dtype, 1));
    ISB_TRY(write_u64(idx, n));
    ISB_TRY(write_u64(idx, n + 1));
    ISB_TRY(output_write(idx, writer->lengths, n * sizeof *writer->lengths));
    uint64_t offset = 0;
    for (uint64_t d = 0; d < n; ++d) {
        ISB_TRY(write_u64(idx, offset));
        offset += (uint64_t)writer->lengths[d] * (uint64_t)info->id_nbytes;
    }
    for (uint64_t d = 0; d <= n; ++d) ISB_TRY(write_u64(idx, d));
    return ISB_OK;
}

static isb_status write_raw(isb__dataset_writer *writer) {
    const isb_dataset_info *info = &writer->meta.info;
    const isb__raw_table *t = &writer->table;
    output *raw = &writer->raw;
    if (!t->strings) return ISB_OK;
    if (t->n_bytes != info->n_bytes) {
        return isb__fail(writer->ctx, ISB_ERR_CORRUPT,
                         "the ids for %s decode to %" PRIu64 " bytes, the text has %" PRIu64,
                         raw->path, t->n_bytes, info->n_bytes);
    }
    ISB_TRY(output_write(raw, ISB__RAW_MAGIC, 8));
    ISB_TRY(write_u64(raw, info->n_documents));
    ISB_TRY(write_u64(raw, info->n_tokens));
    ISB_TRY(write_u64(raw, ISB__RAW_ANCHOR_NTOKENS));
    ISB_TRY(output_write(raw, t->starts, t->n_documents * sizeof *t->starts));
    ISB_TRY(write_u64(raw, t->n_bytes));
    ISB_TRY(output_write(raw, t->anchors, t->n_anchors * sizeof *t->anchors));
    writer->meta.raw_checksum = output_checksum(raw);
    return ISB_OK;
}

/* Brings every byte out of the buffers, so that a full disk shows before anything is renamed. */
static isb_status flush(output *out) { return isb__writer_patch(out->writer, 0, NULL, 0); }

static isb_status commit(isb__dataset_writer *writer) {
    ISB_TRY(writer->status);
    ISB_TRY(write_index(writer));
    ISB_TRY(write_raw(writer));
    writer->meta.bin_checksum = output_checksum(&writer->bin);
    writer->meta.idx_checksum = output_checksum(&writer->idx);
    ISB_TRY(isb__dataset_meta_write(writer->ctx, writer->json.writer, &writer->meta));
    ISB_TRY(flush(&writer->bin));
    ISB_TRY(flush(&writer->idx));
    ISB_TRY(flush(&writer->json));
    if (writer->raw.writer) ISB_TRY(flush(&writer->raw));
    unlink(writer->json.path);
    unlink(writer->raw.path);
    if (writer->raw.writer) ISB_TRY(output_rename(&writer->raw));
    ISB_TRY(output_rename(&writer->bin));
    ISB_TRY(output_rename(&writer->idx));
    return output_rename(&writer->json);
}

isb_status isb__dataset_writer_commit(isb__dataset_writer *writer) {
    const isb_status status = commit(writer);
    writer_free(writer, status == ISB_OK);
    return status;
}
