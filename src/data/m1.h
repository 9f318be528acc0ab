/* M1 as a source of CDFs: joins nn (engine) and code (cdf).  A folder holds either a
 * transformer over bytes (V = 257) or, with "model_type": "isobit-static" in its config.json,
 * byte counts (257 of them, under "counts"). */
#ifndef ISB_DATA_M1_H
#define ISB_DATA_M1_H

#include "code/cdf.h"
#include "nn/model.h"

/* Opens the folder's model as a CDF source with n_streams contexts (0: 64; a static M1 has its
 * own number).  The source owns everything.  identity covers the weights, the context length
 * and the quantisation of the CDF. Errors: those of isb_model_load(); SHAPE if it is not a byte
 * model. */
isb_status isb__m1_open(isb_context *ctx, const char *dir, size_t n_streams,
                        isb__cdf_source *source);
/* From a model in memory (borrowed; must outlive the source). */
isb_status isb__m1_from_model(isb_context *ctx, const isb_model *model, size_t n_streams,
                              isb__cdf_source *source);
/* 2 * parameters without embeddings, per byte; 0 for a static M1. */
isb_status isb__m1_flops_per_byte(isb_context *ctx, const char *dir, double *flops);
/* Byte counts of a corpus as an M1 folder, written whole; replaces what is there.  counts:
 * [257], the last one documents. Errors: EMPTY if all are 0. */
isb_status isb__m1_write_static(isb_context *ctx, const char *dir, const uint64_t *counts);

#endif
