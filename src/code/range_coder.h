/* A carry-propagating range coder with 64-bit low and 32-bit range (Martin 1979; Schindler 1998; the carry is counted
 * in a run of 0xFF bytes as in LZMA).  Encoder and decoder share their arithmetic: after every symbol both have used
 * the same number of bits. */
#ifndef ISB_CODE_RANGE_CODER_H
#define ISB_CODE_RANGE_CODER_H

#include "base/context.h"

typedef struct isb__range_encoder {
    uint64_t low;
    uint32_t range;
    uint8_t cache;
    uint64_t pending; /* bytes that wait for a carry, the cached one included */
    uint8_t *out;     /* borrows */
    size_t capacity, nbytes;
    bool overflow; /* out was too small; nbytes still counts */
} isb__range_encoder;

void isb__range_encoder_init(isb__range_encoder *encoder, uint8_t *out, size_t capacity);
/* Codes an interval [lo, hi) of 2^precision_nbits; lo < hi; precision_nbits <= 16. */
void isb__range_encode(isb__range_encoder *encoder, uint32_t lo, uint32_t hi, int precision_nbits);
/* Writes the fewest bytes that identify the interval when the decoder reads zeros after the end; trailing zero bytes
 * are not written.  Returns the total, or the bytes needed with overflow set. */
size_t isb__range_encoder_finish(isb__range_encoder *encoder);
/* Bits used so far, in 1/16 bit, for comparison with the decoder's. */
uint64_t isb__range_encoder_tell(const isb__range_encoder *encoder);

typedef struct isb__range_decoder {
    uint32_t range, code;
    const uint8_t *in; /* borrows */
    size_t nbytes, position;
    uint64_t consumed; /* bytes shifted in, past the end as well */
} isb__range_decoder;

void isb__range_decoder_init(isb__range_decoder *decoder, const uint8_t *in, size_t nbytes);
/* The symbol whose [cdf[x], cdf[x+1]) holds the code; consumes it.  n_symbols <= 512. */
int isb__range_decode(isb__range_decoder *decoder, const uint32_t *cdf, int n_symbols,
                      int precision_nbits);
uint64_t isb__range_decoder_tell(const isb__range_decoder *decoder);

/* Worst case of n symbols of at least one count each at the precision, plus the end. */
size_t isb__range_encoder_bound(size_t n_symbols, int precision_nbits);

#endif
