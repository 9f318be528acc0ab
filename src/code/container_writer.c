/* A .isb frame written as a stream. */
#include "code/container_format.h"

static isb_status write_bytes(isb__container_writer *writer, const void *data, size_t nbytes) {
    isb__hasher_update(writer->frame_hasher, data, nbytes);
    return writer->write(writer->user, data, nbytes);
}

isb_status isb__container_write_begin(isb_context *ctx, uint32_t chunk_nbytes, isb__write_fn write,
                                      void *user, isb__container_writer *writer) {
    *writer = (isb__container_writer){.ctx = ctx, .write = write, .user = user};
    if (chunk_nbytes < ISB__CONTAINER_MIN_CHUNK || chunk_nbytes > ISB__CONTAINER_MAX_CHUNK) {
        return isb__fail(ctx, ISB_ERR_RANGE, "chunks of %u bytes; %d to %d are allowed",
                         (unsigned)chunk_nbytes, ISB__CONTAINER_MIN_CHUNK,
                         ISB__CONTAINER_MAX_CHUNK);
    }
    uint8_t bytes[ISB__CONTAINER_HEADER_NBYTES];
    writer->layout = isb__container_layout_begin(chunk_nbytes, 0);
    ISB_TRY(isb__container_hash_begin(ctx, &writer->raw_hasher));
    ISB_TRY(isb__container_hash_begin(ctx, &writer->frame_hasher));
    isb__container_put_header(chunk_nbytes, bytes);
    return write_bytes(writer, bytes, sizeof bytes);
}

/* Writes a record's header and notes its word.  raw_nbytes: of one chunk; 0 for M1. */
static isb_status write_record(isb__container_writer *writer, isb__container_kind kind,
                               uint32_t size, uint32_t check, size_t raw_nbytes) {
    const bool is_short = raw_nbytes > 0 && raw_nbytes < writer->layout.chunk_nbytes;
    const uint32_t word = (uint32_t)kind << (ISB__CONTAINER_SIZE_NBITS + 1) |
                          (is_short ? ISB__CONTAINER_SHORT : 0) | size;
    const size_t n = (size_t)writer->layout.n_records;
    uint8_t bytes[12];
    isb__container_record record;
    ISB_TRY(isb__grow_array(writer->ctx, n + 1, sizeof *writer->index, &writer->index_capacity,
                            &writer->index));
    writer->index[n] = word;
    const char *wrong = isb__container_place(&writer->layout, word, raw_nbytes, &record);
    if (wrong) return isb__fail(writer->ctx, ISB_ERR_ARGUMENT, "a .isb record: %s", wrong);
    isb__container_put(bytes, 4, word);
    isb__container_put(bytes + 4, 4, check);
    isb__container_put(bytes + 8, 4, raw_nbytes);
    return write_bytes(writer, bytes, record.header_nbytes);
}

/* Writes the chunks of one value that wait for more of it. */
static isb_status flush_fill(isb__container_writer *writer) {
    if (writer->n_fill == 0) return ISB_OK;
    ISB_TRY(write_record(writer, ISB__CONTAINER_FILL, writer->n_fill, writer->fill_check,
                         writer->layout.chunk_nbytes));
    writer->n_fill = 0;
    return write_bytes(writer, &writer->fill_byte, 1);
}

isb_status isb__container_write_m1(isb__container_writer *writer, const isb__id128 *identity,
                                   const uint8_t *m1, size_t nbytes) {
    if (nbytes > ISB__CONTAINER_MAX_SIZE - ISB__CONTAINER_ID_NBYTES) {
        return isb__fail(writer->ctx, ISB_ERR_RANGE,
                         "an M1 of %zu bytes cannot be put into the file: %d at most; name it "
                         "instead",
                         nbytes, ISB__CONTAINER_MAX_SIZE - ISB__CONTAINER_ID_NBYTES);
    }
    ISB_TRY(flush_fill(writer));
    const uint32_t check = isb__container_check(identity->bytes, sizeof identity->bytes);
    ISB_TRY(write_record(writer, ISB__CONTAINER_M1, ISB__CONTAINER_ID_NBYTES + (uint32_t)nbytes,
                         check, 0));
    ISB_TRY(write_bytes(writer, identity->bytes, sizeof identity->bytes));
    return nbytes > 0 ? write_bytes(writer, m1, nbytes) : ISB_OK;
}

static isb_status write_fill(isb__container_writer *writer, const uint8_t *raw) {
    const bool same = writer->fill_byte == raw[0] && writer->n_fill < ISB__CONTAINER_MAX_SIZE;
    if (!same) ISB_TRY(flush_fill(writer));
    if (writer->n_fill == 0) {
        writer->fill_byte = raw[0];
        writer->fill_check = isb__container_check(raw, writer->layout.chunk_nbytes);
    }
    ++writer->n_fill;
    return ISB_OK;
}

isb_status isb__container_write_chunk(isb__container_writer *writer, isb__container_kind kind,
                                      const uint8_t *raw, size_t raw_nbytes, const uint8_t *payload,
                                      size_t payload_nbytes) {
    const bool is_fill = kind == ISB__CONTAINER_FILL;
    isb__hasher_update(writer->raw_hasher, raw, raw_nbytes);
    if (is_fill && raw_nbytes == writer->layout.chunk_nbytes) return write_fill(writer, raw);
    ISB_TRY(flush_fill(writer));
    ISB_TRY(write_record(writer, kind, is_fill ? 1 : (uint32_t)payload_nbytes,
                         isb__container_check(raw, raw_nbytes), raw_nbytes));
    return payload_nbytes > 0 ? write_bytes(writer, payload, payload_nbytes) : ISB_OK;
}

static isb_status write_index(isb__container_writer *writer, uint64_t *hash) {
    isb__hasher *hasher;
    ISB_TRY(isb__container_hash_begin(writer->ctx, &hasher));
    isb_status status = ISB_OK;
    for (size_t i = 0; i < writer->layout.n_records && status == ISB_OK; i++) {
        uint8_t bytes[ISB__CONTAINER_WORD_NBYTES];
        isb__container_put(bytes, 4, writer->index[i]);
        isb__hasher_update(hasher, bytes, sizeof bytes);
        status = write_bytes(writer, bytes, sizeof bytes);
    }
    *hash = isb__container_hash_end(&hasher);
    return status;
}

isb_status isb__container_write_end(isb__container_writer *writer) {
    static const uint8_t end[ISB__CONTAINER_WORD_NBYTES] = {0};
    uint8_t bytes[ISB__CONTAINER_FOOTER_NBYTES];
    isb__container_footer footer = {0};
    ISB_TRY(flush_fill(writer));
    ISB_TRY(write_bytes(writer, end, sizeof end));
    ISB_TRY(write_index(writer, &footer.index_hash));
    footer.frame_nbytes = isb__container_frame_nbytes(&writer->layout);
    footer.raw_nbytes = writer->layout.raw_nbytes;
    footer.n_records = writer->layout.n_records;
    footer.raw_hash = isb__container_hash_end(&writer->raw_hasher);
    footer.frame_hash = isb__container_hash_end(&writer->frame_hasher);
    isb__container_put_footer(&footer, bytes);
    writer->layout.position = footer.frame_nbytes;
    return writer->write(writer->user, bytes, sizeof bytes);
}

void isb__container_writer_free(isb__container_writer *writer) {
    if (!writer->ctx) return;
    isb__container_hash_end(&writer->raw_hasher);
    isb__container_hash_end(&writer->frame_hasher);
    isb__free(writer->ctx, writer->index);
    *writer = (isb__container_writer){0};
}
