/* M1 as a source of CDFs: an engine behind the interface of code/cdf.h. */
#include "m1/m1_state.h"

enum {
    MOST_STREAMS = 64, /* of a worker: a call of one byte each fills the engine's groups of rows */
    LEAST_STREAMS = 16,
    CACHE_NBYTES = 12 << 20 /* of keys and values that a core may hope to keep in its share of L3 */
};

typedef struct m1_source {
    isb_context *ctx;
    isb__m1 *owned; /* NULL if it is borrowed */
    isb__m1_engine *engine;
} m1_source;

static isb_status m1_evaluate(void *self, size_t worker, size_t n,
                              const isb__cdf_request *requests) {
    const m1_source *source = self;
    return isb__m1_engine_evaluate(source->engine, worker, n, requests);
}

static isb_status m1_rewind(void *self, size_t stream, size_t n) {
    const m1_source *source = self;
    return isb__m1_engine_rewind(source->engine, stream, n);
}

static void m1_free(void *self) {
    m1_source *source = self;
    if (!source) return;
    isb__m1_engine_free(source->engine);
    isb__m1_free(source->owned);
    isb__free(source->ctx, source);
}

/* As many as keep the products busy, but not more than leave the caches of long contexts near. */
static size_t good_streams(const isb_model_config *c, size_t n_workers) {
    const size_t slot_nbytes = 2 * (size_t)c->hidden_size + 8 * (size_t)c->n_heads;
    const size_t nbytes = (size_t)c->n_layers * (size_t)c->context_length * slot_nbytes,
                 fit = CACHE_NBYTES / nbytes;
    const size_t n = fit > MOST_STREAMS ? MOST_STREAMS : fit < LEAST_STREAMS ? LEAST_STREAMS : fit;
    return n * n_workers;
}

isb_status isb__m1_source(isb_context *ctx, isb__m1 *m1, int take, size_t n_streams,
                          isb__cdf_source *source) {
    const size_t n_workers = (size_t)isb__thread_count(ctx);
    m1_source *self = NULL;
    if (n_streams == 0) n_streams = good_streams(&m1->config, n_workers);
    ISB_TRY(isb__alloc(ctx, sizeof *self, &self));
    self->ctx = ctx;
    const isb_status status = isb__m1_engine_create(ctx, m1, n_streams, n_workers,
                                                    ISB__M1_HISTORY, &self->engine);
    if (status != ISB_OK) {
        m1_free(self);
        return status;
    }
    if (take) self->owned = m1;
    *source = (isb__cdf_source){.self = self,
                                .n_symbols = ISB__N_SYMBOLS,
                                .precision_nbits = ISB__CDF_PRECISION,
                                .max_streams = n_streams,
                                .n_workers = n_workers,
                                .identity = m1->identity,
                                .evaluate = m1_evaluate,
                                .rewind = m1_rewind,
                                .free = m1_free};
    return ISB_OK;
}

isb_status isb__m1_open(isb_context *ctx, const char *path, size_t n_streams,
                        isb__cdf_source *source) {
    uint64_t counts[ISB__N_SYMBOLS];
    bool is_static;
    isb__m1 *m1 = NULL;
    ISB_TRY(isb__m1_read_static(ctx, path, &is_static, counts));
    if (is_static) return isb__cdf_source_static(ctx, counts, source);
    ISB_TRY(isb__m1_load(ctx, path, &m1));
    const isb_status status = isb__m1_source(ctx, m1, 1, n_streams, source);
    if (status != ISB_OK) isb__m1_free(m1);
    return status;
}
