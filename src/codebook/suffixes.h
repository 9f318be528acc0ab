/* Counts of strings at chosen places of a text, by its suffix array.
 *
 * The suffix array of the text is made once.  For any set of places, the suffixes that begin there are
 * a subsequence of it, still in order; strings with the same prefix are neighbours, so one pass with
 * the common prefix of each two neighbours counts every string that occurs at those places.
 *
 * A text is documents one after another, each followed by one line break that is not part of it: no
 * kind has a string that goes on after a line break, so none reaches into the next document.
 */
#ifndef ISB_CODEBOOK_SUFFIXES_H
#define ISB_CODEBOOK_SUFFIXES_H

#include "base/context.h"
#include "codebook/kind.h"

typedef struct isb__text {
    const uint8_t *bytes;
    size_t nbytes; /* less than 2^31 */
    const uint64_t
        *ends; /* [n_documents]: document i is [ends[i-1] + 1, ends[i]), the first from 0 */
    size_t n_documents;
} isb__text;

static inline size_t isb__text_begin(const isb__text *text, size_t document) {
    return document == 0 ? 0 : (size_t)text->ends[document - 1] + 1;
}

/* suffixes: [nbytes], owned.  Errors: RANGE (too long), NO_MEMORY. */
isb_status isb__suffix_array(isb_context *ctx, const isb__text *text, int32_t **suffixes);

/* A string of the text, at most 255 bytes. */
typedef struct isb__found_string {
    uint32_t place, count;
    uint8_t nbytes;
} isb__found_string;

typedef struct isb__string_query {
    const isb__text *text;
    const int32_t *suffixes;
    const uint64_t *places; /* a bit for each byte of the text */
    /* [nbytes] or NULL: at a place p only strings longer than covered[p] count, since the text there
     * has a string of that length already. */
    const uint8_t *covered;
    const isb__kind *kind;
    size_t max_nbytes;
    uint32_t min_count;
} isb__string_query;

/* All strings the kind accepts with at least min_count occurrences at the places; of several with one
 * and the same set of places only the longest.  *found: owned, in bytewise order of where they end in
 * the tree (longer before shorter). */
isb_status isb__count_strings(isb_context *ctx, const isb__string_query *query,
                              isb__found_string **found, size_t *n_found);

#endif
