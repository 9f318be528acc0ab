/* Text that is shown as ids come: whole UTF-8 characters only.
 *
 * What the decoder holds back is always the beginning of a character that more bytes may complete: at most 3 bytes.
 * Bytes that can never be part of one are given at once, or replaced: one U+FFFD for each maximal beginning of a
 * character (the Unicode standard's practice, section 3.9). */
#include <string.h>

#include "codebook/codebook_state.h"

static const uint8_t REPLACEMENT[3] = {0xef, 0xbf, 0xbd};

/* The length of the character that begins with this byte; 0 if none does. */
static size_t character_nbytes(uint8_t first) {
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4) return 0;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* Whether `byte` may follow the first one: no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool may_be_second(uint8_t first, uint8_t byte) {
    const uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    return byte >= low && byte <= high;
}

/* How many of the bytes are the beginning of one character, at least 1; *wanted: how many it has, 0 if it is none. */
static size_t beginning(const uint8_t *bytes, size_t nbytes, size_t *wanted) {
    size_t n = 1;
    *wanted = character_nbytes(bytes[0]);
    while (n < nbytes && n < *wanted &&
           (n == 1 ? may_be_second(bytes[0], bytes[1]) : (bytes[n] & 0xc0) == 0x80))
        ++n;
    return n;
}

static size_t put_bad(int replace, const uint8_t *bytes, size_t nbytes, uint8_t *text) {
    memcpy(text, replace ? REPLACEMENT : bytes, replace ? sizeof REPLACEMENT : nbytes);
    return replace ? sizeof REPLACEMENT : nbytes;
}

void isb_codebook_decoder_init(isb_codebook_decoder *decoder, const isb_codebook *codebook,
                               int replace) {
    *decoder = (isb_codebook_decoder){.codebook = codebook, .replace = replace};
}

isb_status isb_codebook_decoder_push(isb_codebook_decoder *decoder, uint32_t id, uint8_t *text,
                                     size_t capacity, size_t *nbytes) {
    const isb_codebook *c = decoder->codebook;
    uint8_t bytes[sizeof decoder->held + ISB_CODEBOOK_MAX_STRING_NBYTES];
    size_t length, n = decoder->n_held, wanted;
    *nbytes = 0;
    if (id >= c->n_ids) return ISB_ERR_RANGE;
    const uint8_t *string = isb__codebook_bytes(c, id, &length);
    if (length == 0 && id < c->n_codes) return ISB_ERR_RANGE;
    if (capacity < 3 * (n + length)) return ISB_ERR_BUFFER_SIZE;
    memcpy(bytes, decoder->held, n);
    memcpy(bytes + n, string, length);
    n += length;
    size_t at = 0;
    while (at < n) {
        const size_t got = beginning(bytes + at, n - at, &wanted);
        if (got < wanted && at + got == n) break;
        if (got == wanted) {
            memcpy(text + *nbytes, bytes + at, got);
            *nbytes += got;
        } else {
            *nbytes += put_bad(decoder->replace, bytes + at, got, text + *nbytes);
        }
        at += got;
    }
    decoder->n_held = n - at;
    memcpy(decoder->held, bytes + at, decoder->n_held);
    return ISB_OK;
}

isb_status isb_codebook_decoder_finish(isb_codebook_decoder *decoder, uint8_t *text,
                                       size_t capacity, size_t *nbytes) {
    *nbytes = 0;
    if (decoder->n_held == 0) return ISB_OK;
    if (capacity < sizeof REPLACEMENT) return ISB_ERR_BUFFER_SIZE;
    *nbytes = put_bad(decoder->replace, decoder->held, decoder->n_held, text);
    decoder->n_held = 0;
    return ISB_OK;
}
