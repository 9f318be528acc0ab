/* Reading a .isb file from its end. */
#include "code/container_index.h"

#include <inttypes.h>
#include <string.h>

enum {
    LEAST_FRAME_NBYTES = ISB__CONTAINER_HEADER_NBYTES + 4 + ISB__CONTAINER_FOOTER_NBYTES,
    LEAST_RECORD_NBYTES = 8 + ISB__CONTAINER_WORD_NBYTES /* without payload, and in the index */
};

static isb_status bad_frame(isb__container_index *index, uint64_t end, const char *what) {
    return isb__fail(index->ctx, ISB_ERR_CORRUPT, "the frame that ends at byte %" PRIu64 ": %s",
                     end, what);
}

/* ---- footers ---- */

/* The frame that ends at `end`; it is put in front of those that are known. */
static isb_status find_frame(isb__container_index *index, uint64_t end, uint64_t *start) {
    uint8_t bytes[ISB__CONTAINER_FOOTER_NBYTES];
    isb__container_frame frame;
    if (end < LEAST_FRAME_NBYTES) return bad_frame(index, end, "it is too short: it was cut");
    ISB_TRY(index->read_at(index->user, end - sizeof bytes, bytes, sizeof bytes));
    if (!isb__container_get_footer(bytes, &frame.footer))
        return bad_frame(index, end, "there is no footer, or a damaged one: it was cut short");
    const uint64_t nbytes = frame.footer.frame_nbytes;
    if (nbytes < LEAST_FRAME_NBYTES || nbytes > end ||
        frame.footer.n_records > (nbytes - LEAST_FRAME_NBYTES) / LEAST_RECORD_NBYTES)
        return bad_frame(index, end, "its footer has sizes that are not possible");
    if (frame.footer.raw_nbytes > INT64_MAX - index->raw_nbytes)
        return bad_frame(index, end, "more raw bytes than can be counted");
    *start = frame.start = end - nbytes;
    ISB_TRY(isb__grow_array(index->ctx, index->n_frames + 1, sizeof *index->frames,
                            &index->frames_capacity, &index->frames));
    index->frames[index->n_frames++] = frame;
    index->raw_nbytes += frame.footer.raw_nbytes;
    return ISB_OK;
}

/* They were found from the last one to the first. */
static void order_frames(isb__container_index *index) {
    uint64_t raw_start = 0;
    for (size_t i = 0, j = index->n_frames - 1; i < j; i++, j--) {
        const isb__container_frame frame = index->frames[i];
        index->frames[i] = index->frames[j];
        index->frames[j] = frame;
    }
    for (size_t i = 0; i < index->n_frames; i++) {
        index->frames[i].raw_start = raw_start;
        raw_start += index->frames[i].footer.raw_nbytes;
    }
}

/* The file's first bytes say whether it is one of ours at all. */
isb_status isb__container_index_open(isb_context *ctx, isb__read_at_fn read_at, void *user,
                                     uint64_t file_nbytes, isb__container_index *index) {
    *index = (isb__container_index){.ctx = ctx, .read_at = read_at, .user = user};
    uint8_t header[ISB__CONTAINER_HEADER_NBYTES] = {0};
    const size_t n = file_nbytes < sizeof header ? (size_t)file_nbytes : sizeof header;
    uint32_t chunk_nbytes;
    if (n == 0) return isb__fail(ctx, ISB_ERR_FORMAT, "not a .isb file: it is empty");
    ISB_TRY(read_at(user, 0, header, n));
    if (n == sizeof header || !isb__container_begins(header, n))
        ISB_TRY(isb__container_get_header(ctx, header, &chunk_nbytes));
    for (uint64_t end = file_nbytes; end > 0;) {
        ISB_TRY(isb__check_cancel(ctx));
        ISB_TRY(find_frame(index, end, &end));
    }
    order_frames(index);
    return ISB_OK;
}

/* ---- one frame's index ---- */

static isb_status read_words(isb__container_index *index, const isb__container_frame *frame,
                             uint64_t start) {
    isb__hasher *hasher;
    ISB_TRY(isb__container_hash_begin(index->ctx, &hasher));
    isb_status status = ISB_OK;
    uint8_t bytes[4096];
    for (uint64_t i = 0; i < frame->footer.n_records && status == ISB_OK;) {
        const uint64_t left = (frame->footer.n_records - i) * ISB__CONTAINER_WORD_NBYTES;
        const size_t n = left < sizeof bytes ? (size_t)left : sizeof bytes;
        status = index->read_at(index->user, start + i * ISB__CONTAINER_WORD_NBYTES, bytes, n);
        if (status == ISB_OK) isb__hasher_update(hasher, bytes, n);
        for (size_t at = 0; status == ISB_OK && at < n; at += ISB__CONTAINER_WORD_NBYTES)
            index->words[i++] = isb__container_get_word(bytes + at);
    }
    const uint64_t hash = isb__container_hash_end(&hasher);
    ISB_TRY(status);
    if (hash == frame->footer.index_hash) return ISB_OK;
    return bad_frame(index, frame->start + frame->footer.frame_nbytes,
                     "its index does not have its checksum");
}

static void begin(isb__container_index *index, const isb__container_frame *frame,
                  isb__container_layout *layout) {
    *layout = isb__container_layout_begin(index->layout.chunk_nbytes, frame->start);
}

/* A short chunk is the last one: its raw bytes are what is left of the footer's. */
static const char *place(const isb__container_index *index, isb__container_layout *layout,
                         const isb__container_frame *frame, isb__container_record *record) {
    const uint64_t left = frame->footer.raw_nbytes - layout->raw_nbytes;
    return isb__container_place(layout, index->words[layout->n_records], left, record);
}

static isb_status check_layout(isb__container_index *index, const isb__container_frame *frame) {
    isb__container_record record;
    isb__container_layout *layout = &index->layout;
    begin(index, frame, layout);
    while (layout->n_records < frame->footer.n_records) {
        const char *wrong = place(index, layout, frame, &record);
        if (wrong) return isb__container_bad_record(index->ctx, &record, wrong);
    }
    if (isb__container_frame_nbytes(layout) == frame->footer.frame_nbytes &&
        layout->raw_nbytes == frame->footer.raw_nbytes) {
        return ISB_OK;
    }
    return bad_frame(index, frame->start + frame->footer.frame_nbytes,
                     "its index does not add up to its size");
}

isb_status isb__container_index_load(isb__container_index *index, size_t n, uint64_t limit_nbytes) {
    const isb__container_frame *frame = &index->frames[n];
    const uint64_t end = frame->start + frame->footer.frame_nbytes;
    const uint64_t nbytes = frame->footer.n_records * ISB__CONTAINER_WORD_NBYTES;
    uint8_t header[ISB__CONTAINER_HEADER_NBYTES];
    ISB_TRY(index->read_at(index->user, frame->start, header, sizeof header));
    ISB_TRY(isb__container_get_header(index->ctx, header, &index->layout.chunk_nbytes));
    if (nbytes > limit_nbytes) {
        return isb__fail(index->ctx, ISB_ERR_NO_MEMORY,
                         "the index takes %" PRIu64 " bytes, more than the limit of %" PRIu64
                         "; raise it, or unpack the whole file",
                         nbytes, limit_nbytes);
    }
    ISB_TRY(isb__grow_array(index->ctx, (size_t)frame->footer.n_records, sizeof *index->words,
                            &index->words_capacity, &index->words));
    ISB_TRY(read_words(index, frame, end - ISB__CONTAINER_FOOTER_NBYTES - nbytes));
    ISB_TRY(check_layout(index, frame));
    begin(index, frame, &index->cursor);
    return ISB_OK;
}

bool isb__container_index_next(isb__container_index *index, isb__container_record *record) {
    isb__container_layout *cursor = &index->cursor;
    if (cursor->n_records == index->layout.n_records) return false;
    const uint64_t left = index->layout.raw_nbytes - cursor->raw_nbytes;
    return !isb__container_place(cursor, index->words[cursor->n_records], left, record);
}

isb_status isb__container_index_check(isb__container_index *index, isb__container_record *record) {
    uint8_t bytes[12] = {0};
    ISB_TRY(index->read_at(index->user, record->offset, bytes, record->header_nbytes));
    record->check = isb__container_get_word(bytes + 4);
    const bool same =
        isb__container_get_word(bytes) == record->word &&
        (record->header_nbytes == 8 || isb__container_get_word(bytes + 8) == record->raw_nbytes);
    if (same) return ISB_OK;
    return isb__container_bad_record(index->ctx, record, "it is not as the index says");
}

isb_status isb__container_index_m1(isb__container_index *index, isb__id128 *identity) {
    uint8_t bytes[8 + ISB__CONTAINER_ID_NBYTES];
    ISB_TRY(index->read_at(index->user, index->layout.m1_offset, bytes, sizeof bytes));
    memcpy(identity->bytes, bytes + 8, sizeof identity->bytes);
    if (isb__container_get_word(bytes) >> (ISB__CONTAINER_SIZE_NBITS + 1) == ISB__CONTAINER_M1 &&
        isb__container_get_word(bytes + 4) == isb__container_check(bytes + 8, 16)) {
        return ISB_OK;
    }
    return isb__fail(index->ctx, ISB_ERR_CORRUPT,
                     "the identity of M1 at byte %" PRIu64 " does not have its check",
                     index->layout.m1_offset);
}

void isb__container_index_free(isb__container_index *index) {
    if (!index->ctx) return;
    isb__free(index->ctx, index->frames);
    isb__free(index->ctx, index->words);
    *index = (isb__container_index){0};
}
