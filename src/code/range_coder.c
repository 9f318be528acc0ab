/* The range coder.
 *
 *   value   b0 b1 b2 ... bk | low (32 bits, and a carry above them)    interval [low, low + range)
 *           `-- written --'   `-- still changing
 *
 * A symbol takes its share of the range; when the range falls under 2^24 the top byte of low is
 * settled but for a carry and moves out.  A carry can run through 0xFF bytes only, so one byte is
 * cached and the 0xFF after it are counted.
 *
 * Borders are range * cdf >> P in 64 bits, not (range >> P) * cdf: nothing of the range is lost.
 */
#include "code/range_coder.h"

#include <assert.h>

static const uint32_t TOP = UINT32_C(1) << 24;

static inline uint32_t border(uint32_t range, uint32_t cdf, int precision_nbits) {
    return (uint32_t)((uint64_t)range * cdf >> precision_nbits);
}

/* 16 * log2(range), rounded down; range > 0.  Each squaring of the mantissa yields one bit of the
 * fraction. */
static uint64_t log2_16ths(uint32_t range) {
    int exponent = 0;
    while (range >> exponent >> 1) ++exponent;
    uint64_t mantissa = (uint64_t)range << (31 - exponent); /* [2^31, 2^32) */
    uint64_t result = (uint64_t)exponent;
    for (int i = 0; i < 4; i++) {
        mantissa = mantissa * mantissa >> 31;
        const uint64_t bit = mantissa >> 32;
        mantissa >>= bit;
        result = result << 1 | bit;
    }
    return result;
}

void isb__range_encoder_init(isb__range_encoder *encoder, uint8_t *out, size_t capacity) {
    *encoder = (isb__range_encoder){.range = UINT32_MAX, .out = out, .capacity = capacity};
}

static void put_byte(isb__range_encoder *encoder, uint8_t byte) {
    if (encoder->nbytes < encoder->capacity) {
        encoder->out[encoder->nbytes] = byte;
    } else {
        encoder->overflow = true;
    }
    ++encoder->nbytes;
}

/* Writes the cached byte and the 0xFF bytes after it, all plus the carry. */
static void flush_pending(isb__range_encoder *encoder) {
    const uint8_t carry = (uint8_t)(encoder->low >> 32);
    for (uint8_t byte = encoder->cache; encoder->pending > 0; --encoder->pending, byte = 0xFF) {
        put_byte(encoder, (uint8_t)(byte + carry));
    }
}

/* Moves the top byte of low out.  The very first byte may be 0xFF: no carry reaches it, since the
 * value stays below 1. */
static void shift_low(isb__range_encoder *encoder) {
    const bool settled = encoder->low < UINT64_C(0xFF000000) || encoder->low >> 32;
    if (settled || encoder->pending == 0) {
        flush_pending(encoder);
        encoder->cache = (uint8_t)(encoder->low >> 24);
    }
    ++encoder->pending;
    encoder->low = (encoder->low & 0x00FFFFFF) << 8;
}

void isb__range_encode(isb__range_encoder *encoder, uint32_t lo, uint32_t hi, int precision_nbits) {
    assert(lo < hi && hi <= UINT32_C(1) << precision_nbits && precision_nbits <= 16);
    const uint32_t first = border(encoder->range, lo, precision_nbits);
    encoder->range = border(encoder->range, hi, precision_nbits) - first;
    encoder->low += first;
    while (encoder->range < TOP) {
        shift_low(encoder);
        encoder->range <<= 8;
    }
}

size_t isb__range_encoder_finish(isb__range_encoder *encoder) {
    /* The value in [low, low + range) with the most zero bytes at its end; 2^32, a carry and zeros,
     * is allowed. */
    for (int nbits = 32; nbits >= 0; nbits -= 8) {
        const uint64_t mask = (UINT64_C(1) << nbits) - 1;
        const uint64_t value = (encoder->low + mask) & ~mask;
        if (value < encoder->low + encoder->range) {
            encoder->low = value;
            break;
        }
    }
    for (int i = 0; i < 4; i++) shift_low(encoder);
    flush_pending(encoder);
    if (!encoder->overflow) {
        while (encoder->nbytes > 0 && encoder->out[encoder->nbytes - 1] == 0) --encoder->nbytes;
    }
    return encoder->nbytes;
}

uint64_t isb__range_encoder_tell(const isb__range_encoder *encoder) {
    return (encoder->nbytes + encoder->pending) * 128 + 32 * 16 - log2_16ths(encoder->range);
}

static uint8_t next_byte(isb__range_decoder *decoder) {
    ++decoder->consumed;
    return decoder->position < decoder->nbytes ? decoder->in[decoder->position++] : 0;
}

void isb__range_decoder_init(isb__range_decoder *decoder, const uint8_t *in, size_t nbytes) {
    *decoder = (isb__range_decoder){.range = UINT32_MAX, .in = in, .nbytes = nbytes};
    for (int i = 0; i < 4; i++) decoder->code = decoder->code << 8 | next_byte(decoder);
}

int isb__range_decode(isb__range_decoder *decoder, const uint32_t *cdf, int n_symbols,
                      int precision_nbits) {
    /* The last x with border(x) <= code, that is with range * cdf[x] < (code + 1) 2^P: one division,
     * and then a search without branches.  A damaged code may lie after all borders, and is the
     * last symbol. */
    const uint64_t end = (((uint64_t)decoder->code + 1) << precision_nbits) - 1;
    const uint64_t target = end / decoder->range;
    int x = 0;
    for (int step = 256; step > 0; step /= 2) {
        const int next = x + step < n_symbols ? x + step : x;
        x = cdf[next] <= target ? next : x;
    }
    const uint32_t first = border(decoder->range, cdf[x], precision_nbits);
    decoder->range = border(decoder->range, cdf[x + 1], precision_nbits) - first;
    decoder->code -= first;
    while (decoder->range < TOP) {
        decoder->code = decoder->code << 8 | next_byte(decoder);
        decoder->range <<= 8;
    }
    return x;
}

uint64_t isb__range_decoder_tell(const isb__range_decoder *decoder) {
    return (decoder->consumed - 4) * 128 + 32 * 16 - log2_16ths(decoder->range);
}

size_t isb__range_encoder_bound(size_t n_symbols, int precision_nbits) {
    /* A count is at least range >> P wide, rounded down from at least 2^8: under P + 1/64 bits a
     * symbol. */
    const size_t bits_64ths = (size_t)precision_nbits * 64 + 1;
    if (n_symbols > (SIZE_MAX - 4096) / bits_64ths) return SIZE_MAX;
    return n_symbols * bits_64ths / 512 + 8;
}
