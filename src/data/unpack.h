/* A group of chunks unpacked on all threads and put out in order.  decompress.c fills groups,
 * from a stream or by the index. */
#ifndef ISB_DATA_UNPACK_H
#define ISB_DATA_UNPACK_H

#include "data/container_run.h"
#include "data/pack_chunk.h"

typedef struct isb__unpack_chunk {
    isb__container_record record;
    uint64_t raw_start;     /* in the raw bytes of the file */
    uint32_t n;             /* times that its raw bytes are put out; 1 but for fill */
    const uint8_t *payload; /* borrowed, until the group is unpacked */
    uint8_t *raw;           /* where zstd unpacks to */
    const uint8_t *bytes;   /* the raw bytes, when they are there */
    const char *wrong;      /* NULL: they have their check */
    isb_status status;
} isb__unpack_chunk;

typedef struct isb__unpacker {
    isb__container_run run;
    isb__container_reader *hashing;  /* gets all raw bytes; NULL: only a part is unpacked */
    uint64_t range_start, range_end; /* of raw bytes that are put out */
    bool holes;

    isb__unpack_chunk *chunks; /* [group]; n of them are filled */
    size_t n, chunks_capacity;
    isb__ids_view *codes; /* of those that M1 decodes */
    isb__decoded *decoded;
    size_t codes_capacity, decoded_capacity;
    uint32_t *ids;
    uint8_t *payload, *raw;
    size_t ids_capacity, payload_capacity, raw_capacity, payload_used;
    isb__chunk_zstd *zstd; /* [threads] */
    uint8_t *fill;         /* a chunk of one value */
    size_t fill_capacity;
} isb__unpacker;

/* Plans for a frame's chunk size and makes room for a group. */
isb_status isb__unpack_begin(isb__unpacker *unpacker, size_t chunk_nbytes);
/* Adds a chunk; *room: for its payload.  The group is not full: n < run.memory.group. */
isb_status isb__unpack_add(isb__unpacker *unpacker, const isb__container_record *record,
                           uint64_t raw_start, uint32_t n, uint8_t **room);
/* How many chunks of the group need M1. */
size_t isb__unpack_n_ac(const isb__unpacker *unpacker);
/* Unpacks, checks and puts out the group, and empties it.  A codec is there if it needs one.
 * Errors: CORRUPT, with the first wrong chunk; all before it were put out. */
isb_status isb__unpack_group(isb__unpacker *unpacker);
void isb__unpack_free(isb__unpacker *unpacker);

#endif
