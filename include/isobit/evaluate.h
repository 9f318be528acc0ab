/* isobit/evaluate.h: how good a model is, in units that compare across tokenizers.
 *
 *   bits/byte  = (sum over targets of -log2 p) / bytes of raw text
 *   bits/token = the same sum / tokens
 *   FLOPs/byte = 2 N / (bytes/token) + 2 N1
 *   FLOPs/byte, all = 2 x every multiply-add for a token / (bytes/token) + M1's likewise
 *
 * The targets of a document are its tokens and its end.  N, N1: parameters of the model and of its
 * M1 without embeddings (the paper's formula); without M1: the first term alone.  All: matrices,
 * attention and logits.
 *
 * Each document is read from its start; with documents longer than the context T, the next T tokens
 * follow with `stride` tokens of overlap unscored, so that each token is scored once.
 * docs/evaluation.md has the details. */
#ifndef ISOBIT_EVALUATE_H
#define ISOBIT_EVALUATE_H

#include <isobit/context.h>
#include <isobit/data.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a model of mixed training reads: docs/training.md. */
typedef enum isb_view { ISB_VIEW_TOKENS = 0, ISB_VIEW_BYTES = 1 } isb_view;

typedef struct isb_evaluate_options {
    size_t struct_size;
    const char *model_dir;
    const char *m1_dir; /* NULL: the one in model_dir */
    isb_corpus_options corpus;
    const char *dataset_prefix;  /* instead of text: a dataset of the same tokenizer */
    size_t context_length;       /* 0: the model's */
    size_t stride;               /* overlap in tokens; 0: none */
    const char *tensorboard_dir; /* write the results there too; NULL: no */
    isb_view view; /* BYTES: tokens are the text's bytes; for models that read them only */
} isb_evaluate_options;
ISB_API void isb_evaluate_options_init(isb_evaluate_options *options);

typedef struct isb_evaluate_result {
    uint64_t n_documents, n_bytes, n_tokens; /* tokens: codes, without boundaries */
    double bits_per_byte, bits_per_token, bytes_per_token;
    double flops_per_byte, flops_per_byte_m1; /* the paper's formula: without and with M1's cost */
    double flops_per_byte_all;                /* every product counted, M1 included */
    double uniform_bits_per_byte;             /* of a model that knows nothing */
    double tokens_per_s, seconds;
} isb_evaluate_result;

/* paths: texts never trained on.  Errors: EMPTY, MISMATCH, those of models and corpora. */
ISB_API isb_status isb_evaluate(isb_context *context, const char *const *paths, size_t n_paths,
                                const isb_evaluate_options *options, isb_evaluate_result *result);

#ifdef __cplusplus
}
#endif
#endif
