/* isobit/model.h: the transformer that serves as M1 and M2, as a folder in Hugging Face form.
 *
 *     isb_model *model = NULL;
 *     if (isb_model_load(context, "out/m2", &model) != ISB_OK) ...
 *     isb_model_info info;
 *     isb_model_get_info(model, &info);
 *     isb_model_free(model);
 *
 * A model that is only read may be shared by contexts in several threads.
 */
#ifndef ISOBIT_MODEL_H
#define ISOBIT_MODEL_H

#include <isobit/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct isb_model isb_model;

typedef enum isb_activation { ISB_ACTIVATION_SILU = 0, ISB_ACTIVATION_RELU = 1 } isb_activation;
/* ROPE: rotary embedding (Llama).  T5: a learned scalar bias per head and distance bucket, 32 buckets, one table per
 * layer (the paper's setting). */
typedef enum isb_position { ISB_POSITION_ROPE = 0, ISB_POSITION_T5 = 1 } isb_position;

/* Decoder-only, pre-norm (RMS), no biases, gated MLP (three matrices). */
typedef struct isb_model_config {
    size_t struct_size;
    int64_t vocab_size; /* V: codes, the document boundary, and special ids after it if there are */
    int64_t hidden_size;       /* C, a multiple of 4 */
    int64_t n_layers;          /* L */
    int64_t n_heads;           /* H; head size C / H, even, at most 256 */
    int64_t intermediate_size; /* F, a multiple of 4 */
    int64_t
        context_length; /* T: positions trained on; attention never reaches further back than T */
    double rope_theta;  /* 10000 */
    double norm_eps;    /* 1e-6 */
    isb_activation activation;
    isb_position position;
    int tie_embeddings; /* 1: the output matrix is the embedding */
} isb_model_config;

/* Sizes by name, without embeddings: nano (C 128, 4 heads, 2 layers, F 512), tiny (192, 6, 3, 768), 3m (256, 4, 3,
 * 1024), 25m (512, 8, 6, 2048), 113m (768, 12, 12, 3072), 403m (1024, 16, 24, 4096), 2b (2048, 32, 24, 8192).
 * Sets every field; vocab_size to 257 and context_length to 512.  Errors: ARGUMENT, with the list of names. */
ISB_API isb_status isb_model_config_init(isb_context *context, const char *size_name,
                                         isb_model_config *config);
/* Errors: RANGE or SHAPE, with the field, the value and what is allowed. */
ISB_API isb_status isb_model_config_check(isb_context *context, const isb_model_config *config);

typedef struct isb_model_info {
    isb_model_config config;
    int64_t n_parameters; /* all */
    int64_t
        n_parameters_no_embed; /* without embedding and output matrix: the N of FLOPs = 2 N per token */
    char identity[33];         /* hash of exact weights and configuration, hexadecimal */
    char tokenizer[256];       /* "bytes", "window:b=16,...": what its ids mean */
    char tokenizer_identity[33]; /* the M1 or codebook behind the tokenizer; "" if none */
} isb_model_info;

/* Returns owned.  Errors: NOT_FOUND, FORMAT (not a model folder), CORRUPT (truncated or flipped: the text names the
 * tensor or checksum), SHAPE, NO_MEMORY. */
ISB_API isb_status isb_model_load(isb_context *context, const char *dir, isb_model **model);
ISB_API void isb_model_free(isb_model *model);
ISB_API void isb_model_get_info(const isb_model *model, isb_model_info *info);

#ifdef __cplusplus
}
#endif
#endif
