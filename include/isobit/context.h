/* isobit/context.h: what all calls share: memory, threads, log, progress, the last error.
 *
 *     isb_context_options options;
 *     isb_context_options_init(&options);
 *     options.n_threads = 2;
 *     isb_context *context = NULL;
 *     if (isb_context_create(&options, &context) != ISB_OK) return 1;
 *     ...
 *     isb_context_free(context);
 *
 * A context serves one calling thread at a time; the library uses the context's worker threads
 * inside a call.  Objects made with a context must be freed before it.  Only isb_context_cancel()
 * may be called from any thread or from a signal handler.
 */
#ifndef ISOBIT_CONTEXT_H
#define ISOBIT_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include <isobit/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct isb_context isb_context;

typedef enum isb_log_level {
    ISB_LOG_DEBUG = 0,
    ISB_LOG_INFO = 1,
    ISB_LOG_WARNING = 2,
    ISB_LOG_ERROR = 3
} isb_log_level;

/* One report of long work.  `total` is 0 when it is not known.  `note` is a short text such as
 * "loss 2.31" or "". */
typedef struct isb_progress {
    const char *task;         /* "train", "encode", ... */
    const char *unit;         /* "token", "byte", ... */
    double done, total;       /* in units */
    double rate;              /* units per second, over the last seconds */
    double elapsed_s, left_s; /* left_s < 0: unknown */
    const char *note;
    int finished; /* 1 in the last report of a task */
} isb_progress;

typedef struct isb_context_options {
    size_t struct_size; /* set by isb_context_options_init() */
    int n_threads;      /* 0: ISB_THREADS, else the number of processors this process may use */
    /* Cap of the instruction set: "ref", "avx2", "avx512", "avx512x", "amx"; NULL: ISB_CPU, else
     * none. */
    const char *cpu;
    /* Memory hooks; NULL: the C library.  allocate() returns memory aligned to `alignment` (a power
     * of two), or NULL.  Several threads may be in them at once. */
    void *(*allocate)(void *user, size_t nbytes, size_t alignment);
    void (*release)(void *user, void *memory);
    void *memory_user;
    /* The library never prints: it calls these (NULL: silence), on the calling thread only. */
    void (*log)(void *user, isb_log_level level, const char *message);
    void *log_user;
    void (*progress)(void *user, const isb_progress *progress);
    void *progress_user;
} isb_context_options;

ISB_API void isb_context_options_init(isb_context_options *options);

/* Returns owned.  options may be NULL.  Errors: NO_MEMORY, THREAD, ARGUMENT (unknown cpu name or
 * number of threads, also from the environment), UNSUPPORTED (a tier that this machine lacks).  On
 * failure *context is NULL, and the reason goes to options->log. */
ISB_API isb_status isb_context_create(const isb_context_options *options, isb_context **context);
ISB_API void isb_context_free(isb_context *context);

/* What exactly went wrong in the last call that failed: expected, found, where.  Never NULL; valid
 * until the next failing call or isb_context_free(). */
ISB_API const char *isb_context_error(const isb_context *context);

/* Asks the running call to stop soon with ISB_ERR_CANCELLED, leaving files whole.
 * Async-signal-safe.  The request stays until isb_context_cancel_clear(). */
ISB_API void isb_context_cancel(isb_context *context);
ISB_API void isb_context_cancel_clear(isb_context *context);

ISB_API int isb_context_threads(const isb_context *context);
/* The tier in use: "ref", "avx2", ...; static storage. */
ISB_API const char *isb_context_cpu(const isb_context *context);

/* "0.1.0"; static storage. */
ISB_API const char *isb_version(void);

/* What this build and machine can do, as one JSON object (NUL-terminated, at most `capacity` bytes
 * with the NUL).  Errors: BUFFER_SIZE. */
ISB_API isb_status isb_build_info_json(isb_context *context, char *json, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
