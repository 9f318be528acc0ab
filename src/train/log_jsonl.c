/* The training log as JSON Lines.
 *
 * A killed run may have logged steps after its last checkpoint, the last line perhaps cut short.
 * Resuming writes those steps again, so opening first drops the lines after the checkpoint's
 * step. */
#include "train/log_jsonl.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"

static const char line_start[] = "{\"step\": ";
static const size_t LOG_LIMIT = (size_t)1 << 30;

struct isb__log_jsonl {
    isb_context *ctx;
    FILE *file;
    char *path;
};

/* Bytes of the whole lines at the beginning whose step is at most keep_step. */
static size_t kept_nbytes(const char *text, size_t nbytes, int64_t keep_step) {
    size_t kept = 0;
    while (kept < nbytes) {
        const char *line = text + kept, *end = memchr(line, '\n', nbytes - kept);
        if (!end || strncmp(line, line_start, sizeof line_start - 1) != 0) break;
        if (strtoll(line + sizeof line_start - 1, NULL, 10) > keep_step) break;
        kept = (size_t)(end + 1 - text);
    }
    return kept;
}

static isb_status drop_later_lines(isb_context *ctx, const char *path, int64_t keep_step) {
    uint8_t *text = NULL;
    size_t nbytes = 0;
    if (keep_step >= 0 && isb__path_exists(path))
        ISB_TRY(isb__file_read(ctx, path, LOG_LIMIT, &text, &nbytes));
    const size_t kept = text ? kept_nbytes((const char *)text, nbytes, keep_step) : 0;
    const isb_status status = isb__file_write(ctx, path, text ? (const void *)text : "", kept);
    isb__free(ctx, text);
    return status;
}

isb_status isb__log_jsonl_open(isb_context *ctx, const char *dir, int64_t keep_step,
                               isb__log_jsonl **log) {
    isb__log_jsonl *l = NULL;
    isb_status status = ISB_OK;
    *log = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *l, &l));
    l->ctx = ctx;
    ISB_TRY_GOTO(isb__path_join(ctx, dir, "log.jsonl", &l->path));
    ISB_TRY_GOTO(drop_later_lines(ctx, l->path, keep_step));
    l->file = fopen(l->path, "abe");
    if (!l->file) ISB_TRY_GOTO(isb__fail_errno(ctx, errno, "cannot append to the log", l->path));
    *log = l;
    return ISB_OK;
fail:
    isb__log_jsonl_close(l);
    return status;
}

static void print_value(FILE *file, double value) {
    if (!isfinite(value)) {
        fputs("null", file);
    } else if (value == floor(value) && fabs(value) < 0x1p53) {
        fprintf(file, "%.0f", value);
    } else {
        fprintf(file, "%.9g", value);
    }
}

isb_status isb__log_jsonl_write(isb__log_jsonl *l, int64_t step, size_t n,
                                const isb__metric *metrics) {
    fprintf(l->file, "%s%" PRId64, line_start, step);
    for (size_t i = 0; i < n; ++i) {
        fprintf(l->file, ", \"%s\": ", metrics[i].name);
        print_value(l->file, metrics[i].value);
    }
    fputs("}\n", l->file);
    if (fflush(l->file) == 0 && !ferror(l->file)) return ISB_OK;
    return isb__fail_errno(l->ctx, errno, "cannot append to the log", l->path);
}

void isb__log_jsonl_close(isb__log_jsonl *l) {
    if (!l) return;
    if (l->file) fclose(l->file);
    isb__free(l->ctx, l->path);
    isb__free(l->ctx, l);
}
