/* A pool of worker threads for loops.  One loop at a time; the caller works too.  Which thread runs
 * which task is not fixed, so a loop's result must not depend on it: each task writes its own
 * output, and sums over tasks are made afterwards in task order.  That is how results are the same
 * for every thread count. */
#ifndef ISB_BASE_THREADS_H
#define ISB_BASE_THREADS_H

#include <stdbool.h>
#include <stddef.h>

#include <isobit/context.h>

typedef struct isb__pool isb__pool;

/* task: 0 .. n_tasks-1.  thread: 0 .. isb__thread_count()-1, for scratch memory; the caller is
 * thread 0. */
typedef void (*isb__task_fn)(void *arg, size_t task, int thread);

/* Runs fn for every task and returns when all are done.  Tasks are taken in order.  Not reentrant
 * from a task. n_tasks < 2^32.  Costs about a microsecond while the workers are awake: give a task
 * some 10 us of work or more. */
void isb__parallel(isb_context *ctx, size_t n_tasks, isb__task_fn fn, void *arg);
int isb__thread_count(const isb_context *ctx);
/* Whether this is one of the pool's own threads; pool may be NULL. */
bool isb__pool_owns_thread(const isb__pool *pool);

/* Used by the context.  n_threads counts the caller. */
isb_status isb__pool_create(isb_context *ctx, int n_threads, isb__pool **pool);
void isb__pool_free(isb_context *ctx, isb__pool *pool);

#endif
