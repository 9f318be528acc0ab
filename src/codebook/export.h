/* A codebook as other programs' files.  Each format is one function that puts text into an open file. */
#ifndef ISB_CODEBOOK_EXPORT_H
#define ISB_CODEBOOK_EXPORT_H

#include "base/io.h"
#include "codebook/codebook_state.h"

/* A file being written: after the first failure puts do nothing, so that writers need no checks. */
typedef struct isb__export {
    isb_context *ctx;
    const isb_codebook *codebook;
    isb__writer *writer;
    isb_status status;
} isb__export;

void isb__put(isb__export *out, const void *bytes, size_t nbytes);
void isb__put_text(isb__export *out, const char *text);
/* At most 127 bytes. */
void isb__put_format(isb__export *out, const char *format, ...) ISB__PRINTF(2, 3);
/* Printable ASCII as it is, but \\ \t \n \r and \xHH for all other bytes and those in `also`. */
void isb__put_escaped(isb__export *out, const uint8_t *bytes, size_t nbytes, const char *also);

/* The formats (export_NAME.c).  The codebook's ids are in the order of its strings.  Failures go to
 * out->status. */
void isb__export_tokenizer_json(isb__export *out);
void isb__export_rwkv(isb__export *out);
void isb__export_gguf(isb__export *out);

/* The UTF-8 of the printable character that stands for a byte in byte-level vocabularies; NUL-terminated. */
void isb__byte_level_character(uint8_t byte, char character[3]);

#endif
