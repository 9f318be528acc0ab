/* A tokenizer: what a dataset's and a model's ids mean, named by a short text.
 *
 *     bytes
 *     window[:b=16][,variant=exact|greedy|delay][,token=16|8|1][,reset=1][,precision=16]
 *     ac[:token=16|8|1][,precision=16]
 *     static-ac[:token=16|8|1][,precision=16]
 *
 * window and ac need an M1, static-ac a static one.
 * What is not given is the first value shown; but windows that 16 does not divide have token=8.
 * reset=0 is never. The canonical text spells out every parameter; two tokenizers are the same
 * if canonical text and M1 identity are. */
#ifndef ISB_DATA_TOKENIZER_H
#define ISB_DATA_TOKENIZER_H

#include "code/codec.h"
#include "nn/model.h"

enum { ISB__SPEC_NBYTES = 256 };

typedef struct isb__tokenizer {
    isb_context *ctx;
    char spec[ISB__SPEC_NBYTES]; /* canonical */
    char m1_identity[33];        /* "" without M1 */
    char *m1_dir;                /* owned; NULL without M1 */
    isb__codec *codec;
    int64_t n_codes; /* ids 0 .. n_codes-1 are codes; n_codes is the document boundary */
    double m1_flops_per_byte;
} isb__tokenizer;

/* What a text says, checked; *is_static: static-ac.  canonical: [ISB__SPEC_NBYTES].  Errors:
 * ARGUMENT. */
isb_status isb__tokenizer_parse(isb_context *ctx, const char *spec, isb__code_params *params,
                                bool *is_static, char *canonical);

/* m1_dir may be NULL when the spec needs none.  Errors: ARGUMENT (what is wrong in the text,
 * what is allowed), those of the M1. */
isb_status isb__tokenizer_open(isb_context *ctx, const char *spec, const char *m1_dir,
                               isb__tokenizer **tokenizer);
void isb__tokenizer_free(isb__tokenizer *tokenizer);
/* The tokenizer of a model folder: its config's text and the M1 in its "m1" subfolder; m1_dir,
 * if given, replaces that and must have the same identity (MISMATCH names both). */
isb_status isb__tokenizer_open_for_model(isb_context *ctx, const isb_model *model,
                                         const char *model_dir, const char *m1_dir,
                                         isb__tokenizer **tokenizer);

#endif
