/* Lanes and M1: which rows are known, what to ask for, and one call of M1 for all of a worker's
 * lanes. */
#include <string.h>

#include "code/codec_state.h"

void isb__lane_free(isb_context *ctx, isb__lane *lane) {
    isb__free(ctx, lane->bytes);
    isb__free(ctx, lane->cdfs);
    isb__free(ctx, lane->bits.ids);
    isb__free(ctx, lane->path);
    isb__free(ctx, lane->code);
    isb__free(ctx, lane->input);
    *lane = (isb__lane){0};
}

void isb__lane_reset(isb__lane *lane) {
    const isb__lane old = *lane;
    *lane = (isb__lane){
        .slot = old.slot,
        .bytes = old.bytes,
        .bytes_capacity = old.bytes_capacity,
        .cdfs = old.cdfs,
        .cdfs_capacity = old.cdfs_capacity,
        .bits = old.bits,
        .path = old.path,
        .path_capacity = old.path_capacity,
        .code = old.code,
        .code_capacity = old.code_capacity,
        .input = old.input,
        .input_capacity = old.input_capacity,
    };
}

void isb__lane_new_context(isb__lane *lane, size_t start) {
    lane->context_start = lane->context_end = start;
    lane->n_rows = 0;
    lane->row_at = SIZE_MAX;
    lane->serial = 0; /* M1's stream must be restarted */
}

void isb__lane_drop_window(isb__lane *lane) {
    const size_t start = lane->context_start;
    lane->text_nbytes = lane->start;
    isb__lane_new_context(lane, start);
}

/* ---- rows ---- */

static size_t stride_of(const isb__codec *codec) { return (size_t)codec->source.n_symbols + 1; }

/* The CDF at text position q as M1 wrote it, or NULL. */
static const uint32_t *find_cdf(const isb__codec *codec, const isb__lane *lane, size_t q) {
    if (q == lane->context_start) return codec->root;
    if (q < lane->rows_first || q - lane->rows_first >= lane->n_rows) return NULL;
    return lane->cdfs + (q - lane->rows_first) * stride_of(codec);
}

const uint32_t *isb__lane_cdf(const isb__codec *codec, isb__lane *lane, size_t q) {
    const int precision = codec->params.precision_nbits;
    const uint32_t *cdf = find_cdf(codec, lane, q);
    if (!cdf || precision == codec->source.precision_nbits) return cdf;
    isb__cdf_requantise(cdf, codec->n_symbols, precision, lane->cdf);
    return lane->cdf;
}

const uint16_t *isb__lane_row(const isb__codec *codec, isb__lane *lane, size_t q) {
    if (q == lane->context_start) return codec->root_row;
    const uint32_t *cdf = find_cdf(codec, lane, q);
    if (!cdf) return NULL;
    if (lane->row_at != q) {
        isb__cdf_row(cdf, codec->source.n_symbols, codec->source.precision_nbits,
                     codec->params.precision_nbits, lane->row);
        lane->row_at = q;
    }
    return lane->row;
}

const uint16_t *isb__lane_first_row(const isb__codec *codec, isb__lane *lane) {
    const int precision = codec->params.precision_nbits;
    if (lane->start == lane->context_start) return codec->first_row;
    const uint16_t *row = isb__lane_row(codec, lane, lane->start);
    if (!row || codec->first_precision == precision) return row;
    isb__cdf_first_row(row, precision, codec->first_precision, lane->first_row);
    return lane->first_row;
}

/* ---- M1 ---- */

void isb__lane_want(isb__lane *lane, size_t q, size_t end) {
    lane->wanting = true;
    lane->want = q;
    lane->want_end = end;
}

isb_status isb__lane_push_byte(isb_context *ctx, isb__lane *lane, uint8_t byte) {
    ISB_TRY(isb__grow_array(ctx, lane->text_nbytes + 1, 1, &lane->bytes_capacity, &lane->bytes));
    lane->text = lane->bytes;
    lane->bytes[lane->text_nbytes++] = byte;
    return ISB_OK;
}

static size_t n_wanted(const isb__lane *lane) { return lane->want_end - lane->want + 1; }

/* Makes room for the rows that are wanted.  Rows before the present window are of no more use. */
static isb_status reserve_rows(const isb__codec *codec, isb__lane *lane) {
    if (lane->n_rows > 0 && lane->want != lane->rows_first + lane->n_rows) lane->n_rows = 0;
    if (lane->n_rows == 0) lane->rows_first = lane->want;
    const size_t row_nbytes = stride_of(codec) * sizeof *lane->cdfs;
    const size_t old = lane->start > lane->rows_first ? lane->start - lane->rows_first : 0;
    if (old >= lane->n_rows) {
        lane->rows_first = lane->want;
        lane->n_rows = 0;
    } else if (old >= lane->n_rows / 2) {
        lane->n_rows -= old;
        lane->rows_first += old;
        memmove(lane->cdfs, lane->cdfs + old * stride_of(codec), lane->n_rows * row_nbytes);
    }
    return isb__grow_array(codec->ctx, lane->n_rows + n_wanted(lane), row_nbytes,
                           &lane->cdfs_capacity, &lane->cdfs);
}

/* M1 writes where the lane's rows end. */
static isb__cdf_request make_request(isb__codec *codec, isb__lane *lane) {
    /* A stream that others used meanwhile, or that went past what is wanted, begins again with the
     * whole context. */
    const bool live = lane->serial != 0 && codec->serials[lane->slot] == lane->serial &&
                      lane->context_end < lane->want;
    if (!live) {
        lane->context_end = lane->context_start;
        lane->serial = ++codec->serials[lane->slot];
    }
    return (isb__cdf_request){.stream = lane->slot,
                              .restart = !live,
                              .bytes = lane->text + lane->context_end,
                              .n_bytes = lane->want_end - lane->context_end,
                              .n_cdfs = n_wanted(lane),
                              .cdfs = lane->cdfs + lane->n_rows * stride_of(codec)};
}

isb_status isb__lanes_evaluate(isb__worker *worker, isb__lane *lanes, size_t n) {
    isb__codec *codec = worker->codec;
    size_t n_requests = 0;
    for (size_t i = 0; i < n; i++) {
        if (!lanes[i].wanting) continue;
        ISB_TRY(reserve_rows(codec, &lanes[i]));
        worker->requests[n_requests++] = make_request(codec, &lanes[i]);
    }
    if (n_requests == 0) return ISB_OK;
    const isb__cdf_source *source = &codec->source;
    const isb_status status =
        source->evaluate(source->self, worker->number, n_requests, worker->requests);
    for (size_t i = 0, r = 0; i < n; i++) {
        isb__lane *lane = &lanes[i];
        if (status != ISB_OK) ++codec->serials[lane->slot]; /* nobody's */
        if (!lane->wanting || status != ISB_OK) continue;
        lane->n_rows += worker->requests[r].n_cdfs;
        lane->context_end = lane->want_end;
        lane->wanting = false;
        worker->stats.m1_bytes += worker->requests[r++].n_bytes;
    }
    return status;
}
