/* Inference: many independent streams with key/value caches, evaluated as one ragged batch.
 *
 * Exact class: with exact-class kernels throughout, a row's logits are the same bits whatever
 * else is in the batch, however the bytes were split into calls, on every tier and thread
 * count.  Attention reaches back over the last context_length positions (a sliding window over
 * a ring of keys and values; the positions keep growing).  Rotary angles come from isobit's own
 * deterministic sine and cosine, so they too are the same everywhere. */
#ifndef ISB_NN_ENGINE_H
#define ISB_NN_ENGINE_H

#include "nn/model.h"

typedef struct isb__engine isb__engine;

/* How far a stream can be rewound, in tokens, counted from the furthest position it has reached. */
enum { ISB__ENGINE_HISTORY = 512 };

/* model: borrowed, unchanged, must outlive.  max_rows: tokens in one evaluate call are
 * processed in groups of at most this many (0: 512; no more than 512). */
isb_status isb__engine_create(isb_context *ctx, const isb_model *model, size_t n_streams,
                              size_t max_rows, isb__engine **engine);
void isb__engine_free(isb__engine *engine);
size_t isb__engine_nbytes(const isb__engine *engine);

/* n_logits: logits are wanted for the last n_logits (<= n_tokens) tokens.  With n_tokens == 0 it
 * may be 1: those of the stream's last token once more. */
typedef struct isb__engine_request {
    size_t stream;
    int restart;           /* empty the stream first */
    const int32_t *tokens; /* [n_tokens] to append */
    size_t n_tokens, n_logits;
} isb__engine_request;

/* Calls sink(user, request index, index among its logits, logits) once for each wanted row, on
 * worker threads, in no order; logits: [V] float32, valid during the call. */
typedef void (*isb__logits_sink)(void *user, size_t request, size_t row, const float *logits);
/* Streams are distinct.  Errors: CANCELLED (the streams of the call are then undefined: restart
 * them), RANGE (an id; nothing was evaluated). */
isb_status isb__engine_evaluate(isb__engine *engine, size_t n, const isb__engine_request *requests,
                                isb__logits_sink sink, void *user);
/* Forget the last n tokens; n <= min(tokens since restart, ISB__ENGINE_HISTORY).  The ring
 * keeps context_length + history keys. Errors: RANGE. */
isb_status isb__engine_rewind(isb__engine *engine, size_t stream, size_t n);
/* Tokens since the restart. */
size_t isb__engine_position(const isb__engine *engine, size_t stream);

#endif
