/* A list of strings with weights, in bytewise order: what searches give and choosing takes. */
#ifndef ISB_CODEBOOK_CANDIDATES_H
#define ISB_CODEBOOK_CANDIDATES_H

#include "base/context.h"

typedef struct isb__candidates {
    uint8_t *bytes;    /* owned: strings one after another */
    uint64_t *offsets; /* owned: [n + 1] */
    double *weights;   /* owned: [n]; probabilities or counts */
    size_t n;
} isb__candidates;

void isb__candidates_free(isb_context *ctx, isb__candidates *candidates);

#endif
