/* Integer CDFs: quantisation, and a source without context.
 *
 * A code must give every symbol an interval, or some texts could not be coded: each symbol gets 1
 * first, and the other 2^P - n counts are shared out in proportion.  Rounding down leaves a few
 * over; they go to the largest weight, where they cost least.  At P = 16 and n = 256 a byte that is
 * certain still costs log2(65536 / 65281) = 0.0056 bits.
 */
#include "code/cdf.h"

#include <assert.h>
#include <string.h>

enum { ISB__STATIC_STREAMS = 64 };

/* floor(w * shared / sum) for w <= sum < 2^48, shared <= 2^16.  A quotient in double is off by at
 * most one, since it is below 2^17, and the remainder puts it right: the result is exact whatever
 * the compiler does to the double, and comes several times as fast as from a 64-bit division. */
static inline uint32_t share(uint64_t w, uint32_t shared, uint64_t sum, double shared_over_sum) {
    const uint32_t guess = (uint32_t)((double)w * shared_over_sum);
    const int64_t rest = (int64_t)(w * shared - guess * sum);
    return guess + (rest >= (int64_t)sum) - (rest < 0);
}

void isb__cdf_from_weights(const uint64_t *weights, int n, int precision_nbits, uint32_t *cdf) {
    const uint32_t total = UINT32_C(1) << precision_nbits;
    const uint32_t shared = total - (uint32_t)n;
    uint64_t sum = 0, most = 0;
    for (int x = 0; x < n; x++) {
        sum += weights[x];
        most = weights[x] > most ? weights[x] : most;
    }
    assert(n > 0 && (uint32_t)n <= total && sum > 0 && sum >> 48 == 0);

    const double shared_over_sum = (double)shared / (double)sum;
    uint32_t used = 0;
    for (int x = 0; x < n; x++) {
        const uint32_t count = 1 + share(weights[x], shared, sum, shared_over_sum);
        cdf[x] = used;
        used += count;
    }
    cdf[n] = total;
    int largest = 0;
    while (weights[largest] != most) ++largest;
    for (int x = largest + 1; x < n; x++) cdf[x] += total - used;
}

void isb__cdf_requantise(const uint32_t *cdf, int n, int precision_nbits, uint32_t *out) {
    uint64_t weights[ISB__N_SYMBOLS];
    assert(n <= ISB__N_SYMBOLS);
    for (int x = 0; x < n; x++) weights[x] = cdf[x + 1] - cdf[x];
    isb__cdf_from_weights(weights, n, precision_nbits, out);
}

/* The first byte of the largest count.  One maximum finds both: the count above, the byte below. */
static int largest_byte(const uint32_t *cdf) {
    int32_t most = 0;
    for (int x = 0; x < ISB__N_BYTES; x++) {
        const int32_t key = (int32_t)((cdf[x + 1] - cdf[x]) << 8 | (uint32_t)(255 - x));
        most = key > most ? key : most;
    }
    return 255 - (most & 255);
}

static void narrow(const uint32_t *cdf, uint16_t *row) {
    for (int x = 0; x < ISB__N_BYTES; x++) row[x] = (uint16_t)cdf[x];
}

void isb__cdf_row(const uint32_t *cdf, int cdf_n, int cdf_precision_nbits, int precision_nbits,
                  uint16_t *row) {
    if (cdf_precision_nbits != precision_nbits) {
        uint32_t requantised[ISB__N_BYTES + 1];
        isb__cdf_requantise(cdf, ISB__N_BYTES, precision_nbits, requantised);
        narrow(requantised, row);
        return;
    }
    narrow(cdf, row);
    if (cdf_n == ISB__N_BYTES) return;
    const uint16_t end = (uint16_t)(cdf[ISB__END + 1] - cdf[ISB__END]);
    for (int x = largest_byte(cdf) + 1; x < ISB__N_BYTES; x++) row[x] = (uint16_t)(row[x] + end);
}

void isb__cdf_first_row(const uint16_t *row, int precision_nbits, int first_precision_nbits,
                        uint16_t *first) {
    uint32_t cdf[ISB__N_BYTES + 1];
    for (int x = 0; x < ISB__N_BYTES; x++) cdf[x] = row[x];
    cdf[ISB__N_BYTES] = UINT32_C(1) << precision_nbits;
    isb__cdf_row(cdf, ISB__N_BYTES, precision_nbits, first_precision_nbits, first);
}

/* ---- many threads ---- */

typedef struct shared_call {
    const isb__cdf_source *source;
    const isb__cdf_request *requests;
    size_t n, n_workers;
    _Atomic isb_status status; /* of a worker that failed */
} shared_call;

static void evaluate_share(void *arg, size_t worker, int thread) {
    shared_call *call = arg;
    const isb__cdf_source *source = call->source;
    const size_t first = worker * call->n / call->n_workers,
                 end = (worker + 1) * call->n / call->n_workers;
    (void)thread;
    const isb_status status =
        source->evaluate(source->self, worker, end - first, call->requests + first);
    if (status != ISB_OK) atomic_store(&call->status, status);
}

isb_status isb__cdf_evaluate(isb_context *ctx, const isb__cdf_source *source, size_t n,
                             const isb__cdf_request *requests) {
    shared_call call = {.source = source, .requests = requests, .n = n};
    const size_t n_threads = (size_t)isb__thread_count(ctx);
    call.n_workers = source->n_workers < n_threads ? source->n_workers : n_threads;
    if (call.n_workers > n) call.n_workers = n;
    if (call.n_workers <= 1) return source->evaluate(source->self, 0, n, requests);
    atomic_init(&call.status, ISB_OK);
    isb__parallel(ctx, call.n_workers, evaluate_share, &call);
    const isb_status status = atomic_load(&call.status);
    if (status == ISB_OK) return ISB_OK;
    if (status == ISB_ERR_CANCELLED) ISB_TRY(isb__check_cancel(ctx));
    return isb__fail(ctx, status, "%s: M1, asked about %zu streams", isb_status_sentence(status),
                     n);
}

/* ---- a source without context ---- */

typedef struct static_source {
    isb_context *ctx;
    uint32_t cdf[ISB__N_SYMBOLS + 1];
} static_source;

static isb_status static_evaluate(void *self, size_t worker, size_t n,
                                  const isb__cdf_request *requests) {
    const static_source *source = self;
    (void)worker;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < requests[i].n_cdfs; j++) {
            memcpy(requests[i].cdfs + j * (ISB__N_SYMBOLS + 1), source->cdf, sizeof source->cdf);
        }
    }
    return isb__check_cancel(source->ctx);
}

static isb_status static_rewind(void *self, size_t stream, size_t n) {
    (void)self, (void)stream, (void)n;
    return ISB_OK;
}

static void static_free(void *self) {
    static_source *source = self;
    isb__free(source->ctx, source);
}

isb_status isb__cdf_source_static(isb_context *ctx, const uint64_t *counts,
                                  isb__cdf_source *source) {
    static_source *self = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *self, &self));
    self->ctx = ctx;
    isb__cdf_from_weights(counts, ISB__N_SYMBOLS, ISB__CDF_PRECISION, self->cdf);

    isb__hasher *hasher = isb__hasher_create();
    if (!hasher) {
        isb__free(ctx, self);
        return isb__fail(ctx, ISB_ERR_NO_MEMORY, "no memory for the identity of a static CDF");
    }
    /* Byte by byte: the same identity on every machine. */
    for (int x = 0; x <= ISB__N_SYMBOLS; x++) {
        const uint8_t bytes[4] = {(uint8_t)self->cdf[x], (uint8_t)(self->cdf[x] >> 8),
                                  (uint8_t)(self->cdf[x] >> 16), (uint8_t)(self->cdf[x] >> 24)};
        isb__hasher_update(hasher, bytes, sizeof bytes);
    }
    *source = (isb__cdf_source){.self = self,
                                .n_symbols = ISB__N_SYMBOLS,
                                .precision_nbits = ISB__CDF_PRECISION,
                                .max_streams = ISB__STATIC_STREAMS,
                                .n_workers = ISB__STATIC_STREAMS,
                                .identity = isb__hasher_finish(hasher),
                                .evaluate = static_evaluate,
                                .rewind = static_rewind,
                                .free = static_free};
    return ISB_OK;
}
