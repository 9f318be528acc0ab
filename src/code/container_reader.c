/* .isb frames read as a stream: everything that is said twice is compared. */
#include <assert.h>
#include <inttypes.h>

#include "code/container_format.h"

static isb_status ends_early(isb__container_reader *reader) {
    return isb__fail(reader->ctx, ISB_ERR_CORRUPT,
                     "the file ends at byte %" PRIu64 ", after %" PRIu64
                     " chunks: it was cut short",
                     reader->position, reader->layout.n_chunks);
}

static isb_status read_bytes(isb__container_reader *reader, void *data, size_t nbytes) {
    size_t got = 0;
    ISB_TRY(reader->read(reader->user, data, nbytes, &got));
    reader->position += got;
    if (got != nbytes) return ends_early(reader);
    isb__hasher_update(reader->frame_hasher, data, nbytes);
    return ISB_OK;
}

static isb_status begin_frame(isb__container_reader *reader, const uint8_t *header) {
    uint32_t chunk_nbytes;
    ISB_TRY(isb__container_get_header(reader->ctx, header, &chunk_nbytes));
    reader->layout =
        isb__container_layout_begin(chunk_nbytes, reader->position - ISB__CONTAINER_HEADER_NBYTES);
    ++reader->n_frames;
    ISB_TRY(isb__container_hash_begin(reader->ctx, &reader->raw_hasher));
    ISB_TRY(isb__container_hash_begin(reader->ctx, &reader->index_hasher));
    ISB_TRY(isb__container_hash_begin(reader->ctx, &reader->frame_hasher));
    isb__hasher_update(reader->frame_hasher, header, ISB__CONTAINER_HEADER_NBYTES);
    return ISB_OK;
}

/* *got: bytes of the header that are there.  A file that is cut in its header is damaged, one
 * that is something else is not ours. */
static isb_status read_header(isb__container_reader *reader, size_t *got) {
    uint8_t bytes[ISB__CONTAINER_HEADER_NBYTES] = {0};
    ISB_TRY(reader->read(reader->user, bytes, sizeof bytes, got));
    reader->position += *got;
    if (*got == 0) return ISB_OK;
    if (*got < sizeof bytes && isb__container_begins(bytes, *got)) return ends_early(reader);
    return begin_frame(reader, bytes);
}

isb_status isb__container_read_begin(isb_context *ctx, isb__read_fn read, void *user,
                                     isb__container_reader *reader) {
    *reader = (isb__container_reader){.ctx = ctx, .read = read, .user = user};
    size_t got = 0;
    ISB_TRY(read_header(reader, &got));
    return got > 0 ? ISB_OK : isb__fail(ctx, ISB_ERR_FORMAT, "not a .isb file: it is empty");
}

/* The index repeats the words that were read. */
static isb_status read_index(isb__container_reader *reader, uint64_t *hash) {
    isb__hasher *hasher;
    ISB_TRY(isb__container_hash_begin(reader->ctx, &hasher));
    isb_status status = ISB_OK;
    for (uint64_t i = 0; i < reader->layout.n_records && status == ISB_OK; i++) {
        uint8_t bytes[ISB__CONTAINER_WORD_NBYTES];
        status = read_bytes(reader, bytes, sizeof bytes);
        if (status == ISB_OK) isb__hasher_update(hasher, bytes, sizeof bytes);
    }
    const uint64_t found = isb__container_hash_end(&hasher);
    *hash = isb__container_hash_end(&reader->index_hasher);
    ISB_TRY(status);
    if (found == *hash) return ISB_OK;
    return isb__fail(reader->ctx, ISB_ERR_CORRUPT, "the index does not match the chunks");
}

/* Everything after the records says once more what was read. */
static isb_status read_tail(isb__container_reader *reader) {
    isb__container_footer *footer = &reader->footer;
    uint8_t bytes[ISB__CONTAINER_FOOTER_NBYTES];
    uint64_t index_hash;
    size_t got = 0;
    ISB_TRY(read_index(reader, &index_hash));
    ISB_TRY(reader->read(reader->user, bytes, sizeof bytes, &got));
    reader->position += got;
    if (got < sizeof bytes) return ends_early(reader);
    const uint64_t frame_hash = isb__container_hash_end(&reader->frame_hasher);
    if (!isb__container_get_footer(bytes, footer) || footer->index_hash != index_hash ||
        footer->raw_nbytes != reader->layout.raw_nbytes ||
        footer->n_records != reader->layout.n_records ||
        footer->frame_nbytes != isb__container_frame_nbytes(&reader->layout)) {
        return isb__fail(reader->ctx, ISB_ERR_CORRUPT,
                         "the footer does not match the %" PRIu64 " chunks before it",
                         reader->layout.n_chunks);
    }
    if (footer->frame_hash == frame_hash) return ISB_OK;
    return isb__fail(reader->ctx, ISB_ERR_CORRUPT,
                     "the file does not have its checksum: some bit of it is wrong");
}

isb_status isb__container_read_record(isb__container_reader *reader, isb__container_record *record,
                                      bool *end) {
    uint8_t bytes[12] = {0};
    assert(reader->payload_left == 0);
    *end = false;
    ISB_TRY(read_bytes(reader, bytes, ISB__CONTAINER_WORD_NBYTES));
    const uint32_t word = isb__container_get_word(bytes);
    if (word == 0) {
        *end = true;
        return read_tail(reader);
    }
    const bool is_short = (word & ISB__CONTAINER_SHORT) != 0;
    ISB_TRY(read_bytes(reader, bytes + 4, is_short ? 8 : 4));
    const char *wrong =
        isb__container_place(&reader->layout, word, isb__container_get(bytes + 8, 4), record);
    if (wrong) return isb__container_bad_record(reader->ctx, record, wrong);
    record->check = isb__container_get_word(bytes + 4);
    isb__hasher_update(reader->index_hasher, bytes, ISB__CONTAINER_WORD_NBYTES);
    reader->payload_left = record->payload_nbytes;
    return ISB_OK;
}

isb_status isb__container_read_payload(isb__container_reader *reader, void *data, size_t nbytes) {
    assert(nbytes <= reader->payload_left);
    reader->payload_left -= nbytes;
    return nbytes > 0 ? read_bytes(reader, data, nbytes) : ISB_OK;
}

isb_status isb__container_skip_payload(isb__container_reader *reader) {
    uint8_t bytes[4096];
    while (reader->payload_left > 0) {
        const size_t left = reader->payload_left;
        ISB_TRY(isb__check_cancel(reader->ctx));
        ISB_TRY(
            isb__container_read_payload(reader, bytes, left < sizeof bytes ? left : sizeof bytes));
    }
    return ISB_OK;
}

void isb__container_add_raw(isb__container_reader *reader, const uint8_t *raw, size_t nbytes) {
    isb__hasher_update(reader->raw_hasher, raw, nbytes);
}

isb_status isb__container_read_end(isb__container_reader *reader) {
    if (isb__container_hash_end(&reader->raw_hasher) == reader->footer.raw_hash) return ISB_OK;
    return isb__fail(reader->ctx, ISB_ERR_CORRUPT,
                     "the chunks do not have the checksum of the whole");
}

isb_status isb__container_next_frame(isb__container_reader *reader, bool *more) {
    const uint64_t position = reader->position;
    size_t got = 0;
    isb__container_hash_end(&reader->raw_hasher); /* of who looks at the records only */
    const isb_status status = read_header(reader, &got);
    *more = status == ISB_OK && got > 0;
    if (status != ISB_ERR_FORMAT) return status;
    return isb__fail(reader->ctx, ISB_ERR_CORRUPT,
                     "the file goes on after its end at byte %" PRIu64
                     ", and not with another .isb file",
                     position);
}

void isb__container_reader_free(isb__container_reader *reader) {
    isb__container_hash_end(&reader->raw_hasher);
    isb__container_hash_end(&reader->index_hasher);
    isb__container_hash_end(&reader->frame_hasher);
    *reader = (isb__container_reader){0};
}
