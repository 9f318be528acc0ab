/* The datasets that one preparation writes: PREFIX, or PREFIX.train, PREFIX.valid and PREFIX.test,
 * and the codebook beside them.  All of them appear, or none. */
#ifndef ISB_DATA_OUTPUTS_H
#define ISB_DATA_OUTPUTS_H

#include <isobit/codebook.h>

#include "data/dataset.h"

enum { ISB__OUTPUTS_MAX = 3 };

typedef struct isb__outputs {
    isb_context *ctx;
    size_t count; /* 1, or 3: train, valid, test */
    char *prefixes[ISB__OUTPUTS_MAX];
    isb__dataset_writer *writers[ISB__OUTPUTS_MAX];
} isb__outputs;

/* what, strings: as for isb__dataset_writer_open(). */
isb_status isb__outputs_open(isb_context *ctx, const char *prefix, bool split_files,
                             const isb_dataset_info *what, const isb__id_strings *strings,
                             isb__outputs *outputs);
/* PREFIX.train of 3, or a copy of PREFIX; returns owned. */
isb_status isb__outputs_prefix(isb_context *ctx, const char *prefix, size_t count, size_t i,
                               char **output);
/* When one fails, those already in place are removed.  codebook: saved beside them; may be NULL. */
isb_status isb__outputs_commit(isb__outputs *outputs, const char *prefix,
                               const isb_codebook *codebook);
/* Removes what _commit() put in place. */
void isb__outputs_remove(const isb__outputs *outputs);
/* What is not committed is gone. */
void isb__outputs_free(isb__outputs *outputs);

#endif
