/* Text through the automaton into ids. */
#include "codebook/matcher.h"

enum { BLOCK_NBYTES = 2048 };

/* The ids of tokens, which are states. */
static void put_ids(const isb__automaton *a, const uint32_t *tokens, size_t n, isb__ids_out *out) {
    const size_t room = out->capacity > out->n ? out->capacity - out->n : 0;
    const size_t n_written = n < room ? n : room;
    if (out->ids_u16) {
        uint16_t *ids = out->ids_u16 + out->n;
        for (size_t i = 0; i < n_written; ++i) ids[i] = (uint16_t)isb__state_id(a, tokens[i]);
    } else if (out->ids) {
        uint32_t *ids = out->ids + out->n;
        for (size_t i = 0; i < n_written; ++i) ids[i] = isb__state_id(a, tokens[i]);
    }
    out->n += n;
}

/* The byte that `state` has no child for: pops tokens until one has.  Returns the new state. */
static uint32_t step_back(const isb__automaton *a, uint32_t state, uint8_t byte, uint32_t *tokens,
                          size_t *n) {
    uint32_t unit;
    do {
        if (state & ISB__STATE_ACCEPTS) {
            tokens[(*n)++] = state;
            return isb__automaton_unit(a, ISB__STATE_ROOT, byte);
        }
        const isb__failure *failure = isb__automaton_failure(a, state);
        *n += isb__automaton_pop(a, failure, tokens + *n);
        state = failure->link;
        unit = isb__automaton_unit(a, state, byte);
    } while (!isb__unit_matches(unit, byte));
    return unit;
}

/* tokens: [nbytes + ISB_CODEBOOK_MAX_STRING_NBYTES] */
static size_t match_block(const isb__automaton *a, uint32_t *state, const uint8_t *text,
                          size_t nbytes, uint32_t *tokens) {
    size_t n = 0;
    uint32_t s = *state;
    for (size_t i = 0; i < nbytes; ++i) {
        const uint32_t unit = isb__automaton_unit(a, s, text[i]);
        s = isb__unit_matches(unit, text[i]) ? unit : step_back(a, s, text[i], tokens, &n);
    }
    *state = s;
    return n;
}

void isb__match(const isb_codebook *codebook, uint32_t *state, const uint8_t *text, size_t nbytes,
                isb__ids_out *out) {
    uint32_t tokens[BLOCK_NBYTES + ISB_CODEBOOK_MAX_STRING_NBYTES];
    while (nbytes > 0) {
        const size_t n = nbytes < BLOCK_NBYTES ? nbytes : BLOCK_NBYTES;
        const size_t n_tokens = match_block(&codebook->automaton, state, text, n, tokens);
        put_ids(&codebook->automaton, tokens, n_tokens, out);
        text += n;
        nbytes -= n;
    }
}

void isb__match_end(const isb_codebook *codebook, uint32_t *state, isb__ids_out *out) {
    const isb__automaton *a = &codebook->automaton;
    uint32_t tokens[ISB_CODEBOOK_MAX_STRING_NBYTES];
    size_t n = 0;
    for (uint32_t s = *state; s != ISB__STATE_ROOT;) {
        if (s & ISB__STATE_ACCEPTS) {
            tokens[n++] = s;
            break;
        }
        const isb__failure *failure = isb__automaton_failure(a, s);
        n += isb__automaton_pop(a, failure, tokens + n);
        s = failure->link;
    }
    put_ids(a, tokens, n, out);
    *state = ISB__STATE_ROOT;
}

size_t isb__codebook_encode_naive(const isb_codebook *codebook, const uint8_t *text, size_t nbytes,
                                  uint32_t *ids) {
    const isb__automaton *a = &codebook->automaton;
    size_t n = 0;
    for (size_t begin = 0, end = 0; begin < nbytes; begin = end) {
        uint32_t state = ISB__STATE_ROOT;
        for (size_t i = begin; i < nbytes; ++i) {
            state = isb__automaton_unit(a, state, text[i]);
            if (!isb__unit_matches(state, text[i])) break;
            if (!(state & ISB__STATE_ACCEPTS)) continue;
            ids[n] = isb__state_id(a, state);
            end = i + 1;
        }
        ++n;
    }
    return n;
}
