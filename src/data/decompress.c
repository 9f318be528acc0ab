/* Decompression: docs/container.md.  Groups of chunks are filled either from a stream, frame
 * after frame, or by the index with what a range of raw bytes touches; unpack.c does the rest.
 * M1 is looked for when the first chunk needs it. */
#include <inttypes.h>
#include <string.h>

#include "code/container_index.h"
#include "data/unpack.h"

typedef struct unpacking {
    isb__unpacker unpacker;
    isb__container_reader container;
    isb__container_index index;
    isb__id128 needed; /* of the present frame */
} unpacking;

static bool has_needed_m1(const unpacking *w) {
    const isb__found_m1 *m1 = &w->unpacker.run.m1;
    return m1->found && memcmp(&m1->identity, &w->needed, sizeof w->needed) == 0;
}

/* M1 from the file's bytes, which `data` has. */
static isb_status take_embedded(unpacking *w, const uint8_t *data, size_t nbytes) {
    isb__container_run *run = &w->unpacker.run;
    isb__container_run_drop_m1(run);
    return isb__m1_find_embedded(run->ctx, data, nbytes, &w->needed, &run->m1);
}

static isb_status find_m1(unpacking *w) {
    isb__container_run *run = &w->unpacker.run;
    if (has_needed_m1(w)) return ISB_OK;
    isb__container_run_drop_m1(run);
    const double before_s = isb__now_s();
    const isb_status status = isb__m1_find(run->ctx, run->options.m1_path, &w->needed, &run->m1);
    run->start_s += isb__now_s() - before_s;
    return status;
}

static void note_identity(unpacking *w) {
    isb_compress_result *result = &w->unpacker.run.result;
    if (!*result->m1_identity) isb__id128_hex(&w->needed, result->m1_identity);
}

/* last: no group of this frame follows. */
static isb_status unpack_group(unpacking *w, bool last) {
    isb__unpacker *u = &w->unpacker;
    const size_t n_ac = isb__unpack_n_ac(u);
    if (n_ac > 0) ISB_TRY(find_m1(w));
    if (n_ac > 0) ISB_TRY(isb__container_run_codec(&u->run, last ? n_ac : UINT64_MAX));
    return isb__unpack_group(u);
}

/* ---- a stream ---- */

static isb_status read_in(void *user, void *data, size_t nbytes, size_t *got) {
    unpacking *w = user;
    return isb__container_run_read(&w->unpacker.run, data, nbytes, got);
}

static isb_status read_embedded(unpacking *w, size_t nbytes) {
    isb_context *ctx = w->unpacker.run.ctx;
    uint8_t *data = NULL;
    ISB_TRY(isb__chunk_memory_allows_m1(ctx, &w->unpacker.run.memory, nbytes));
    ISB_TRY(isb__alloc(ctx, nbytes, &data));
    isb_status status = isb__container_read_payload(&w->container, data, nbytes);
    if (status == ISB_OK) status = take_embedded(w, data, nbytes);
    isb__free(ctx, data);
    return status;
}

static isb_status read_m1(unpacking *w, const isb__container_record *record) {
    uint8_t *id = w->needed.bytes;
    const size_t id_nbytes = sizeof w->needed.bytes, nbytes = record->payload_nbytes - id_nbytes;
    ISB_TRY(isb__container_read_payload(&w->container, id, id_nbytes));
    if (isb__container_check(id, id_nbytes) != record->check) {
        return isb__container_bad_record(w->unpacker.run.ctx, record,
                                         "its identity does not have its check");
    }
    note_identity(w);
    if (nbytes > 0 && !w->unpacker.run.options.m1_path && !has_needed_m1(w))
        return read_embedded(w, nbytes);
    return isb__container_skip_payload(&w->container);
}

/* Up to a group of chunks, or the frame's end. */
static isb_status read_group(unpacking *w, bool *end) {
    isb__unpacker *u = &w->unpacker;
    isb__container_record record;
    for (*end = false; u->n < u->run.memory.group && !*end;) {
        const uint64_t raw_start = u->run.result.raw_nbytes + w->container.layout.raw_nbytes;
        uint8_t *room;
        ISB_TRY(isb__check_cancel(u->run.ctx));
        ISB_TRY(isb__container_read_record(&w->container, &record, end));
        if (*end) break;
        if (record.kind == ISB__CONTAINER_M1) {
            ISB_TRY(read_m1(w, &record));
            continue;
        }
        ISB_TRY(isb__unpack_add(u, &record, raw_start, record.n_chunks, &room));
        ISB_TRY(isb__container_read_payload(&w->container, room, record.payload_nbytes));
    }
    return ISB_OK;
}

/* What is wrong with the end of a file is told after what was right before it is put out. */
static isb_status unpack_frame(unpacking *w) {
    isb__container_run *run = &w->unpacker.run;
    ISB_TRY(isb__unpack_begin(&w->unpacker, w->container.layout.chunk_nbytes));
    for (bool end = false; !end;) {
        ISB_TRY(read_group(w, &end));
        ISB_TRY(unpack_group(w, end));
    }
    ISB_TRY(isb__container_read_end(&w->container));
    isb__container_add_layout(&w->container.layout, &run->result);
    return ISB_OK;
}

/* For progress only: the last footer's word, if the file is one frame and can be sought. */
static double likely_total(unpacking *w) {
    uint8_t bytes[ISB__CONTAINER_FOOTER_NBYTES];
    isb__reader *reader = w->unpacker.run.reader;
    isb__container_footer footer;
    uint64_t position, nbytes;
    isb__reader_position(reader, &position, &nbytes);
    if (nbytes < sizeof bytes ||
        isb__reader_read_at(reader, nbytes - sizeof bytes, bytes, sizeof bytes) != ISB_OK ||
        !isb__container_get_footer(bytes, &footer) || footer.frame_nbytes != nbytes) {
        return 0;
    }
    return (double)footer.raw_nbytes;
}

static isb_status unpack_stream(unpacking *w) {
    isb__container_run *run = &w->unpacker.run;
    w->unpacker.range_end = UINT64_MAX;
    w->unpacker.hashing = &w->container;
    isb__container_run_begin(run, "decompress", likely_total(w));
    for (bool more = true; more;) {
        ISB_TRY(unpack_frame(w));
        ISB_TRY(isb__container_next_frame(&w->container, &more));
    }
    run->result.packed_nbytes = w->container.position;
    return ISB_OK;
}

/* ---- a range, by the index ---- */

static isb_status read_at(void *user, uint64_t offset, void *data, size_t nbytes) {
    const unpacking *w = user;
    return isb__reader_read_at(w->unpacker.run.reader, offset, data, nbytes);
}

/* The frame's M1, if it has one; the bytes of one in the file only when a chunk needs them. */
static isb_status note_m1(unpacking *w) {
    if (w->index.layout.n_of[ISB__CONTAINER_M1] == 0) return ISB_OK;
    ISB_TRY(isb__container_index_m1(&w->index, &w->needed));
    note_identity(w);
    return ISB_OK;
}

static isb_status load_embedded(unpacking *w) {
    isb__container_run *run = &w->unpacker.run;
    const uint64_t nbytes = w->index.layout.m1_nbytes,
                   offset = w->index.layout.m1_offset + 8 + ISB__CONTAINER_ID_NBYTES;
    uint8_t *data = NULL;
    if (nbytes == 0 || run->options.m1_path || has_needed_m1(w)) return ISB_OK;
    ISB_TRY(isb__chunk_memory_allows_m1(run->ctx, &run->memory, nbytes));
    ISB_TRY(isb__alloc(run->ctx, (size_t)nbytes, &data));
    isb_status status = read_at(w, offset, data, (size_t)nbytes);
    if (status == ISB_OK) status = take_embedded(w, data, (size_t)nbytes);
    isb__free(run->ctx, data);
    return status;
}

static isb_status unpack_part(unpacking *w, bool last) {
    if (isb__unpack_n_ac(&w->unpacker) > 0) ISB_TRY(load_embedded(w));
    return unpack_group(w, last);
}

/* Adds what the range has of a record that begins at raw position `start`. */
static isb_status add_part(unpacking *w, isb__container_record *record, uint64_t start) {
    isb__unpacker *u = &w->unpacker;
    const uint64_t raw = record->raw_nbytes, stop = start + record->n_chunks * raw;
    uint8_t *room;
    if (record->n_chunks == 0 || stop <= u->range_start || start >= u->range_end) return ISB_OK;
    const uint64_t skip = u->range_start > start ? (u->range_start - start) / raw : 0;
    const uint64_t end = stop < u->range_end ? stop : u->range_end;
    const uint64_t n = (end - start + raw - 1) / raw - skip;
    ISB_TRY(isb__container_index_check(&w->index, record));
    ISB_TRY(isb__unpack_add(u, record, start + skip * raw, (uint32_t)n, &room));
    ISB_TRY(read_at(w, record->offset + record->header_nbytes, room, record->payload_nbytes));
    isb_compress_result *result = &u->run.result;
    result->n_chunks += n;
    result->n_stored += record->kind == ISB__CONTAINER_STORED;
    result->n_fill += record->kind == ISB__CONTAINER_FILL ? n : 0;
    result->n_zstd += record->kind == ISB__CONTAINER_ZSTD;
    result->n_ac += record->kind == ISB__CONTAINER_AC;
    return u->n == u->run.memory.group ? unpack_part(w, false) : ISB_OK;
}

static isb_status unpack_frame_part(unpacking *w, size_t number) {
    isb__unpacker *u = &w->unpacker;
    isb__container_index *index = &w->index;
    isb__container_record record;
    uint64_t start = index->frames[number].raw_start;
    ISB_TRY(isb__container_index_load(index, number, u->run.memory.limit_nbytes));
    ISB_TRY(note_m1(w));
    if (u->run.result.chunk_nbytes == 0) u->run.result.chunk_nbytes = index->layout.chunk_nbytes;
    u->run.result.m1_nbytes += index->layout.m1_nbytes;
    ISB_TRY(isb__unpack_begin(u, index->layout.chunk_nbytes));
    while (start < u->range_end && isb__container_index_next(index, &record)) {
        ISB_TRY(isb__check_cancel(u->run.ctx));
        ISB_TRY(add_part(w, &record, start));
        start += record.n_chunks * (uint64_t)record.raw_nbytes;
    }
    return unpack_part(w, true);
}

static isb_status set_range(unpacking *w) {
    isb__unpacker *u = &w->unpacker;
    const uint64_t start = u->run.options.range_start, n = u->run.options.range_nbytes,
                   all = w->index.raw_nbytes;
    if (start > all) {
        return isb__fail(u->run.ctx, ISB_ERR_RANGE,
                         "the range begins at byte %" PRIu64 ", and there are %" PRIu64, start,
                         all);
    }
    u->range_start = start;
    u->range_end = n > 0 && n < all - start ? start + n : all;
    return ISB_OK;
}

static isb_status unpack_range(unpacking *w) {
    isb__unpacker *u = &w->unpacker;
    uint64_t position, nbytes;
    isb__reader_position(u->run.reader, &position, &nbytes);
    ISB_TRY(isb__container_index_open(u->run.ctx, read_at, w, nbytes, &w->index));
    ISB_TRY(set_range(w));
    isb__container_run_begin(&u->run, "decompress", (double)(u->range_end - u->range_start));
    for (size_t i = 0; i < w->index.n_frames; i++) {
        const isb__container_frame *frame = &w->index.frames[i];
        const uint64_t end = frame->raw_start + frame->footer.raw_nbytes;
        if (end > u->range_start && frame->raw_start < u->range_end)
            ISB_TRY(unpack_frame_part(w, i));
    }
    u->run.result.raw_nbytes = u->run.raw_done;
    u->run.result.packed_nbytes = nbytes;
    u->run.result.n_frames = w->index.n_frames;
    return ISB_OK;
}

/* ---- the whole ---- */

static isb_status open_output(isb__unpacker *u, const char *out_path) {
    const isb_sparse sparse = u->run.options.sparse;
    if (!out_path) return ISB_OK;
    ISB_TRY(isb__writer_open(u->run.ctx, out_path, &u->run.writer));
    u->holes =
        sparse != ISB_SPARSE_OFF && isb__writer_can_skip(u->run.writer, sparse == ISB_SPARSE_ON);
    return ISB_OK;
}

static isb_status check_can_seek(unpacking *w, const char *in_path) {
    uint64_t position, nbytes;
    isb__reader_position(w->unpacker.run.reader, &position, &nbytes);
    if (nbytes > 0 && strcmp(in_path, "-") != 0) return ISB_OK;
    return isb__fail(w->unpacker.run.ctx, ISB_ERR_UNSUPPORTED,
                     "a range needs a regular file with a name: %s cannot be sought",
                     strcmp(in_path, "-") == 0 ? "standard input" : in_path);
}

static isb_status decompress(unpacking *w, const char *in_path, const char *out_path) {
    isb__unpacker *u = &w->unpacker;
    const bool ranged = u->run.options.range_start > 0 || u->run.options.range_nbytes > 0;
    if (out_path) ISB_TRY(isb__container_run_may_write(&u->run, out_path));
    ISB_TRY(isb__reader_open(u->run.ctx, in_path, false, &u->run.reader));
    if (ranged) ISB_TRY(check_can_seek(w, in_path));
    if (!ranged) ISB_TRY(isb__container_read_begin(u->run.ctx, read_in, w, &w->container));
    ISB_TRY(open_output(u, out_path));
    ISB_TRY(ranged ? unpack_range(w) : unpack_stream(w));
    return isb__container_run_commit(&u->run);
}

isb_status isb_decompress_file(isb_context *ctx, const char *in_path, const char *out_path,
                               const isb_compress_options *options, isb_compress_result *result) {
    if (!ctx || !in_path) return ISB_ERR_ARGUMENT;
    unpacking w = {.unpacker = {.run = {.ctx = ctx}}};
    isb_status status = isb__container_run_options(&w.unpacker.run, options);
    if (status == ISB_OK)
        status = isb__container_name_file(ctx, decompress(&w, in_path, out_path), in_path);
    if (status == ISB_OK && result) *result = w.unpacker.run.result;
    isb__container_reader_free(&w.container);
    isb__container_index_free(&w.index);
    isb__unpack_free(&w.unpacker);
    return status;
}
