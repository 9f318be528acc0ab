/* Training rows out of a dataset, in an order that is a pure function of seed and position: see
 * dataset.h.
 *
 *   ring      | B a a a a | B b b | B c c c c c | and round: L = tokens + documents; B: boundary
 *   targets   every ring position once an epoch, in pieces of T from a random shift on
 *
 *   a row     a a B b b B c c                   starts with isolation: 0 0 2 2 2 5 5 5
 *   cut at 7  a a B b b B c B -> c              starts               : 0 0 2 2 2 5 5 7 */
#include <inttypes.h>
#include <math.h>

#include "base/rng.h"
#include "data/dataset.h"

/* What a random stream is for: keeps streams of one seed apart. */
enum { FOR_ORDER = 1, FOR_SHIFT = 2, FOR_CUTS = 3 };
enum { CUT = -1 }; /* an input between cut_row() and set_starts() */

struct isb__loader {
    isb_context *ctx;
    const isb__dataset *dataset;
    isb__loader_options options;
    uint64_t ring_nids, n_rows;
    int32_t boundary;
};

static isb_status check(isb_context *ctx, const isb__dataset *dataset,
                        const isb__loader_options *o) {
    if (dataset->info.n_tokens == 0) {
        return isb__fail(ctx, ISB_ERR_EMPTY,
                         "the dataset %s has no tokens (%" PRIu64 " documents): give it more text",
                         dataset->prefix, dataset->info.n_documents);
    }
    if (o->B == 0 || o->T == 0 || o->B > SIZE_MAX / 8 / o->T) {
        return isb__fail(ctx, ISB_ERR_RANGE,
                         "a batch of %zu rows of %zu tokens; both must be at least 1", o->B, o->T);
    }
    if (!(o->cut_share >= 0 && o->cut_share <= 1) || o->cut_min > o->T) {
        return isb__fail(
            ctx, ISB_ERR_RANGE,
            "cut_share %g should be in 0 .. 1, and cut_min %zu at most a row's %zu tokens",
            o->cut_share, o->cut_min, o->T);
    }
    return ISB_OK;
}

isb_status isb__loader_create(isb_context *ctx, const isb__dataset *dataset,
                              const isb__loader_options *options, isb__loader **loader_out) {
    *loader_out = NULL;
    ISB_TRY(check(ctx, dataset, options));
    isb__loader *loader = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *loader, &loader));
    loader->ctx = ctx;
    loader->dataset = dataset;
    loader->options = *options;
    loader->ring_nids = dataset->info.n_tokens + dataset->info.n_documents;
    loader->n_rows = (loader->ring_nids - 1) / options->T + 1;
    loader->boundary = (int32_t)dataset->info.n_codes;
    *loader_out = loader;
    return ISB_OK;
}

void isb__loader_free(isb__loader *loader) {
    if (loader) isb__free(loader->ctx, loader);
}

uint64_t isb__loader_rows_per_epoch(const isb__loader *loader) { return loader->n_rows; }

/* The document that owns a ring position: its boundary is at starts[d] + d, its ids follow. */
static uint64_t document_at(const isb__dataset *dataset, uint64_t position) {
    uint64_t low = 0, high = dataset->info.n_documents;
    while (high - low > 1) {
        const uint64_t middle = low + (high - low) / 2;
        if (dataset->starts[middle] + middle <= position) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* count ids of the ring from `position` on. */
static void read_ring(const isb__loader *loader, uint64_t position, size_t count, int32_t *ids) {
    const isb__dataset *dataset = loader->dataset;
    uint64_t d = document_at(dataset, position);
    uint64_t offset = position - (dataset->starts[d] + d); /* 0: the boundary */
    while (count > 0) {
        if (offset == 0) {
            *ids++ = loader->boundary;
            --count;
            ++offset;
        }
        const uint64_t left = (uint64_t)dataset->lengths[d] + 1 - offset;
        const size_t n = left < count ? (size_t)left : count;
        isb__dataset_read(dataset, dataset->starts[d] + offset - 1, n, ids);
        ids += n;
        count -= n;
        d = d + 1 == dataset->info.n_documents ? 0 : d + 1;
        offset = 0;
    }
}

/* Mean piece length of this row: log-uniform in [cut_min, T]. */
static double draw_mean(const isb__loader *loader, isb__rng *rng) {
    const double low = loader->options.cut_min > 0 ? (double)loader->options.cut_min : 1.0;
    return low * pow((double)loader->options.T / low, isb__rng_uniform(rng));
}

/* A geometric length with mean m is a cut before each position with probability 1/m. */
static void cut_row(const isb__loader *loader, uint64_t row_number, int32_t *inputs,
                    const int32_t *targets) {
    isb__rng rng;
    isb__rng_seed(&rng, isb__mix64(isb__mix64(loader->options.seed, FOR_CUTS), row_number));
    if (isb__rng_uniform(&rng) >= loader->options.cut_share) return;
    const double p = 1.0 / draw_mean(loader, &rng);
    for (size_t t = 0; t < loader->options.T; ++t) {
        const bool cut = isb__rng_uniform(&rng) < p;
        if (cut && targets[t] >= 0 && targets[t] != loader->boundary) inputs[t] = CUT;
    }
}

/* Cuts become boundaries; attention starts afresh there with or without isolation. */
static void set_starts(const isb__loader *loader, int32_t *inputs, int32_t *starts) {
    int32_t start = 0;
    for (size_t t = 0; t < loader->options.T; ++t) {
        const bool cut = inputs[t] == CUT;
        if (cut) inputs[t] = loader->boundary;
        if (cut || (loader->options.isolate_documents && inputs[t] == loader->boundary))
            start = (int32_t)t;
        starts[t] = start;
    }
}

static void fill_row(const isb__loader *loader, uint64_t row_number, int32_t *inputs,
                     int32_t *targets, int32_t *starts) {
    const size_t T = loader->options.T;
    const uint64_t L = loader->ring_nids, seed = loader->options.seed;
    const uint64_t epoch = row_number / loader->n_rows;
    isb__rng rng;
    isb__rng_seed(&rng, isb__mix64(isb__mix64(seed, FOR_SHIFT), epoch));
    const uint64_t shift = isb__rng_below(&rng, L);
    const uint64_t row = isb__permute(row_number % loader->n_rows, loader->n_rows,
                                      isb__mix64(isb__mix64(seed, FOR_ORDER), epoch));
    const uint64_t from = row * T, left = L - from;
    const size_t n = left < T ? (size_t)left : T;
    read_ring(loader, (from + shift) % L, n, inputs);
    read_ring(loader, (from + shift + 1) % L, n, targets);
    for (size_t t = n; t < T; ++t) {
        inputs[t] = loader->boundary;
        targets[t] = -1;
    }
    if (loader->options.cut_share > 0) cut_row(loader, row_number, inputs, targets);
    set_starts(loader, inputs, starts);
}

void isb__loader_fill(const isb__loader *loader, uint64_t position, int32_t *inputs,
                      int32_t *targets, int32_t *starts) {
    const size_t B = loader->options.B, T = loader->options.T;
    for (size_t b = 0; b < B; ++b)
        fill_row(loader, position * B + b, inputs + b * T, targets + b * T, starts + b * T);
}
