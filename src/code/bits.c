/* Packing codes into tokens and back, a piece of a token at a time. */
#include "code/bits.h"

static int min_int(int a, int b) { return a < b ? a : b; }

void isb__bits_begin(isb__bit_writer *writer, int token_nbits) {
    writer->count = 0;
    writer->n_free = 0;
    writer->token_nbits = token_nbits;
}

isb_status isb__bits_put(isb_context *ctx, isb__bit_writer *writer, isb__u192 value, int nbits) {
    const size_t more = (size_t)(nbits / writer->token_nbits) + 1;
    ISB_TRY(isb__grow_array(ctx, writer->count + more, sizeof *writer->ids, &writer->capacity,
                            &writer->ids));
    while (nbits > 0) {
        if (writer->n_free == 0) {
            writer->ids[writer->count++] = 0;
            writer->n_free = writer->token_nbits;
        }
        const int n = min_int(nbits, writer->n_free);
        nbits -= n;
        writer->n_free -= n;
        const uint64_t piece = isb__u192_shift_right(value, nbits).w[0] & ((UINT64_C(1) << n) - 1);
        writer->ids[writer->count - 1] |= (uint32_t)(piece << writer->n_free);
    }
    return ISB_OK;
}

isb__u192 isb__bits_get(const uint32_t *ids, int token_nbits, uint64_t position, int nbits) {
    isb__u192 value = {{0, 0, 0}};
    while (nbits > 0) {
        const size_t token = (size_t)(position / (uint64_t)token_nbits);
        const int offset = (int)(position % (uint64_t)token_nbits);
        const int n = min_int(nbits, token_nbits - offset);
        const uint64_t piece =
            ((uint64_t)ids[token] >> (token_nbits - offset - n)) & ((UINT64_C(1) << n) - 1);
        value = isb__u192_shift_left(value, n);
        value.w[0] |= piece;
        position += (uint64_t)n;
        nbits -= n;
    }
    return value;
}
