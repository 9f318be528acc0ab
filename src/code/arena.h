/* Memory that is handed out in pieces and taken back all at once.  Pieces never move, so an output
 * that grows piece by piece needs no copying, and no more memory than it holds. */
#ifndef ISB_CODE_ARENA_H
#define ISB_CODE_ARENA_H

#include "base/context.h"

typedef struct isb__arena_block isb__arena_block;
typedef struct isb__arena {
    isb__arena_block *first; /* the one that pieces are cut from; NULL at first */
} isb__arena;

/* nbytes, aligned for any type; 0 gives a valid pointer.  Errors: NO_MEMORY. */
isb_status isb__arena_take(isb_context *ctx, isb__arena *arena, size_t nbytes,
                           void *memory_out /* T ** */);
/* Takes all pieces back. */
void isb__arena_reset(isb_context *ctx, isb__arena *arena);
void isb__arena_free(isb_context *ctx, isb__arena *arena);

#endif
