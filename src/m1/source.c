/* M1 as a source of CDFs: an engine behind the interface of code/cdf.h. */
#include "m1/m1_state.h"

enum {
    /* Of a worker.  Products are near their best speed from 8 rows on, with tiles from 16; more rows pay only while
     * weights come from afar, and then each stream's keys and values still come too. */
    MOST_STREAMS = 32,
    LEAST_STREAMS = 8,
    LEAST_STREAMS_AMX = 16,
    CACHE_NBYTES = 4 << 20 /* that a core may hope to keep in its share of L3 */
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

/* Few enough that the keys and values of full contexts stay near, many enough to share the way of the weights. */
static size_t good_streams(const isb_context *ctx, const isb_model_config *c) {
    const size_t slot_nbytes = 2 * (size_t)c->hidden_size + 8 * (size_t)c->n_heads,
                 nbytes = (size_t)c->n_layers * (size_t)c->context_length * slot_nbytes,
                 fit = CACHE_NBYTES / nbytes,
                 least = ctx->cpu == ISB__CPU_AMX ? LEAST_STREAMS_AMX : LEAST_STREAMS;
    if (isb__m1_file_nbytes(c) > CACHE_NBYTES || fit > MOST_STREAMS) return MOST_STREAMS;
    return fit > least ? fit : least;
}

isb_status isb__m1_source(isb_context *ctx, isb__m1 *m1, int take, size_t n_streams,
                          isb__cdf_source *source) {
    const size_t n_workers = (size_t)isb__thread_count(ctx);
    m1_source *self = NULL;
    if (n_streams == 0) n_streams = n_workers * good_streams(ctx, &m1->config);
    ISB_TRY(isb__alloc(ctx, sizeof *self, &self));
    self->ctx = ctx;
    const isb_status status =
        isb__m1_engine_create(ctx, m1, n_streams, n_workers, ISB__M1_HISTORY, &self->engine);
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
