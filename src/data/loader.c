/* Training rows out of a dataset, in an order that is a pure function of seed and position: see
 * dataset.h.
 *
 *   ring      | B a a a a | B b b | B c c c c c | and round: L = tokens + documents; B: boundary
 *   targets   every ring position once an epoch, in pieces of T from a random shift on
 *
 *   with raw bytes, M: marker of tokens, N: of bytes
 *   tokens    | B M a a a a | B M b b | ...
 *   bytes     | B N x x x x x x x x | B N y y y | ...
 *
 *   a row     a a B b b B c c                   starts with isolation: 0 0 2 2 2 5 5 5
 *   cut at 7  a a B b b B c B -> c              starts               : 0 0 2 2 2 5 5 7 */
#include <inttypes.h>
#include <math.h>

#include "base/rng.h"
#include "data/dataset.h"

/* What a random stream is for: keeps streams of one seed apart. */
enum { FOR_ORDER = 1, FOR_SHIFT = 2, FOR_CUTS = 3, FOR_BYTES = 4 };
enum { CUT = -1 }; /* an input between cut_row() and set_starts() */

/* One view of the documents.  A document has n_lead ids before its own: the boundary, the marker. */
typedef struct ring {
    const isb__id_strings *strings; /* bytes; NULL: tokens */
    const uint64_t *starts;         /* [n_documents + 1] of documents, without what leads them */
    uint64_t n_lead, n_ids, n_rows, seed;
    int32_t marker; /* NO_MARKER: n_lead is 1 */
} ring;
enum { NO_MARKER = -2, SHARE_NBITS = 16 };

struct isb__loader {
    isb_context *ctx;
    const isb__dataset *dataset;
    isb__loader_options options;
    ring tokens, bytes; /* bytes: with raw_share > 0 */
    uint64_t raw_share; /* of 2^SHARE_NBITS rows */
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
    if (!(o->raw_share >= 0 && o->raw_share <= 1))
        return isb__fail(ctx, ISB_ERR_RANGE, "raw_share %g should be in 0 .. 1", o->raw_share);
    return ISB_OK;
}

static isb_status check_views(isb_context *ctx, const isb__dataset *dataset,
                              const isb__loader_options *o) {
    const bool raw = dataset->info.first_byte_id > 0;
    if (o->raw_share > 0 && !raw) {
        return isb__fail(ctx, ISB_ERR_MISMATCH,
                         "raw_share is %g, but %s has no raw bytes; prepare it with them "
                         "(--raw-bytes), or leave raw_share out",
                         o->raw_share, dataset->prefix);
    }
    if (raw && o->cut_share > 0) {
        return isb__fail(ctx, ISB_ERR_MISMATCH,
                         "rows of %s are not cut (cut_share %g): that is for an M1 of bytes alone",
                         dataset->prefix, o->cut_share);
    }
    return ISB_OK;
}

static ring make_ring(const isb__loader *loader, bool bytes) {
    const isb_dataset_info *info = &loader->dataset->info;
    const isb__loader_options *o = &loader->options;
    const int64_t first = info->first_byte_id;
    ring r = {.strings = bytes ? o->strings : NULL,
              .starts = bytes ? loader->dataset->raw_starts : loader->dataset->starts,
              .n_lead = first > 0 ? 2 : 1,
              .seed = bytes ? isb__mix64(o->seed, FOR_BYTES) : o->seed,
              .marker = NO_MARKER};
    if (first > 0)
        r.marker = (int32_t)(bytes ? isb__bytes_marker(first) : isb__tokens_marker(first));
    r.n_ids = (bytes ? info->n_bytes : info->n_tokens) + r.n_lead * info->n_documents;
    r.n_rows = (r.n_ids - 1) / o->T + 1;
    return r;
}

isb_status isb__loader_create(isb_context *ctx, const isb__dataset *dataset,
                              const isb__loader_options *options, isb__loader **loader_out) {
    *loader_out = NULL;
    ISB_TRY(check(ctx, dataset, options));
    ISB_TRY(check_views(ctx, dataset, options));
    isb__loader *loader = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *loader, &loader));
    loader->ctx = ctx;
    loader->dataset = dataset;
    loader->options = *options;
    loader->raw_share = (uint64_t)llround(ldexp(options->raw_share, SHARE_NBITS));
    loader->tokens = make_ring(loader, false);
    if (options->raw_share > 0) loader->bytes = make_ring(loader, true);
    loader->boundary = (int32_t)dataset->info.n_codes;
    *loader_out = loader;
    return ISB_OK;
}

void isb__loader_free(isb__loader *loader) {
    if (loader) isb__free(loader->ctx, loader);
}

uint64_t isb__loader_rows_per_epoch(const isb__loader *loader) {
    return loader->tokens.n_rows;
}

/* The document that owns a ring position: its boundary is at starts[d] + n_lead * d, what else leads
 * and its ids follow. */
static uint64_t document_at(const isb__loader *loader, const ring *r, uint64_t position) {
    uint64_t low = 0, high = loader->dataset->info.n_documents;
    while (high - low > 1) {
        const uint64_t middle = low + (high - low) / 2;
        if (r->starts[middle] + r->n_lead * middle <= position) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static void read_document(const isb__loader *loader, const ring *r, uint64_t d, uint64_t from,
                          size_t count, int32_t *ids) {
    if (r->strings) {
        isb__dataset_read_raw(loader->dataset, r->strings, d, from, count, ids);
    } else {
        isb__dataset_read(loader->dataset, r->starts[d] + from, count, ids);
    }
}

/* count ids of the ring from `position` on. */
static void read_ring(const isb__loader *loader, const ring *r, uint64_t position, size_t count,
                      int32_t *ids) {
    const uint64_t n_documents = loader->dataset->info.n_documents;
    uint64_t d = document_at(loader, r, position);
    uint64_t offset = position - (r->starts[d] + r->n_lead * d); /* 0: the boundary */
    while (count > 0) {
        for (; offset < r->n_lead && count > 0; ++offset, --count)
            *ids++ = offset == 0 ? loader->boundary : r->marker;
        const uint64_t left = r->starts[d + 1] - r->starts[d] + r->n_lead - offset;
        const size_t n = left < count ? (size_t)left : count;
        if (n > 0) read_document(loader, r, d, offset - r->n_lead, n, ids);
        ids += n;
        count -= n;
        d = d + 1 == n_documents ? 0 : d + 1;
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

/* Row number `row_number` of a view. */
static void fill_row(const isb__loader *loader, const ring *r, uint64_t row_number, int32_t *inputs,
                     int32_t *targets, int32_t *starts) {
    const size_t T = loader->options.T;
    const uint64_t L = r->n_ids, epoch = row_number / r->n_rows;
    isb__rng rng;
    isb__rng_seed(&rng, isb__mix64(isb__mix64(r->seed, FOR_SHIFT), epoch));
    const uint64_t shift = isb__rng_below(&rng, L);
    const uint64_t row = isb__permute(row_number % r->n_rows, r->n_rows,
                                      isb__mix64(isb__mix64(r->seed, FOR_ORDER), epoch));
    const uint64_t from = row * T, left = L - from;
    const size_t n = left < T ? (size_t)left : T;
    read_ring(loader, r, (from + shift) % L, n, inputs);
    read_ring(loader, r, (from + shift + 1) % L, n, targets);
    for (size_t t = 0; t < n; ++t) {
        if (targets[t] == r->marker) targets[t] = -1; /* which view it is, is not text */
    }
    for (size_t t = n; t < T; ++t) {
        inputs[t] = loader->boundary;
        targets[t] = -1;
    }
    if (loader->options.cut_share > 0) cut_row(loader, row_number, inputs, targets);
    set_starts(loader, inputs, starts);
}

/* Rows of bytes among the first `row` rows: floor(row * share / 2^SHARE_NBITS), which spreads them
 * evenly and can be had for any row.  Low and high bits apart, so that nothing overflows. */
static uint64_t raw_rows_before(const isb__loader *loader, uint64_t row) {
    const uint64_t mask = (UINT64_C(1) << SHARE_NBITS) - 1;
    return (row >> SHARE_NBITS) * loader->raw_share +
           ((row & mask) * loader->raw_share >> SHARE_NBITS);
}

static void fill_row_of_either(const isb__loader *loader, uint64_t row, int32_t *inputs,
                               int32_t *targets, int32_t *starts) {
    const uint64_t n_raw = raw_rows_before(loader, row);
    const bool raw = raw_rows_before(loader, row + 1) > n_raw;
    fill_row(loader, raw ? &loader->bytes : &loader->tokens, raw ? n_raw : row - n_raw, inputs,
             targets, starts);
}

void isb__loader_fill(const isb__loader *loader, uint64_t position, int32_t *inputs,
                      int32_t *targets, int32_t *starts) {
    const size_t B = loader->options.B, T = loader->options.T;
    for (size_t b = 0; b < B; ++b)
        fill_row_of_either(loader, position * B + b, inputs + b * T, targets + b * T,
                           starts + b * T);
}
