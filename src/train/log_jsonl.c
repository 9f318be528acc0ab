/* The training log as JSON Lines.
 *
 * A killed run may have logged steps after its last checkpoint, the last line perhaps cut short.
 * Resuming writes those steps again, so opening first drops the lines after the checkpoint's
 * step. */
#include "train/log_jsonl.h"

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
    isb__appender *file;
    char *line; /* under construction */
    size_t length, capacity;
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
    char *path = NULL;
    isb_status status = ISB_OK;
    *log = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *l, &l));
    l->ctx = ctx;
    ISB_TRY_GOTO(isb__path_join(ctx, dir, "log.jsonl", &path));
    ISB_TRY_GOTO(drop_later_lines(ctx, path, keep_step));
    ISB_TRY_GOTO(isb__appender_open(ctx, path, false, &l->file));
    isb__free(ctx, path);
    *log = l;
    return ISB_OK;
fail:
    isb__free(ctx, path);
    isb__log_jsonl_close(l);
    return status;
}

/* ---- lines ---- */

enum { NUMBER_NBYTES = 32 };

static isb_status add_text(isb__log_jsonl *l, const char *text) {
    const size_t n = strlen(text);
    ISB_TRY(isb__grow_array(l->ctx, l->length + n, 1, &l->capacity, &l->line));
    memcpy(l->line + l->length, text, n);
    l->length += n;
    return ISB_OK;
}

static isb_status add_value(isb__log_jsonl *l, double value) {
    char text[NUMBER_NBYTES] = "null";
    if (value == floor(value) && fabs(value) < 0x1p53) {
        snprintf(text, sizeof text, "%.0f", value);
    } else if (isfinite(value)) {
        snprintf(text, sizeof text, "%.9g", value);
    }
    return add_text(l, text);
}

static isb_status add_key(isb__log_jsonl *l, const char *key) {
    ISB_TRY(add_text(l, ", \""));
    ISB_TRY(add_text(l, key));
    return add_text(l, "\": ");
}

static isb_status begin_line(isb__log_jsonl *l, int64_t step) {
    char text[sizeof line_start + NUMBER_NBYTES];
    snprintf(text, sizeof text, "%s%" PRId64, line_start, step);
    l->length = 0;
    return add_text(l, text);
}

static isb_status end_line(isb__log_jsonl *l) {
    ISB_TRY(add_text(l, "}\n"));
    return isb__appender_add(l->file, l->line, l->length);
}

isb_status isb__log_jsonl_write(isb__log_jsonl *l, int64_t step, size_t n,
                                const isb__metric *metrics) {
    ISB_TRY(begin_line(l, step));
    for (size_t i = 0; i < n; ++i) {
        ISB_TRY(add_key(l, metrics[i].name));
        ISB_TRY(add_value(l, metrics[i].value));
    }
    return end_line(l);
}

isb_status isb__log_jsonl_note(isb__log_jsonl *l, int64_t step, const char *key,
                               const char *text) {
    ISB_TRY(begin_line(l, step));
    ISB_TRY(add_key(l, key));
    ISB_TRY(add_text(l, "\""));
    ISB_TRY(add_text(l, text));
    ISB_TRY(add_text(l, "\""));
    return end_line(l);
}

void isb__log_jsonl_close(isb__log_jsonl *l) {
    if (!l) return;
    isb__appender_close(l->file);
    isb__free(l->ctx, l->line);
    isb__free(l->ctx, l);
}
