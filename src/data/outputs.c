/* One to three datasets that appear together: see outputs.h. */
#include "data/outputs.h"

#include <unistd.h>

#include "data/dataset_meta.h"
#include "data/tokenizer.h"

isb_status isb__outputs_prefix(isb_context *ctx, const char *prefix, size_t count, size_t i,
                               char **output) {
    static const char *const sides[ISB__OUTPUTS_MAX] = {".train", ".valid", ".test"};
    return isb__dataset_path(ctx, prefix, count > 1 ? sides[i] : "", output);
}

isb_status isb__outputs_open(isb_context *ctx, const char *prefix, bool split_files,
                             const isb_dataset_info *what, const isb__id_strings *strings,
                             isb__outputs *outputs) {
    *outputs = (isb__outputs){.ctx = ctx, .count = split_files ? 3 : 1};
    for (size_t i = 0; i < outputs->count; ++i) {
        ISB_TRY(isb__outputs_prefix(ctx, prefix, outputs->count, i, &outputs->prefixes[i]));
        ISB_TRY(isb__dataset_writer_open(ctx, outputs->prefixes[i], what, strings,
                                         &outputs->writers[i]));
    }
    return ISB_OK;
}

void isb__outputs_remove(const isb__outputs *outputs) {
    for (size_t i = 0; i < outputs->count; ++i) isb__dataset_remove(outputs->prefixes[i]);
}

/* The codebook goes beside the datasets, so that they can be trained on without its file. */
static isb_status save_codebook(const isb__outputs *o, const char *prefix,
                                const isb_codebook *codebook, char **path) {
    *path = NULL;
    if (!codebook) return ISB_OK;
    ISB_TRY(isb__dataset_path(o->ctx, prefix, ISB__CODEBOOK_SUFFIX, path));
    return isb_codebook_save(o->ctx, codebook, *path);
}

isb_status isb__outputs_commit(isb__outputs *o, const char *prefix, const isb_codebook *codebook) {
    char *path = NULL;
    size_t n_done = 0;
    isb_status status = save_codebook(o, prefix, codebook, &path);
    for (; n_done < o->count && status == ISB_OK; ++n_done) {
        status = isb__dataset_writer_commit(o->writers[n_done]);
        o->writers[n_done] = NULL;
    }
    for (size_t i = 0; i + 1 < n_done && status != ISB_OK; ++i) isb__dataset_remove(o->prefixes[i]);
    if (path && status != ISB_OK) unlink(path);
    isb__free(o->ctx, path);
    return status;
}

void isb__outputs_free(isb__outputs *outputs) {
    for (size_t i = 0; i < outputs->count; ++i) {
        isb__dataset_writer_abort(outputs->writers[i]);
        isb__free(outputs->ctx, outputs->prefixes[i]);
    }
    *outputs = (isb__outputs){0};
}
