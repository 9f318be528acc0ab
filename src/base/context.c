/* The context: options checked and copied, environment read once, the last error, the log,
 * cancellation.
 *
 * Creation is the only place that reads the environment (ISB_CPU, ISB_THREADS).  When it fails
 * there is no context to ask for the reason, so the text goes to the caller's log function. */
#include "base/context.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

#ifndef ISB_VERSION
#define ISB_VERSION "0.0.0"
#endif

enum { THREADS_MAX = 1024 };

const char *isb_version(void) { return ISB_VERSION; }

void isb_context_options_init(isb_context_options *options) {
    memset(options, 0, sizeof *options);
    options->struct_size = sizeof *options;
}

/* Copies the caller's struct, which may be older (shorter) or newer (longer) than ours.  A longer
 * one is fine as long as it asks for nothing that this version does not know. */
static isb_status copy_options(isb_context_options *to, const isb_context_options *from) {
    isb_context_options_init(to);
    if (from) {
        if (from->struct_size < sizeof from->struct_size) return ISB_ERR_ARGUMENT;
        for (size_t i = sizeof *to; i < from->struct_size; ++i) {
            if (((const unsigned char *)from)[i] != 0) return ISB_ERR_ARGUMENT;
        }
        memcpy(to, from, from->struct_size < sizeof *to ? from->struct_size : sizeof *to);
        to->struct_size = sizeof *to;
    }
    /* what one gives, only the other can take back */
    if (!to->allocate != !to->release) return ISB_ERR_ARGUMENT;
    if (!to->allocate) {
        to->allocate = isb__default_allocate;
        to->release = isb__default_release;
    }
    return ISB_OK;
}

static const char *environment(const char *name) {
    const char *text = getenv(name);
    return text && *text ? text : NULL;
}

static isb_status choose_cpu(isb_context *ctx, const char *option) {
    const isb__cpu_tier detected = isb__cpu_detect();
    const char *name = option ? option : environment("ISB_CPU");
    const char *source = option ? "the cpu option" : "ISB_CPU";
    ctx->cpu = detected;
    if (!name) return ISB_OK;
    if (!isb__cpu_tier_parse(name, &ctx->cpu)) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "%s: expected ref, avx2, avx512, avx512x or amx, found \"%s\"", source,
                         name);
    }
    if (ctx->cpu > detected) {
        return isb__fail(ctx, ISB_ERR_UNSUPPORTED,
                         "%s: %s was asked for, but this machine has %s at most", source, name,
                         isb__cpu_tier_name(detected));
    }
    return ISB_OK;
}

/* Processors that a container's quota pays for (cgroup v2), or `limit`. */
static int quota_processors(int limit) {
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!file) return limit;
    long quota = 0, period = 0;
    const int n_fields = fscanf(file, "%ld %ld", &quota, &period);
    fclose(file);
    if (n_fields != 2 || quota <= 0 || period <= 0) return limit; /* "max 100000": no quota */
    const long processors = (quota + period - 1) / period;
    return processors < limit ? (int)processors : limit;
}

static int available_processors(void) {
    cpu_set_t set;
    int n = 0;
    if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
    /* more processors than cpu_set_t has bits */
    if (n <= 0) n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (n <= 0) n = 1;
    n = quota_processors(n);
    return n < THREADS_MAX ? n : THREADS_MAX;
}

static isb_status choose_threads(isb_context *ctx, int option, int *n_threads) {
    if (option != 0) {
        *n_threads = option;
        if (option >= 1 && option <= THREADS_MAX) return ISB_OK;
        return isb__fail(ctx, ISB_ERR_ARGUMENT, "threads: expected 1 to %d, found %d", THREADS_MAX,
                         option);
    }
    const char *text = environment("ISB_THREADS");
    *n_threads = available_processors();
    if (!text) return ISB_OK;
    char *end = NULL;
    const long value = strtol(text, &end, 10);
    if (*end != '\0' || value < 1 || value > THREADS_MAX) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "ISB_THREADS: expected a number from 1 to %d, found \"%s\"", THREADS_MAX,
                         text);
    }
    *n_threads = (int)value;
    return ISB_OK;
}

/* The tier is chosen before the pool starts its threads: AMX permission is inherited by threads
 * made afterwards. */
static isb_status start(isb_context *ctx) {
    int n_threads = 1;
    ISB_TRY(choose_cpu(ctx, ctx->options.cpu));
    ISB_TRY(choose_threads(ctx, ctx->options.n_threads, &n_threads));
    ctx->options.cpu = NULL; /* the caller's string is not ours to keep */
    return isb__pool_create(ctx, n_threads, &ctx->pool);
}

isb_status isb_context_create(const isb_context_options *options, isb_context **context) {
    if (!context) return ISB_ERR_ARGUMENT;
    *context = NULL;
    isb_context_options checked;
    ISB_TRY(copy_options(&checked, options));
    isb_context *ctx = checked.allocate(checked.memory_user, sizeof *ctx, ISB__ALIGNMENT);
    if (!ctx) return ISB_ERR_NO_MEMORY;
    memset(ctx, 0, sizeof *ctx);
    ctx->options = checked;
    atomic_init(&ctx->cancel, 0);
    const isb_status status = start(ctx);
    if (status != ISB_OK) {
        isb__log(ctx, ISB_LOG_ERROR, "%s", ctx->error);
        isb_context_free(ctx);
        return status;
    }
    *context = ctx;
    return ISB_OK;
}

void isb_context_free(isb_context *context) {
    if (!context) return;
    isb__pool_free(context, context->pool);
    context->options.release(context->options.memory_user, context);
}

const char *isb_context_error(const isb_context *context) {
    return context ? context->error : "no context";
}

void isb_context_cancel(isb_context *context) {
    atomic_store_explicit(&context->cancel, 1, memory_order_relaxed);
}

void isb_context_cancel_clear(isb_context *context) {
    atomic_store_explicit(&context->cancel, 0, memory_order_relaxed);
}

int isb_context_threads(const isb_context *context) { return isb__thread_count(context); }

const char *isb_context_cpu(const isb_context *context) { return isb__cpu_tier_name(context->cpu); }

isb_status isb__check_cancel(isb_context *ctx) {
    if (!isb__cancelled(ctx)) return ISB_OK;
    return isb__fail(ctx, ISB_ERR_CANCELLED,
                     "stopped on request; files under their final names are whole");
}

/* Formats aside first: the arguments may include the text that is being replaced.  The text is the
 * calling thread's: what fails on a worker, as an allocation may, is its status. */
isb_status isb__fail(isb_context *ctx, isb_status status, const char *format, ...) {
    if (!ctx || isb__pool_owns_thread(ctx->pool)) return status;
    char text[ISB__ERROR_NBYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    memcpy(ctx->error, text, sizeof text);
    return status;
}

static isb_status status_of_errno(int error_number) {
    switch (error_number) {
    case ENOENT: return ISB_ERR_NOT_FOUND;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return ISB_ERR_NO_SPACE;
    case EISDIR: return ISB_ERR_IS_DIRECTORY;
    case EACCES:
    case EPERM:
    case EROFS: return ISB_ERR_PERMISSION;
    case EEXIST: return ISB_ERR_EXISTS;
    case ENOMEM: return ISB_ERR_NO_MEMORY;
    default: return ISB_ERR_IO;
    }
}

static const char *advice_for(int error_number) {
    switch (error_number) {
    case ENOSPC: return "; free some space or choose another folder";
    case EDQUOT: return "; the disk quota is used up";
    case EFBIG: return "; raise the file size limit (ulimit -f) or choose another folder";
    case ENOENT: return "; check the name";
    case EMFILE:
    case ENFILE: return "; raise the limit of open files (ulimit -n)";
    default: return "";
    }
}

isb_status isb__fail_errno(isb_context *ctx, int error_number, const char *what, const char *path) {
    char buffer[128];
    const char *reason = strerror_r(error_number, buffer, sizeof buffer);
    const char *space = path ? " " : "";
    return isb__fail(ctx, status_of_errno(error_number), "%s%s%s: %s%s", what, space,
                     path ? path : "", reason, advice_for(error_number));
}

void isb__log(isb_context *ctx, isb_log_level level, const char *format, ...) {
    if (!ctx->options.log) return;
    char text[ISB__ERROR_NBYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    ctx->options.log(ctx->options.log_user, level, text);
}
