/* The model: a configuration, one block of float32 parameters, and the list of tensors in it. */
#ifndef ISB_NN_MODEL_H
#define ISB_NN_MODEL_H

#include <string.h>

#include <isobit/model.h>

#include "base/context.h"
#include "base/hash.h"

typedef struct isb__tensor {
    char name[96];        /* Hugging Face name: "model.layers.0.self_attn.q_proj.weight" */
    size_t rows, cols;    /* [rows, cols] row-major; a vector has rows == 1 and is written as 1-D */
    size_t offset, count; /* in floats, into params; offsets are multiples of 16 */
    int is_vector;
    int decay; /* weight decay applies (matrices, not norms nor biases) */
} isb__tensor;

/* Pointers of one layer into a block of parameters or of gradients, all [out, in] row-major. */
typedef struct isb__layer_params {
    float *norm1;         /* [C]    input_layernorm */
    float *q, *k, *v, *o; /* [C, C] */
    float *norm2;         /* [C]    post_attention_layernorm */
    float *gate, *up;     /* [F, C] */
    float *down;          /* [C, F] */
    float *bias;          /* [H, 32] T5 position bias; NULL with RoPE */
} isb__layer_params;

typedef struct isb__params {
    float *embed;              /* [V, C] */
    isb__layer_params *layers; /* [L] */
    float *norm;               /* [C] */
    float *head;               /* [V, C]; == embed when tied */
} isb__params;

struct isb_model {
    isb_context *ctx;
    isb_model_config config;
    size_t n_tensors, n_floats; /* n_floats includes alignment gaps, which stay 0 */
    isb__tensor *tensors;
    float *data;        /* [n_floats], 64-byte aligned */
    isb__params params; /* pointers into data */
    void *layer_block;
    /* from the "isobit" section of config.json: what the ids mean */
    char tokenizer[256];
    char tokenizer_identity[33];
    /* Of 256 ids of raw bytes, followed by the markers <|tokens|> and <|bytes|>; 0: none. */
    int64_t first_byte_id;
    int64_t boundary; /* the id at a document's start and end; as created: the last, V - 1 */
};

/* Under what name a file holds tokenizer_identity: what it is the identity of. */
static inline const char *isb__identity_key(const char *tokenizer) {
    return strncmp(tokenizer, "codebook:", 9) == 0 ? "codebook_identity" : "m1_identity";
}

/* The list of tensors only, for estimates: no memory for the parameters, `data` is NULL. */
isb_status isb__model_create_shape(isb_context *ctx, const isb_model_config *config,
                                   isb_model **model);
/* Zero parameters.  Returns owned. */
isb_status isb__model_create(isb_context *ctx, const isb_model_config *config, isb_model **model);
/* Normal init: embeddings and matrices N(0, 0.02) scaled for depth as in GPT-2/Llama practice (o
 * and down by 1/sqrt(2 L)), norms 1; position bias 0.  A pure function of seed and
 * configuration. */
void isb__model_init_weights(isb_model *model, uint64_t seed);
/* Lays params-like pointers into another block of the same n_floats (gradients, moments).
 * layers: [L], caller's. */
void isb__model_point(const isb_model *model, float *data, isb__layer_params *layers,
                      isb__params *params);
int64_t isb__model_count(const isb_model_config *config, int with_embeddings);
/* Hash of configuration and exact weights (not of the tokenizer strings); zero if there is no
 * memory for the hash. */
isb__id128 isb__model_identity(const isb_model *model);

/* Multiply-adds counted as 2 FLOPs, per token, forward only: matrices, attention at mean context
 * (T+1)/2, logits. */
typedef struct isb__model_flops {
    double matrices, attention, logits;
} isb__model_flops;
isb__model_flops isb__model_forward_flops(const isb_model_config *config, double mean_context);

#endif
