/* Codes: the first bytes of the input choose the parameters.  Then either the rest is a text, and
 * its code must decode to it (greedy: to anything), or the rest is a code, and what it decodes to
 * must come back from its own code.
 *
 *   0 code and direction    1 bits per window    2 bits per token
 *   3 windows per reset     4 precision          5 streams, cache
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "code/codec.h"
#include "toy_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

enum { N_PARAMETERS = 6, LIMIT_NBYTES = 1 << 14 };

static void require(int condition) {
    if (!condition) abort();
}

static isb__code_params choose_params(const uint8_t *bytes) {
    static const int token_nbits[] = {1, 8, 16};
    isb__code_params params;
    isb__code_params_init(&params, (isb__code_kind)(bytes[0] % 3));
    params.variant = (isb__window_variant)(bytes[0] / 3 % 3);
    params.window_nbits = 8 + bytes[1] % 121;
    params.token_nbits = token_nbits[bytes[2] % 3];
    if (params.token_nbits > params.window_nbits) params.token_nbits = 8;
    params.reset_windows = bytes[3] % 4;
    params.precision_nbits = 9 + bytes[4] % 8;
    return params;
}

static isb__codec *make_codec(isb_context *ctx, const uint8_t *bytes) {
    const isb__code_params params = choose_params(bytes);
    isb__cdf_source source;
    isb__codec *codec = NULL;
    require(toy_source_create(ctx, bytes[5] % 3, 1u << bytes[5] % 12, 1 + bytes[5] % 3, &source) ==
            ISB_OK);
    require(isb__codec_create(ctx, &params, &source, &codec) == ISB_OK);
    if (bytes[5] & 128) isb__codec_limit_cache(codec, 0);
    isb__codec_check_windows(codec, bytes[5] & 64);
    return codec;
}

/* Three documents, so that lanes share the streams. */
static void round_trip(isb__codec *codec, const uint8_t *text, size_t nbytes) {
    const size_t half = nbytes / 2;
    const isb__bytes_view texts[3] = {{text, nbytes}, {text + half, nbytes - half}, {text, half}};
    isb__encoded encoded[3];
    isb__decoded decoded[3];
    isb__ids_view ids[3];
    require(isb__codec_encode(codec, 3, texts, encoded, NULL, NULL) == ISB_OK);
    for (int i = 0; i < 3; i++) ids[i] = (isb__ids_view){encoded[i].ids, encoded[i].count};
    require(isb__codec_decode(codec, 3, ids, 0, decoded, NULL, NULL) == ISB_OK);
    const isb__code_params *params = isb__codec_params(codec);
    if (params->kind == ISB__CODE_EQUAL_INFO && params->variant == ISB__GREEDY) return;
    for (int i = 0; i < 3; i++) {
        require(decoded[i].status == ISB_OK && decoded[i].nbytes == texts[i].nbytes);
        require(texts[i].nbytes == 0 ||
                memcmp(decoded[i].bytes, texts[i].data, texts[i].nbytes) == 0);
    }
}

static void decode_noise(isb__codec *codec, const uint8_t *data, size_t nbytes) {
    const size_t count = nbytes / 2;
    uint32_t *ids = malloc(count * sizeof *ids + 1); /* the exact size, for the sanitizer */
    require(ids != NULL);
    for (size_t i = 0; i < count; i++) ids[i] = (uint32_t)(data[2 * i] | data[2 * i + 1] << 8);
    const isb__ids_view view = {ids, count};
    isb__decoded decoded;
    require(isb__codec_decode(codec, 1, &view, LIMIT_NBYTES, &decoded, NULL, NULL) == ISB_OK);
    require(decoded.nbytes <= LIMIT_NBYTES);
    uint8_t *text = malloc(decoded.nbytes + 1);
    require(text != NULL);
    memcpy(text, decoded.bytes, decoded.nbytes);
    round_trip(codec, text, decoded.nbytes);
    free(text);
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes) {
    static isb_context *ctx;
    if (nbytes < N_PARAMETERS || nbytes > 4096) return 0;
    if (!ctx) {
        isb_context_options options;
        isb_context_options_init(&options);
        options.n_threads = 1;
        require(isb_context_create(&options, &ctx) == ISB_OK);
    }
    isb__codec *codec = make_codec(ctx, data);
    if (data[0] & 128) {
        decode_noise(codec, data + N_PARAMETERS, nbytes - N_PARAMETERS);
    } else {
        round_trip(codec, data + N_PARAMETERS, nbytes - N_PARAMETERS);
    }
    isb__codec_free(codec);
    return 0;
}
