/* One job over all workers: each takes documents from a common counter, runs its lanes until they
 * all want M1, asks M1 on its own thread, and puts what is done where its document's output goes.
 * Workers meet only at the end.
 *
 * The largest documents go first: the last ones to be begun are then the shortest, and lanes and
 * workers finish together. */
#include <stdlib.h>
#include <string.h>

#include "code/codec_state.h"

isb_status isb__job_check(const isb__job *job) {
    if (atomic_load_explicit(&job->failed, memory_order_relaxed)) return ISB_ERR_CANCELLED;
    return isb__check_cancel(job->codec->ctx);
}

/* ---- the order ---- */

typedef struct sized_document {
    size_t size, document;
} sized_document;

static int compare_sizes(const void *a, const void *b) {
    const sized_document *x = a, *y = b;
    if (x->size != y->size) return x->size < y->size ? 1 : -1;
    return (x->document > y->document) - (x->document < y->document);
}

static isb_status choose_order(isb__job *job) {
    isb_context *ctx = job->codec->ctx;
    sized_document *sized = NULL;
    ISB_TRY(isb__alloc_array(ctx, job->n, sizeof *sized, &sized));
    const isb_status status = isb__alloc_array(ctx, job->n, sizeof *job->order, &job->order);
    if (status == ISB_OK) {
        for (size_t i = 0; i < job->n; i++) {
            const size_t size = job->encoded ? job->texts[i].nbytes : job->codes[i].count;
            sized[i] = (sized_document){size, i};
        }
        qsort(sized, job->n, sizeof *sized, compare_sizes);
        for (size_t i = 0; i < job->n; i++) job->order[i] = sized[i].document;
    }
    isb__free(ctx, sized);
    return status;
}

/* ---- a worker ---- */

static isb_status put_document(isb__worker *worker, const isb__lane *lane, isb__job *job) {
    isb_context *ctx = worker->codec->ctx;
    const size_t i = lane->document, n_windows = (size_t)lane->n_windows;
    if (job->encoded) {
        const size_t count = lane->bits.count;
        uint32_t *ids = NULL;
        ISB_TRY(isb__arena_take(ctx, &worker->ids, count * sizeof *ids, &ids));
        if (count > 0) memcpy(ids, lane->bits.ids, count * sizeof *ids);
        job->encoded[i] = (isb__encoded){ids, count, n_windows};
        worker->stats.bytes += job->texts[i].nbytes;
        worker->stats.tokens += count;
        worker->stats.windows += n_windows;
    } else {
        uint8_t *bytes = NULL;
        ISB_TRY(isb__arena_take(ctx, &worker->bytes, lane->text_nbytes, &bytes));
        if (lane->text_nbytes > 0) memcpy(bytes, lane->bytes, lane->text_nbytes);
        job->decoded[i] = (isb__decoded){bytes, lane->text_nbytes, n_windows, lane->final_status};
    }
    return ISB_OK;
}

/* The next document, or job->n. */
static size_t take_document(isb__job *job) {
    if (atomic_load_explicit(&job->next, memory_order_relaxed) >= job->n) return job->n;
    const size_t taken = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed);
    return taken < job->n ? job->order[taken] : job->n;
}

/* Runs the lane, document after document, until it wants M1 or no document is left. */
static isb_status advance_lane(isb__worker *worker, isb__lane *lane, isb__job *job) {
    for (;;) {
        ISB_TRY(isb__job_check(job));
        if (!lane->busy) {
            const size_t document = take_document(job);
            if (document == job->n) return ISB_OK;
            isb__lane_reset(lane);
            lane->document = worker->document = document;
            lane->busy = true;
            ISB_TRY(job->start(worker, lane, job));
        }
        bool done = false;
        worker->document = lane->document;
        ISB_TRY(job->advance(worker, lane, job, &done));
        if (!done) return ISB_OK;
        lane->busy = false;
        ISB_TRY(put_document(worker, lane, job));
    }
}

static void count_bytes(isb__worker *worker, isb__job *job, bool on_caller) {
    const uint64_t more = worker->n_new_bytes;
    const uint64_t before = atomic_fetch_add_explicit(&job->bytes_done, more, memory_order_relaxed);
    worker->n_new_bytes = 0;
    if (on_caller && job->progress) job->progress(job->user, (double)(before + more));
}

static isb_status run_lanes(isb__worker *worker, isb__job *job, bool on_caller) {
    /* no more lanes than the worker's share of the documents, or the others would have none */
    const size_t share = (job->n + job->n_workers - 1) / job->n_workers;
    const size_t n_lanes = worker->n_lanes < share ? worker->n_lanes : share;
    for (size_t i = 0; i < n_lanes; i++) worker->lanes[i].busy = worker->lanes[i].wanting = false;
    for (;;) {
        size_t n_busy = 0;
        for (size_t i = 0; i < n_lanes; i++) {
            ISB_TRY(advance_lane(worker, &worker->lanes[i], job));
            n_busy += worker->lanes[i].busy;
        }
        count_bytes(worker, job, on_caller);
        if (n_busy == 0) return ISB_OK;
        worker->n_busy = n_busy;
        ISB_TRY(isb__lanes_evaluate(worker, worker->lanes, n_lanes));
    }
}

static void run_worker(void *arg, size_t task, int thread) {
    isb__job *job = arg;
    isb__worker *worker = &job->codec->workers[task];
    worker->n_busy = worker->n_lanes;
    worker->n_new_bytes = 0;
    const isb_status status = run_lanes(worker, job, thread == 0);
    bool before = false;
    if (status == ISB_OK || !atomic_compare_exchange_strong(&job->failed, &before, true)) return;
    job->status = status;
    job->failed_document = worker->document;
    job->has_text = thread == 0;
}

/* ---- the job ---- */

/* The text of a failure on another thread. */
static isb_status tell_failure(const isb__job *job) {
    isb_context *ctx = job->codec->ctx;
    if (job->status == ISB_ERR_CANCELLED) ISB_TRY(isb__check_cancel(ctx));
    return isb__fail(ctx, job->status, "%s: at document %zu of %zu",
                     isb_status_sentence(job->status), job->failed_document + 1, job->n);
}

isb_status isb__job_run(isb__job *job) {
    isb__codec *codec = job->codec;
    if (job->n == 0) return ISB_OK;
    job->n_workers = codec->n_workers < job->n ? codec->n_workers : job->n;
    ISB_TRY(choose_order(job));
    isb__parallel(codec->ctx, job->n_workers, run_worker, job);
    isb__free(codec->ctx, job->order);
    if (!atomic_load(&job->failed)) return ISB_OK;
    return job->has_text ? job->status : tell_failure(job);
}
