/* Decoding one document as its ids come: bits are gathered until a window is whole. */
#include <string.h>

#include "code/codec_state.h"

enum { ROOM = 1024 /* prefixes; a window that needs more is not cached whole */ };

struct isb__decode_stream {
    isb__codec *codec;
    isb__lane lane;
    isb__u192 gathered; /* bits that do not fill a window yet */
    int n_gathered;
    bool begun;
    uint8_t byte; /* bytes: the last one */
};

isb_status isb__decode_stream_create(isb__codec *codec, isb__decode_stream **stream_out) {
    *stream_out = NULL;
    if (codec->params.kind == ISB__CODE_AC) {
        return isb__fail(codec->ctx, ISB_ERR_UNSUPPORTED,
                         "an ac code is decoded whole, not as a stream of tokens");
    }
    isb__decode_stream *stream = NULL;
    ISB_TRY(isb__alloc(codec->ctx, sizeof *stream, &stream));
    stream->codec = codec;
    if (codec->n_lanes > 0)
        stream->lane.slot = codec->n_streams_made++ % codec->n_lanes; /* spread over M1's */
    *stream_out = stream;
    return ISB_OK;
}

void isb__decode_stream_free(isb__decode_stream *stream) {
    if (!stream) return;
    isb_context *ctx = stream->codec->ctx;
    isb__lane_free(ctx, &stream->lane);
    isb__free(ctx, stream);
}

/* Bytes that no context needs are dropped, so that an endless stream takes bounded memory where M1
 * is reset. */
static void drop_old_bytes(isb__lane *lane) {
    if (lane->context_start == 0 || lane->context_start != lane->start) return;
    lane->text_nbytes = lane->start = 0;
    isb__lane_new_context(lane, 0);
}

static isb_status decode_window(isb__decode_stream *stream, isb__u192 cell) {
    isb__codec *codec = stream->codec;
    isb__worker *worker = &codec->workers[0];
    isb__lane *lane = &stream->lane;
    ISB_TRY(isb__codec_prepare(codec, ROOM));
    isb__windows_begin_cell(codec, lane, cell);
    for (;;) {
        bool done;
        isb_status status;
        ISB_TRY(isb__check_cancel(codec->ctx));
        ISB_TRY(isb__windows_decode_cell(worker, lane, SIZE_MAX, &done, &status));
        if (done && status == ISB_OK) return ISB_OK;
        if (done)
            return isb__fail(codec->ctx, status, "no text has the code of window %llu",
                             (unsigned long long)lane->n_windows);
        ISB_TRY(isb__lanes_evaluate(worker, lane, 1));
    }
}

static isb_status push_bits(isb__decode_stream *stream, uint32_t id) {
    const isb__code_params *params = &stream->codec->params;
    stream->gathered = isb__u192_shift_left(stream->gathered, params->token_nbits);
    stream->gathered.w[0] |= id;
    stream->n_gathered += params->token_nbits;
    while (stream->n_gathered >= params->window_nbits) {
        stream->n_gathered -= params->window_nbits;
        const isb__u192 cell = isb__u192_shift_right(stream->gathered, stream->n_gathered);
        const isb__u192 above = isb__u192_shift_left(cell, stream->n_gathered);
        stream->gathered = isb__u192_sub(stream->gathered, above);
        ISB_TRY(decode_window(stream, cell));
    }
    return ISB_OK;
}

static isb_status push_window_bits(isb__decode_stream *stream, uint32_t id, const uint8_t **bytes,
                                   size_t *nbytes) {
    isb__lane *lane = &stream->lane;
    if (!stream->begun) isb__lane_new_context(lane, 0);
    stream->begun = true;
    drop_old_bytes(lane);
    const size_t before = lane->text_nbytes;
    ISB_TRY(push_bits(stream, id));
    if (lane->text_nbytes > before) *bytes = lane->bytes + before;
    *nbytes = lane->text_nbytes - before;
    return ISB_OK;
}

isb_status isb__decode_stream_push(isb__decode_stream *stream, uint32_t id, const uint8_t **bytes,
                                   size_t *nbytes) {
    *bytes = &stream->byte;
    *nbytes = 0;
    const int64_t n_codes = isb__codec_n_codes(stream->codec);
    if (id >= n_codes) {
        return isb__fail(stream->codec->ctx, ISB_ERR_CORRUPT,
                         "token id %u; this code has ids below %lld", (unsigned)id,
                         (long long)n_codes);
    }
    if (stream->codec->params.kind == ISB__CODE_EQUAL_INFO)
        return push_window_bits(stream, id, bytes, nbytes);
    stream->byte = (uint8_t)id;
    *nbytes = 1;
    return ISB_OK;
}
