/* isobit/generate.h: continues a prompt.  The prompt is encoded, the model samples tokens, and the
 * tokens' bytes are given as soon as they are settled. */
#ifndef ISOBIT_GENERATE_H
#define ISOBIT_GENERATE_H

#include <isobit/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct isb_generate_options {
    size_t struct_size;
    const char *model_dir;
    const char *m1_dir;    /* NULL: the one in model_dir */
    const uint8_t *prompt; /* may be empty: the start of a document */
    size_t prompt_nbytes;
    uint64_t max_tokens,
        max_nbytes;     /* first of the two; 0: no limit, but 256 tokens if both are 0 */
    double temperature; /* 0: the most probable; negative (as after _init()): 1 */
    double top_p;       /* 0: 1 */
    int64_t top_k;      /* 0: all */
    uint64_t seed;
    int ignore_end; /* go on when the model ends the document */
    /* Called with each settled run of bytes; return non-zero to stop.  NULL: no streaming. */
    int (*write)(void *user, const uint8_t *bytes, size_t nbytes);
    void *write_user;
} isb_generate_options;
ISB_API void isb_generate_options_init(isb_generate_options *options);

typedef struct isb_generate_result {
    uint64_t n_prompt_tokens, n_tokens, n_bytes;
    double seconds, tokens_per_s, bytes_per_s; /* of the new tokens, without reading the prompt */
    int ended;                                 /* the model ended the document */
} isb_generate_result;

/* One model, prompt and seed give one text on every machine.  result may be NULL.  Errors: those of
 * models; UNSUPPORTED for tokenizers that cannot be decoded while they grow (ac), or
 * at all (ids of another program). */
ISB_API isb_status isb_generate(isb_context *context, const isb_generate_options *options,
                                isb_generate_result *result);

#ifdef __cplusplus
}
#endif
#endif
