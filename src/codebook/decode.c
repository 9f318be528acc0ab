/* Ids to text.
 *
 * A string is copied as 16 bytes at once, whatever its length, as long as there is room for so much; longer strings go
 * on 16 bytes at a time.  What is copied too much is overwritten by the next string, or lies before the end of the
 * buffer.  The last strings are copied exactly. */
#include <string.h>

#include "codebook/codebook_state.h"

enum { WIDE = 16 };

/* An id without a string: fine for special ids. */
static inline bool is_bad(const isb_codebook *c, uint32_t id) {
    return id >= c->n_ids || (id < c->n_codes && c->offsets[id + 1] == c->offsets[id]);
}

isb_status isb_codebook_decode_nbytes(const isb_codebook *codebook, const uint32_t *ids,
                                      size_t n_ids, size_t *nbytes, size_t *n_good) {
    *nbytes = 0;
    for (size_t i = 0; i < n_ids; ++i) {
        if (is_bad(codebook, ids[i])) {
            if (n_good) *n_good = i;
            return ISB_ERR_RANGE;
        }
        *nbytes += codebook->offsets[ids[i] + 1] - codebook->offsets[ids[i]];
    }
    if (n_good) *n_good = n_ids;
    return ISB_OK;
}

isb_status isb_codebook_offsets(const isb_codebook *codebook, const uint32_t *ids, size_t n_ids,
                                uint64_t *offsets) {
    uint64_t position = 0;
    offsets[0] = 0;
    for (size_t i = 0; i < n_ids; ++i) {
        if (is_bad(codebook, ids[i])) return ISB_ERR_RANGE;
        position += codebook->offsets[ids[i] + 1] - codebook->offsets[ids[i]];
        offsets[i + 1] = position;
    }
    return ISB_OK;
}

/* One function for both widths: exactly one of the pointers is set, which the compiler sees after inlining. */
static inline uint32_t get_id(const uint32_t *ids, const uint16_t *ids_u16, size_t i) {
    return ids ? ids[i] : ids_u16[i];
}

static inline isb_status decode(const isb_codebook *c, const uint32_t *ids, const uint16_t *ids_u16,
                                size_t n_ids, uint8_t *text, size_t capacity, size_t *nbytes) {
    const uint32_t *offsets = c->offsets;
    size_t n = 0;
    *nbytes = 0;
    for (size_t i = 0; i < n_ids; ++i) {
        const uint32_t id = get_id(ids, ids_u16, i);
        if (id >= c->n_ids) return ISB_ERR_RANGE;
        const uint8_t *string = c->bytes + offsets[id];
        const size_t length = offsets[id + 1] - offsets[id];
        if (length == 0 && id < c->n_codes) return ISB_ERR_RANGE;
        if (n + ISB_CODEBOOK_MAX_STRING_NBYTES + WIDE <= capacity) {
            memcpy(text + n, string, WIDE);
            for (size_t at = WIDE; at < length; at += WIDE)
                memcpy(text + n + at, string + at, WIDE);
        } else if (length > 0 && n + length <= capacity) {
            memcpy(text + n, string, length);
        }
        n += length;
    }
    *nbytes = n;
    return n <= capacity ? ISB_OK : ISB_ERR_BUFFER_SIZE;
}

isb_status isb_codebook_decode(const isb_codebook *codebook, const uint32_t *ids, size_t n_ids,
                               uint8_t *text, size_t capacity, size_t *nbytes) {
    return decode(codebook, ids, NULL, n_ids, text, capacity, nbytes);
}

isb_status isb_codebook_decode_u16(const isb_codebook *codebook, const uint16_t *ids, size_t n_ids,
                                   uint8_t *text, size_t capacity, size_t *nbytes) {
    return decode(codebook, NULL, ids, n_ids, text, capacity, nbytes);
}
