/* Text through the automaton into ids: what all calls that encode are made of. */
#ifndef ISB_CODEBOOK_MATCHER_H
#define ISB_CODEBOOK_MATCHER_H

#include "codebook/codebook_state.h"

/* Texts up to this length are matched in one lane: joining several costs more than it saves. */
enum { ISB__ONE_LANE_NBYTES = 255 };

/* Where ids go: one of the arrays, or none, to count.  Ids past the capacity are counted, not written. */
typedef struct isb__ids_out {
    uint32_t *ids;
    uint16_t *ids_u16;
    size_t capacity, n;
} isb__ids_out;

/* Goes on from *state, ISB__STATE_ROOT at a text's beginning. */
void isb__match(const isb_codebook *codebook, isb__state *state, const uint8_t *text, size_t nbytes,
                isb__ids_out *out);
/* The text's end: what *state stands for; it is then ISB__STATE_ROOT. */
void isb__match_end(const isb_codebook *codebook, isb__state *state, isb__ids_out *out);

#endif
