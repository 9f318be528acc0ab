/* The paper's 16-bit windows as a table: every string that the coder can cut, with the coder's own number. */
#ifndef ISB_CODEBOOK_WINDOWS_H
#define ISB_CODEBOOK_WINDOWS_H

#include "code/cdf.h"
#include "code/codec.h"
#include "codebook/candidates.h"

/* strings: in bytewise order, those the encoder can emit; codes: [strings->n], the id of each (owned).
 * decoded: [n_codes] for every id 0 .. n_codes-1 the index into *strings of what the coder decodes it to, or
 * SIZE_MAX where it decodes to something the encoder never emits or to nothing (owned).
 * params: equal-info, window_nbits == token_nbits == 16 (tests: fewer), reset every window; exact or delay.
 * Errors: UNSUPPORTED (another code). */
isb_status isb__compile_windows(isb_context *ctx, const isb__cdf_source *source,
                                const isb__code_params *params, isb__candidates *strings,
                                uint32_t **codes, size_t **decoded);

#endif
