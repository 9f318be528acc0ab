/* Draws a token from logits: temperature, then the top k, then the smallest set of probability
 * top_p (the nucleus of Holtzman et al. 2020), then chance.  Exact class: the same logits and
 * seed give the same token everywhere. */
#ifndef ISB_GENERATE_SAMPLING_H
#define ISB_GENERATE_SAMPLING_H

#include "base/context.h"

typedef struct isb__sampler isb__sampler;

typedef struct isb__sampling {
    double temperature; /* 0: the most probable token */
    double top_p;       /* 0 < top_p <= 1; 1: all */
    size_t top_k;       /* 0: all */
    uint64_t seed;
} isb__sampling;

isb_status isb__sampler_create(isb_context *ctx, size_t V, const isb__sampling *sampling,
                               isb__sampler **sampler);
void isb__sampler_free(isb__sampler *sampler);
/* logits: [V].  banned: an id that is never drawn, or -1.  Of equals, the lowest id comes first. */
size_t isb__sampler_draw(isb__sampler *sampler, const float *logits, ptrdiff_t banned);

#endif
