/* The M1 of a compressed file: found, checked by its identity, made a codec. */
#ifndef ISB_DATA_M1_FIND_H
#define ISB_DATA_M1_FIND_H

#include "code/codec.h"
#include "m1/m1.h"

typedef struct isb__found_m1 {
    isb__m1 *m1; /* owned; NULL: counts */
    uint64_t counts[ISB__N_SYMBOLS];
    isb__id128 identity;
    bool found;
    uint64_t nbytes, stream_nbytes; /* of memory: the weights; the cache of each stream */
} isb__found_m1;

/* path: a folder, NAME.isb-m1, the name of the one in the library; NULL: the one in the library.
 * needed: the identity that it must have, or NULL.  With `needed` and no path it is looked for
 * in the library and in folders.  A zeroed isb__found_m1 may be freed. Errors: those of
 * isb__m1_load(), MISMATCH with both identities, NOT_FOUND with the places. */
isb_status isb__m1_find(isb_context *ctx, const char *path, const isb__id128 *needed,
                        isb__found_m1 *found);
/* From a .isb-m1 file in memory, which must be the one that is needed.  Errors: CORRUPT if it is
 * not. */
isb_status isb__m1_find_embedded(isb_context *ctx, const uint8_t *data, size_t nbytes,
                                 const isb__id128 *needed, isb__found_m1 *found);
/* A codec of ac with at most max_streams streams, fewer if that suits the machine.  found: must
 * outlive it. */
isb_status isb__m1_find_codec(isb_context *ctx, const isb__found_m1 *found, size_t max_streams,
                              isb__codec **codec);
void isb__found_m1_free(isb__found_m1 *found);

#endif
