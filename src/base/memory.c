/* Memory through the context's hooks: zeroed, aligned, overflow-checked, and an error text when
 * there is none.
 *
 * The default hook asks for huge pages on large blocks: model weights and activations are walked in
 * long strides, and with 4 KiB pages the matrix kernels lose time to TLB misses.  Large blocks are
 * not written to make them zero, because the system gives zero pages anyway, at first touch: rings
 * of keys for long contexts cost nothing until the contexts are long.
 *
 *     | ... | start of the C library's block | memory ...
 *           ^ memory - sizeof(void *)        ^ a multiple of the alignment */
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/context.h"

enum { HUGE_PAGE_NBYTES = 2 << 20, LARGE_NBYTES = 8 << 20 };

static void *allocate_small(size_t nbytes, size_t alignment) {
    void *block = NULL;
    if (nbytes > SIZE_MAX - alignment) return NULL;
    if (posix_memalign(&block, alignment, alignment + nbytes) != 0) return NULL;
    char *memory = (char *)block + alignment;
    memcpy(memory - sizeof block, &block, sizeof block);
    return memory;
}

static void *allocate_large_zeroed(size_t nbytes) {
    if (nbytes > SIZE_MAX - 2 * HUGE_PAGE_NBYTES) return NULL;
    void *block = calloc(1, nbytes + 2 * HUGE_PAGE_NBYTES);
    if (!block) return NULL;
    const size_t past = ((uintptr_t)block + sizeof block) % HUGE_PAGE_NBYTES;
    char *memory = (char *)block + sizeof block + (HUGE_PAGE_NBYTES - past);
    memcpy(memory - sizeof block, &block, sizeof block);
    /* only a hint */
    (void)madvise(memory, nbytes / HUGE_PAGE_NBYTES * HUGE_PAGE_NBYTES, MADV_HUGEPAGE);
    return memory;
}

void *isb__default_allocate(void *user, size_t nbytes, size_t alignment) {
    (void)user;
    const int large = nbytes >= LARGE_NBYTES && alignment <= HUGE_PAGE_NBYTES;
    return large ? allocate_large_zeroed(nbytes) : allocate_small(nbytes, alignment);
}

void isb__default_release(void *user, void *memory) {
    (void)user;
    void *block;
    memcpy(&block, (char *)memory - sizeof block, sizeof block);
    free(block);
}

/* Out-parameters are `T **` behind `void *`; a copy stores them without breaking the aliasing
 * rules. */
static void store_pointer(void *out, void *memory) { memcpy(out, &memory, sizeof memory); }

isb_status isb__alloc(isb_context *ctx, size_t nbytes, void *memory_out) {
    const bool hooked = ctx && ctx->options.allocate != isb__default_allocate;
    const size_t wanted = nbytes > 0 ? nbytes : 1;
    void *memory = hooked ? ctx->options.allocate(ctx->options.memory_user, wanted, ISB__ALIGNMENT)
                          : isb__default_allocate(NULL, wanted, ISB__ALIGNMENT);
    store_pointer(memory_out, memory);
    if (!memory) return isb__fail(ctx, ISB_ERR_NO_MEMORY, "cannot allocate %zu bytes", nbytes);
    const bool zeroed = !hooked && nbytes >= LARGE_NBYTES;
    if (!zeroed) memset(memory, 0, nbytes);
    return ISB_OK;
}

isb_status isb__alloc_array(isb_context *ctx, size_t count, size_t size, void *memory_out) {
    store_pointer(memory_out, NULL);
    if (size != 0 && count > PTRDIFF_MAX / size) {
        return isb__fail(ctx, ISB_ERR_NO_MEMORY, "cannot allocate %zu items of %zu bytes", count,
                         size);
    }
    return isb__alloc(ctx, count * size, memory_out);
}

isb_status isb__grow_array(isb_context *ctx, size_t count, size_t size, size_t *capacity,
                           void *memory_inout) {
    if (count <= *capacity) return ISB_OK;
    size_t larger = *capacity <= SIZE_MAX / 2 ? *capacity * 2 : count;
    if (larger < 16) larger = 16;
    if (larger < count) larger = count;
    void *old = NULL, *memory = NULL;
    memcpy(&old, memory_inout, sizeof old);
    ISB_TRY(isb__alloc_array(ctx, larger, size, &memory));
    if (old) memcpy(memory, old, *capacity * size);
    isb__free(ctx, old);
    store_pointer(memory_inout, memory);
    *capacity = larger;
    return ISB_OK;
}

void isb__free(isb_context *ctx, void *memory) {
    if (memory && ctx) ctx->options.release(ctx->options.memory_user, memory);
    if (memory && !ctx) isb__default_release(NULL, memory);
}

isb_status isb__strdup(isb_context *ctx, const char *text, char **copy) {
    const size_t nbytes = strlen(text) + 1;
    ISB_TRY(isb__alloc(ctx, nbytes, copy));
    memcpy(*copy, text, nbytes);
    return ISB_OK;
}
