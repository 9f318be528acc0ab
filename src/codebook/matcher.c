/* Text through the automaton into ids.
 *
 * One step: the byte's child if there is one; if not, note the state, whose tokens are popped, and go on from its link.
 * States that are strings link to the root, and the root has every child; so for them, which is nearly always, both
 * outcomes are computed and one is chosen without a branch, and the note is written in any case:
 *
 *     next = units[base(state) + byte]         start = units[base(root) + byte]
 *     notes[n] = state;  n += missed;  state = missed ? start : next
 *
 * No branch depends on where tokens end, which no processor can predict.  A second pass turns notes into ids; its loads
 * do not wait for one another.
 *
 * What is left is the chain from one state to the next through a load.  To hide it, four places of the text are worked on
 * in turn.  A place in the middle is no border between tokens, so its lane begins wrongly; but greedy matches of a text
 * from two places agree from the first border that they have in common, and for text they soon have one.  So each lane
 * but the first begins at the root, and its beginning is corrected afterwards (join()): the lane before goes on, byte by
 * byte, until it has a border that this one has too.  If there is none, it goes on to the end of this lane, whose work
 * was in vain: no text takes more than twice the steps. */
#include "codebook/matcher.h"

#include <string.h>

enum {
    N_LANES = 4,
    MAX_LANE_NBYTES = 2048,
    /* a lane's bytes and those that its first state stands for; each note pops one of them at least */
    MAX_NOTES = MAX_LANE_NBYTES + ISB_CODEBOOK_MAX_STRING_NBYTES + 1
};

typedef struct lane {
    uint32_t state;
    size_t n_notes;
    uint32_t notes[MAX_NOTES]; /* states */
} lane;

/* ---- second pass ---- */

static inline void put_id(isb__ids_out *out, uint32_t id) {
    if (out->n < out->capacity) {
        if (out->ids_u16) {
            out->ids_u16[out->n] = (uint16_t)id;
        } else {
            out->ids[out->n] = id;
        }
    }
    ++out->n;
}

static void put_list(const isb__automaton *a, const isb__pop *last, isb__ids_out *out) {
    uint32_t ids[ISB_CODEBOOK_MAX_STRING_NBYTES];
    const size_t n = isb__pop_count(last);
    for (size_t i = n; i > 0; --i, last = &a->pops[last->previous]) ids[i - 1] = isb__pop_id(last);
    for (size_t i = 0; i < n; ++i) put_id(out, ids[i]);
}

static void put_notes(const isb__automaton *a, const uint32_t *notes, size_t n, isb__ids_out *out) {
    for (size_t i = 0; i < n; ++i) {
        const uint32_t pops = isb__state_pops(a, notes[i]);
        if (pops & ISB__POPS_MANY) {
            put_list(a, &a->pops[pops & ~(uint32_t)ISB__POPS_MANY], out);
        } else {
            put_id(out, pops);
        }
    }
}

/* ---- first pass ---- */

/* Where `state` has no child for the byte: notes what pops until one has; returns it. */
static uint32_t step_back(const isb__automaton *a, uint32_t state, uint8_t byte, uint32_t *notes,
                          size_t *n_notes) {
    uint32_t next;
    do {
        notes[(*n_notes)++] = state;
        state = isb__state_link(a, state);
        next = isb__state_next(a, state, byte);
    } while (!isb__unit_matches(next, byte));
    return next;
}

/* One step; state and n are registers.  The comparison that asks "missed, and no string?" is written as one of two
 * numbers: from two conditions, gcc makes two branches, and the second one is not predictable. */
#define STEP(a, byte, state, notes, n)                                              \
    do {                                                                            \
        const uint8_t step_byte = (byte);                                           \
        const uint32_t step_next = isb__state_next(a, state, step_byte),            \
                       step_start = isb__state_next(a, ISB__STATE_ROOT, step_byte), \
                       step_missed = !isb__unit_matches(step_next, step_byte),      \
                       step_accepts = (state) >> 8 & 1;                             \
        (notes)[n] = state;                                                         \
        if (__builtin_expect(step_missed > step_accepts, 0)) {                      \
            state = step_back(a, state, step_byte, notes, &n);                      \
        } else {                                                                    \
            state = step_missed ? step_start : step_next;                           \
            n += step_missed;                                                       \
        }                                                                           \
    } while (0)

static void match_one(const isb__automaton *a, const uint8_t *text, size_t nbytes, lane *l) {
    uint32_t state = l->state;
    size_t n = 0;
    for (size_t i = 0; i < nbytes; ++i) STEP(a, text[i], state, l->notes, n);
    l->state = state;
    l->n_notes = n;
}

/* Lane i takes text[i * stride .. (i + 1) * stride). */
static void match_four(const isb__automaton *a, const uint8_t *text, size_t stride,
                       lane lanes[N_LANES]) {
    uint32_t s0 = lanes[0].state, s1 = lanes[1].state, s2 = lanes[2].state, s3 = lanes[3].state;
    size_t n0 = 0, n1 = 0, n2 = 0, n3 = 0;
    for (const uint8_t *end = text + stride; text < end; ++text) {
        STEP(a, text[0], s0, lanes[0].notes, n0);
        STEP(a, text[stride], s1, lanes[1].notes, n1);
        STEP(a, text[2 * stride], s2, lanes[2].notes, n2);
        STEP(a, text[3 * stride], s3, lanes[3].notes, n3);
    }
    lanes[0].state = s0, lanes[1].state = s1, lanes[2].state = s2, lanes[3].state = s3;
    lanes[0].n_notes = n0, lanes[1].n_notes = n1, lanes[2].n_notes = n2, lanes[3].n_notes = n3;
}

/* ---- lanes that follow one another ---- */

/* How many bytes popping takes away. */
static size_t popped_nbytes(const isb__automaton *a, uint32_t state) {
    return isb__state_nbytes(a, state) - isb__state_nbytes(a, isb__state_link(a, state));
}

/* Goes on from `state`, which the text before lane `l` led to, until a border between tokens is also one of the lane;
 * puts out the ids up to there, and the lane's from there on.  Returns the state at the lane's end.  Positions count
 * from the lane's beginning, in ptrdiff_t since the first token begins before it.
 *   scratch  [MAX_NOTES] */
static uint32_t join(const isb__automaton *a, uint32_t state, const lane *l, const uint8_t *text,
                     size_t nbytes, uint32_t *scratch, isb__ids_out *out) {
    size_t n = 0, n_dropped = 0;
    ptrdiff_t lane_border = 0;
    for (size_t i = 0; i < nbytes; ++i) {
        const size_t n_before = n;
        STEP(a, text[i], state, scratch, n);
        if (n == n_before) continue;
        const ptrdiff_t border = (ptrdiff_t)(i + 1 - isb__state_nbytes(a, state));
        while (lane_border < border && n_dropped < l->n_notes)
            lane_border += (ptrdiff_t)popped_nbytes(a, l->notes[n_dropped++]);
        if (lane_border != border) continue;
        put_notes(a, scratch, n, out);
        put_notes(a, l->notes + n_dropped, l->n_notes - n_dropped, out);
        return l->state;
    }
    put_notes(a, scratch, n, out);
    return state;
}

static void match_lanes(const isb__automaton *a, lane lanes[N_LANES], uint32_t *state,
                        const uint8_t *text, size_t stride, isb__ids_out *out) {
    lanes[0].state = *state;
    for (int i = 1; i < N_LANES; ++i) lanes[i].state = ISB__STATE_ROOT;
    match_four(a, text, stride, lanes);
    put_notes(a, lanes[0].notes, lanes[0].n_notes, out);
    *state = lanes[0].state;
    for (int i = 1; i < N_LANES; ++i)
        *state = join(a, *state, &lanes[i], text + (size_t)i * stride, stride, lanes[0].notes, out);
}

void isb__match(const isb_codebook *codebook, uint32_t *state, const uint8_t *text, size_t nbytes,
                isb__ids_out *out) {
    const isb__automaton *a = &codebook->automaton;
    lane lanes[N_LANES];
    while (nbytes > ISB__ONE_LANE_NBYTES) {
        const size_t stride =
            nbytes / N_LANES < MAX_LANE_NBYTES ? nbytes / N_LANES : MAX_LANE_NBYTES;
        match_lanes(a, lanes, state, text, stride, out);
        text += N_LANES * stride;
        nbytes -= N_LANES * stride;
    }
    lanes[0].state = *state;
    match_one(a, text, nbytes, &lanes[0]);
    put_notes(a, lanes[0].notes, lanes[0].n_notes, out);
    *state = lanes[0].state;
}

void isb__match_end(const isb_codebook *codebook, uint32_t *state, isb__ids_out *out) {
    const isb__automaton *a = &codebook->automaton;
    for (; *state != ISB__STATE_ROOT; *state = isb__state_link(a, *state))
        put_notes(a, state, 1, out);
}

/* ---- the definition ---- */

/* Whether the string is a cut, by bisection. */
static bool find_cut(const isb_codebook *c, const uint8_t *string, size_t nbytes, uint32_t *id) {
    size_t low = 0, high = c->ids ? c->n_listed : 0;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        size_t n;
        const uint8_t *listed = isb__codebook_listed(c, middle, &n);
        int order = memcmp(listed, string, n < nbytes ? n : nbytes);
        if (order == 0) order = (n > nbytes) - (n < nbytes);
        if (order == 0) {
            *id = c->ids[middle];
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

size_t isb__codebook_encode_naive(const isb_codebook *codebook, const uint8_t *text, size_t nbytes,
                                  uint32_t *ids) {
    const isb__automaton *a = &codebook->automaton;
    size_t n = 0;
    for (size_t begin = 0, end = 0; begin < nbytes; begin = end) {
        uint32_t state = ISB__STATE_ROOT;
        for (size_t i = begin; i < nbytes; ++i) {
            state = isb__state_next(a, state, text[i]);
            if (!isb__unit_matches(state, text[i])) break;
            if (state & ISB__STATE_ACCEPTS) {
                ids[n] = isb__state_pops(a, state);
                end = i + 1;
            } else if (find_cut(codebook, text + begin, i + 1 - begin, &ids[n])) {
                end = begin + codebook->offsets[ids[n] + 1] - codebook->offsets[ids[n]];
            }
        }
        ++n;
    }
    return n;
}
