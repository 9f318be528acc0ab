/* Model folders in Hugging Face form: config.json (with an "isobit" section), model.safetensors.
 * safetensors metadata carries "isobit.checksum.<tensor>" (XXH3-64 of its bytes), so that a
 * flipped bit is named. */
#ifndef ISB_NN_CHECKPOINT_H
#define ISB_NN_CHECKPOINT_H

#include "nn/model.h"

/* Writes the two files into an existing folder (the caller commits the folder: base/io.h
 * isb__dir_commit). */
isb_status isb__model_save(isb_context *ctx, const isb_model *model, const char *dir);

/* Loose tensors in a safetensors file (optimiser state). */
typedef struct isb__tensor_ref {
    const char *name;
    size_t rows, cols;
    float *data;
} isb__tensor_ref;
isb_status isb__safetensors_write(isb_context *ctx, const char *path, size_t n,
                                  const isb__tensor_ref *tensors);
/* Reads the named tensors into their data; every one must be there with that shape; checksums
 * are verified.  F16 and BF16 become float32; tensors that are not asked for are left alone.
 * Errors: FORMAT, CORRUPT, SHAPE, VERSION, NOT_FOUND. */
isb_status isb__safetensors_read(isb_context *ctx, const char *path, size_t n,
                                 const isb__tensor_ref *tensors);
/* The same; *ours: the file was written by isb__safetensors_write(), so every tensor's checksum
 * was there. */
isb_status isb__safetensors_read_from(isb_context *ctx, const char *path, size_t n,
                                      const isb__tensor_ref *tensors, int *ours);

/* What config.json says. */
typedef struct isb__config_file {
    isb_model_config config;
    char tokenizer[256], tokenizer_identity[33];
    int64_t first_byte_id; /* 0: no raw bytes */
    int64_t boundary;  /* -1: the file does not say */
    char identity[33]; /* of the model it was written for; "" if it does not say */
} isb__config_file;
isb_status isb__config_json_write(isb_context *ctx, const char *path, const isb__config_file *file);
/* Errors: NOT_FOUND, CORRUPT (not JSON), FORMAT (not a model's), UNSUPPORTED (a model that
 * isobit has not), VERSION. */
isb_status isb__config_json_read(isb_context *ctx, const char *path, isb__config_file *file);

#endif
