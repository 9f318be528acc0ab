/* Tokens as a run of bits: a token is token_nbits consecutive bits of a code, first bit most
 * significant. */
#ifndef ISB_CODE_BITS_H
#define ISB_CODE_BITS_H

#include "code/window.h"

typedef struct isb__bit_writer {
    uint32_t *ids; /* owned */
    size_t count, capacity;
    int token_nbits;
    int n_free; /* bits of the last token that are not written yet, and zero */
} isb__bit_writer;

/* Empties the writer, keeping its memory. */
void isb__bits_begin(isb__bit_writer *writer, int token_nbits);
/* Appends the nbits low bits of value, most significant first.  Errors: NO_MEMORY. */
isb_status isb__bits_put(isb_context *ctx, isb__bit_writer *writer, isb__u192 value, int nbits);
/* The nbits bits from bit `position` of the ids on. */
isb__u192 isb__bits_get(const uint32_t *ids, int token_nbits, uint64_t position, int nbits);

#endif
