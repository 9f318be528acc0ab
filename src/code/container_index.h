/* A .isb file read from its end: footers, from the last to the first, then the index of one
 * frame at a time.
 *
 *     | frame 0 ... index footer | frame 1 ... index footer |
 *                         <---------------------------`  a footer knows its frame's size
 *
 * Sizes are believed only after the index's checksum, and if they add up to the frame's. */
#ifndef ISB_CODE_CONTAINER_INDEX_H
#define ISB_CODE_CONTAINER_INDEX_H

#include "code/container_format.h"

/* Exactly nbytes from a position, or a failure. */
typedef isb_status (*isb__read_at_fn)(void *user, uint64_t offset, void *data, size_t nbytes);

typedef struct isb__container_frame {
    uint64_t start;     /* in the file */
    uint64_t raw_start; /* in the raw bytes of the file */
    isb__container_footer footer;
} isb__container_frame;

typedef struct isb__container_index {
    isb_context *ctx;
    isb__read_at_fn read_at;
    void *user;
    isb__container_frame *frames; /* [n_frames], first to last */
    size_t n_frames, frames_capacity;
    uint64_t raw_nbytes; /* of all frames */

    /* The frame that was loaded. */
    isb__container_layout layout; /* of the whole frame */
    uint32_t *words;              /* [layout.n_records] */
    size_t words_capacity;
    /* The next record. */
    isb__container_layout cursor;
} isb__container_index;

/* Finds the frames.  A zeroed index may be freed; free after every open.  Errors: FORMAT,
 * VERSION, CORRUPT, NO_MEMORY, those of read_at. */
isb_status isb__container_index_open(isb_context *ctx, isb__read_at_fn read_at, void *user,
                                     uint64_t file_nbytes, isb__container_index *index);
/* Reads and checks a frame's header and index; the next record is its first one.  limit_nbytes:
 * NO_MEMORY if the index is larger. */
isb_status isb__container_index_load(isb__container_index *index, size_t frame,
                                     uint64_t limit_nbytes);
/* The next record of the frame that was loaded, without its check; false after the last one. */
bool isb__container_index_next(isb__container_index *index, isb__container_record *record);
/* Reads a record's check, and compares its header in the file with the index. */
isb_status isb__container_index_check(isb__container_index *index, isb__container_record *record);
/* The identity in the M1 record of the frame that was loaded.  It has one:
 * layout.n_of[ISB__CONTAINER_M1]. */
isb_status isb__container_index_m1(isb__container_index *index, isb__id128 *identity);
void isb__container_index_free(isb__container_index *index);

#endif
