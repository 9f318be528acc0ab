/* The .isb readers on any bytes, from both ends of the file, and zstd's payloads.  If the first
 * byte is odd, checksums are no obstacle: the rest are raw bytes, a file is built of them, one
 * byte of it changed, and the change must be found. */
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "code/container_index.h"
#include "data/pack_chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

enum { CHUNK = 1024 };

typedef struct memory_file {
    uint8_t *data;
    size_t nbytes, position;
} memory_file;

static isb__chunk_zstd zstd;

static void require(int condition) {
    if (!condition) abort();
}

static isb_status write_memory(void *user, const void *data, size_t nbytes) {
    memory_file *file = user;
    file->data = realloc(file->data, file->nbytes + nbytes + 1);
    require(file->data != NULL);
    if (nbytes > 0) memcpy(file->data + file->nbytes, data, nbytes);
    file->nbytes += nbytes;
    return ISB_OK;
}

static isb_status read_memory(void *user, void *data, size_t nbytes, size_t *got) {
    memory_file *file = user;
    *got = nbytes < file->nbytes - file->position ? nbytes : file->nbytes - file->position;
    if (*got > 0) memcpy(data, file->data + file->position, *got);
    file->position += *got;
    return ISB_OK;
}

static isb_status read_memory_at(void *user, uint64_t offset, void *data, size_t nbytes) {
    const memory_file *file = user;
    if (offset > file->nbytes || nbytes > file->nbytes - offset) return ISB_ERR_CORRUPT;
    if (nbytes > 0) memcpy(data, file->data + offset, nbytes);
    return ISB_OK;
}

/* The raw bytes of one chunk; an ac chunk is left as it is. */
static isb_status unpack(const isb__container_record *record, const uint8_t *payload,
                         uint8_t *raw) {
    switch (record->kind) {
    case ISB__CONTAINER_STORED: memcpy(raw, payload, record->raw_nbytes); break;
    case ISB__CONTAINER_FILL: memset(raw, payload[0], record->raw_nbytes); break;
    case ISB__CONTAINER_ZSTD:
        ISB_TRY(isb__unpack_zstd(&zstd, payload, record->payload_nbytes, raw, record->raw_nbytes));
        break;
    default: return ISB_ERR_UNSUPPORTED;
    }
    return isb__container_check(raw, record->raw_nbytes) == record->check ? ISB_OK
                                                                          : ISB_ERR_CORRUPT;
}

/* Chunks larger than those of built files are not unpacked: a fuzzer would find nothing but how
 * slow that is. */
static isb_status read_record(isb__container_reader *reader, const isb__container_record *record,
                              memory_file *out) {
    uint8_t payload[CHUNK], raw[CHUNK];
    if (record->kind == ISB__CONTAINER_M1 || record->payload_nbytes > CHUNK ||
        record->raw_nbytes > CHUNK)
        return isb__container_skip_payload(reader);
    ISB_TRY(isb__container_read_payload(reader, payload, record->payload_nbytes));
    ISB_TRY(unpack(record, payload, raw));
    for (uint32_t i = 0; i < record->n_chunks && i < 100; i++) {
        isb__container_add_raw(reader, raw, record->raw_nbytes);
        write_memory(out, raw, record->raw_nbytes);
    }
    return ISB_OK;
}

static isb_status read_frame(isb__container_reader *reader, memory_file *out) {
    isb__container_record record;
    for (bool end;;) {
        ISB_TRY(isb__container_read_record(reader, &record, &end));
        if (end) return isb__container_read_end(reader);
        ISB_TRY(read_record(reader, &record, out));
    }
}

static isb_status read_stream(isb_context *ctx, memory_file *file, memory_file *out) {
    isb__container_reader reader;
    file->position = 0;
    isb_status status = isb__container_read_begin(ctx, read_memory, file, &reader);
    for (bool more = true; status == ISB_OK && more;) {
        status = read_frame(&reader, out);
        if (status == ISB_OK) status = isb__container_next_frame(&reader, &more);
    }
    isb__container_reader_free(&reader);
    return status;
}

static isb_status read_index(isb_context *ctx, memory_file *file) {
    isb__container_index index;
    isb__container_record record;
    isb__id128 id;
    isb_status status = isb__container_index_open(ctx, read_memory_at, file, file->nbytes, &index);
    for (size_t i = 0; status == ISB_OK && i < index.n_frames; i++) {
        status = isb__container_index_load(&index, i, 1 << 20);
        if (status == ISB_OK && index.layout.n_of[ISB__CONTAINER_M1] > 0)
            status = isb__container_index_m1(&index, &id);
        while (status == ISB_OK && isb__container_index_next(&index, &record))
            status = isb__container_index_check(&index, &record);
    }
    isb__container_index_free(&index);
    return status;
}

static void build(isb_context *ctx, const uint8_t *data, size_t nbytes, memory_file *file) {
    isb__container_writer writer;
    require(isb__container_write_begin(ctx, CHUNK, write_memory, file, &writer) == ISB_OK);
    for (size_t at = 0; at < nbytes; at += CHUNK) {
        uint8_t room[CHUNK];
        isb__packed_chunk chunk = {.raw = data + at,
                                   .raw_nbytes = nbytes - at < CHUNK ? nbytes - at : CHUNK,
                                   .zstd = room};
        isb__pack_chunk(&zstd, &chunk);
        require(chunk.status == ISB_OK && chunk.payload_nbytes <= chunk.raw_nbytes);
        require(isb__container_write_chunk(&writer, chunk.kind, chunk.raw, chunk.raw_nbytes,
                                           chunk.payload, chunk.payload_nbytes) == ISB_OK);
    }
    require(isb__container_write_end(&writer) == ISB_OK);
    isb__container_writer_free(&writer);
}

/* It reads back, and one byte changed is found. */
static void built_file(isb_context *ctx, const uint8_t *data, size_t nbytes) {
    memory_file file = {0}, out = {0}, again = {0};
    build(ctx, data, nbytes, &file);
    require(read_stream(ctx, &file, &out) == ISB_OK && read_index(ctx, &file) == ISB_OK);
    require(out.nbytes == nbytes && memcmp(out.data, data, nbytes) == 0);
    file.data[(data[0] * 257u + data[1]) % file.nbytes] ^= (uint8_t)(1 + data[2] % 255);
    require(read_stream(ctx, &file, &again) != ISB_OK);
    read_index(ctx, &file);
    free(file.data);
    free(out.data);
    free(again.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes) {
    static isb_context *ctx;
    if (nbytes < 4 || nbytes > 1 << 16) return 0;
    if (!ctx) {
        isb_context_options options;
        isb_context_options_init(&options);
        options.n_threads = 1;
        require(isb_context_create(&options, &ctx) == ISB_OK);
    }
    if (data[0] & 1) {
        built_file(ctx, data + 1, nbytes - 1);
        return 0;
    }
    memory_file file = {0}, out = {0}; /* a copy of the exact size */
    write_memory(&file, data + 1, nbytes - 1);
    read_stream(ctx, &file, &out);
    read_index(ctx, &file);
    free(file.data);
    free(out.data);
    return 0;
}
