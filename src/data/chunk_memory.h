/* How many chunks are held at once, and how many streams of M1 work on them, within a limit of
 * memory. */
#ifndef ISB_DATA_CHUNK_MEMORY_H
#define ISB_DATA_CHUNK_MEMORY_H

#include "data/m1_find.h"

/* Half of the limit is for the chunks of a group, half for M1 and its streams. */
typedef struct isb__chunk_memory {
    uint64_t limit_nbytes;
    size_t chunk_nbytes;
    size_t wanted_streams; /* as the options say; 0: what suits the machine */
    bool packing;
    size_t group;   /* chunks held at once */
    size_t n_slots; /* of them packed or unpacked by zstd at once */
} isb__chunk_memory;

/* Sets group and n_slots.  Errors: NO_MEMORY, with what is needed. */
isb_status isb__chunk_memory_plan(isb_context *ctx, isb__chunk_memory *memory);
/* The most streams of this M1; no more than n_chunks.  Errors: as above. */
isb_status isb__chunk_memory_streams(isb_context *ctx, const isb__chunk_memory *memory,
                                     const isb__found_m1 *m1, uint64_t n_chunks, size_t *n_streams);
/* Whether an M1 of that many bytes may be read from a file.  Errors: as above. */
isb_status isb__chunk_memory_allows_m1(isb_context *ctx, const isb__chunk_memory *memory,
                                       uint64_t nbytes);

#endif
