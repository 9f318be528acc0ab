/* The static M1: how often each byte occurs, and how often a document ends. */
#include <inttypes.h>

#include <isobit/train.h>

#include "base/io.h"
#include "m1/m1.h"

static isb_status count(isb_context *ctx, isb_corpus *corpus, isb__progress_state *progress,
                        uint64_t *counts) {
    const uint8_t *text;
    size_t nbytes;
    double done = 0;
    for (;;) {
        ISB_TRY(isb__check_cancel(ctx));
        ISB_TRY(isb_corpus_next(corpus, &text, &nbytes));
        if (!text) break;
        for (size_t i = 0; i < nbytes; ++i) ++counts[text[i]];
        ++counts[ISB__END];
        done += (double)nbytes;
        isb__progress_update(progress, done, "");
    }
    if (done > 0) return ISB_OK;
    return isb__fail(ctx, ISB_ERR_EMPTY, "the corpus has no bytes (%" PRIu64 " empty documents)",
                     counts[ISB__END]);
}

isb_status isb_train_static(isb_context *ctx, const char *const *paths, size_t n_paths,
                            const isb_corpus_options *options, const char *out_dir, int overwrite) {
    isb_corpus *corpus = NULL;
    isb__progress_state progress;
    uint64_t counts[ISB__N_SYMBOLS] = {0};
    if (isb__path_exists(out_dir) && !overwrite) {
        return isb__fail(ctx, ISB_ERR_EXISTS, "%s exists; overwrite it, or choose another folder",
                         out_dir);
    }
    ISB_TRY(isb_corpus_open(ctx, paths, n_paths, options, &corpus));
    isb__progress_begin(&progress, ctx, "count", "byte", 0);
    isb_status status = count(ctx, corpus, &progress, counts);
    isb_corpus_free(corpus);
    if (status == ISB_OK) status = isb__m1_write_static(ctx, out_dir, counts);
    uint64_t n_bytes = 0;
    for (int i = 0; i < ISB__N_BYTES; ++i) n_bytes += counts[i];
    isb__progress_end(&progress, (double)n_bytes, "");
    return status;
}
