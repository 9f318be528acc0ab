/* The .isb form, read and written as a stream; docs/container.md is the specification.
 *
 *   header   64 bytes    magic, version, code, M1's identity, chunk size, checksum
 *   chunk    16 bytes    raw size, packed size, checksum of the raw bytes; then the packed bytes
 *   ...
 *   end      16 bytes    a chunk header with both sizes 0 and the checksum of all raw bytes
 *   index    8 bytes a chunk: where its header is
 *   footer   48 bytes    number of chunks, raw size, checksums, magic
 *
 * This file knows nothing of M1: it moves packed bytes.  A reader holds one chunk and checks sizes
 * before it allocates.
 */
#ifndef ISB_CODE_CONTAINER_FORMAT_H
#define ISB_CODE_CONTAINER_FORMAT_H

#include "base/context.h"
#include "base/hash.h"

enum {
    ISB__CONTAINER_VERSION = 1,
    ISB__CONTAINER_HEADER_NBYTES = 64,
    ISB__CONTAINER_CHUNK_NBYTES = 16,
    ISB__CONTAINER_FOOTER_NBYTES = 48,
    ISB__CONTAINER_MIN_CHUNK = 1 << 10,
    ISB__CONTAINER_MAX_CHUNK = 16 << 20,
    ISB__CONTAINER_CODE_AC = 1 /* ac, tokens of 8 bits; the only code of version 1 */
};

typedef struct isb__container_header {
    int code;
    int precision_nbits;   /* 9 .. 16 */
    uint32_t chunk_nbytes; /* raw bytes of every chunk but the last, which has 1 .. chunk_nbytes */
    isb__id128 m1;
} isb__container_header;

/* ---- writing ---- */

typedef isb_status (*isb__write_fn)(void *user, const void *data, size_t nbytes);

typedef struct isb__container_writer {
    isb_context *ctx;
    isb__write_fn write;
    void *user;
    isb__container_header header;
    uint64_t position, raw_nbytes, n_chunks;
    isb__hasher *raw_hasher;
    uint64_t *index; /* positions of chunk headers; grows by 8 bytes a chunk */
    size_t index_capacity;
} isb__container_writer;

/* Writes the header.  A zeroed writer may be freed; free after every begin.  Errors: RANGE,
 * NO_MEMORY, those of write. */
isb_status isb__container_write_begin(isb_context *ctx, const isb__container_header *header,
                                      isb__write_fn write, void *user,
                                      isb__container_writer *writer);
/* raw: chunk_nbytes bytes, fewer (but not 0) only in the last call.  A packed form that is not shorter
 * than the raw bytes is not used: the raw bytes are stored. */
isb_status isb__container_write_chunk(isb__container_writer *writer, const uint8_t *raw,
                                      size_t raw_nbytes, const uint8_t *packed,
                                      size_t packed_nbytes);
isb_status isb__container_write_end(isb__container_writer *writer);
void isb__container_writer_free(isb__container_writer *writer);

/* ---- reading ---- */

/* *got is less than nbytes only at the end. */
typedef isb_status (*isb__read_fn)(void *user, void *data, size_t nbytes, size_t *got);

typedef struct isb__container_chunk {
    uint64_t number, offset; /* of the chunk in the file */
    size_t raw_nbytes, packed_nbytes;
    uint64_t raw_hash;
    bool stored;     /* packed are the raw bytes themselves: the two sizes are equal */
    uint8_t *packed; /* owned; its memory serves the next chunk that is read into it */
    size_t packed_capacity;
} isb__container_chunk;

typedef struct isb__container_reader {
    isb_context *ctx;
    isb__read_fn read;
    void *user;
    isb__container_header header;
    uint64_t position, raw_nbytes, n_chunks;
    bool short_chunk; /* the last chunk was not full: only the end may follow */
    bool ended;
    uint64_t total_hash; /* as the end says */
    isb__hasher *index_hasher, *raw_hasher;
} isb__container_reader;

/* Reads the header.  A zeroed reader may be freed; free after every begin.
 * Errors: FORMAT (not this form), VERSION, CORRUPT, NO_MEMORY, those of read. */
isb_status isb__container_read_begin(isb_context *ctx, isb__read_fn read, void *user,
                                     isb__container_reader *reader);
/* The next chunk, or *end with everything after the last chunk read and checked.  Errors: CORRUPT,
 * with the chunk and its offset, NO_MEMORY, those of read. */
isb_status isb__container_read_chunk(isb__container_reader *reader, isb__container_chunk *chunk,
                                     bool *end);
/* Compares a chunk's bytes with its checksum; chunks come in order.  Errors: CORRUPT. */
isb_status isb__container_check_chunk(isb__container_reader *reader,
                                      const isb__container_chunk *chunk, const uint8_t *raw,
                                      size_t raw_nbytes);
/* After the end: compares the checksum of all raw bytes that were checked.  Errors: CORRUPT. */
isb_status isb__container_read_end(isb__container_reader *reader);
void isb__container_reader_free(isb__container_reader *reader);

#endif
