/* One chunk without M1: the tests that decide its kind, and zstd both ways. */
#ifndef ISB_DATA_PACK_CHUNK_H
#define ISB_DATA_PACK_CHUNK_H

#include "code/container_format.h"

/* zstd's states for one of several tasks that run at once. */
typedef struct isb__chunk_zstd {
    void *pack, *unpack; /* ZSTD_CCtx, ZSTD_DCtx; NULL until they are needed */
} isb__chunk_zstd;

typedef struct isb__packed_chunk {
    const uint8_t *raw; /* borrowed */
    size_t raw_nbytes;
    uint8_t *zstd; /* room for raw_nbytes */
    /* What is smallest so far: raw, or zstd, or for fill one of the raw bytes. */
    isb__container_kind kind;
    const uint8_t *payload;
    size_t payload_nbytes;
    bool try_m1; /* M1 may be smaller still */
    isb_status status;
} isb__packed_chunk;

/* Sets everything from `kind` on; the result depends on the raw bytes alone.  status: NO_MEMORY.
 * Any thread, on distinct chunks and states. */
void isb__pack_chunk(isb__chunk_zstd *zstd, isb__packed_chunk *chunk);
/* Unpacks a zstd payload to exactly raw_nbytes bytes.  Returns OK, CORRUPT, NO_MEMORY; no text. */
isb_status isb__unpack_zstd(isb__chunk_zstd *zstd, const uint8_t *payload, size_t payload_nbytes,
                            uint8_t *raw, size_t raw_nbytes);
void isb__chunk_zstd_free(isb__chunk_zstd *zstd);

#endif
