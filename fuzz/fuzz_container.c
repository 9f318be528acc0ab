/* The .isb reader on any bytes.  If the first byte is odd, checksums are no obstacle: the rest is
 * cut into the fields of a header and of chunks, and a file is built around them. */
#include <stdlib.h>
#include <string.h>

#include "base/context.h"
#include "code/container_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

typedef struct memory_file {
    uint8_t *data;
    size_t nbytes, position;
} memory_file;

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

/* Reads to the end or to the first error; returns the number of chunks, all of whose raw bytes are
 * their packed ones. */
static size_t read_all(isb_context *ctx, memory_file *file, isb_status *status) {
    isb__container_reader reader;
    isb__container_chunk chunk = {0};
    *status = isb__container_read_begin(ctx, read_memory, file, &reader);
    for (bool end = false; *status == ISB_OK && !end;) {
        *status = isb__container_read_chunk(&reader, &chunk, &end);
        if (*status == ISB_OK && !end)
            *status =
                isb__container_check_chunk(&reader, &chunk, chunk.packed, chunk.packed_nbytes);
        if (*status == ISB_OK && end) *status = isb__container_read_end(&reader);
    }
    const size_t n_chunks = (size_t)reader.n_chunks;
    isb__free(ctx, chunk.packed);
    isb__container_reader_free(&reader);
    return n_chunks;
}

/* A valid file of these bytes, then one byte of it changed: it reads back, and the change is found.
 */
static void built_file(isb_context *ctx, const uint8_t *data, size_t nbytes) {
    isb__container_header header = {.code = ISB__CONTAINER_CODE_AC,
                                    .precision_nbits = 9 + data[0] % 8};
    header.chunk_nbytes = 1024;
    isb__container_writer writer;
    memory_file file = {0};
    require(isb__container_write_begin(ctx, &header, write_memory, &file, &writer) == ISB_OK);
    size_t n_chunks = 0;
    for (size_t at = 0; at < nbytes; at += 1024, n_chunks++) {
        const size_t n = nbytes - at < 1024 ? nbytes - at : 1024;
        require(isb__container_write_chunk(&writer, data + at, n, data + at, n) == ISB_OK);
    }
    require(isb__container_write_end(&writer) == ISB_OK);
    isb__container_writer_free(&writer);
    isb_status status;
    require(read_all(ctx, &file, &status) == n_chunks && status == ISB_OK);
    file.position = 0;
    file.data[(data[0] * 257u + data[1]) % file.nbytes] ^= 1 + data[2] % 255;
    read_all(ctx, &file, &status);
    require(status != ISB_OK);
    free(file.data);
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
    memory_file file = {0}; /* a copy of the exact size */
    write_memory(&file, data + 1, nbytes - 1);
    isb_status status;
    read_all(ctx, &file, &status);
    free(file.data);
    return 0;
}
