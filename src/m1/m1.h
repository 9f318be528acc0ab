/* M1: a byte model quantised to int8, as docs/m1.md defines it, and the source of CDFs that it is for codes.
 *
 * An isb__m1 is read-only after it was made and may be shared by any number of sources and threads.
 */
#ifndef ISB_M1_M1_H
#define ISB_M1_M1_H

#include "code/cdf.h"
#include "nn/model.h"

typedef struct isb__m1_matrix {
    size_t n, k;
    const int8_t *q; /* [n, k] */
    const float *s;  /* [n] */
} isb__m1_matrix;

typedef struct isb__m1_layer {
    const float *norm1, *norm2; /* [C] */
    isb__m1_matrix qkv, o, gate_up, down;
    const float *bias; /* [H, 32]; NULL with rotary positions */
} isb__m1_layer;

typedef struct isb__m1 {
    isb_context *ctx;
    isb_model_config config;
    char name[33];
    isb__id128 identity;
    isb__m1_matrix embed, head; /* head == embed when tied */
    isb__m1_layer *layers;      /* [L] */
    const float *norm;          /* [C] */
    void *block;                /* all weights */
} isb__m1;

/* Quantises a byte model.  Errors: SHAPE (not a byte model, or sizes outside docs/m1.md; says which), RANGE (an infinite or NaN weight). */
isb_status isb__m1_from_model(isb_context *ctx, const isb_model *model, const char *name,
                              isb__m1 **m1);
/* NAME.isb-m1 in memory.  name: for errors.  Errors: FORMAT, VERSION, CORRUPT, SHAPE. */
isb_status isb__m1_from_bytes(isb_context *ctx, const char *name, const uint8_t *data,
                              size_t nbytes, isb__m1 **m1);
/* The file's bytes: isb__alloc, caller's. */
isb_status isb__m1_to_bytes(const isb__m1 *m1, uint8_t **data, size_t *nbytes);
/* path: a model's folder, NAME.isb-m1, or the name of the M1 in the library ("english-3m").  Errors: those of loading. */
isb_status isb__m1_load(isb_context *ctx, const char *path, isb__m1 **m1);
/* The M1 in the library. */
const uint8_t *isb__m1_released(size_t *nbytes);
void isb__m1_free(isb__m1 *m1);

/* ---- the engine: streams, each with its cache of keys and values ----
 *
 * Streams belong to threads: `evaluate` works on the calling thread alone, and any number of threads may be in it at
 * once as long as their streams and `worker` numbers are different. */
typedef struct isb__m1_engine isb__m1_engine;
/* m1: borrowed, must outlive.  history: how far a stream can be rewound, in bytes, counted from the furthest position
 * it has reached. */
isb_status isb__m1_engine_create(isb_context *ctx, const isb__m1 *m1, size_t n_streams,
                                 size_t n_workers, size_t history, isb__m1_engine **engine);
void isb__m1_engine_free(isb__m1_engine *engine);
/* Requests as in code/cdf.h (bytes in, CDFs of 257 symbols out): distinct streams.  Errors, without a text: CANCELLED,
 * and RANGE for a rewind too far. */
isb_status isb__m1_engine_evaluate(isb__m1_engine *engine, size_t worker, size_t n,
                                   const isb__cdf_request *requests);
isb_status isb__m1_engine_rewind(isb__m1_engine *engine, size_t stream, size_t n);
size_t isb__m1_engine_nbytes(const isb__m1_engine *engine);

/* ---- as a source of CDFs ---- */
enum { ISB__M1_HISTORY = 512 };
/* path as in isb__m1_load(), or a folder of byte counts ("model_type": "isobit-static").  n_streams 0: a good number for
 * this model and machine.  The source owns everything. */
isb_status isb__m1_open(isb_context *ctx, const char *path, size_t n_streams,
                        isb__cdf_source *source);
/* From an M1 in memory, which the source then owns if `take`. */
isb_status isb__m1_source(isb_context *ctx, isb__m1 *m1, int take, size_t n_streams,
                          isb__cdf_source *source);
/* 2 * parameters without embeddings, per byte; 0 for counts. */
isb_status isb__m1_flops_per_byte(isb_context *ctx, const char *path, double *flops);
/* Byte counts of a corpus as an M1 folder, written whole; replaces what is there.  counts: [257], the last one
 * documents.  Errors: EMPTY if all are 0. */
isb_status isb__m1_write_static(isb_context *ctx, const char *dir, const uint64_t *counts);

#endif
