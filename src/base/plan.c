/* Memory plans: regions are listed first, each at a multiple of 64 bytes, then one block is
 * allocated for all.
 *
 *     |  region 0  | pad | red zone |  region 1  | pad | red zone | ...
 *
 * The red zones exist in AddressSanitizer builds only; pad and red zone are poisoned, so that a
 * kernel which writes one element too far is stopped there instead of changing the next tensor. */
#include "base/plan.h"

#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define PLAN_RED_ZONES 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PLAN_RED_ZONES 1
#endif
#endif

#ifdef PLAN_RED_ZONES
#include <sanitizer/asan_interface.h>
enum { RED_ZONE_NBYTES = ISB__ALIGNMENT };
#else
enum { RED_ZONE_NBYTES = 0 };
#endif

void isb__plan_begin(isb__plan *plan, isb_context *ctx) {
    *plan = (isb__plan){.ctx = ctx, .status = ISB_OK};
}

void isb__plan_add(isb__plan *plan, const char *name, size_t nbytes, void *pointer) {
    if (plan->status != ISB_OK) return;
    const size_t slack = ISB__ALIGNMENT + RED_ZONE_NBYTES;
    if (nbytes > PTRDIFF_MAX - slack || plan->total_nbytes > PTRDIFF_MAX - slack - nbytes) {
        plan->status = isb__fail(plan->ctx, ISB_ERR_NO_MEMORY,
                                 "%s needs %zu bytes after %zu, more than can be addressed", name,
                                 nbytes, plan->total_nbytes);
        return;
    }
    plan->status = isb__grow_array(plan->ctx, plan->n_regions + 1, sizeof *plan->regions,
                                   &plan->capacity, &plan->regions);
    if (plan->status != ISB_OK) return;
    plan->regions[plan->n_regions++] = (isb__plan_region){
        .name = name, .nbytes = nbytes, .offset = plan->total_nbytes, .pointer = pointer};
    if (nbytes == 0) return;
    const size_t rounded = (nbytes + ISB__ALIGNMENT - 1) / ISB__ALIGNMENT * ISB__ALIGNMENT;
    plan->total_nbytes += rounded + RED_ZONE_NBYTES;
}

size_t isb__plan_nbytes(const isb__plan *plan) { return plan->total_nbytes; }

static const isb__plan_region *largest_region(const isb__plan *plan) {
    const isb__plan_region *largest = plan->regions;
    for (size_t i = 1; i < plan->n_regions; ++i) {
        if (plan->regions[i].nbytes > largest->nbytes) largest = &plan->regions[i];
    }
    return largest;
}

static void place_region(const isb__plan_region *region, uint8_t *block, size_t end) {
    void *memory = region->nbytes > 0 ? block + region->offset : NULL;
    memcpy(region->pointer, &memory, sizeof memory); /* the caller's T *, whatever T is */
#ifdef PLAN_RED_ZONES
    const size_t used = region->offset + region->nbytes;
    if (memory) ASAN_POISON_MEMORY_REGION(block + used, end - used);
#else
    (void)end;
#endif
}

isb_status isb__plan_commit(isb__plan *plan, void **block) {
    *block = NULL;
    isb_status status = plan->status;
    if (status == ISB_OK) status = isb__alloc(plan->ctx, plan->total_nbytes, block);
    if (status == ISB_OK) {
        for (size_t i = 0; i < plan->n_regions; ++i) {
            const size_t end =
                i + 1 < plan->n_regions ? plan->regions[i + 1].offset : plan->total_nbytes;
            place_region(&plan->regions[i], *block, end);
        }
    } else if (plan->status == ISB_OK && plan->n_regions > 0) {
        const isb__plan_region *largest = largest_region(plan);
        status = isb__fail(plan->ctx, status,
                           "cannot allocate %zu bytes of working memory, of which %s takes %zu",
                           plan->total_nbytes, largest->name, largest->nbytes);
    }
    isb__plan_cancel(plan);
    return status;
}

void isb__plan_cancel(isb__plan *plan) {
    isb__free(plan->ctx, plan->regions);
    isb__plan_begin(plan, plan->ctx);
}
