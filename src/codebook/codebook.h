/* The codebook object inside the library; the public side is isobit/codebook.h. */
#ifndef ISB_CODEBOOK_CODEBOOK_H
#define ISB_CODEBOOK_CODEBOOK_H

#include <isobit/codebook.h>

#include "base/context.h"

/* From strings that are already sorted bytewise, distinct and contain every single byte.  ids NULL: the order;
 * otherwise the id of each string (its canonical one), and decoded[0 .. n_codes) the index of the string each id
 * decodes to or SIZE_MAX (an id without text: decoding it is a RANGE error).  All borrowed.
 *
 * With ids, a string may also be a *cut*: its id is that of a shorter string which it begins with.  Where it is the
 * longest match, the text gets this id and goes on after the shorter string (delay windows, docs/codebooks.md). */
typedef struct isb__codebook_content {
    const uint8_t *bytes;
    const uint64_t *offsets; /* [n_strings + 1] */
    size_t n_strings; /* cuts included */
    const uint32_t *ids;
    const size_t *decoded;
    size_t n_codes; /* == n_strings when ids is NULL */
} isb__codebook_content;
isb_status isb__codebook_from_sorted(isb_context *ctx, const isb__codebook_content *content,
                                     const isb_codebook_create_options *options,
                                     isb_codebook **codebook);

/* The definition of encoding, for tests and benchmarks: walks from each place as far as any string goes, and takes
 * the longest; if that is a cut, then the string it stands for.  ids: [nbytes].  Returns the number of ids. */
size_t isb__codebook_encode_naive(const isb_codebook *codebook, const uint8_t *text, size_t nbytes,
                                  uint32_t *ids);

#endif
