/* Small models for tests of codes: byte counts after the last `order` bytes (0, 1 or 2, contexts
 * hashed), learned from a text, and a perturbation by a hash of the whole context, so that a code
 * that gives M1 the wrong context, by one byte or by a missed reset, cannot go unnoticed. */
#ifndef ISB_TESTS_TOY_SOURCE_H
#define ISB_TESTS_TOY_SOURCE_H

#include <stdatomic.h>
#include <string.h>

#include "base/context.h"
#include "base/rng.h"
#include "code/cdf.h"

enum { TOY_CONTEXTS = 512, TOY_WORKERS = 8 };

typedef struct toy_stream {
    uint8_t *bytes;
    size_t nbytes, capacity;
    uint64_t hash; /* of all bytes */
} toy_stream;

typedef struct toy_source {
    isb_context *ctx;
    int order, n_symbols, precision_nbits;
    uint32_t sharpness; /* weight of one occurrence beside the 1 that every byte has */
    size_t n_streams;
    toy_stream *streams;
    uint32_t (*counts)[ISB__N_BYTES];
    /* of all workers; fail_after > 0: the n-th call fails */
    atomic_size_t n_calls, n_bytes, fail_after;
    atomic_int busy[TOY_WORKERS]; /* calls under this worker's number; more than one is a fault */
    atomic_size_t n_clashes;
} toy_source;

static const char toy_english[] = "The first ferry left at nine, while the clocks of the old town "
                                  "were striking one after the other. The "
                                  "people who lived there said that the river had once been wider, "
                                  "and that there were boats on it every day of "
                                  "the year. Now there was a bridge, and under the bridge there "
                                  "was a small market where they sold bread, apples, "
                                  "fish and paper. In the morning the light came over the hills "
                                  "and through the windows of the houses, and the "
                                  "children went to school along the water. They knew every stone "
                                  "and every tree; they knew the names of the dogs "
                                  "and the hours of the trains. Nothing in the town was new, and "
                                  "nothing in it was forgotten. The teacher wrote the "
                                  "date on the board, 14 March 1897, and asked them to copy it, "
                                  "which they did, one letter after another.\n";

static inline uint32_t toy_context(const toy_source *source, const uint8_t *bytes, size_t n) {
    uint64_t hash = 1;
    for (int i = 1; i <= source->order; i++)
        hash = isb__mix64(hash, (size_t)i <= n ? bytes[n - (size_t)i] : 999u);
    return (uint32_t)(hash % TOY_CONTEXTS);
}

/* Counts after 0 .. order bytes: the short contexts are those at the start of a window. */
static inline void toy_learn(toy_source *source, const uint8_t *text, size_t nbytes) {
    for (size_t i = 0; i < nbytes; i++) {
        for (size_t n = 0; n <= (size_t)source->order && n <= i; n++) {
            ++source->counts[toy_context(source, text + i - n, n)][text[i]];
        }
    }
}

static inline void toy_cdf(const toy_source *source, const toy_stream *stream, uint32_t *cdf) {
    uint64_t weights[ISB__N_SYMBOLS];
    const uint32_t *counts = source->counts[toy_context(source, stream->bytes, stream->nbytes)];
    for (int x = 0; x < ISB__N_BYTES; x++) {
        const uint64_t noise = 64 + (stream->hash * 0x9E3779B97F4A7C15u >> (x % 57) & 63);
        weights[x] = (1 + (uint64_t)counts[x] * source->sharpness) * noise;
    }
    weights[ISB__END] = 64;
    isb__cdf_from_weights(weights, source->n_symbols, source->precision_nbits, cdf);
}

static inline isb_status toy_append(toy_source *source, toy_stream *stream, uint8_t byte) {
    ISB_TRY(isb__grow_array(source->ctx, stream->nbytes + 1, 1, &stream->capacity, &stream->bytes));
    stream->bytes[stream->nbytes++] = byte;
    stream->hash = (stream->hash ^ byte) * 0x100000001B3u + 1;
    return ISB_OK;
}

static inline isb_status toy_answer(toy_source *source, const isb__cdf_request *request) {
    const size_t stride = (size_t)source->n_symbols + 1;
    toy_stream *stream = &source->streams[request->stream];
    if (request->restart) stream->nbytes = stream->hash = 0;
    if (request->n_bytes == 0) {
        toy_cdf(source, stream, request->cdfs);
        return ISB_OK;
    }
    for (size_t i = 0; i < request->n_bytes; i++) {
        ISB_TRY(toy_append(source, stream, request->bytes[i]));
        if (i + request->n_cdfs < request->n_bytes) continue;
        toy_cdf(source, stream, request->cdfs + (i + request->n_cdfs - request->n_bytes) * stride);
    }
    atomic_fetch_add(&source->n_bytes, request->n_bytes);
    return ISB_OK;
}

static inline isb_status toy_answer_all(toy_source *source, size_t n,
                                        const isb__cdf_request *requests) {
    const size_t n_calls = atomic_fetch_add(&source->n_calls, 1) + 1;
    if (n_calls == atomic_load(&source->fail_after))
        return isb__fail(source->ctx, ISB_ERR_CANCELLED, "as the test asked");
    for (size_t i = 0; i < n; i++) {
        if (requests[i].stream >= source->n_streams)
            return isb__fail(source->ctx, ISB_ERR_ARGUMENT, "no such stream");
        ISB_TRY(toy_answer(source, &requests[i]));
    }
    return isb__check_cancel(source->ctx);
}

static inline isb_status toy_evaluate(void *self, size_t worker, size_t n,
                                      const isb__cdf_request *requests) {
    toy_source *source = self;
    if (worker >= TOY_WORKERS) return isb__fail(source->ctx, ISB_ERR_ARGUMENT, "no such worker");
    if (atomic_fetch_add(&source->busy[worker], 1) != 0) atomic_fetch_add(&source->n_clashes, 1);
    const isb_status status = toy_answer_all(source, n, requests);
    atomic_fetch_sub(&source->busy[worker], 1);
    return status;
}

static inline isb_status toy_rewind(void *self, size_t stream, size_t n) {
    toy_stream *rewound = &((toy_source *)self)->streams[stream];
    rewound->nbytes -= n;
    rewound->hash = 0;
    for (size_t i = 0; i < rewound->nbytes; i++)
        rewound->hash = (rewound->hash ^ rewound->bytes[i]) * 0x100000001B3u + 1;
    return ISB_OK;
}

static inline void toy_free(void *self) {
    toy_source *source = self;
    if (source->streams) {
        for (size_t i = 0; i < source->n_streams; i++)
            isb__free(source->ctx, source->streams[i].bytes);
    }
    isb__free(source->ctx, source->streams);
    isb__free(source->ctx, source->counts);
    isb__free(source->ctx, source);
}

static inline isb_status toy_source_create(isb_context *ctx, int order, uint32_t sharpness,
                                           size_t n_streams, isb__cdf_source *source) {
    toy_source *self = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *self, &self));
    *self = (toy_source){.ctx = ctx,
                         .order = order,
                         .sharpness = sharpness,
                         .n_streams = n_streams,
                         .n_symbols = ISB__N_SYMBOLS,
                         .precision_nbits = ISB__CDF_PRECISION};
    isb_status status = isb__alloc_array(ctx, n_streams, sizeof *self->streams, &self->streams);
    if (status == ISB_OK)
        status = isb__alloc_array(ctx, TOY_CONTEXTS, sizeof *self->counts, &self->counts);
    if (status != ISB_OK) {
        toy_free(self);
        return status;
    }
    toy_learn(self, (const uint8_t *)toy_english, sizeof toy_english - 1);
    *source = (isb__cdf_source){.self = self,
                                .n_symbols = self->n_symbols,
                                .precision_nbits = self->precision_nbits,
                                .max_streams = n_streams,
                                .n_workers = TOY_WORKERS,
                                .evaluate = toy_evaluate,
                                .rewind = toy_rewind,
                                .free = toy_free};
    return ISB_OK;
}

#endif
