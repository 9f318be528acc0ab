/* The most probable strings of an M1: best-first search of the tree of all strings from its reset state.
 * Probability can only fall along a string, so the search stops when the best open node is less probable than the
 * n-th best string found; nodes are expanded many at a time so that M1 evaluates them together.  Source: Lester et
 * al. 2024 (windows that are reset are nodes of one tree); docs/codebooks.md. */
#ifndef ISB_CODEBOOK_SEARCH_H
#define ISB_CODEBOOK_SEARCH_H

#include "code/cdf.h"
#include "codebook/candidates.h"
#include "codebook/kind.h"

/* The n_wanted most probable strings that the kind accepts, of at most max_nbytes bytes, and all single bytes.
 * weights: the probability that M1's text from the reset state begins with the string.  In bytewise order; returns
 * owned.  The result depends on the source, kind, n_wanted and max_nbytes alone. */
isb_status isb__search_m1(isb_context *ctx, const isb__cdf_source *source, const isb__kind *kind,
                          size_t n_wanted, size_t max_nbytes, isb__candidates *found);

#endif
