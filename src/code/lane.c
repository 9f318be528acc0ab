/* Lanes and M1: which rows are known, what to ask for, and one call of M1 for all lanes. */
#include <string.h>

#include "code/codec_state.h"

void isb__lane_free(isb_context *ctx, isb__lane *lane) {
    isb__free(ctx, lane->bytes);
    isb__free(ctx, lane->rows);
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
        .rows = old.rows,
        .rows_capacity = old.rows_capacity,
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
    lane->serial = 0; /* M1's stream must be restarted */
}

const uint16_t *isb__lane_row(const isb__codec *codec, const isb__lane *lane, size_t q) {
    if (q == lane->context_start) return codec->root;
    if (q < lane->rows_first || q - lane->rows_first >= lane->n_rows) return NULL;
    return lane->rows + (q - lane->rows_first) * (size_t)codec->n_symbols;
}

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

static void quantise(const isb__codec *codec, const uint32_t *cdf, uint16_t *row) {
    isb__cdf_row(cdf, codec->source.n_symbols, codec->source.precision_nbits, codec->n_symbols,
                 codec->params.precision_nbits, row);
}

static size_t n_wanted(const isb__lane *lane) {
    return lane->wanting ? lane->want_end - lane->want + 1 : 0;
}

/* Makes room for the rows that are wanted.  Rows before the present window are of no more use. */
static isb_status reserve_rows(isb__codec *codec, isb__lane *lane) {
    if (lane->n_rows > 0 && lane->want != lane->rows_first + lane->n_rows) lane->n_rows = 0;
    if (lane->n_rows == 0) lane->rows_first = lane->want;
    const size_t width = (size_t)codec->n_symbols;
    const size_t old = lane->start > lane->rows_first ? lane->start - lane->rows_first : 0;
    if (old >= lane->n_rows) {
        lane->rows_first = lane->want;
        lane->n_rows = 0;
    } else if (old >= lane->n_rows / 2) {
        lane->n_rows -= old;
        lane->rows_first += old;
        memmove(lane->rows, lane->rows + old * width, lane->n_rows * width * sizeof *lane->rows);
    }
    return isb__grow_array(codec->ctx, lane->n_rows + n_wanted(lane), width * sizeof *lane->rows,
                           &lane->rows_capacity, &lane->rows);
}

static isb__cdf_request make_request(isb__codec *codec, isb__lane *lane, uint32_t *cdfs) {
    /* A stream that others used meanwhile, or that went past what is wanted, begins again with the
     * whole context. */
    const bool live = lane->serial != 0 && codec->owners[lane->slot] == lane->serial &&
                      lane->context_end < lane->want;
    if (!live) {
        lane->context_end = lane->context_start;
        lane->serial = codec->owners[lane->slot] = ++codec->last_serial;
    }
    return (isb__cdf_request){.stream = lane->slot,
                              .restart = !live,
                              .bytes = lane->text + lane->context_end,
                              .n_bytes = lane->want_end - lane->context_end,
                              .n_cdfs = n_wanted(lane),
                              .cdfs = cdfs};
}

static void take_rows(isb__codec *codec, isb__lane *lane, const isb__cdf_request *request) {
    const size_t stride = (size_t)codec->source.n_symbols + 1;
    for (size_t i = 0; i < request->n_cdfs; i++) {
        quantise(codec, request->cdfs + i * stride,
                 lane->rows + lane->n_rows++ * (size_t)codec->n_symbols);
    }
    lane->context_end = lane->want_end;
    lane->wanting = false;
    codec->stats.m1_bytes += request->n_bytes;
}

static isb_status evaluate(isb__codec *codec, size_t n) {
    const isb_status status = codec->source.evaluate(codec->source.self, 0, n, codec->requests);
    if (status != ISB_OK)
        memset(codec->owners, 0, codec->source.max_streams * sizeof *codec->owners);
    return status;
}

isb_status isb__lanes_evaluate(isb__codec *codec, isb__lane *lanes, size_t n) {
    const size_t stride = (size_t)codec->source.n_symbols + 1;
    size_t n_cdfs = 0, n_requests = 0;
    for (size_t i = 0; i < n; i++) {
        if (!lanes[i].wanting) continue;
        n_cdfs += n_wanted(&lanes[i]);
        ISB_TRY(reserve_rows(codec, &lanes[i]));
    }
    ISB_TRY(isb__grow_array(codec->ctx, n_cdfs * stride, sizeof *codec->cdfs, &codec->cdfs_capacity,
                            &codec->cdfs));
    uint32_t *cdfs = codec->cdfs;
    for (size_t i = 0; i < n; i++) {
        if (!lanes[i].wanting) continue;
        codec->requests[n_requests++] = make_request(codec, &lanes[i], cdfs);
        cdfs += n_wanted(&lanes[i]) * stride;
    }
    if (n_requests == 0) return ISB_OK;
    ISB_TRY(evaluate(codec, n_requests));
    n_requests = 0;
    for (size_t i = 0; i < n; i++) {
        if (lanes[i].wanting) take_rows(codec, &lanes[i], &codec->requests[n_requests++]);
    }
    return ISB_OK;
}

static void quantise_first(const isb__codec *codec, const uint16_t *row, uint16_t *first) {
    isb__cdf_first_row(row, codec->params.precision_nbits, codec->first_precision, first);
}

const uint16_t *isb__lane_first_row(const isb__codec *codec, isb__lane *lane) {
    if (lane->start == lane->context_start) return codec->root_first;
    const uint16_t *row = isb__lane_row(codec, lane, lane->start);
    if (!row || codec->first_precision == codec->params.precision_nbits) return row;
    quantise_first(codec, row, lane->first_row);
    return lane->first_row;
}

isb_status isb__codec_prepare(isb__codec *codec) {
    if (codec->has_root) return ISB_OK;
    const size_t stride = (size_t)codec->source.n_symbols + 1;
    ISB_TRY(isb__grow_array(codec->ctx, stride, sizeof *codec->cdfs, &codec->cdfs_capacity,
                            &codec->cdfs));
    codec->requests[0] = (isb__cdf_request){.restart = 1, .n_cdfs = 1, .cdfs = codec->cdfs};
    codec->owners[0] = 0;
    ISB_TRY(evaluate(codec, 1));
    quantise(codec, codec->cdfs, codec->root);
    memcpy(codec->root_first, codec->root, sizeof codec->root_first);
    if (codec->params.kind == ISB__CODE_EQUAL_INFO &&
        codec->first_precision != codec->params.precision_nbits) {
        quantise_first(codec, codec->root, codec->root_first);
    }
    codec->has_root = true;
    return ISB_OK;
}
