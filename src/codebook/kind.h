/* Which strings a codebook may have, as a small automaton over bytes: the search for candidates walks
 * it along every string, so what a kind forbids is never looked at.
 *
 *   word    the letters, the digits or the marks of one word, with the space before them: " time", "ly",
 *           ",", "2024"; runs of spaces; runs of line breaks, with the marks before them: ".\n\n"
 *   phrase  as word, and several whole words each with the space before it: " of the"
 *   run     anything without spaces, with the space before it: " time,", " (see", "e.g."
 *   words   pieces within a word, or whole words each with its trailing space: "of the ", "ing"
 *   free    anything
 *
 * No kind has a string that goes on after a line break (other than by more line breaks), so the place
 * after a run of line breaks is always a border between tokens.  All kinds are encoded by the same
 * greedy longest match: a kind decides what is in the codebook, not how it is used.
 */
#ifndef ISB_CODEBOOK_KIND_H
#define ISB_CODEBOOK_KIND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"

enum { ISB__KIND_DEAD = 0, ISB__KIND_START = 1, ISB__KIND_MAX_STATES = 16 };
enum {
    ISB__BYTE_LETTER,
    ISB__BYTE_DIGIT,
    ISB__BYTE_MARK,
    ISB__BYTE_SPACE,
    ISB__BYTE_BREAK,
    ISB__N_BYTE_CLASSES
};

typedef struct isb__kind {
    const char *name;
    int n_states;
    uint8_t step[ISB__KIND_MAX_STATES][256]; /* DEAD: no string goes on so */
    bool accepts[ISB__KIND_MAX_STATES];      /* a string may end here */
    /* ... but only if the word ends here too: if no letter follows in nearly all its occurrences. */
    bool whole[ISB__KIND_MAX_STATES];
    uint8_t class_of[256];
    /* Where windows are taken to start before any codebook is known: between bytes of these classes. */
    bool starts[ISB__N_BYTE_CLASSES][ISB__N_BYTE_CLASSES];
} isb__kind;

/* Errors: ARGUMENT (names the kinds there are). */
isb_status isb__kind_by_name(isb_context *ctx, const char *name, isb__kind *kind);
/* Whether the kind accepts this string (of what follows it, nothing is known). */
bool isb__kind_accepts(const isb__kind *kind, const uint8_t *bytes, size_t nbytes);

static inline bool isb__kind_starts(const isb__kind *kind, uint8_t before, uint8_t byte) {
    return kind->starts[kind->class_of[before]][kind->class_of[byte]];
}
static inline bool isb__kind_is_letter(const isb__kind *kind, uint8_t byte) {
    return kind->class_of[byte] == ISB__BYTE_LETTER;
}

#endif
