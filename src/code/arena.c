/* Blocks in a list; pieces are cut from the first.  A large piece has a block of its own, behind
 * the first, so that what is left of the first stays in use: at most a quarter of a block is lost. */
#include "code/arena.h"

#include <string.h>

enum { BLOCK_NBYTES = 256 << 10, LARGE_NBYTES = BLOCK_NBYTES / 4 };

struct isb__arena_block {
    _Alignas(ISB__ALIGNMENT) isb__arena_block *next;
    size_t nbytes, used; /* of the memory that follows */
};

static isb_status add_block(isb_context *ctx, isb__arena *arena, size_t nbytes,
                            isb__arena_block **block_out) {
    const bool large = nbytes > LARGE_NBYTES;
    const size_t size = large ? nbytes : BLOCK_NBYTES;
    if (size > SIZE_MAX - sizeof(isb__arena_block))
        return isb__fail(ctx, ISB_ERR_NO_MEMORY, "cannot allocate %zu bytes", size);
    isb__arena_block *block = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *block + size, &block));
    block->nbytes = size;
    isb__arena_block **link = large && arena->first ? &arena->first->next : &arena->first;
    block->next = *link;
    *link = *block_out = block;
    return ISB_OK;
}

isb_status isb__arena_take(isb_context *ctx, isb__arena *arena, size_t nbytes, void *memory_out) {
    enum { UNIT = _Alignof(max_align_t) };
    isb__arena_block *block = arena->first;
    if (!block || nbytes > block->nbytes - block->used)
        ISB_TRY(add_block(ctx, arena, nbytes, &block));
    char *const memory = (char *)(block + 1) + block->used;
    const size_t rounded = (nbytes + UNIT - 1) / UNIT * UNIT; /* nbytes has been allocated */
    const size_t left = block->nbytes - block->used;
    block->used += rounded < left ? rounded : left;
    memcpy(memory_out, &memory, sizeof memory);
    return ISB_OK;
}

static void free_after(isb_context *ctx, isb__arena_block **link) {
    while (*link) {
        isb__arena_block *const block = *link;
        *link = block->next;
        isb__free(ctx, block);
    }
}

/* One block is kept, for many small jobs. */
void isb__arena_reset(isb_context *ctx, isb__arena *arena) {
    if (!arena->first) return;
    free_after(ctx, arena->first->nbytes > BLOCK_NBYTES ? &arena->first : &arena->first->next);
    if (arena->first) arena->first->used = 0;
}

void isb__arena_free(isb_context *ctx, isb__arena *arena) { free_after(ctx, &arena->first); }
