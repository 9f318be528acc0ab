/* M1 on a GPU: the integers of docs/m1.md, for thousands of streams at once.
 *
 * A GPU is fast when it has much to do in one call: give it many streams, or long runs of bytes.
 * Which GPU: "cuda" is the first, "cuda:1" the second. */
#ifndef ISB_CUDA_M1_CUDA_H
#define ISB_CUDA_M1_CUDA_H

#include "m1/m1.h"

typedef struct isb__m1_cuda isb__m1_cuda;

typedef struct isb__m1_cuda_options {
    const char *device;
    size_t n_streams; /* 0: as many as fit, up to 4,096 */
    size_t history;   /* how far a stream can be rewound, in bytes */
    size_t max_rows;  /* bytes of a call are taken in groups of at most this many; 0: 4,096 */
} isb__m1_cuda_options;

/* m1: borrowed, must outlive.  Before it is handed out, the engine's CDFs of a short text are
 * compared with the CPU's.  Errors: ARGUMENT (the device's name), UNSUPPORTED (no such GPU),
 * NO_MEMORY, DEVICE (it failed, or gave other integers than the CPU). */
isb_status isb__m1_cuda_create(isb_context *ctx, const isb__m1 *m1,
                               const isb__m1_cuda_options *options, isb__m1_cuda **engine);
void isb__m1_cuda_free(isb__m1_cuda *engine);
/* As isb__m1_engine_evaluate() and isb__m1_engine_rewind(); one thread at a time, any thread.
 * Errors: CANCELLED, DEVICE; streams are then undefined: restart them.  Of rewind: RANGE. */
isb_status isb__m1_cuda_evaluate(isb__m1_cuda *engine, size_t n, const isb__cdf_request *requests);
isb_status isb__m1_cuda_rewind(isb__m1_cuda *engine, size_t stream, size_t n);
size_t isb__m1_cuda_n_streams(const isb__m1_cuda *engine);
/* Bytes on the device. */
size_t isb__m1_cuda_nbytes(const isb__m1_cuda *engine);
const char *isb__m1_cuda_name(const isb__m1_cuda *engine);

#endif
