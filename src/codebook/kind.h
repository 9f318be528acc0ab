/* Which strings a codebook may have, as a small automaton over bytes: the search for candidates walks
 * it along every string, so what a kind forbids is never looked at.
 *
 *   free    anything
 *   word    one run without spaces, with the space before it: " time,", "ly", "    ", ".\n\n"
 *   words   pieces within a word, or whole words each with its trailing space: "of the ", "ing"
 *
 * No kind has a string that goes on after a line break (other than by more line breaks), so the place
 * after a run of line breaks is always a border between tokens.  All kinds are strings over one
 * alphabet and are encoded by the same greedy longest match: a kind decides what is in the codebook,
 * not how it is used.
 */
#ifndef ISB_CODEBOOK_KIND_H
#define ISB_CODEBOOK_KIND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"

enum { ISB__KIND_DEAD = 0, ISB__KIND_START = 1, ISB__KIND_MAX_STATES = 16 };

typedef struct isb__kind {
    const char *name;
    int n_states;
    uint8_t step[ISB__KIND_MAX_STATES][256]; /* DEAD: no string goes on so */
    bool accepts[ISB__KIND_MAX_STATES];      /* a string may end here */
    /* Where windows are taken to start before any codebook is known: between bytes of classes a and b
     * (class_of) when starts[a][b]. */
    uint8_t class_of[256];
    bool starts[4][4];
} isb__kind;

/* Errors: ARGUMENT (names the kinds there are). */
isb_status isb__kind_by_name(isb_context *ctx, const char *name, isb__kind *kind);
/* Whether the kind accepts this string. */
bool isb__kind_accepts(const isb__kind *kind, const uint8_t *bytes, size_t nbytes);

static inline bool isb__kind_starts(const isb__kind *kind, uint8_t before, uint8_t byte) {
    return kind->starts[kind->class_of[before]][kind->class_of[byte]];
}

#endif
