/* The public calls that turn text into ids. */
#include <string.h>

#include "codebook/matcher.h"

size_t isb_codebook_encode_bound(size_t nbytes) { return nbytes; }

static isb_status check_capacity(const isb__ids_out *out, size_t *n_ids) {
    *n_ids = out->n;
    return out->n <= out->capacity ? ISB_OK : ISB_ERR_BUFFER_SIZE;
}

static void match_all(const isb_codebook *codebook, const uint8_t *text, size_t nbytes,
                      isb__ids_out *out) {
    isb__state state = ISB__STATE_ROOT;
    isb__match(codebook, &state, text, nbytes, out);
    isb__match_end(codebook, &state, out);
}

isb_status isb_codebook_encode(const isb_codebook *codebook, const uint8_t *text, size_t nbytes,
                               uint32_t *ids, size_t capacity, size_t *n_ids) {
    isb__ids_out out = {.ids = ids, .capacity = capacity};
    match_all(codebook, text, nbytes, &out);
    return check_capacity(&out, n_ids);
}

isb_status isb_codebook_encode_u16(const isb_codebook *codebook, const uint8_t *text, size_t nbytes,
                                   uint16_t *ids, size_t capacity, size_t *n_ids) {
    isb__ids_out out = {.ids_u16 = ids, .capacity = capacity};
    *n_ids = 0;
    if (codebook->n_ids > 1 << 16) return ISB_ERR_RANGE;
    match_all(codebook, text, nbytes, &out);
    return check_capacity(&out, n_ids);
}

size_t isb_codebook_count(const isb_codebook *codebook, const uint8_t *text, size_t nbytes) {
    isb__ids_out out = {0};
    match_all(codebook, text, nbytes, &out);
    return out.n;
}

/* ---- streaming: the whole state is the node, in state[0] ---- */

void isb_codebook_encoder_init(isb_codebook_encoder *encoder, const isb_codebook *codebook) {
    *encoder = (isb_codebook_encoder){.codebook = codebook, .state = {ISB__STATE_ROOT}};
}

isb_status isb_codebook_encoder_push(isb_codebook_encoder *encoder, const uint8_t *text,
                                     size_t nbytes, uint32_t *ids, size_t capacity, size_t *n_ids) {
    const isb_codebook_encoder before = *encoder;
    isb__state state = encoder->state[0];
    isb__ids_out out = {.ids = ids, .capacity = capacity};
    isb__match(encoder->codebook, &state, text, nbytes, &out);
    encoder->state[0] = state;
    const isb_status status = check_capacity(&out, n_ids);
    if (status != ISB_OK) *encoder = before;
    return status;
}

isb_status isb_codebook_encoder_finish(isb_codebook_encoder *encoder, uint32_t *ids,
                                       size_t capacity, size_t *n_ids) {
    isb__state state = encoder->state[0];
    isb__ids_out out = {.ids = ids, .capacity = capacity};
    isb__match_end(encoder->codebook, &state, &out);
    const isb_status status = check_capacity(&out, n_ids);
    if (status == ISB_OK) encoder->state[0] = state;
    return status;
}

/* ---- special ids in text ---- */

/* Numbers low .. high of specials_order: names that begin with the bytes so far. */
typedef struct name_range {
    size_t low, high;
} name_range;

static const char *sorted_name(const isb_codebook *c, size_t i) {
    return c->specials[c->specials_order[i]];
}

/* The names of the range whose byte number `at` is `byte`. */
static name_range narrow(const isb_codebook *c, name_range range, size_t at, uint8_t byte) {
    size_t low = range.low, high = range.high;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if ((uint8_t)sorted_name(c, middle)[at] < byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    const size_t begin = low;
    for (high = range.high; low < high;) {
        const size_t middle = low + (high - low) / 2;
        if ((uint8_t)sorted_name(c, middle)[at] <= byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return (name_range){begin, low};
}

static bool is_allowed(uint32_t id, const uint32_t *allowed, size_t n_allowed) {
    for (size_t i = 0; i < n_allowed; ++i) {
        if (allowed[i] == id) return true;
    }
    return !allowed;
}

/* The longest allowed name that the text begins with: its length, or 0. */
static size_t find_name(const isb_codebook *c, const uint8_t *text, size_t nbytes,
                        const uint32_t *allowed, size_t n_allowed, uint32_t *id) {
    name_range range = {0, c->n_specials};
    size_t found = 0;
    for (size_t i = 0; i < nbytes && text[i] != 0; ++i) {
        range = narrow(c, range, i, text[i]);
        if (range.low == range.high) break;
        /* the shortest name comes first */
        const uint32_t special = (uint32_t)c->n_codes + c->specials_order[range.low];
        if (sorted_name(c, range.low)[i + 1] != 0 || !is_allowed(special, allowed, n_allowed))
            continue;
        *id = special;
        found = i + 1;
    }
    return found;
}

isb_status isb_codebook_encode_special(const isb_codebook *codebook, const uint8_t *text,
                                       size_t nbytes, const uint32_t *allowed, size_t n_allowed,
                                       uint32_t *ids, size_t capacity, size_t *n_ids) {
    isb__ids_out out = {.ids = ids, .capacity = capacity};
    bool begins[256] = {false};
    for (size_t i = 0; i < codebook->n_specials; ++i)
        begins[(uint8_t)codebook->specials[i][0]] = true;
    size_t done = 0;
    for (size_t i = 0; i < nbytes;) {
        uint32_t id;
        const size_t name_nbytes =
            begins[text[i]] ? find_name(codebook, text + i, nbytes - i, allowed, n_allowed, &id)
                            : 0;
        if (name_nbytes == 0) {
            ++i;
            continue;
        }
        match_all(codebook, text + done, i - done, &out);
        if (out.n < out.capacity) ids[out.n] = id;
        ++out.n;
        i += name_nbytes;
        done = i;
    }
    match_all(codebook, text + done, nbytes - done, &out);
    return check_capacity(&out, n_ids);
}

int64_t isb_codebook_find_special(const isb_codebook *codebook, const char *name) {
    uint32_t id;
    const size_t nbytes = strlen(name);
    const size_t found = find_name(codebook, (const uint8_t *)name, nbytes, NULL, 0, &id);
    return nbytes > 0 && found == nbytes ? (int64_t)id : -1;
}
