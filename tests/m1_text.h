/* Text that a given M1 finds likely: noise, decoded with it.  Its code is shorter than zstd's. */
#ifndef ISB_TESTS_M1_TEXT_H
#define ISB_TESTS_M1_TEXT_H

#include "base/rng.h"
#include "check.h"
#include "code/codec.h"
#include "m1/m1.h"

static inline void m1_text(isb_context *ctx, const char *m1_path, uint64_t seed, uint8_t *bytes,
                           size_t nbytes) {
    enum { N = 500 };
    isb__rng rng;
    isb__cdf_source source;
    isb__codec *codec = NULL;
    isb__code_params params;
    isb__rng_seed(&rng, seed);
    isb__code_params_init(&params, ISB__CODE_AC);
    CHECK_OK(ctx, isb__m1_open(ctx, m1_path, 1, &source));
    CHECK_OK(ctx, isb__codec_create(ctx, &params, &source, &codec));
    for (size_t at = 0; at < nbytes;) {
        uint32_t ids[N];
        isb__decoded decoded;
        const isb__ids_view view = {ids, N};
        for (size_t i = 0; i < N; i++) ids[i] = (uint32_t)isb__rng_below(&rng, 256);
        CHECK_OK(ctx, isb__codec_decode(codec, 1, &view, nbytes - at, &decoded, NULL, NULL));
        memcpy(bytes + at, decoded.bytes, decoded.nbytes);
        at += decoded.nbytes;
    }
    isb__codec_free(codec);
}

#endif
