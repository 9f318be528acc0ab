/* Codes without memory: every allocation fails once, and nothing is lost. */
#include "fail_alloc.h"
#include "toy_source.h"

#include "base/context.h"
#include "code/codec.h"

static isb_status with_codec(isb_context *ctx, const isb__code_params *params, isb__codec *codec) {
    const size_t nbytes = 400;
    const isb__bytes_view texts[3] = {
        {(const uint8_t *)toy_english, nbytes}, {NULL, 0}, {(const uint8_t *)"\xFF", 1}};
    isb__encoded encoded[3];
    isb__decoded decoded[3];
    ISB_TRY(isb__codec_encode(codec, 3, texts, encoded, NULL, NULL));
    isb__ids_view ids[3];
    for (int i = 0; i < 3; i++) ids[i] = (isb__ids_view){encoded[i].ids, encoded[i].count};
    ISB_TRY(isb__codec_decode(codec, 3, ids, 0, decoded, NULL, NULL));
    CHECK(decoded[0].nbytes == nbytes && memcmp(decoded[0].bytes, toy_english, nbytes) == 0);
    if (params->kind == ISB__CODE_AC) return ISB_OK;
    isb__decode_stream *stream = NULL;
    ISB_TRY(isb__decode_stream_create(codec, &stream));
    isb_status status = ISB_OK;
    for (size_t i = 0; i < ids[0].count && status == ISB_OK; i++) {
        const uint8_t *bytes;
        size_t n;
        status = isb__decode_stream_push(stream, ids[0].ids[i], &bytes, &n);
    }
    isb__decode_stream_free(stream);
    return isb__check_cancel(ctx) == ISB_OK ? status : ISB_ERR_CANCELLED;
}

static isb_status body(isb_context *ctx, void *arg) {
    const isb__code_params *params = arg;
    isb__cdf_source source;
    isb__codec *codec = NULL;
    ISB_TRY(toy_source_create(ctx, 1, 100, 2, &source));
    isb_status status = isb__codec_create(ctx, params, &source, &codec);
    if (status != ISB_OK) {
        source.free(source.self); /* still ours */
        return status;
    }
    status = with_codec(ctx, params, codec);
    isb__codec_free(codec);
    return status;
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    isb__code_params params;
    isb__code_params_init(&params, ISB__CODE_BYTES);
    fail_alloc_sweep("bytes", body, &params);
    isb__code_params_init(&params, ISB__CODE_AC);
    fail_alloc_sweep("ac", body, &params);
    isb__code_params_init(&params, ISB__CODE_EQUAL_INFO);
    fail_alloc_sweep("windows, exact, cached", body, &params);
    params.variant = ISB__DELAY;
    params.reset_windows = 0;
    fail_alloc_sweep("windows, delay, never reset", body, &params);
    return check_end();
}
