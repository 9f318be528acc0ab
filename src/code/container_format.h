/* The .isb form, written and read as a stream; docs/container.md is the specification.
 *
 *   header   20 bytes    magic, version, chunk size, checksum
 *   record   8 bytes     word (kind, size), check; in a short chunk 4 more, its raw bytes;
 *                        then the payload
 *   ...
 *   end      4 bytes     a word of 0
 *   index    4 bytes a record: the words again
 *   footer   64 bytes    sizes and checksums of the frame
 *
 * A file is one or more such frames.  This file knows nothing of M1 and zstd: it moves payloads.
 * A reader checks sizes before anybody can allocate by them. */
#ifndef ISB_CODE_CONTAINER_FORMAT_H
#define ISB_CODE_CONTAINER_FORMAT_H

#include "base/context.h"
#include "base/hash.h"

enum {
    ISB__CONTAINER_VERSION = 2,
    ISB__CONTAINER_HEADER_NBYTES = 20,
    ISB__CONTAINER_FOOTER_NBYTES = 64,
    ISB__CONTAINER_WORD_NBYTES = 4,
    ISB__CONTAINER_MIN_CHUNK = 1 << 10,
    ISB__CONTAINER_MAX_CHUNK = 16 << 20,
    ISB__CONTAINER_SIZE_NBITS = 28,
    ISB__CONTAINER_MAX_SIZE = (1 << ISB__CONTAINER_SIZE_NBITS) - 1,
    ISB__CONTAINER_SHORT = 1 << ISB__CONTAINER_SIZE_NBITS, /* in a word: not a full chunk */
    ISB__CONTAINER_ID_NBYTES = 16
};

typedef enum isb__container_kind {
    ISB__CONTAINER_END = 0,
    ISB__CONTAINER_STORED = 1,
    ISB__CONTAINER_FILL = 2,
    ISB__CONTAINER_ZSTD = 3,
    ISB__CONTAINER_AC = 4,
    ISB__CONTAINER_M1 = 5,
    ISB__CONTAINER_N_KINDS = 6
} isb__container_kind;

typedef struct isb__container_record {
    isb__container_kind kind;
    uint32_t word, check;
    uint64_t offset;   /* in the file */
    uint64_t chunk;    /* number of the first chunk, in its frame */
    uint32_t n_chunks; /* 0 for M1, any number for fill, else 1 */
    size_t raw_nbytes; /* of one chunk */
    size_t header_nbytes, payload_nbytes;
} isb__container_record;

/* What the records of a frame add up to, so far. */
typedef struct isb__container_layout {
    uint32_t chunk_nbytes;
    uint64_t start, position; /* of the frame and of the next record, in the file */
    uint64_t n_records, n_chunks, raw_nbytes;
    uint64_t n_of[ISB__CONTAINER_N_KINDS]; /* chunks; records for M1 */
    uint64_t m1_offset, m1_nbytes;         /* the record, and M1 itself in it; 0: none */
    bool ended;                            /* by a short chunk */
} isb__container_layout;

/* Adds a record to a layout.  short_nbytes: its raw bytes if the word says that it is short.
 * Returns what is wrong with it, or NULL. */
const char *isb__container_place(isb__container_layout *layout, uint32_t word,
                                 uint64_t short_nbytes, isb__container_record *record);

typedef struct isb__container_footer {
    uint64_t frame_nbytes, raw_nbytes, n_records;
    uint64_t index_hash, raw_hash, frame_hash;
} isb__container_footer;

/* Whether these bytes, of which there may be few, can be the first of a file of this form. */
bool isb__container_begins(const uint8_t *bytes, size_t nbytes);
/* Errors: FORMAT (not this form), VERSION, CORRUPT. */
isb_status isb__container_get_header(isb_context *ctx,
                                     const uint8_t bytes[ISB__CONTAINER_HEADER_NBYTES],
                                     uint32_t *chunk_nbytes);
/* Whether this is a footer, by its magic and checksum. */
bool isb__container_get_footer(const uint8_t bytes[ISB__CONTAINER_FOOTER_NBYTES],
                               isb__container_footer *footer);
/* Low 32 bits of the checksum. */
uint32_t isb__container_check(const uint8_t *data, size_t nbytes);
uint32_t isb__container_get_word(const uint8_t bytes[4]);
/* CORRUPT, with the record's chunk and offset. */
isb_status isb__container_bad_record(isb_context *ctx, const isb__container_record *record,
                                     const char *what);

/* ---- shared by writer and reader ---- */
uint64_t isb__container_get(const uint8_t *bytes, int nbytes);
void isb__container_put(uint8_t *bytes, int nbytes, uint64_t value);
void isb__container_put_header(uint32_t chunk_nbytes, uint8_t bytes[ISB__CONTAINER_HEADER_NBYTES]);
void isb__container_put_footer(const isb__container_footer *footer,
                               uint8_t bytes[ISB__CONTAINER_FOOTER_NBYTES]);
isb__container_layout isb__container_layout_begin(uint32_t chunk_nbytes, uint64_t start);
/* With end, index and footer. */
uint64_t isb__container_frame_nbytes(const isb__container_layout *layout);
isb_status isb__container_hash_begin(isb_context *ctx, isb__hasher **hasher);
/* Sets it to NULL; 0 if it was. */
uint64_t isb__container_hash_end(isb__hasher **hasher);

/* ---- writing: one frame ---- */

typedef isb_status (*isb__write_fn)(void *user, const void *data, size_t nbytes);

typedef struct isb__container_writer {
    isb_context *ctx;
    isb__write_fn write;
    void *user;
    isb__container_layout layout;
    isb__hasher *raw_hasher, *frame_hasher;
    uint32_t *index; /* [n_records] words */
    size_t index_capacity;
    uint32_t n_fill; /* full chunks of fill_byte that are not written yet */
    uint32_t fill_check;
    uint8_t fill_byte;
} isb__container_writer;

/* Writes the header.  A zeroed writer may be freed; free after every begin.  Errors: RANGE,
 * NO_MEMORY, those of write. */
isb_status isb__container_write_begin(isb_context *ctx, uint32_t chunk_nbytes, isb__write_fn write,
                                      void *user, isb__container_writer *writer);
/* Once, before the first ac chunk.  m1: the .isb-m1 file; nbytes 0: M1 is only named.  Errors:
 * RANGE (larger than a record). */
isb_status isb__container_write_m1(isb__container_writer *writer, const isb__id128 *identity,
                                   const uint8_t *m1, size_t nbytes);
/* raw: chunk_nbytes bytes, fewer (but not 0) only in the last call.  The payload is as the kind
 * wants it. */
isb_status isb__container_write_chunk(isb__container_writer *writer, isb__container_kind kind,
                                      const uint8_t *raw, size_t raw_nbytes, const uint8_t *payload,
                                      size_t payload_nbytes);
isb_status isb__container_write_end(isb__container_writer *writer);
void isb__container_writer_free(isb__container_writer *writer);

/* ---- reading ---- */

/* *got is less than nbytes only at the end. */
typedef isb_status (*isb__read_fn)(void *user, void *data, size_t nbytes, size_t *got);

typedef struct isb__container_reader {
    isb_context *ctx;
    isb__read_fn read;
    void *user;
    uint64_t position;
    uint64_t n_frames;            /* begun */
    isb__container_layout layout; /* of the present frame */
    isb__container_footer footer; /* after its end */
    size_t payload_left;
    isb__hasher *index_hasher, *raw_hasher, *frame_hasher;
} isb__container_reader;

/* Reads the first frame's header.  A zeroed reader may be freed; free after every begin.
 * Errors: FORMAT, VERSION, CORRUPT, NO_MEMORY, those of read. */
isb_status isb__container_read_begin(isb_context *ctx, isb__read_fn read, void *user,
                                     isb__container_reader *reader);
/* The next record without its payload, or *end with all after the last record read and checked.
 * Errors: CORRUPT, with the chunk and its offset, those of read. */
isb_status isb__container_read_record(isb__container_reader *reader, isb__container_record *record,
                                      bool *end);
/* The next bytes of the record's payload; all of them before the next record. */
isb_status isb__container_read_payload(isb__container_reader *reader, void *data, size_t nbytes);
/* Reads over what is left of the payload. */
isb_status isb__container_skip_payload(isb__container_reader *reader);
/* Raw bytes, in order, for their checksum. */
void isb__container_add_raw(isb__container_reader *reader, const uint8_t *raw, size_t nbytes);
/* After the end: compares the checksum of all raw bytes that were added.  Errors: CORRUPT. */
isb_status isb__container_read_end(isb__container_reader *reader);
/* The header of the frame after this one; *more is false if the file ends here. */
isb_status isb__container_next_frame(isb__container_reader *reader, bool *more);
void isb__container_reader_free(isb__container_reader *reader);

#endif
