/* isb_codebook_export(): opens the file, lets the format write it, and makes it appear whole or not at all.
 * Formats, consumers and limits: docs/exports.md. */
#include "codebook/export.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void isb__put(isb__export *out, const void *bytes, size_t nbytes) {
    if (out->status == ISB_OK) out->status = isb__writer_write(out->writer, bytes, nbytes);
}

void isb__put_text(isb__export *out, const char *text) { isb__put(out, text, strlen(text)); }

void isb__put_format(isb__export *out, const char *format, ...) {
    char text[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    isb__put_text(out, text);
}

static void put_escaped_byte(isb__export *out, uint8_t byte, const char *also) {
    switch (byte) {
    case '\\': isb__put_text(out, "\\\\"); return;
    case '\t': isb__put_text(out, "\\t"); return;
    case '\n': isb__put_text(out, "\\n"); return;
    case '\r': isb__put_text(out, "\\r"); return;
    default: break;
    }
    if (byte < ' ' || byte > '~' || strchr(also, byte)) {
        isb__put_format(out, "\\x%02x", byte);
    } else {
        isb__put(out, &byte, 1);
    }
}

void isb__put_escaped(isb__export *out, const uint8_t *bytes, size_t nbytes, const char *also) {
    for (size_t i = 0; i < nbytes; ++i) put_escaped_byte(out, bytes[i], also);
}

/* A line for each id that stands for text: the id, a tab, the string; then the special ids, marked. */
static void export_text(isb__export *out) {
    const isb_codebook *codebook = out->codebook;
    for (size_t id = 0; id < codebook->n_codes; ++id) {
        size_t nbytes;
        const uint8_t *bytes = isb__codebook_bytes(codebook, id, &nbytes);
        if (nbytes == 0) continue;
        isb__put_format(out, "%zu\t", id);
        isb__put_escaped(out, bytes, nbytes, "");
        isb__put_text(out, "\n");
    }
    for (size_t i = 0; i < codebook->n_specials; ++i) {
        const char *name = codebook->specials[i];
        isb__put_format(out, "%zu\t", codebook->n_codes + i);
        isb__put_escaped(out, (const uint8_t *)name, strlen(name), "");
        isb__put_text(out, "\tspecial\n");
    }
}

typedef struct format {
    const char *name;
    void (*write)(isb__export *out);
    bool binary, needs_order;
} format;

static const format formats[] = {
    {"tokenizer.json", isb__export_tokenizer_json, false, true},
    {"rwkv", isb__export_rwkv, false, true},
    {"gguf", isb__export_gguf, true, true},
    {"text", export_text, false, false},
};

static const format *find_format(const char *name) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; ++i)
        if (strcmp(formats[i].name, name) == 0) return &formats[i];
    return NULL;
}

static isb_status check_arguments(isb_context *ctx, const isb_codebook *codebook, const char *name,
                                  const char *path) {
    if (!codebook || !name || !path)
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "a codebook, a format and a path are expected, found NULL");
    const format *found = find_format(name);
    if (!found)
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "unknown format \"%s\"; known: tokenizer.json, rwkv, gguf, text", name);
    if (found->binary && strcmp(path, "-") == 0)
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "%s is not text and does not go to standard output; name a file", name);
    if (found->needs_order && codebook->ids)
        return isb__fail(ctx, ISB_ERR_UNSUPPORTED,
                         "%s needs one string for each id and one id for each string, and codebook "
                         "\"%s\" has %zu "
                         "strings for %zu ids; compiled windows go to \"text\" only",
                         name, codebook->name, codebook->n_strings, codebook->n_codes);
    return ISB_OK;
}

isb_status isb_codebook_export(isb_context *ctx, const isb_codebook *codebook, const char *name,
                               const char *path) {
    ISB_TRY(check_arguments(ctx, codebook, name, path));
    isb__export out = {.ctx = ctx, .codebook = codebook, .status = ISB_OK};
    ISB_TRY(isb__writer_open(ctx, path, &out.writer));
    find_format(name)->write(&out);
    if (out.status == ISB_OK) return isb__writer_commit(out.writer);
    isb__writer_abort(out.writer);
    return out.status;
}
