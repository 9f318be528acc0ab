/* A pool of worker threads for loops.  One loop at a time; the caller works too.  Which thread runs which task is not
 * fixed, so a loop's result must not depend on it: each task writes its own output, and sums over tasks are made
 * afterwards in task order.  That is how results are the same for every thread count. */
#ifndef ISB_BASE_THREADS_H
#define ISB_BASE_THREADS_H

#include <stddef.h>

typedef struct isb_context isb_context;
typedef struct isb__pool isb__pool;

/* task: 0 .. n_tasks-1.  thread: 0 .. isb__thread_count()-1, for scratch memory; the caller is thread 0. */
typedef void (*isb__task_fn)(void *arg, size_t task, int thread);

/* Runs fn for every task and returns when all are done.  Tasks are taken in order.  Not reentrant from a task. */
void isb__parallel(isb_context *ctx, size_t n_tasks, isb__task_fn fn, void *arg);
int isb__thread_count(const isb_context *ctx);

/* Used by the context.  n_threads counts the caller. */
isb__pool *isb__pool_create(int n_threads);
void isb__pool_free(isb__pool *pool);

#endif
