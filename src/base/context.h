/* The context behind isobit/context.h, and the plumbing that every module uses: errors, memory,
 * log, progress. */
#ifndef ISB_BASE_CONTEXT_H
#define ISB_BASE_CONTEXT_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <isobit/context.h>

#include "base/cpu.h"
#include "base/threads.h"

enum { ISB__ALIGNMENT = 64, ISB__ERROR_NBYTES = 1024 };

struct isb_context {
    isb_context_options options;
    isb__cpu_tier cpu; /* highest tier that may be used: present and under the cap */
    isb__pool *pool;
    atomic_int cancel;
    char error[ISB__ERROR_NBYTES];
};

#if defined(__GNUC__)
#define ISB__PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))
#else
#define ISB__PRINTF(format_index, first)
#endif

/* Records the detail of a failure and returns `status`, for `return isb__fail(...)`.
 * The text says what was expected, what was found and where, and what to do; no final full stop.
 * On a worker thread it returns the status alone: a task of isb__parallel() stores that, and the
 * caller reports it.  ctx may be NULL. */
isb_status isb__fail(isb_context *ctx, isb_status status, const char *format, ...)
    ISB__PRINTF(3, 4);
/* The same with the text of errno, mapped: ENOENT -> NOT_FOUND, ENOSPC/EDQUOT/EFBIG -> NO_SPACE,
 * EISDIR -> IS_DIRECTORY, EACCES/EPERM/EROFS -> PERMISSION, EEXIST -> EXISTS, ENOMEM -> NO_MEMORY,
 * else IO.  `path` may be NULL. */
isb_status isb__fail_errno(isb_context *ctx, int error_number, const char *what, const char *path);

/* Forwards a failure. */
#define ISB_TRY(expression)                                  \
    do {                                                     \
        const isb_status isb_try_status = (expression);      \
        if (isb_try_status != ISB_OK) return isb_try_status; \
    } while (0)
/* Forwards a failure through the function's single cleanup label `fail:`; needs `isb_status status`
 * in scope. */
#define ISB_TRY_GOTO(expression)         \
    do {                                 \
        status = (expression);           \
        if (status != ISB_OK) goto fail; \
    } while (0)

/* Zeroed memory aligned to ISB__ALIGNMENT, or NO_MEMORY with *memory == NULL.  0 bytes gives a
 * valid pointer.  The _array form checks count * size for overflow.  isb__free(ctx, NULL) is
 * fine.  ctx may be NULL: the C library's memory. */
isb_status isb__alloc(isb_context *ctx, size_t nbytes, void *memory_out /* T ** */);
isb_status isb__alloc_array(isb_context *ctx, size_t count, size_t size,
                            void *memory_out /* T ** */);
/* Grows *memory (NULL at first) to hold at least `count` items of `size` bytes, doubling *capacity;
 * keeps the first *capacity items; on failure nothing changed. */
isb_status isb__grow_array(isb_context *ctx, size_t count, size_t size, size_t *capacity,
                           void *memory_inout /* T ** */);
void isb__free(isb_context *ctx, void *memory);
isb_status isb__strdup(isb_context *ctx, const char *text, char **copy);

void isb__log(isb_context *ctx, isb_log_level level, const char *format, ...) ISB__PRINTF(3, 4);

static inline bool isb__cancelled(const isb_context *ctx) {
    return ctx && atomic_load_explicit(&((isb_context *)ctx)->cancel, memory_order_relaxed) != 0;
}
/* ISB_ERR_CANCELLED with its text when isb_context_cancel() was called, else ISB_OK.  Cheap: call
 * it in every loop. */
isb_status isb__check_cancel(isb_context *ctx);

/* Progress of one task.  _update() may be called as often as one likes: it reports at most about
 * ten times a second. */
typedef struct isb__progress_state {
    isb_context *ctx;
    const char *task, *unit;
    double total, start_s, last_report_s, first_done, rate_done, rate_s, rate;
} isb__progress_state;
void isb__progress_begin(isb__progress_state *state, isb_context *ctx, const char *task,
                         const char *unit, double total);
/* After _begin(), when `done` units were there before this run: they do not count in the rate. */
void isb__progress_resume(isb__progress_state *state, double done);
void isb__progress_update(isb__progress_state *state, double done, const char *note);
void isb__progress_end(isb__progress_state *state, double done, const char *note);

/* Seconds on a clock that never goes back. */
double isb__now_s(void);

#endif
