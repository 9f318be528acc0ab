/* What the two halves of the engine share: engine.c (streams, requests, groups) and
 * engine_forward.c (the layers). */
#ifndef ISB_NN_ENGINE_STATE_H
#define ISB_NN_ENGINE_STATE_H

#include "nn/engine.h"
#include "nn/matmul.h"
#include "nn/rope.h"

enum { ENGINE_NO_LOGITS = -1, ENGINE_BLOCK = 64 };

/* A token in work. */
typedef struct engine_row {
    size_t stream, position, request;
    ptrdiff_t logits; /* index among its request's logits, or ENGINE_NO_LOGITS */
    int32_t token;
    const float *cosines, *sines; /* [D/2] of its position; NULL with T5 */
} engine_row;

typedef struct engine_layer {
    isb__packed_b qkv;          /* [C, 3C] */
    isb__packed_b o;            /* [C, C] */
    isb__packed_b gate_up;      /* [C, 2F] */
    isb__packed_b down;         /* [F, C] */
    const float *norm1, *norm2; /* [C], the model's */
    float *bias; /* [H, T]: of distance T-1 first, of distance 0 last; NULL with RoPE */
} engine_layer;

typedef struct engine_stream {
    size_t position; /* tokens since the restart */
    size_t top;      /* furthest position reached: older keys than top - ring are overwritten */
} engine_stream;

/* Rows [begin, end) of a group, computed by one thread, or by all (thread ==
 * ENGINE_ALL_THREADS). */
enum { ENGINE_ALL_THREADS = -1 };
typedef struct engine_slice {
    size_t begin, end;
    int thread;
} engine_slice;

struct isb__engine {
    isb_context *ctx;
    const isb_model *model;
    const isb__ops *ops;
    size_t C, H, D, L, F, V, T; /* D: head size */
    size_t ring;                /* slots of keys: T + history, in whole blocks */
    size_t head_stride;         /* floats from a head's block of keys to the next head's */
    size_t n_streams, max_rows, logits_rows, table_rows, nbytes;

    engine_layer *layers;
    isb__packed_b head; /* [C, V] */
    void *weights;      /* block of packed matrices */
    isb__matmul_scratch *scratch;
    isb__rope rope;
    float *cosines, *sines; /* [table_rows, D/2] of the first positions */

    /* Keys (rotated) and values: [ring / ENGINE_BLOCK, n_streams, L, 2 (keys, values), H] blocks
     * of [ENGINE_BLOCK, D]; position p is in slot p % ring.  The first blocks of all streams lie
     * together, so short contexts touch little memory, however long the ring. */
    engine_stream *streams;
    float *cache;
    int32_t *tokens; /* [n_streams, ring] */

    /* What a stream holds after its first token, for the token that the first stream began with
     * (the boundary, as a rule): keys and values [L, 2, H, D] and logits [V].  Codes of windows
     * restart every few bytes. */
    int32_t first_token; /* -1: not known yet */
    float *first_cache, *first_logits;

    /* The group in work. */
    engine_row *rows; /* [max_rows], the rows of a stream together and in order */
    size_t n_rows;
    engine_slice *slices; /* [max_rows] */
    size_t n_slices;
    float *row_cosines, *row_sines; /* [max_rows, D/2] for positions beyond the table */
    float *x;                       /* [max_rows, C] residual */
    float *y;                       /* [max_rows, C] input of a product */
    float *qkv;                     /* [max_rows, 3C] */
    float *gate_up;                 /* [max_rows, 2F] */
    float *h;                       /* [max_rows, F] */
    float *scores;                  /* [threads, H, T + 1]: of attention, and their sums */
    float *logits;                  /* [threads, logits_rows, V] */
    isb__logits_sink sink;
    void *sink_user;
    void *block; /* all of the above from streams on, one allocation */
};

/* The whole model on the rows of a slice, down to the sink. */
void isb__engine_forward(isb__engine *e, engine_slice slice);

/* Keys (which == 0) or values (1) of a head, from the slot on to the end of its block: [, D]. */
static inline float *engine_cache(const isb__engine *e, size_t stream, size_t layer, size_t which,
                                  size_t head, size_t slot) {
    const size_t block = (slot / ENGINE_BLOCK * e->n_streams + stream) * e->L + layer;
    return e->cache + ((block * 2 + which) * e->H + head) * e->head_stride +
           slot % ENGINE_BLOCK * e->D;
}

#endif
