/* Unpacking a group: zstd and checks on all threads, then M1 on all threads, then the output in
 * order. */
#include "data/unpack.h"

#include <string.h>

enum { BLOCK_NBYTES = 4096 }; /* the smallest hole */

/* Room for n items, whose old contents are not kept: nothing is copied, and no more taken than
 * is needed. */
static isb_status reserve(isb_context *ctx, size_t n, size_t size, size_t *capacity, void *array) {
    void *old;
    if (n <= *capacity) return ISB_OK;
    memcpy(&old, array, sizeof old);
    isb__free(ctx, old);
    memset(array, 0, sizeof old);
    *capacity = 0;
    ISB_TRY(isb__alloc_array(ctx, n, size, array));
    *capacity = n;
    return ISB_OK;
}

isb_status isb__unpack_begin(isb__unpacker *u, size_t chunk_nbytes) {
    isb__container_run *run = &u->run;
    isb_context *ctx = run->ctx;
    uint64_t position, file_nbytes;
    if (run->memory.chunk_nbytes != chunk_nbytes) isb__container_run_drop_codec(run);
    run->memory.chunk_nbytes = chunk_nbytes;
    ISB_TRY(isb__chunk_memory_plan(ctx, &run->memory));
    const size_t n = run->memory.group;
    isb__reader_position(run->reader, &position, &file_nbytes);
    const uint64_t most = (uint64_t)n * chunk_nbytes;
    const uint64_t nbytes = file_nbytes > 0 && file_nbytes < most ? file_nbytes : most;
    u->n = u->payload_used = 0;
    ISB_TRY(reserve(ctx, n, sizeof *u->chunks, &u->chunks_capacity, &u->chunks));
    ISB_TRY(reserve(ctx, n, sizeof *u->codes, &u->codes_capacity, &u->codes));
    ISB_TRY(reserve(ctx, n, sizeof *u->decoded, &u->decoded_capacity, &u->decoded));
    ISB_TRY(reserve(ctx, (size_t)nbytes, 1, &u->payload_capacity, &u->payload));
    if (u->zstd) return ISB_OK;
    return isb__alloc_array(ctx, (size_t)isb__thread_count(ctx), sizeof *u->zstd, &u->zstd);
}

/* A payload that does not fit is one of a file that has grown meanwhile. */
isb_status isb__unpack_add(isb__unpacker *u, const isb__container_record *record,
                           uint64_t raw_start, uint32_t n, uint8_t **room) {
    const size_t nbytes = record->payload_nbytes;
    if (nbytes > u->payload_capacity - u->payload_used)
        return isb__container_bad_record(u->run.ctx, record, "the file is too short for it");
    *room = u->payload + u->payload_used;
    u->chunks[u->n++] =
        (isb__unpack_chunk){.record = *record, .raw_start = raw_start, .n = n, .payload = *room};
    u->payload_used += nbytes;
    return ISB_OK;
}

size_t isb__unpack_n_ac(const isb__unpacker *u) {
    size_t n = 0;
    for (size_t i = 0; i < u->n; i++) n += u->chunks[i].record.kind == ISB__CONTAINER_AC;
    return n;
}

/* ---- bytes ---- */

static void check_bytes(isb__unpack_chunk *chunk, const uint8_t *bytes) {
    chunk->bytes = bytes;
    if (isb__container_check(bytes, chunk->record.raw_nbytes) != chunk->record.check)
        chunk->wrong = "its bytes do not have its check";
}

static void unpack_chunk(isb__unpack_chunk *chunk, isb__chunk_zstd *zstd) {
    const isb__container_record *record = &chunk->record;
    if (record->kind == ISB__CONTAINER_STORED) check_bytes(chunk, chunk->payload);
    if (record->kind != ISB__CONTAINER_ZSTD) return;
    chunk->status = isb__unpack_zstd(zstd, chunk->payload, record->payload_nbytes, chunk->raw,
                                     record->raw_nbytes);
    if (chunk->status == ISB_OK) {
        check_bytes(chunk, chunk->raw);
    } else {
        chunk->wrong =
            chunk->status == ISB_ERR_CORRUPT ? "its zstd frame is damaged" : "no memory for zstd";
    }
}

/* Every n_slots-th chunk: states of zstd are as many as the plan has, whichever threads run. */
static void unpack_some(void *arg, size_t slot, int thread) {
    isb__unpacker *u = arg;
    (void)thread;
    for (size_t i = slot; i < u->n; i += u->run.memory.n_slots)
        if (!isb__cancelled(u->run.ctx)) unpack_chunk(&u->chunks[i], &u->zstd[slot]);
}

static isb_status unpack_without_m1(isb__unpacker *u) {
    size_t nbytes = 0, n_slots = u->run.memory.n_slots;
    for (size_t i = 0; i < u->n; i++)
        if (u->chunks[i].record.kind == ISB__CONTAINER_ZSTD)
            nbytes += u->chunks[i].record.raw_nbytes;
    ISB_TRY(reserve(u->run.ctx, nbytes, 1, &u->raw_capacity, &u->raw));
    uint8_t *raw = u->raw;
    for (size_t i = 0; i < u->n; i++) {
        if (u->chunks[i].record.kind != ISB__CONTAINER_ZSTD) continue;
        u->chunks[i].raw = raw;
        raw += u->chunks[i].record.raw_nbytes;
    }
    isb__parallel(u->run.ctx, u->n < n_slots ? u->n : n_slots, unpack_some, u);
    return isb__check_cancel(u->run.ctx);
}

/* The codec takes 32-bit ids. */
static isb_status set_codes(isb__unpacker *u, size_t *n_codes) {
    size_t nbytes = 0, n = 0;
    for (size_t i = 0; i < u->n; i++)
        if (u->chunks[i].record.kind == ISB__CONTAINER_AC)
            nbytes += u->chunks[i].record.payload_nbytes;
    ISB_TRY(reserve(u->run.ctx, nbytes, sizeof *u->ids, &u->ids_capacity, &u->ids));
    uint32_t *ids = u->ids;
    for (size_t i = 0; i < u->n; i++) {
        const isb__unpack_chunk *chunk = &u->chunks[i];
        const size_t count = chunk->record.payload_nbytes;
        if (chunk->record.kind != ISB__CONTAINER_AC) continue;
        for (size_t j = 0; j < count; j++) ids[j] = chunk->payload[j];
        u->codes[n++] = (isb__ids_view){ids, count};
        ids += count;
    }
    *n_codes = n;
    return ISB_OK;
}

static isb_status decode_with_m1(isb__unpacker *u) {
    size_t n;
    if (isb__unpack_n_ac(u) == 0) return ISB_OK;
    ISB_TRY(set_codes(u, &n));
    ISB_TRY(isb__codec_decode(u->run.codec, n, u->codes, u->run.memory.chunk_nbytes, u->decoded,
                              isb__container_run_report, &u->run));
    const isb__decoded *decoded = u->decoded;
    for (size_t i = 0; i < u->n; i++) {
        isb__unpack_chunk *chunk = &u->chunks[i];
        if (chunk->record.kind != ISB__CONTAINER_AC) continue;
        if (decoded->status == ISB_OK && decoded->nbytes == chunk->record.raw_nbytes) {
            check_bytes(chunk, decoded->bytes);
        } else {
            chunk->wrong = "its code is damaged";
        }
        ++decoded;
    }
    return ISB_OK;
}

/* ---- output ---- */

static bool is_zero(const uint8_t *bytes, size_t nbytes) {
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, nbytes - 1) == 0;
}

/* Up to the next border of a block in the output. */
static size_t next_block(const isb__writer *writer, size_t at, size_t nbytes) {
    const size_t to_border =
        BLOCK_NBYTES - (size_t)((isb__writer_position(writer) + at) % BLOCK_NBYTES);
    return to_border < nbytes - at ? to_border : nbytes - at;
}

/* Whole blocks of zeros are left out. */
static isb_status write_with_holes(isb__writer *writer, const uint8_t *bytes, size_t nbytes) {
    while (nbytes > 0) {
        size_t n_zero = 0, n_data = 0, n;
        for (; n_zero < nbytes; n_zero += n) {
            n = next_block(writer, n_zero, nbytes);
            if (n < BLOCK_NBYTES || !is_zero(bytes + n_zero, n)) break;
        }
        ISB_TRY(isb__writer_skip(writer, n_zero));
        bytes += n_zero;
        nbytes -= n_zero;
        for (; n_data < nbytes; n_data += n) {
            n = next_block(writer, n_data, nbytes);
            if (n == BLOCK_NBYTES && is_zero(bytes + n_data, n)) break;
        }
        ISB_TRY(isb__writer_write(writer, bytes, n_data));
        bytes += n_data;
        nbytes -= n_data;
    }
    return ISB_OK;
}

/* Raw bytes from a position of the file's raw bytes: what is in the range goes out. */
static isb_status put_bytes(isb__unpacker *u, uint64_t start, const uint8_t *bytes, size_t nbytes) {
    isb__writer *writer = u->run.writer;
    if (u->hashing) isb__container_add_raw(u->hashing, bytes, nbytes);
    const uint64_t from = start > u->range_start ? start : u->range_start;
    const uint64_t to = start + nbytes < u->range_end ? start + nbytes : u->range_end;
    if (from >= to) return ISB_OK;
    bytes += from - start;
    nbytes = (size_t)(to - from);
    u->run.raw_done += nbytes;
    if (!writer) return ISB_OK;
    return u->holes ? write_with_holes(writer, bytes, nbytes)
                    : isb__writer_write(writer, bytes, nbytes);
}

/* All chunks of a fill record. */
static isb_status put_fill(isb__unpacker *u, isb__unpack_chunk *chunk) {
    const size_t nbytes = chunk->record.raw_nbytes;
    ISB_TRY(reserve(u->run.ctx, u->run.memory.chunk_nbytes, 1, &u->fill_capacity, &u->fill));
    memset(u->fill, chunk->payload[0], nbytes);
    check_bytes(chunk, u->fill);
    if (chunk->wrong) return isb__container_bad_record(u->run.ctx, &chunk->record, chunk->wrong);
    for (uint32_t i = 0; i < chunk->n; i++) {
        ISB_TRY(isb__check_cancel(u->run.ctx));
        ISB_TRY(put_bytes(u, chunk->raw_start + (uint64_t)i * nbytes, u->fill, nbytes));
        isb__container_run_report(&u->run, 0);
    }
    return ISB_OK;
}

static isb_status put_chunk(isb__unpacker *u, isb__unpack_chunk *chunk) {
    if (chunk->record.kind == ISB__CONTAINER_FILL) return put_fill(u, chunk);
    if (chunk->status == ISB_ERR_NO_MEMORY)
        return isb__fail(u->run.ctx, chunk->status, "%s", chunk->wrong);
    if (chunk->wrong) return isb__container_bad_record(u->run.ctx, &chunk->record, chunk->wrong);
    return put_bytes(u, chunk->raw_start, chunk->bytes, chunk->record.raw_nbytes);
}

isb_status isb__unpack_group(isb__unpacker *u) {
    ISB_TRY(unpack_without_m1(u));
    ISB_TRY(decode_with_m1(u));
    for (size_t i = 0; i < u->n; i++) ISB_TRY(put_chunk(u, &u->chunks[i]));
    isb__container_run_report(&u->run, 0);
    u->n = u->payload_used = 0;
    return ISB_OK;
}

void isb__unpack_free(isb__unpacker *u) {
    isb_context *ctx = u->run.ctx;
    const size_t n_threads = (size_t)isb__thread_count(ctx);
    for (size_t i = 0; u->zstd && i < n_threads; i++) isb__chunk_zstd_free(&u->zstd[i]);
    void *const owned[] = {u->chunks,  u->codes, u->decoded, u->ids,
                           u->payload, u->raw,   u->zstd,    u->fill};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) isb__free(ctx, owned[i]);
    isb__container_run_free(&u->run);
}
