/* isb_m1_measure(): what quantising a byte model to int8 costs, in bits per byte.
 *
 * The trained model and its M1 read the same documents, each from its start and with a context that slides, as the code
 * `ac` lets M1 read them; every byte and the document's end is a target.  The trained model's probabilities count
 * twice: as they are, and as the CDFs of 16 bits that a code would need of them, which tells the cost of CDFs from that
 * of int8. */
#include <isobit/m1.h>

#include <math.h>
#include <string.h>

#include "data/options.h"
#include "kernels/int8.h"
#include "m1/m1.h"
#include "nn/engine.h"

enum {
    BATCH = 16, /* documents read, then measured: the threads share them */
    PIECE = 64, /* bytes of a document in a call of M1 */
    WIDTH = ISB__N_SYMBOLS + 1
};

/* Bits of a document's targets. */
typedef struct document_bits {
    double model, model_cdf, m1;
} document_bits;

typedef struct measuring {
    isb_context *ctx;
    const isb_m1_measure_options *options;
    const isb__int8_ops *ops;
    isb_model *model;
    isb__m1 *m1;
    isb__engine *model_engine;
    isb__m1_engine *m1_engine;
    isb_corpus *corpus;

    uint8_t *text; /* of the batch */
    size_t capacity, offsets[BATCH + 1], n_documents;
    document_bits bits[BATCH];
    isb_status status[BATCH];
    uint32_t *cdfs; /* [threads, PIECE, WIDTH] */

    int32_t *ids; /* the document that the trained model reads: the boundary and its bytes */
    size_t ids_capacity;
    double *target_bits; /* [, 2] of each target: as it is, by CDF */
    size_t target_capacity;

    document_bits sum;
    uint64_t documents, nbytes;
} measuring;

void isb_m1_measure_options_init(isb_m1_measure_options *options) {
    *options = (isb_m1_measure_options){.struct_size = sizeof *options};
    isb_corpus_options_init(&options->corpus);
}

/* ---- set-up ---- */

static isb_status check_sizes(const measuring *m) {
    const isb_model_config *a = &m->model->config, *b = &m->m1->config;
    if (a->hidden_size == b->hidden_size && a->n_layers == b->n_layers &&
        a->intermediate_size == b->intermediate_size && a->context_length == b->context_length)
        return ISB_OK;
    return isb__fail(m->ctx, ISB_ERR_MISMATCH,
                     "%s has other sizes than the model %s: it was not made of it", m->options->m1,
                     m->options->model_dir);
}

static isb_status open(measuring *m, const char *const *paths, size_t n_paths) {
    const isb_m1_measure_options *o = m->options;
    const size_t n_threads = (size_t)isb__thread_count(m->ctx);
    ISB_TRY(ISB__CHECK_OPTIONS(m->ctx, o, "isb_m1_measure_options"));
    if (!o->model_dir)
        return isb__fail(m->ctx, ISB_ERR_ARGUMENT, "model_dir is missing: the trained model");
    m->ops = isb__int8_ops_for(m->ctx->cpu);
    ISB_TRY(isb_model_load(m->ctx, o->model_dir, &m->model));
    if (o->m1)
        ISB_TRY(isb__m1_load(m->ctx, o->m1, &m->m1));
    else
        ISB_TRY(isb__m1_from_model(m->ctx, m->model, "", &m->m1));
    ISB_TRY(check_sizes(m));
    ISB_TRY(isb__engine_create(m->ctx, m->model, 1, 0, &m->model_engine));
    ISB_TRY(isb__m1_engine_create(m->ctx, m->m1, n_threads, n_threads, 0, &m->m1_engine));
    ISB_TRY(isb__alloc_array(m->ctx, n_threads * PIECE * WIDTH, sizeof *m->cdfs, &m->cdfs));
    return isb_corpus_open(m->ctx, paths, n_paths, &o->corpus, &m->corpus);
}

static void measuring_free(measuring *m) {
    isb_corpus_free(m->corpus);
    isb__free(m->ctx, m->text);
    isb__free(m->ctx, m->cdfs);
    isb__free(m->ctx, m->ids);
    isb__free(m->ctx, m->target_bits);
    isb__m1_engine_free(m->m1_engine);
    isb__engine_free(m->model_engine);
    isb__m1_free(m->m1);
    isb_model_free(m->model);
}

/* ---- the trained model ---- */

static double cdf_bits(const uint32_t *cdf, int symbol) {
    return ISB__CDF_PRECISION - log2((double)(cdf[symbol + 1] - cdf[symbol]));
}

/* What follows id i of the document: its next byte, or its end. */
static int target_of(const uint8_t *bytes, size_t n, size_t i) {
    return i < n ? bytes[i] : ISB__END;
}

/* Where a piece's targets are. */
typedef struct piece_sink {
    const measuring *m;
    const uint8_t *bytes;
    size_t n, begin;
} piece_sink;

static void measure_logits(void *user, size_t request, size_t row, const float *logits) {
    const piece_sink *sink = user;
    const size_t i = sink->begin + row;
    const int target = target_of(sink->bytes, sink->n, i);
    _Alignas(ISB__INT8_ALIGN) float z[(ISB__N_SYMBOLS + 15) / 16 * 16] = {0};
    uint32_t cdf[WIDTH];
    double most = -INFINITY, sum = 0;
    (void)request;
    memcpy(z, logits, ISB__N_SYMBOLS * sizeof *z);
    for (int x = 0; x < ISB__N_SYMBOLS; ++x) most = fmax(most, (double)z[x]);
    for (int x = 0; x < ISB__N_SYMBOLS; ++x) sum += exp((double)z[x] - most);
    sink->m->ops->cdf(z, cdf);
    sink->m->target_bits[2 * i] = (log(sum) + most - (double)z[target]) / log(2.0);
    sink->m->target_bits[2 * i + 1] = cdf_bits(cdf, target);
}

static isb_status measure_model(measuring *m, const uint8_t *bytes, size_t n, document_bits *bits) {
    const size_t n_ids = n + 1;
    ISB_TRY(isb__grow_array(m->ctx, n_ids, sizeof *m->ids, &m->ids_capacity, &m->ids));
    ISB_TRY(isb__grow_array(m->ctx, 2 * n_ids, sizeof *m->target_bits, &m->target_capacity,
                            &m->target_bits));
    m->ids[0] = ISB__END;
    for (size_t i = 0; i < n; ++i) m->ids[i + 1] = bytes[i];
    for (size_t begin = 0; begin < n_ids; begin += ISB__ENGINE_HISTORY) {
        const size_t left = n_ids - begin,
                     count = left < ISB__ENGINE_HISTORY ? left : ISB__ENGINE_HISTORY;
        piece_sink sink = {m, bytes, n, begin};
        const isb__engine_request request = {0, begin == 0, m->ids + begin, count, count};
        ISB_TRY(isb__engine_evaluate(m->model_engine, 1, &request, measure_logits, &sink));
    }
    for (size_t i = 0; i < n_ids; ++i) {
        bits->model += m->target_bits[2 * i];
        bits->model_cdf += m->target_bits[2 * i + 1];
    }
    return ISB_OK;
}

/* ---- M1 ---- */

static isb_status measure_m1(const measuring *m, size_t thread, const uint8_t *bytes, size_t n,
                             double *bits) {
    uint32_t *cdfs = m->cdfs + thread * PIECE * WIDTH;
    const isb__cdf_request start = {thread, 1, NULL, 0, 1, cdfs};
    ISB_TRY(isb__m1_engine_evaluate(m->m1_engine, thread, 1, &start));
    *bits += cdf_bits(cdfs, target_of(bytes, n, 0));
    for (size_t begin = 0; begin < n; begin += PIECE) {
        const size_t count = n - begin < PIECE ? n - begin : PIECE;
        const isb__cdf_request request = {thread, 0, bytes + begin, count, count, cdfs};
        ISB_TRY(isb__m1_engine_evaluate(m->m1_engine, thread, 1, &request));
        for (size_t i = 0; i < count; ++i)
            *bits += cdf_bits(cdfs + i * WIDTH, target_of(bytes, n, begin + i + 1));
    }
    return ISB_OK;
}

static void measure_m1_task(void *arg, size_t task, int thread) {
    measuring *m = arg;
    const size_t begin = m->offsets[task], n = m->offsets[task + 1] - begin;
    m->status[task] = measure_m1(m, (size_t)thread, m->text + begin, n, &m->bits[task].m1);
}

/* ---- documents ---- */

/* Copies of the next documents; none at the end. */
static isb_status read_batch(measuring *m) {
    for (m->n_documents = 0; m->n_documents < BATCH; ++m->n_documents) {
        const size_t used = m->n_documents > 0 ? m->offsets[m->n_documents] : 0;
        const uint8_t *text;
        size_t nbytes;
        ISB_TRY(isb_corpus_next(m->corpus, &text, &nbytes));
        if (!text) break;
        ISB_TRY(isb__grow_array(m->ctx, used + nbytes, 1, &m->capacity, &m->text));
        if (nbytes > 0) memcpy(m->text + used, text, nbytes);
        m->offsets[m->n_documents + 1] = used + nbytes;
    }
    return ISB_OK;
}

static isb_status measure_batch(measuring *m) {
    memset(m->bits, 0, sizeof m->bits);
    isb__parallel(m->ctx, m->n_documents, measure_m1_task, m);
    ISB_TRY(isb__check_cancel(m->ctx));
    for (size_t d = 0; d < m->n_documents; ++d) {
        const size_t begin = m->offsets[d], n = m->offsets[d + 1] - begin;
        ISB_TRY(m->status[d]);
        ISB_TRY(measure_model(m, m->text + begin, n, &m->bits[d]));
        m->sum.model += m->bits[d].model;
        m->sum.model_cdf += m->bits[d].model_cdf;
        m->sum.m1 += m->bits[d].m1;
        m->nbytes += n;
    }
    m->documents += m->n_documents;
    return ISB_OK;
}

static isb_status measure(measuring *m, isb_m1_measurement *result) {
    isb__progress_state progress;
    const double start_s = isb__now_s();
    isb__progress_begin(&progress, m->ctx, "measure", "byte", 0);
    for (;;) {
        ISB_TRY(read_batch(m));
        if (m->n_documents == 0) break;
        ISB_TRY(measure_batch(m));
        const double fraction = isb_corpus_fraction(m->corpus);
        progress.total = fraction > 0 ? (double)m->nbytes / fraction : 0;
        isb__progress_update(&progress, (double)m->nbytes, "");
    }
    isb__progress_end(&progress, (double)m->nbytes, "");
    if (m->nbytes == 0) return isb__fail(m->ctx, ISB_ERR_EMPTY, "there is no text to measure on");
    const double n = (double)m->nbytes;
    *result = (isb_m1_measurement){.n_documents = m->documents,
                                   .n_bytes = m->nbytes,
                                   .model_bits_per_byte = m->sum.model / n,
                                   .model_cdf_bits_per_byte = m->sum.model_cdf / n,
                                   .bits_per_byte = m->sum.m1 / n,
                                   .loss = m->sum.m1 / m->sum.model - 1,
                                   .seconds = isb__now_s() - start_s};
    return ISB_OK;
}

isb_status isb_m1_measure(isb_context *ctx, const char *const *paths, size_t n_paths,
                          const isb_m1_measure_options *options, isb_m1_measurement *result) {
    measuring *m = NULL;
    *result = (isb_m1_measurement){0};
    ISB_TRY(isb__alloc(ctx, sizeof *m, &m));
    m->ctx = ctx;
    m->options = options;
    isb_status status = open(m, paths, n_paths);
    if (status == ISB_OK) status = measure(m, result);
    measuring_free(m);
    isb__free(ctx, m);
    return status;
}
