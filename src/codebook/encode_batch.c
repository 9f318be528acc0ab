/* Many documents on all threads.
 *
 * A document of n bytes has at most n ids, so each is encoded to where its bytes would be if every byte were an id,
 * and the ids are then moved together.  Documents go in waves, so that what is moved is still in the cache. */
#include <string.h>

#include "codebook/codebook_state.h"

enum { TASK_NBYTES = 1 << 16, WAVE_TASKS_PER_THREAD = 8, MAX_TASKS = 1024 };

typedef struct wave {
    const isb_codebook *codebook;
    const isb_codebook_text *texts;
    uint32_t *ids;
    uint64_t *
        offsets; /* of the documents: before, where there is room for them; after, how many ids they have */
    size_t begins[MAX_TASKS + 1]; /* documents of each task */
} wave;

static void encode_task(void *arg, size_t task, int thread) {
    const wave *w = arg;
    (void)thread;
    for (size_t i = w->begins[task]; i < w->begins[task + 1]; ++i) {
        size_t n;
        const isb_codebook_text *text = &w->texts[i];
        /* cannot fail: there is room for an id a byte */
        (void)isb_codebook_encode(w->codebook, text->bytes, text->nbytes, w->ids + w->offsets[i],
                                  text->nbytes, &n);
        w->offsets[i] = n;
    }
}

/* Gives documents from `first` on to tasks of some TASK_NBYTES each; returns the number of tasks. */
static size_t plan_wave(wave *w, size_t first, size_t n, size_t max_tasks, uint64_t position) {
    size_t n_tasks = 0, nbytes = 0, i = first;
    w->begins[0] = first;
    while (i < n && n_tasks < max_tasks) {
        w->offsets[i] = position;
        position += w->texts[i].nbytes;
        nbytes += w->texts[i].nbytes;
        ++i;
        if (nbytes < TASK_NBYTES && i < n) continue;
        w->begins[++n_tasks] = i;
        nbytes = 0;
    }
    return n_tasks;
}

/* Moves the ids of documents first .. end together, to `position`; their offsets are then final.  Returns the position
 * after them. */
static uint64_t compact(const wave *w, size_t first, size_t end, uint64_t position) {
    uint64_t from = position;
    for (size_t i = first; i < end; ++i) {
        const uint64_t n = w->offsets[i];
        if (from != position) memmove(w->ids + position, w->ids + from, n * sizeof *w->ids);
        w->offsets[i] = position;
        position += n;
        from += w->texts[i].nbytes;
    }
    return position;
}

static void run_wave(isb_context *ctx, wave *w, size_t n_tasks) {
    if (ctx) {
        isb__parallel(ctx, n_tasks, encode_task, w);
    } else {
        for (size_t task = 0; task < n_tasks; ++task) encode_task(w, task, 0);
    }
}

isb_status isb_codebook_encode_batch(isb_context *ctx, const isb_codebook *codebook,
                                     const isb_codebook_text *texts, size_t n, uint32_t *ids,
                                     size_t capacity, uint64_t *offsets) {
    uint64_t position = 0;
    for (size_t i = 0; i < n; ++i) position += texts[i].nbytes;
    if (position > capacity) {
        return isb__fail(
            ctx, ISB_ERR_BUFFER_SIZE,
            "room for %zu ids; the documents may need one for each of their %llu bytes", capacity,
            (unsigned long long)position);
    }
    wave w = {.codebook = codebook, .texts = texts, .ids = ids, .offsets = offsets};
    size_t max_tasks = WAVE_TASKS_PER_THREAD * (ctx ? (size_t)isb__thread_count(ctx) : 1);
    if (max_tasks > MAX_TASKS) max_tasks = MAX_TASKS;
    position = 0;
    for (size_t first = 0; first < n;) {
        ISB_TRY(isb__check_cancel(ctx));
        const size_t n_tasks = plan_wave(&w, first, n, max_tasks, position);
        run_wave(ctx, &w, n_tasks);
        position = compact(&w, first, w.begins[n_tasks], position);
        first = w.begins[n_tasks];
    }
    offsets[n] = position;
    return ISB_OK;
}
