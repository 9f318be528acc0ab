/* Text through the automaton into ids.
 *
 * One step: the byte's child if there is one; if not, note the node, whose tokens are popped, and look for the child of
 * where that leads.  Both units are loaded at once, the note is written in any case, and masks choose:
 *
 *     next = units[base(state) + byte]         retry = units[link(state) + byte]
 *     notes[n] = state;  n += missed;  state = missed ? retry : next
 *
 * The one branch is for bytes that the retry has no child for either, which is rare.  No branch depends on where tokens
 * end, which no processor can predict.  A second pass turns notes into ids; its loads do not wait for one another.
 *
 * What is left is the chain from one state to the next through a load.  To hide it, six places of the text are worked on
 * in turn.  A place in the middle is no border between tokens, so its lane begins wrongly; but greedy matches of a text
 * from two places agree from the first border that they have in common, and for text they soon have one.  So each lane
 * but the first begins at the root, and its beginning is corrected afterwards (join()): the lane before goes on, byte by
 * byte, until it has a border that this one has too.  If there is none, it goes on to the end of this lane, whose work
 * was in vain: no text takes more than twice the steps. */
#include "codebook/matcher.h"

#include <string.h>

enum {
    N_LANES = 6,
    MAX_LANE_NBYTES = 2048,
    /* a lane's bytes and those that its first state stands for; each note pops one of them at least */
    MAX_NOTES = MAX_LANE_NBYTES + ISB_CODEBOOK_MAX_STRING_NBYTES + 1
};

typedef struct lane {
    isb__state state;
    size_t n_notes;
    uint32_t notes[MAX_NOTES]; /* low halves of states */
} lane;

static inline uint32_t note_base(uint32_t note) { return note >> 9; }

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
        const uint32_t pops = isb__node_pops(a, note_base(notes[i]));
        if (pops & ISB__POPS_MANY) {
            put_list(a, &a->pops[pops & ~(uint32_t)ISB__POPS_MANY], out);
        } else {
            put_id(out, pops);
        }
    }
}

/* ---- first pass ---- */

/* Notes nodes from `base` on, each where the last one leads, until one has a child for the byte; returns that. */
static isb__state step_back(const isb__automaton *a, size_t base, uint8_t byte, uint32_t *notes,
                            size_t *n_notes) {
    isb__state next;
    do {
        notes[(*n_notes)++] = (uint32_t)base << 9;
        base = a->links[base];
        next = a->units[base + byte];
    } while (!isb__unit_matches(next, byte));
    return next;
}

/* The compiler must not see where a mask comes from, or it makes a branch of it. */
#if defined(__GNUC__)
#define HIDE(mask) __asm__("" : "+r"(mask))
#else
#define HIDE(mask) ((void)0)
#endif

/* One step; state and n are registers. */
#define STEP(a, byte, state, notes, n)                                                   \
    do {                                                                                 \
        const uint8_t step_byte = (byte);                                                \
        const isb__state step_next = isb__state_next(a, state, step_byte),               \
                         step_retry = isb__state_retry(a, state, step_byte);             \
        uint64_t step_missed = 0 - (uint64_t)!isb__unit_matches(step_next, step_byte);   \
        HIDE(step_missed);                                                               \
        (notes)[n] = (uint32_t)(state);                                                  \
        (n) -= step_missed;                                                              \
        const isb__state step_to = step_next ^ ((step_next ^ step_retry) & step_missed); \
        if (__builtin_expect(isb__unit_matches(step_to, step_byte), 1)) {                \
            state = step_to;                                                             \
        } else {                                                                         \
            state = step_back(a, (size_t)((state) >> 32), step_byte, notes, &(n));       \
        }                                                                                \
    } while (0)

static void match_one(const isb__automaton *a, const uint8_t *text, size_t nbytes, lane *l) {
    isb__state state = l->state;
    size_t n = 0;
    for (size_t i = 0; i < nbytes; ++i) STEP(a, text[i], state, l->notes, n);
    l->state = state;
    l->n_notes = n;
}

/* Lane i takes text[i * stride .. (i + 1) * stride). */
static void match_six(const isb__automaton *a, const uint8_t *text, size_t stride,
                      lane lanes[N_LANES]) {
    isb__state s0 = lanes[0].state, s1 = lanes[1].state, s2 = lanes[2].state, s3 = lanes[3].state,
               s4 = lanes[4].state, s5 = lanes[5].state;
    size_t n0 = 0, n1 = 0, n2 = 0, n3 = 0, n4 = 0, n5 = 0;
    for (const uint8_t *end = text + stride; text < end; ++text) {
        STEP(a, text[0], s0, lanes[0].notes, n0);
        STEP(a, text[stride], s1, lanes[1].notes, n1);
        STEP(a, text[2 * stride], s2, lanes[2].notes, n2);
        STEP(a, text[3 * stride], s3, lanes[3].notes, n3);
        STEP(a, text[4 * stride], s4, lanes[4].notes, n4);
        STEP(a, text[5 * stride], s5, lanes[5].notes, n5);
    }
    const isb__state states[N_LANES] = {s0, s1, s2, s3, s4, s5};
    const size_t counts[N_LANES] = {n0, n1, n2, n3, n4, n5};
    for (int i = 0; i < N_LANES; ++i) {
        lanes[i].state = states[i];
        lanes[i].n_notes = counts[i];
    }
}

/* ---- lanes that follow one another ---- */

/* How many bytes popping takes away. */
static size_t popped_nbytes(const isb__automaton *a, uint32_t base) {
    return isb__node_nbytes(a, base) - isb__node_nbytes(a, a->links[base]);
}

/* Goes on from `state`, which the text before lane `l` led to, until a border between tokens is also one of the lane;
 * puts out the ids up to there, and the lane's from there on.  Returns the state at the lane's end.  Positions count
 * from the lane's beginning, in ptrdiff_t since the first token begins before it.
 *   scratch  [MAX_NOTES] */
static isb__state join(const isb__automaton *a, isb__state state, const lane *l,
                       const uint8_t *text, size_t nbytes, uint32_t *scratch, isb__ids_out *out) {
    size_t n = 0, n_dropped = 0;
    ptrdiff_t lane_border = 0;
    for (size_t i = 0; i < nbytes; ++i) {
        const size_t n_before = n;
        STEP(a, text[i], state, scratch, n);
        if (n == n_before) continue;
        const ptrdiff_t border = (ptrdiff_t)(i + 1 - isb__node_nbytes(a, isb__state_base(state)));
        while (lane_border < border && n_dropped < l->n_notes)
            lane_border += (ptrdiff_t)popped_nbytes(a, note_base(l->notes[n_dropped++]));
        if (lane_border != border) continue;
        put_notes(a, scratch, n, out);
        put_notes(a, l->notes + n_dropped, l->n_notes - n_dropped, out);
        return l->state;
    }
    put_notes(a, scratch, n, out);
    return state;
}

static void match_lanes(const isb__automaton *a, lane lanes[N_LANES], isb__state *state,
                        const uint8_t *text, size_t stride, isb__ids_out *out) {
    lanes[0].state = *state;
    for (int i = 1; i < N_LANES; ++i) lanes[i].state = ISB__STATE_ROOT;
    match_six(a, text, stride, lanes);
    put_notes(a, lanes[0].notes, lanes[0].n_notes, out);
    *state = lanes[0].state;
    for (int i = 1; i < N_LANES; ++i)
        *state = join(a, *state, &lanes[i], text + (size_t)i * stride, stride, lanes[0].notes, out);
}

void isb__match(const isb_codebook *codebook, isb__state *state, const uint8_t *text, size_t nbytes,
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

void isb__match_end(const isb_codebook *codebook, isb__state *state, isb__ids_out *out) {
    const isb__automaton *a = &codebook->automaton;
    for (uint32_t base = isb__state_base(*state); base != ISB__ROOT_BASE; base = a->links[base]) {
        const uint32_t note = base << 9;
        put_notes(a, &note, 1, out);
    }
    *state = ISB__STATE_ROOT;
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
        isb__state state = ISB__STATE_ROOT;
        for (size_t i = begin; i < nbytes; ++i) {
            state = isb__state_next(a, state, text[i]);
            if (!isb__unit_matches(state, text[i])) break;
            if (state & ISB__STATE_ACCEPTS) {
                ids[n] = isb__node_pops(a, isb__state_base(state));
                end = i + 1;
            } else if (find_cut(codebook, text + begin, i + 1 - begin, &ids[n])) {
                end = begin + codebook->offsets[ids[n] + 1] - codebook->offsets[ids[n]];
            }
        }
        ++n;
    }
    return n;
}
