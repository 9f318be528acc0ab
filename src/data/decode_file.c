/* isb_decode_file(): a file of ids to text.  Documents are collected into batches and decoded
 * together. */
#include <inttypes.h>
#include <string.h>

#include "data/ids_files.h"
#include "data/jsonl.h"
#include "data/scan.h"

enum { BATCH_NIDS = 1 << 20, BATCH_NDOCUMENTS = 4096 };

typedef struct decoder {
    isb_context *ctx;
    const isb_encode_options *options;
    isb__tokenizer *tokenizer;
    isb__scan scan;
    isb__writer *writer;
    const char *in_path;
    uint32_t *ids; /* documents of the batch, one after another */
    size_t n_ids, ids_capacity, n_documents;
    size_t ends[BATCH_NDOCUMENTS]; /* in ids */
    isb__ids_view views[BATCH_NDOCUMENTS];
    isb__decoded decoded[BATCH_NDOCUMENTS];
    isb__progress_state progress;
    isb_encode_result result;
} decoder;

static isb_status write_jsonl(isb__writer *writer, const uint8_t *bytes, size_t nbytes) {
    ISB_TRY(isb__writer_write(writer, "{\"text\": \"", 10));
    size_t from = 0;
    for (size_t i = 0; i < nbytes; ++i) {
        if (bytes[i] >= 0x20 && bytes[i] != '"' && bytes[i] != '\\') continue;
        char escaped[6];
        ISB_TRY(isb__writer_write(writer, bytes + from, i - from));
        ISB_TRY(isb__writer_write(writer, escaped, isb__json_escape_byte(bytes[i], escaped)));
        from = i + 1;
    }
    if (nbytes > from) ISB_TRY(isb__writer_write(writer, bytes + from, nbytes - from));
    return isb__writer_write(writer, "\"}\n", 3);
}

static isb_status deliver(decoder *d, const isb__decoded *decoded, size_t n_ids) {
    if (decoded->status != ISB_OK) {
        return isb__fail(d->ctx, decoded->status,
                         "%s: document %" PRIu64
                         " (%zu ids) does not decode after %zu bytes of text; was it "
                         "made by \"%s\"%s?",
                         d->in_path, d->result.n_documents + 1, n_ids, decoded->nbytes,
                         d->tokenizer->spec, d->tokenizer->m1_dir ? " with this M1" : "");
    }
    if (d->options->jsonl_out) {
        ISB_TRY(write_jsonl(d->writer, decoded->bytes, decoded->nbytes));
    } else if (decoded->nbytes > 0) {
        ISB_TRY(isb__writer_write(d->writer, decoded->bytes, decoded->nbytes));
    }
    ++d->result.n_documents;
    d->result.n_tokens += n_ids;
    d->result.n_bytes += decoded->nbytes;
    d->result.n_windows += decoded->n_windows;
    return ISB_OK;
}

static void report(void *user, double done) {
    decoder *d = user;
    isb__progress_update(&d->progress, (double)d->result.n_bytes + done, "");
}

static isb_status flush(decoder *d) {
    size_t from = 0;
    for (size_t i = 0; i < d->n_documents; from = d->ends[i++]) {
        d->views[i] = (isb__ids_view){d->ids + from, d->ends[i] - from};
    }
    if (d->n_documents == 0) return ISB_OK;
    ISB_TRY(
        isb__tokenizer_decode(d->tokenizer, d->n_documents, d->views, 0, d->decoded, report, d));
    for (size_t i = 0; i < d->n_documents; ++i)
        ISB_TRY(deliver(d, &d->decoded[i], d->views[i].count));
    d->n_ids = d->n_documents = 0;
    return ISB_OK;
}

static isb_status end_document(decoder *d) {
    ISB_TRY(isb__check_cancel(d->ctx));
    ISB_TRY(isb__grow_array(d->ctx, d->n_ids + 1, sizeof *d->ids, &d->ids_capacity,
                            &d->ids)); /* never NULL */
    d->ends[d->n_documents++] = d->n_ids;
    return d->n_documents == BATCH_NDOCUMENTS || d->n_ids >= BATCH_NIDS ? flush(d) : ISB_OK;
}

/* `unit` and `position` name the id's place: ("byte", 12) or ("line", 3). */
static isb_status add_id(decoder *d, uint32_t id, const char *unit, uint64_t position) {
    if (id >= d->tokenizer->n_codes) {
        return isb__fail(
            d->ctx, ISB_ERR_UNDECODABLE,
            "%s, %s %" PRIu64 ": id %" PRIu32 " is out of range: \"%s\" has ids 0 .. %" PRId64,
            d->in_path, unit, position, id, d->tokenizer->spec, d->tokenizer->n_codes - 1);
    }
    ISB_TRY(isb__grow_array(d->ctx, d->n_ids + 1, sizeof *d->ids, &d->ids_capacity, &d->ids));
    d->ids[d->n_ids++] = id;
    return ISB_OK;
}

static isb_status refuse_line(decoder *d, const char *reason, size_t offset) {
    return isb__fail(d->ctx, ISB_ERR_CORRUPT, "%s:%" PRIu64 ": %s (byte %zu of the line)",
                     d->in_path, d->scan.line_number, reason, offset + 1);
}

static isb_status read_text_line(decoder *d, const uint8_t *line, size_t nbytes) {
    for (size_t i = 0; i < nbytes;) {
        if (line[i] == ' ' || line[i] == '\t' || line[i] == '\r') {
            ++i;
            continue;
        }
        const size_t from = i;
        uint64_t id = 0;
        for (; i < nbytes && line[i] >= '0' && line[i] <= '9'; ++i) {
            if (id <= UINT32_MAX) id = id * 10 + (line[i] - '0');
        }
        if (i == from || (i < nbytes && !strchr(" \t\r", line[i])))
            return refuse_line(d, "expected ids in decimal", i);
        ISB_TRY(
            add_id(d, id > UINT32_MAX ? UINT32_MAX : (uint32_t)id, "line", d->scan.line_number));
    }
    return end_document(d);
}

static isb_status read_json_line(decoder *d, const uint8_t *line, size_t nbytes) {
    isb__json_value array;
    isb__json_error error;
    if (isb__json_is_blank(line, nbytes)) return ISB_OK;
    if (!isb__json_find(line, nbytes, "ids", &array, &error))
        return refuse_line(d, error.reason, error.offset);
    if (!array.data || *array.data != '[')
        return refuse_line(d, "the object has no array \"ids\"", 0);
    uint32_t id;
    size_t at = 0;
    int found;
    while ((found = isb__json_next_id(&array, &at, &id, &error)) > 0) {
        ISB_TRY(add_id(d, id, "line", d->scan.line_number));
    }
    if (found < 0) return refuse_line(d, error.reason, (size_t)(array.data - line) + error.offset);
    return end_document(d);
}

static isb_status read_lines(decoder *d,
                             isb_status (*read_line)(decoder *, const uint8_t *, size_t)) {
    for (;;) {
        uint8_t *line;
        size_t nbytes;
        ISB_TRY(isb__scan_line(&d->scan, &line, &nbytes));
        if (!line) return ISB_OK;
        ISB_TRY(read_line(d, line, nbytes));
    }
}

static isb_status read_binary(decoder *d, size_t id_nbytes) {
    ISB_TRY(isb__scan_fill_all(&d->scan));
    const size_t nbytes = isb__scan_unread(&d->scan);
    const uint8_t *data = isb__scan_take(&d->scan, nbytes);
    if (nbytes % id_nbytes != 0) {
        return isb__fail(
            d->ctx, ISB_ERR_CORRUPT,
            "%s has %zu bytes, not a multiple of %zu: it is cut short, or not ids of that size",
            d->in_path, nbytes, id_nbytes);
    }
    for (size_t at = 0; at < nbytes; at += id_nbytes) {
        uint32_t id = 0;
        for (size_t i = 0; i < id_nbytes; ++i) id |= (uint32_t)data[at + i] << (8 * i);
        ISB_TRY(add_id(d, id, "byte", at));
    }
    return end_document(d);
}

static isb_status read_all(decoder *d) {
    isb_status status = ISB_OK;
    switch (d->options->format) {
    case ISB_IDS_U16: status = read_binary(d, 2); break;
    case ISB_IDS_U32: status = read_binary(d, 4); break;
    case ISB_IDS_TEXT: status = read_lines(d, read_text_line); break;
    case ISB_IDS_JSON: status = read_lines(d, read_json_line); break;
    }
    return status == ISB_OK ? flush(d) : status;
}

static isb_status decode(decoder *d, const char *out_path) {
    const bool has_lines = d->options->format == ISB_IDS_TEXT || d->options->format == ISB_IDS_JSON;
    ISB_TRY(isb__scan_open(d->ctx, d->in_path, has_lines,
                           &d->scan)); /* ids of 2 bytes may look like gzip */
    ISB_TRY(isb__writer_open(d->ctx, out_path, &d->writer));
    isb__progress_begin(&d->progress, d->ctx, "decode", "byte", 0);
    const isb_status status = read_all(d);
    isb__progress_end(&d->progress, (double)d->result.n_bytes, "");
    ISB_TRY(status);
    isb__writer *writer = d->writer;
    d->writer = NULL;
    return isb__writer_commit(writer);
}

static void decoder_free(decoder *d) {
    isb__writer_abort(d->writer);
    isb__scan_free(&d->scan);
    isb__tokenizer_free(d->tokenizer);
    isb__free(d->ctx, d->ids);
    isb__free(d->ctx, d);
}

isb_status isb_decode_file(isb_context *ctx, const char *in_path, const char *out_path,
                           const isb_encode_options *options, isb_encode_result *result) {
    if (result) *result = (isb_encode_result){0};
    decoder *d = NULL;
    const double start_s = isb__now_s();
    ISB_TRY(isb__alloc(ctx, sizeof *d, &d));
    d->ctx = ctx;
    d->options = options;
    d->in_path = in_path;
    isb_status status = isb__encode_options_open(ctx, options, &d->tokenizer);
    if (status == ISB_OK) status = decode(d, out_path);
    if (status == ISB_OK && result) {
        *result = d->result;
        result->seconds = isb__now_s() - start_s;
    }
    decoder_free(d);
    return status;
}
