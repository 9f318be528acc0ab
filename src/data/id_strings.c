/* Strings of ids: see id_strings.h. */
#include "data/id_strings.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "data/dataset_meta.h"
#include "data/jsonl.h"
#include "data/scan.h"

enum { PIECES_LIMIT = 1 << 30 };

/* Strings are added at the end; begin[count] is where the next one goes. */
typedef struct builder {
    isb__id_strings *out;
    const char *path;
    isb__scan scan;
    size_t count, capacity; /* capacity: of out->bytes */
} builder;

static isb_status reserve(builder *b, size_t nbytes) {
    return isb__grow_array(b->out->ctx, (size_t)b->out->begin[b->count] + nbytes, 1, &b->capacity,
                           &b->out->bytes);
}

static void add(builder *b, const uint8_t *bytes, size_t nbytes) {
    const uint64_t at = b->out->begin[b->count];
    memcpy(b->out->bytes + at, bytes, nbytes);
    b->out->begin[++b->count] = at + nbytes;
}

static isb_status begin(isb_context *ctx, size_t n, builder *b) {
    *b->out = (isb__id_strings){.ctx = ctx, .n = n};
    ISB_TRY(isb__alloc_array(ctx, n + 1, sizeof *b->out->begin, &b->out->begin));
    return reserve(b, 1);
}

/* ---- of a codebook ---- */

isb_status isb__id_strings_of_codebook(isb_context *ctx, const isb_codebook *codebook,
                                       isb__id_strings *strings) {
    isb_codebook_info info = {.struct_size = sizeof info};
    builder b = {.out = strings};
    isb_codebook_get_info(codebook, &info);
    isb_status status = begin(ctx, (size_t)info.n_codes, &b);
    for (size_t i = 0; i < strings->n && status == ISB_OK; ++i) {
        const uint8_t *bytes;
        size_t nbytes;
        isb_codebook_string(codebook, (uint32_t)i, &bytes, &nbytes);
        status = reserve(&b, nbytes);
        if (status == ISB_OK) add(&b, bytes, nbytes);
    }
    if (status != ISB_OK) isb__id_strings_free(strings);
    return status;
}

/* ---- of a file ---- */

static isb_status refuse(const builder *b, const char *reason, size_t offset) {
    return isb__fail(b->out->ctx, ISB_ERR_CORRUPT, "%s:%" PRIu64 ": %s (byte %zu of the line)",
                     b->path, b->scan.line_number, reason, offset + 1);
}

static isb_status add_bytes(builder *b, const uint8_t *line, const isb__json_value *array) {
    const uint64_t start = b->out->begin[b->count];
    const size_t offset = (size_t)(array->data - line);
    isb__json_error error;
    uint32_t byte;
    size_t at = 0, n = 0;
    int found;
    if (*array->data != '[') return refuse(b, "\"bytes\" is not an array", offset);
    ISB_TRY(reserve(b, array->nbytes)); /* at least a character a byte */
    while ((found = isb__json_next_id(array, &at, &byte, &error)) > 0) {
        if (byte > 255) return refuse(b, "\"bytes\" has a number above 255", offset);
        b->out->bytes[start + n++] = (uint8_t)byte;
    }
    if (found < 0) return refuse(b, error.reason, offset + error.offset);
    b->out->begin[++b->count] = start + n;
    return ISB_OK;
}

/* The text is unescaped where it lies. */
static isb_status add_piece(builder *b, uint8_t *line, const isb__json_value *string) {
    const size_t offset = (size_t)(string->data - line);
    if (*string->data != '"') return refuse(b, "\"piece\" is not a string", offset);
    uint8_t *inside = line + offset + 1;
    const size_t nbytes = isb__json_unescape(inside, string->nbytes - 2, inside);
    ISB_TRY(reserve(b, nbytes));
    add(b, inside, nbytes);
    return ISB_OK;
}

static isb_status add_line(builder *b, uint8_t *line, size_t nbytes) {
    isb__json_value piece, bytes;
    isb__json_error error;
    if (!isb__json_find(line, nbytes, "piece", &piece, &error) ||
        !isb__json_find(line, nbytes, "bytes", &bytes, &error))
        return refuse(b, error.reason, error.offset);
    if (piece.data && bytes.data) return refuse(b, "both \"piece\" and \"bytes\"", 0);
    if (piece.data) return add_piece(b, line, &piece);
    if (bytes.data) return add_bytes(b, line, &bytes);
    add(b, line, 0);
    return ISB_OK;
}

static isb_status read_lines(builder *b) {
    ISB_TRY(isb__scan_open(b->out->ctx, b->path, true, &b->scan));
    for (size_t n_lines = 0;; ++n_lines) {
        uint8_t *line;
        size_t nbytes;
        ISB_TRY(isb__scan_line(&b->scan, &line, &nbytes));
        if (!line && n_lines == b->out->n) return ISB_OK;
        if (!line || n_lines == b->out->n) {
            return isb__fail(b->out->ctx, ISB_ERR_MISMATCH,
                             "%s has %s %zu lines; it needs one for each of the ids 0 .. %zu, "
                             "without the border between documents",
                             b->path, line ? "more than" : "only", n_lines, b->out->n - 1);
        }
        ISB_TRY(add_line(b, line, nbytes));
    }
}

isb_status isb__id_strings_read(isb_context *ctx, const char *path, size_t n,
                                isb__id_strings *strings) {
    builder b = {.out = strings, .path = path};
    isb_status status = begin(ctx, n, &b);
    if (status == ISB_OK) status = read_lines(&b);
    isb__scan_free(&b.scan);
    if (status != ISB_OK) isb__id_strings_free(strings);
    return status;
}

isb_status isb__id_strings_check(isb_context *ctx, const char *path, size_t n) {
    isb__id_strings strings;
    ISB_TRY(isb__id_strings_read(ctx, path, n, &strings));
    isb__id_strings_free(&strings);
    return ISB_OK;
}

isb_status isb__id_strings_copy(isb_context *ctx, const char *path, const char *prefix) {
    char *to = NULL;
    uint8_t *bytes = NULL;
    size_t nbytes;
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(isb__dataset_path(ctx, prefix, ISB__PIECES_SUFFIX, &to));
    ISB_TRY_GOTO(isb__file_read(ctx, path, PIECES_LIMIT, &bytes, &nbytes));
    ISB_TRY_GOTO(isb__file_write(ctx, to, bytes, nbytes));
fail:
    isb__free(ctx, bytes);
    isb__free(ctx, to);
    return status;
}

/* Also cleans up after a failure: no memory is allocated.  Longer paths cannot have been opened. */
void isb__id_strings_remove(const char *prefix) {
    char path[PATH_MAX];
    const int length = snprintf(path, sizeof path, "%s%s", prefix, ISB__PIECES_SUFFIX);
    if (length > 0 && (size_t)length < sizeof path) unlink(path);
}

/* ---- both ---- */

uint64_t isb__id_strings_hash(const isb__id_strings *strings) {
    const uint64_t lengths =
        isb__hash64(strings->begin, (strings->n + 1) * sizeof *strings->begin, 0);
    return isb__hash64(strings->bytes, (size_t)strings->begin[strings->n], lengths);
}

void isb__id_strings_free(isb__id_strings *strings) {
    isb__free(strings->ctx, strings->bytes);
    isb__free(strings->ctx, strings->begin);
    *strings = (isb__id_strings){0};
}
