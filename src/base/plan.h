/* Working memory planned first, allocated once.
 *
 *     isb__plan plan; isb__plan_begin(&plan, ctx);
 *     isb__plan_add(&plan, "q", B * T * C * sizeof(float), &a->q);   // any number
 *     ISB_TRY(isb__plan_commit(&plan, &a->block));   // one aligned block, pointers set
 *     ... isb__free(ctx, a->block);
 *
 * Sanitizer builds put a poisoned red zone between regions.  Pointers are set at commit; regions
 * are zeroed. */
#ifndef ISB_BASE_PLAN_H
#define ISB_BASE_PLAN_H

#include "base/context.h"

typedef struct isb__plan_region {
    const char *name; /* borrows; a literal */
    size_t nbytes, offset;
    void **pointer;
} isb__plan_region;

typedef struct isb__plan {
    isb_context *ctx;
    isb__plan_region *regions;
    size_t n_regions, capacity, total_nbytes;
    isb_status status; /* first failure of an add; commit returns it */
} isb__plan;

void isb__plan_begin(isb__plan *plan, isb_context *ctx);
/* pointer: T **, set at commit.  nbytes == 0 sets it to NULL. */
void isb__plan_add(isb__plan *plan, const char *name, size_t nbytes, void *pointer);
/* Total bytes so far, for estimates before anything is allocated. */
size_t isb__plan_nbytes(const isb__plan *plan);
/* Allocates, sets the pointers, frees the list.  On failure nothing is allocated and the list is
 * freed too. */
isb_status isb__plan_commit(isb__plan *plan, void **block);
/* Frees the list without allocating. */
void isb__plan_cancel(isb__plan *plan);

#endif
