/* Composed embeddings: a token's vector is its own plus what it shares with tokens that look alike.
 *
 *     table[v] = own[v] + sum over its features f of weight(v, f) * shared[f]
 *
 * The features of a token are hashed pieces of its string (codebook or tokenizer bytes).  The graph
 * sees `table` only, a plain matrix; own [V, C] and shared [n_features, C] belong to the trainer.
 * With W the sparse matrix [V, n_features] of weights, table = own + W shared, d_own = d_table and
 * d_shared = W^T d_table.  Sums are made in a fixed order whatever the number of threads. */
#ifndef ISB_NN_COMPOSE_H
#define ISB_NN_COMPOSE_H

#include "base/context.h"

/* Buckets of the hash in training.  Four times as many were 0.012 bits/byte better in a trial with
 * 8,192 ids, took twice the time with 65,536, and took four times the memory. */
enum { ISB__COMPOSE_FEATURES = 8192 };

/* W by rows; arrays owned.  Class of arithmetic: close. */
typedef struct isb__compose_map {
    isb_context *ctx;
    size_t n_rows, n_features, n_weights; /* n_rows: V */
    uint32_t *row_begin;                  /* [n_rows + 1] into: */
    uint32_t *feature;                    /* [n_weights], ascending in a row */
    float *weight;                        /* [n_weights] */
} isb__compose_map;

/* strings: n of them, string i is bytes[begin[i] .. begin[i+1]); rows from n on (special ids) have
 * no features.  n_features: buckets of the hash.  Errors: NO_MEMORY, RANGE.  compose_features.c says
 * what the features are. */
isb_status isb__compose_map_create(isb_context *ctx, size_t n_rows, size_t n_strings,
                                   const uint64_t *begin, const uint8_t *bytes, size_t n_features,
                                   isb__compose_map **map);
void isb__compose_map_free(isb__compose_map *map);
size_t isb__compose_map_nbytes(const isb__compose_map *map);

/* own, table [n_rows, C]; shared [n_features, C]. */
void isb__compose_forward(const isb__compose_map *map, size_t C, const float *own,
                          const float *shared, float *table);
/* dshared [n_features, C] is written. */
void isb__compose_backward(const isb__compose_map *map, size_t C, const float *dtable,
                           float *dshared);

#endif
