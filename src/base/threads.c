/* The thread pool.
 *
 * A loop is published as one 64-bit word, the ticket, of which the low half counts the tasks that
 * nobody has taken yet:
 *
 *     63          32 31           0
 *     +-------------+-------------+
 *     | loop number |    untaken  |      to take task n_tasks - untaken, swap in untaken - 1
 *     +-------------+-------------+
 *
 * The caller waits for tasks, not for threads: it works itself, and returns when the last task is
 * done.  A worker that the system has not scheduled (another process has its processor) holds
 * nobody up; when it comes, untaken is 0 and it goes back to sleep.  Such a late worker may hold
 * fn, arg and n_tasks of an old loop or half of the next, but it acts on them only after its swap
 * succeeds, which needs the same loop number and an untaken task; while a task is untaken the loop
 * is not over and the fields are its own.
 *
 * Waiting is a short spin, long enough to bridge the gap between two loops of a layer, and then
 * sleep on a condition. A sleeper first counts itself, then looks at the ticket; a publisher first
 * writes the ticket, then looks at the count. All four are sequentially consistent, so one of the
 * two sees the other and no wake-up is lost. */
#include "base/threads.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/context.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define RELAX() _mm_pause()
#else
#define RELAX() ((void)0)
#endif

enum { SPINS = 1000 }; /* 20 to 50 us: a pause is 40 to 140 cycles */

typedef struct worker {
    isb__pool *pool;
    int index;
    pthread_t thread;
} worker;

struct isb__pool {
    _Alignas(64) _Atomic uint64_t ticket;
    _Alignas(64) _Atomic size_t unfinished; /* tasks of this loop that are not done */
    _Alignas(64) _Atomic isb__task_fn fn;
    void *_Atomic arg;
    _Atomic size_t n_tasks;
    atomic_bool stop;
    atomic_int n_asleep; /* workers */
    atomic_bool caller_asleep;
    bool in_loop;             /* the caller's: loops do not nest */
    int n_threads, n_started; /* n_threads counts the caller, n_started does not */
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    worker *workers;
};

static uint32_t untaken(uint64_t ticket) { return (uint32_t)ticket; }

/* Runs tasks until none is untaken; returns how many. */
static size_t run_tasks(isb__pool *pool, int thread) {
    size_t n_run = 0;
    uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    while (untaken(ticket) > 0) {
        const isb__task_fn fn = atomic_load_explicit(&pool->fn, memory_order_relaxed);
        void *arg = atomic_load_explicit(&pool->arg, memory_order_relaxed);
        const size_t n_tasks = atomic_load_explicit(&pool->n_tasks, memory_order_relaxed);
        if (!atomic_compare_exchange_weak(&pool->ticket, &ticket, ticket - 1)) continue;
        fn(arg, n_tasks - untaken(ticket), thread);
        ++n_run;
        ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    }
    return n_run;
}

/* Counts n tasks as done; wakes the caller after the last. */
static void finish_tasks(isb__pool *pool, size_t n) {
    if (n == 0 || atomic_fetch_sub(&pool->unfinished, n) != n) return;
    if (!atomic_load(&pool->caller_asleep)) return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_signal(&pool->done);
    pthread_mutex_unlock(&pool->mutex);
}

static bool has_work(isb__pool *pool) {
    return untaken(atomic_load(&pool->ticket)) > 0 || atomic_load(&pool->stop);
}

static void wait_for_work(isb__pool *pool) {
    for (int i = 0; i < SPINS; ++i) {
        if (has_work(pool)) return;
        RELAX();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->n_asleep, 1);
    while (!has_work(pool)) pthread_cond_wait(&pool->work, &pool->mutex);
    atomic_fetch_sub(&pool->n_asleep, 1);
    pthread_mutex_unlock(&pool->mutex);
}

static void wait_for_done(isb__pool *pool) {
    for (int i = 0; i < SPINS; ++i) {
        if (atomic_load(&pool->unfinished) == 0) return;
        RELAX();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->caller_asleep, true);
    while (atomic_load(&pool->unfinished) != 0) pthread_cond_wait(&pool->done, &pool->mutex);
    atomic_store(&pool->caller_asleep, false);
    pthread_mutex_unlock(&pool->mutex);
}

static void *worker_main(void *arg) {
    worker *self = arg;
    isb__pool *pool = self->pool;
    while (!atomic_load(&pool->stop)) {
        finish_tasks(pool, run_tasks(pool, self->index));
        wait_for_work(pool);
    }
    return NULL;
}

static void publish(isb__pool *pool, size_t n_tasks, isb__task_fn fn, void *arg) {
    atomic_store_explicit(&pool->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&pool->arg, arg, memory_order_relaxed);
    atomic_store_explicit(&pool->n_tasks, n_tasks, memory_order_relaxed);
    atomic_store_explicit(&pool->unfinished, n_tasks, memory_order_relaxed);
    const uint64_t number = (atomic_load_explicit(&pool->ticket, memory_order_relaxed) >> 32) + 1;
    atomic_store(&pool->ticket, number << 32 | n_tasks);
}

static void wake_workers(isb__pool *pool, size_t n_wanted) {
    if (atomic_load(&pool->n_asleep) == 0) return;
    pthread_mutex_lock(&pool->mutex);
    const size_t n_asleep = (size_t)atomic_load(&pool->n_asleep);
    if (n_wanted >= n_asleep) {
        pthread_cond_broadcast(&pool->work);
    } else {
        for (size_t i = 0; i < n_wanted; ++i) pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->mutex);
}

void isb__parallel(isb_context *ctx, size_t n_tasks, isb__task_fn fn, void *arg) {
    isb__pool *pool = ctx->pool;
    assert(n_tasks <= UINT32_MAX && !pool->in_loop);
    if (n_tasks <= 1 || pool->n_started == 0) {
        for (size_t task = 0; task < n_tasks; ++task) fn(arg, task, 0);
        return;
    }
    pool->in_loop = true;
    publish(pool, n_tasks, fn, arg);
    wake_workers(pool, n_tasks - 1);
    finish_tasks(pool, run_tasks(pool, 0));
    wait_for_done(pool);
    pool->in_loop = false;
}

int isb__thread_count(const isb_context *ctx) { return ctx->pool->n_threads; }

bool isb__pool_owns_thread(const isb__pool *pool) {
    const pthread_t self = pthread_self();
    for (int i = 0; pool && i < pool->n_started; ++i) {
        if (pthread_equal(pool->workers[i].thread, self)) return true;
    }
    return false;
}

/* Workers take no signals: handlers run on the application's own threads. */
static int start_worker(worker *self) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&self->thread, NULL, worker_main, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) return error;
    char name[16];
    snprintf(name, sizeof name, "isobit-%d", self->index);
    pthread_setname_np(self->thread, name);
    return 0;
}

isb_status isb__pool_create(isb_context *ctx, int n_threads, isb__pool **pool_out) {
    *pool_out = NULL;
    isb__pool *pool = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *pool, &pool));
    const isb_status status =
        isb__alloc_array(ctx, (size_t)n_threads, sizeof *pool->workers, &pool->workers);
    if (status != ISB_OK) {
        isb__free(ctx, pool);
        return status;
    }
    pool->n_threads = n_threads;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (int i = 1; i < n_threads; ++i) {
        worker *next = &pool->workers[pool->n_started];
        *next = (worker){.pool = pool, .index = i};
        const int error = start_worker(next);
        if (error != 0) {
            isb__pool_free(ctx, pool);
            return isb__fail(ctx, ISB_ERR_THREAD,
                             "cannot start thread %d of %d: %s; use fewer threads", i + 1,
                             n_threads, strerror(error));
        }
        ++pool->n_started;
    }
    *pool_out = pool;
    return ISB_OK;
}

void isb__pool_free(isb_context *ctx, isb__pool *pool) {
    if (!pool) return;
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->stop, true);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 0; i < pool->n_started; ++i) pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
    isb__free(ctx, pool->workers);
    isb__free(ctx, pool);
}
