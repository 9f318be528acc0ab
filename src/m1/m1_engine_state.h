/* What the two halves of M1's engine share: m1_engine.c (streams, requests, groups of rows) and m1_engine_forward.c (the
 * layers). */
#ifndef ISB_M1_M1_ENGINE_STATE_H
#define ISB_M1_M1_ENGINE_STATE_H

#include "kernels/int8.h"
#include "m1/m1_state.h"
#include "nn/rope.h"

enum {
    M1_GROUP_ROWS = 64, /* their activations stay in a core's L2 */
    M1_CHUNK = 128 /* columns of gate and of up made at a time, so that their sums stay there too */
};

/* A byte in work. */
typedef struct m1_row {
    size_t stream, position;
    uint32_t *cdf; /* [258]; NULL: not wanted */
    int id;
    const float *cosines, *sines; /* [D/2] of its position; NULL with T5 */
} m1_row;

/* W [n, k] in the form of the kernels, with the scales of its rows. */
typedef struct m1_packed {
    size_t n, k;
    void *data;
    const float *s; /* [n], the M1's */
} m1_packed;

typedef struct m1_engine_layer {
    m1_packed qkv, o, down;
    void *gate_up; /* [F / M1_CHUNK] matrices [2 M1_CHUNK, C]: rows of gate, then those of up */
    float
        *bias; /* [H, bias_stride] by distance, T-1 first and 0 at bias_stride - 17; NULL: rotary */
} m1_engine_layer;

typedef struct m1_stream {
    size_t position; /* ids since the restart, the boundary included */
    size_t top;      /* furthest position reached: older slots than top - ring are overwritten */
    char pad[48];    /* neighbours may belong to other threads */
} m1_stream;

/* What one thread works with.  Rows of a stream lie together and in order. */
typedef struct m1_worker {
    m1_row rows[M1_GROUP_ROWS];
    size_t n_rows;
    float s[M1_GROUP_ROWS];         /* scales of y or h */
    float *x;                       /* [rows, C] residual */
    int8_t *y;                      /* [rows, C padded] input of a product */
    int32_t *c;                     /* [rows, widest product] */
    float *qkv;                     /* [3C] of a row */
    int8_t *q;                      /* [rows, H, D padded] queries */
    float *q_scales;                /* [rows, H] */
    int8_t *key, *value;            /* [D padded] of a row and head */
    float *o;                       /* [rows, C] what attention found */
    float *h;                       /* [rows, F] */
    int8_t *hq;                     /* [rows, F padded] */
    float *row_cosines, *row_sines; /* [rows, D/2] for positions beyond the table */
    int32_t *scores, *sums;         /* [slots], [D] of attention */
    float *work;                    /* [slots] */
    uint8_t *high, *low;            /* [slots] */
    float *z;                       /* logits of a row */
    void *block;
} m1_worker;

struct isb__m1_engine {
    isb_context *ctx;
    const isb__m1 *m1;
    const isb__int8_ops *ops;
    size_t C, H, D, L, F, T;
    size_t C_padded, D_padded, F_padded; /* strides of int8 rows */
    size_t widest;                       /* columns of a product */
    size_t ring;                         /* slots of a stream */
    size_t most_slots;   /* that attention looks at: of T positions, in whole groups */
    size_t head_nbytes;  /* of a head's keys, values and their scales */
    size_t chunk_nbytes; /* of a packed matrix of gate and up */
    size_t bias_stride, table_rows;
    size_t n_streams, n_workers, history, nbytes;
    int32_t limit; /* 2^B - 1 */
    float inverse_sqrt_D;

    m1_engine_layer *layers;
    m1_packed head;
    isb__rope rope;
    float *cosines, *sines; /* [table_rows, D/2] of the first positions */
    void *weights;          /* block of all these */

    /* Of [n_streams, L, H] heads, each:
     *     keys [ring, D]    values [ring, D]    scales of keys [2 ring]    of values [2 ring]
     * in the forms of kernels/int8.h; position p is in slot p % ring.  Scales of later rounds are also at ring + slot,
     * so that those of any context lie in one piece. */
    m1_stream *streams;
    uint8_t *cache;
    uint8_t *bytes; /* [n_streams, ring] */
    void *block;

    /* Position 0, the boundary, is the same for all streams: codes of windows restart every few bytes. */
    int8_t *first_keys, *first_values;            /* [L, H, D padded] */
    float *first_key_scales, *first_value_scales; /* [L, H] */
    uint32_t first_cdf[ISB__N_SYMBOLS + 1];

    m1_worker *workers;
};

/* The whole model on the rows of a worker, down to their CDFs. */
void isb__m1_forward(isb__m1_engine *e, m1_worker *w);

/* A head of a stream. */
typedef struct m1_head {
    uint8_t *keys;
    int8_t *values;
    float *key_scales, *value_scales;
} m1_head;

static inline m1_head m1_head_of(const isb__m1_engine *e, size_t stream, size_t layer,
                                 size_t head) {
    uint8_t *at = e->cache + ((stream * e->L + layer) * e->H + head) * e->head_nbytes;
    float *scales = (float *)(void *)(at + 2 * e->ring * e->D);
    return (m1_head){at, (int8_t *)at + e->ring * e->D, scales, scales + 2 * e->ring};
}

static inline void m1_store(const isb__m1_engine *e, const m1_head *head, size_t position,
                            const int8_t *key, float key_scale, const int8_t *value,
                            float value_scale) {
    const size_t slot = position % e->ring, group = slot / ISB__KEY_GROUP * ISB__KEY_GROUP * e->D,
                 again = position < e->ring ? slot : e->ring + slot;
    e->ops->store_key(e->D, key, head->keys + group, slot % ISB__KEY_GROUP);
    e->ops->store_value(e->D, value, head->values + group, slot % ISB__KEY_GROUP);
    head->key_scales[slot] = head->key_scales[again] = key_scale;
    head->value_scales[slot] = head->value_scales[again] = value_scale;
}

#endif
