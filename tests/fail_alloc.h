/* Memory hooks that count, track what is live, and fail the n-th allocation.
 *
 *     static isb_status load(isb_context *ctx, void *path) {
 *         isb_model *model = NULL;
 *         const isb_status status = isb_model_load(ctx, path, &model);
 *         isb_model_free(model);
 *         return status;
 *     }
 *     ...
 *     fail_alloc_sweep("model load", load, "m1");
 *
 * The sweep runs the body with allocation 1, 2, 3, ... failing until it is not reached any more,
 * and checks each time that the status is NO_MEMORY with a text, that nothing leaked, and at the
 * end that the body succeeds. */
#ifndef ISB_TESTS_FAIL_ALLOC_H
#define ISB_TESTS_FAIL_ALLOC_H

#include <stdatomic.h>
#include <stdlib.h>

#include "check.h"

typedef struct fail_alloc {
    atomic_size_t n_calls; /* allocations since fail_alloc_arm() */
    atomic_size_t fail_at; /* the call that fails, from 1; 0: none */
    atomic_size_t n_live;  /* blocks not released */
} fail_alloc;

static inline void *fail_alloc_allocate(void *user, size_t nbytes, size_t alignment) {
    fail_alloc *hooks = user;
    if (atomic_fetch_add(&hooks->n_calls, 1) + 1 == atomic_load(&hooks->fail_at)) return NULL;
    void *memory = NULL;
    if (posix_memalign(&memory, alignment, nbytes) != 0) return NULL;
    memset(memory, 0xa5, nbytes); /* nobody may count on zeros from a hook */
    atomic_fetch_add(&hooks->n_live, 1);
    return memory;
}

static inline void fail_alloc_release(void *user, void *memory) {
    fail_alloc *hooks = user;
    if (memory) atomic_fetch_sub(&hooks->n_live, 1);
    free(memory);
}

/* Sets the hooks in `options`, none failing. */
static inline void fail_alloc_install(fail_alloc *hooks, isb_context_options *options) {
    memset(hooks, 0, sizeof *hooks);
    options->allocate = fail_alloc_allocate;
    options->release = fail_alloc_release;
    options->memory_user = hooks;
}

/* Counts from here; call number `fail_at` fails (0: none). */
static inline void fail_alloc_arm(fail_alloc *hooks, size_t fail_at) {
    atomic_store(&hooks->n_calls, 0);
    atomic_store(&hooks->fail_at, fail_at);
}

typedef isb_status (*fail_alloc_body)(isb_context *ctx, void *arg);

static inline void fail_alloc_report(int ok, const char *name, size_t n, const char *what,
                                     isb_status status) {
    char text[256];
    snprintf(text, sizeof text, "allocation %zu failing: %s (%s)", n, what,
             isb_status_name(status));
    check_report(ok, __FILE__, __LINE__, name, text);
}

/* One run in a fresh context; returns whether allocation `n` was reached. */
static inline int fail_alloc_try(const char *name, fail_alloc_body body, void *arg, size_t n) {
    fail_alloc hooks;
    isb_context *ctx = NULL;
    isb_context_options options;
    isb_context_options_init(&options);
    options.n_threads = 2;
    fail_alloc_install(&hooks, &options);
    if (isb_context_create(&options, &ctx) != ISB_OK) {
        fail_alloc_report(0, name, n, "the context itself cannot be created", ISB_ERR_NO_MEMORY);
        return 0;
    }
    const size_t n_live_before = atomic_load(&hooks.n_live);
    fail_alloc_arm(&hooks, n);
    const isb_status status = body(ctx, arg);
    const int reached = atomic_load(&hooks.n_calls) >= n;
    fail_alloc_report(status == (reached ? ISB_ERR_NO_MEMORY : ISB_OK), name, n, "wrong status",
                      status);
    fail_alloc_report(!reached || isb_context_error(ctx)[0] != '\0', name, n, "no error text",
                      status);
    fail_alloc_report(atomic_load(&hooks.n_live) == n_live_before, name, n, "memory leaked",
                      status);
    isb_context_free(ctx);
    fail_alloc_report(atomic_load(&hooks.n_live) == 0, name, n, "memory leaked by the context",
                      status);
    return reached;
}

/* Each of the first 256 allocations, then ever fewer, so that long bodies stay affordable. */
static inline void fail_alloc_sweep(const char *name, fail_alloc_body body, void *arg) {
    size_t n = 1;
    while (fail_alloc_try(name, body, arg, n) && check_failures < 20) n += 1 + n / 256;
    printf("%s: %zu allocations\n", name, n - 1);
}

#endif
