/* A tokenizer: what a dataset's and a model's ids mean, named by a short text.
 *
 *     bytes
 *     window[:b=16][,variant=exact|greedy|delay][,token=16|8|1][,reset=1][,precision=16]
 *     ac[:token=16|8|1][,precision=16]
 *     static-ac[:token=16|8|1][,precision=16]
 *     codebook[:NAME or FILE]
 *     external:NAME,vocab=N
 *
 * window and ac need an M1, static-ac a static one.  A codebook without a name is the library's
 * own, and a path that ends in .isb-codebook needs no "codebook:" before it; the canonical text has
 * the name that the codebook gives itself.  external: ids 0 .. N-2 that another program made, and
 * the boundary N-1; they have no text here.
 * What is not given is the first value shown; but windows that 16 does not divide have token=8.
 * reset=0 is never. The canonical text spells out every parameter; two tokenizers are the same
 * if canonical text and identity are. */
#ifndef ISB_DATA_TOKENIZER_H
#define ISB_DATA_TOKENIZER_H

#include <isobit/codebook.h>

#include "code/codec.h"
#include "nn/model.h"

enum { ISB__SPEC_NBYTES = 256 };
#define ISB__CODEBOOK_SUFFIX ".isb-codebook"
/* The codebook in a model's folder. */
#define ISB__CODEBOOK_NAME "tokenizer" ISB__CODEBOOK_SUFFIX

/* Where a codebook's results lie until the next call. */
typedef struct isb__tokenizer_memory {
    isb_codebook_text *texts;
    uint64_t *offsets;
    uint32_t *ids;
    uint8_t *bytes;
    size_t texts_capacity, offsets_capacity, ids_capacity, bytes_capacity;
} isb__tokenizer_memory;

typedef struct isb__tokenizer {
    isb_context *ctx;
    char spec[ISB__SPEC_NBYTES]; /* canonical */
    char identity[33];           /* of the M1 or the codebook; "" without */
    char *m1_dir;                /* owned; NULL without M1 */
    isb__codec *codec;           /* one of these, or none for external ids */
    isb_codebook *codebook;
    isb__tokenizer_memory memory;
    int64_t n_codes; /* ids 0 .. n_codes-1 are codes; n_codes is the document boundary */
    int64_t n_ids;   /* of a model: n_codes + 1, or more with special ids after the boundary */
    int64_t first_byte_id; /* with raw bytes: dataset_raw.h; else 0 */
    double m1_flops_per_byte;
} isb__tokenizer;

/* What a text says for a codec, checked; *is_static: static-ac.  canonical: [ISB__SPEC_NBYTES].  Errors:
 * ARGUMENT. */
isb_status isb__tokenizer_parse(isb_context *ctx, const char *spec, isb__code_params *params,
                                bool *is_static, char *canonical);

/* m1_dir may be NULL when the spec needs none.  Errors: ARGUMENT (what is wrong in the text,
 * what is allowed), those of the M1. */
isb_status isb__tokenizer_open(isb_context *ctx, const char *spec, const char *m1_dir,
                               isb__tokenizer **tokenizer);
void isb__tokenizer_free(isb__tokenizer *tokenizer);
/* Adds the ids of raw bytes to n_ids.  Errors: UNSUPPORTED (no codebook). */
isb_status isb__tokenizer_add_raw_bytes(isb__tokenizer *tokenizer);
/* The tokenizer of a model folder: its config's text, and the M1 in its "m1" subfolder or the
 * codebook beside the weights; m1_dir, if given, replaces the M1.  Its identity must be the one
 * that the config says (MISMATCH names both). */
isb_status isb__tokenizer_open_for_model(isb_context *ctx, const isb_model *model,
                                         const char *model_dir, const char *m1_dir,
                                         isb__tokenizer **tokenizer);
bool isb__spec_is_codebook(const char *spec);
bool isb__spec_is_external(const char *spec);

/* ---- use (tokenizer_code.c) ---- */

/* As isb__codec_encode(), _decode(): results last until the next call.  Errors: UNSUPPORTED for
 * external ids. */
isb_status isb__tokenizer_encode(isb__tokenizer *tokenizer, size_t n,
                                 const isb__bytes_view *documents, isb__encoded *out,
                                 void (*progress)(void *user, double done), void *user);
isb_status isb__tokenizer_decode(isb__tokenizer *tokenizer, size_t n,
                                 const isb__ids_view *documents, size_t limit_nbytes,
                                 isb__decoded *out, void (*progress)(void *user, double done),
                                 void *user);

/* One document's ids as they come: the bytes that each settles, maybe none.  Errors: UNSUPPORTED
 * for ac and external ids; CORRUPT for an id out of range, which is ignored. */
typedef struct isb__token_stream {
    isb__tokenizer *tokenizer;
    isb__decode_stream *codec;
} isb__token_stream;
isb_status isb__token_stream_open(isb__tokenizer *tokenizer, isb__token_stream *stream);
isb_status isb__token_stream_push(isb__token_stream *stream, uint32_t id, const uint8_t **bytes,
                                  size_t *nbytes);
void isb__token_stream_close(isb__token_stream *stream);

/* Is decode(ids of x, ids of y) == x, y?  Where it is not, a file of ids must keep documents
 * apart. */
bool isb__tokenizer_is_concatenable(const isb__tokenizer *tokenizer);
/* All 0 where there is no codec. */
void isb__tokenizer_stats(const isb__tokenizer *tokenizer, isb__codec_stats *stats);
void isb__tokenizer_memory_free(isb_context *ctx, isb__tokenizer_memory *memory);

#endif
