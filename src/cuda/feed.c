/* A batch travels as one block of integers, through pinned memory and the second stream:
 *
 *     | inputs | targets | starts | first keys | order | begin |
 *
 * With two slots, and an event for "copied" and one for "used" of each:
 *
 *     host      fills slot s once it was copied last time
 *     copies    slot s, once the device has used it last time
 *     device    computes once slot s is copied */
#include "cuda/feed.h"

#include <string.h>

enum { N_SLOTS = 2, EVENT_COPIED = 0, EVENT_USED = EVENT_COPIED + N_SLOTS };

struct isb__feed {
    isb_context *ctx;
    isb__gpu *gpu;
    size_t B, T, M, V, n_tiles, nbytes; /* nbytes: of a slot */
    int32_t *pinned[N_SLOTS], *d_slots[N_SLOTS];
    int32_t *places; /* [V]: how many tokens an id has, then where its next one goes */
    int next;
};

static size_t slot_nints(const isb__feed *f) { return 5 * f->M + 1 + f->B * f->n_tiles; }

isb_status isb__feed_create(isb_context *ctx, isb__gpu *gpu, size_t B, size_t T, size_t V,
                            isb__feed **feed) {
    isb__feed *f = NULL;
    isb_status status = ISB_OK;
    *feed = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *f, &f));
    *f = (isb__feed){.ctx = ctx, .gpu = gpu, .B = B, .T = T, .M = B * T, .V = V};
    f->n_tiles = (T + ISB__GPU_TILE - 1) / ISB__GPU_TILE;
    f->nbytes = (slot_nints(f) * sizeof(int32_t) + 255) / 256 * 256;
    ISB_TRY_GOTO(isb__alloc_array(ctx, V, sizeof *f->places, &f->places));
    for (int i = 0; i < N_SLOTS; ++i) {
        f->pinned[i] = isb__gpu_alloc_pinned(gpu, f->nbytes);
        if (!f->pinned[i])
            ISB_TRY_GOTO(isb__fail(ctx, ISB_ERR_NO_MEMORY,
                                   "no %zu bytes of page-locked memory for a batch; a smaller "
                                   "batch or context needs less",
                                   f->nbytes));
    }
    *feed = f;
    return ISB_OK;
fail:
    isb__feed_free(f);
    return status;
}

void isb__feed_free(isb__feed *f) {
    if (!f) return;
    for (int i = 0; i < N_SLOTS; ++i) {
        if (f->pinned[i]) isb__gpu_free_pinned(f->gpu, f->pinned[i]);
    }
    isb__free(f->ctx, f->places);
    isb__free(f->ctx, f);
}

size_t isb__feed_device_nbytes(const isb__feed *f) { return N_SLOTS * f->nbytes; }

void isb__feed_set_memory(isb__feed *f, void *d_memory) {
    for (int i = 0; i < N_SLOTS; ++i)
        f->d_slots[i] = (int32_t *)((unsigned char *)d_memory + (size_t)i * f->nbytes);
}

size_t isb__feed_host_nbytes(const isb__feed *f) {
    return N_SLOTS * f->nbytes + f->V * sizeof *f->places;
}

static isb_status check(const isb__feed *f, const isb__batch *batch) {
    for (size_t i = 0; i < f->M; ++i) {
        const int64_t V = (int64_t)f->V, input = batch->inputs[i], target = batch->targets[i];
        const int32_t start = batch->starts ? batch->starts[i] : 0;
        if (input < 0 || input >= V || target < -1 || target >= V) {
            return isb__fail(
                f->ctx, ISB_ERR_RANGE,
                "row %zu, token %zu: input %lld, target %lld; the model knows ids 0 to %lld",
                i / f->T, i % f->T, (long long)input, (long long)target, (long long)V - 1);
        }
        if (start < 0 || (size_t)start > i % f->T) {
            return isb__fail(f->ctx, ISB_ERR_RANGE,
                             "row %zu, token %zu: its document starts at %d, after it", i / f->T,
                             i % f->T, (int)start);
        }
    }
    return ISB_OK;
}

/* The first key that any query of a tile sees. */
static void find_first_keys(const isb__feed *f, const int32_t *starts, int32_t *first_keys) {
    for (size_t b = 0; b < f->B; ++b) {
        for (size_t tile = 0; tile < f->n_tiles; ++tile) {
            const size_t begin = tile * ISB__GPU_TILE,
                         end = begin + ISB__GPU_TILE < f->T ? begin + ISB__GPU_TILE : f->T;
            int32_t least = (int32_t)begin;
            for (size_t t = begin; t < end; ++t)
                least = starts[b * f->T + t] < least ? starts[b * f->T + t] : least;
            first_keys[b * f->n_tiles + tile] = least;
        }
    }
}

/* Counting sort, which keeps the order of equal ids; returns the number of runs. */
static size_t sort_tokens(isb__feed *f, const int32_t *ids, int32_t *order, int32_t *begin) {
    size_t n_runs = 0;
    int32_t at = 0;
    memset(f->places, 0, f->V * sizeof *f->places);
    for (size_t i = 0; i < f->M; ++i) ++f->places[ids[i]];
    for (size_t v = 0; v < f->V; ++v) {
        const int32_t count = f->places[v];
        if (count == 0) continue;
        f->places[v] = begin[n_runs++] = at;
        at += count;
    }
    begin[n_runs] = at;
    for (size_t i = 0; i < f->M; ++i) order[f->places[ids[i]]++] = (int32_t)i;
    return n_runs;
}

/* The same places in the pinned slot and on the device. */
static isb__gpu_batch lay_out(const isb__feed *f, int32_t *slot) {
    isb__gpu_batch b = {.d_inputs = slot};
    b.d_targets = b.d_inputs + f->M;
    b.d_starts = b.d_targets + f->M;
    b.d_first_keys = b.d_starts + f->M;
    b.d_order = b.d_first_keys + f->B * f->n_tiles;
    b.d_begin = b.d_order + f->M;
    return b;
}

isb_status isb__feed_put(isb__feed *f, const isb__batch *batch, isb__gpu_batch *on_device) {
    const int slot = f->next;
    const isb__gpu_batch host = lay_out(f, f->pinned[slot]);
    const size_t nbytes = f->M * sizeof(int32_t);
    ISB_TRY(check(f, batch));
    isb__gpu_wait(f->gpu, EVENT_COPIED + slot);
    memcpy(host.d_inputs, batch->inputs, nbytes);
    memcpy(host.d_targets, batch->targets, nbytes);
    if (batch->starts)
        memcpy(host.d_starts, batch->starts, nbytes);
    else
        memset(host.d_starts, 0, nbytes);
    find_first_keys(f, host.d_starts, host.d_first_keys);

    *on_device = lay_out(f, f->d_slots[slot]);
    on_device->slot = slot;
    on_device->n_runs = sort_tokens(f, batch->inputs, host.d_order, host.d_begin);
    for (size_t i = 0; i < f->M; ++i) on_device->n_targets += batch->targets[i] >= 0;
    isb__gpu_after(f->gpu, EVENT_USED + slot, 1);
    isb__gpu_feed(f->gpu, f->d_slots[slot], f->pinned[slot], f->nbytes);
    isb__gpu_mark(f->gpu, EVENT_COPIED + slot, 1);
    isb__gpu_after(f->gpu, EVENT_COPIED + slot, 0);
    f->next = (slot + 1) % N_SLOTS;
    return ISB_OK;
}

void isb__feed_used(isb__feed *f, const isb__gpu_batch *on_device) {
    isb__gpu_mark(f->gpu, EVENT_USED + on_device->slot, 0);
}
