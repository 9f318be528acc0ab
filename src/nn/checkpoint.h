/* Model folders in Hugging Face form: config.json (with an "isobit" section), model.safetensors.
 * safetensors metadata carries "isobit.checksum.<tensor>" (XXH3-64 of its bytes), so that a flipped bit is named. */
#ifndef ISB_NN_CHECKPOINT_H
#define ISB_NN_CHECKPOINT_H

#include "nn/model.h"

/* Writes the two files into an existing folder (the caller commits the folder: base/io.h isb__dir_commit). */
isb_status isb__model_save(isb_context *ctx, const isb_model *model, const char *dir);

/* Loose tensors in a safetensors file (optimiser state). */
typedef struct isb__tensor_ref { const char *name; size_t rows, cols; float *data; } isb__tensor_ref;
isb_status isb__safetensors_write(isb_context *ctx, const char *path, size_t n, const isb__tensor_ref *tensors);
/* Reads the named tensors into their data; every one must be there with that shape; checksums are verified. */
isb_status isb__safetensors_read(isb_context *ctx, const char *path, size_t n, const isb__tensor_ref *tensors);

#endif
