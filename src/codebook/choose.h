/* Which strings a codebook gets, by what greedy longest match does with them on a corpus.
 *
 * A parse of the corpus tells how often each string is used and where windows really start.  From that:
 *   cost of dropping a string  = its uses * (tokens its bytes take without it - 1)
 *   gain of adding a string    = its occurrences at window starts that have no longer string there
 *                                * (tokens its bytes take now - 1)
 * Both ignore what follows downstream, which the next parse then shows; a round adds the best strings
 * and drops the cheapest, and the best set so far is kept.  docs/codebooks.md has the reasons.
 */
#ifndef ISB_CODEBOOK_CHOOSE_H
#define ISB_CODEBOOK_CHOOSE_H

#include <isobit/codebook.h>

#include "codebook/candidates.h"
#include "codebook/suffixes.h"

typedef struct isb__choose_job {
    isb_context *ctx;
    const isb__text *text;     /* NULL: no corpus, M1 alone */
    const isb__candidates *m1; /* strings and probabilities of an M1, bytewise order; or NULL */
    const isb__kind *kind;
    size_t n_strings; /* wanted, the 256 single bytes included */
    size_t max_nbytes;
    int n_rounds;
    bool by_use;
    void (*report)(void *user, const isb_codebook_round *round); /* may be NULL */
    void *report_user;
} isb__choose_job;

/* The chosen strings, n_strings of them (fewer if the corpus has not so many), in bytewise order, with
 * uses as weights; owned. */
isb_status isb__choose(const isb__choose_job *job, isb__candidates *chosen);

#endif
