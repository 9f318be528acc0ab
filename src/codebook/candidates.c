/* Lists of strings: their memory. */
#include "codebook/candidates.h"

void isb__candidates_free(isb_context *ctx, isb__candidates *candidates) {
    isb__free(ctx, candidates->bytes);
    isb__free(ctx, candidates->offsets);
    isb__free(ctx, candidates->weights);
    *candidates = (isb__candidates){0};
}
