/* One arithmetic code over a document and its END; M1's context is never reset.
 *
 * END makes every byte string self-delimiting, the empty one too, so zeros that fill the last token
 * do no harm.  The range coder leaves out zero bytes at the end; how many could be unbounded for
 * texts made for it, and then a decoder could not tell a damaged code from a long text.  At most
 * SLACK of the bytes that were moved out are left out: a decoder that has read further past the end
 * has met damage.  It also codes what it decodes, and accepts only the code that encoding gives.
 */
#include <string.h>

#include "code/codec_state.h"

/* Rows a lane asks for at once: a whole number of M1's groups of 64 rows, all of one stream. */
enum { AHEAD = 128, SLACK = 64 };

static isb_status begin_document(isb__codec *codec, isb__lane *lane) {
    isb__lane_new_context(lane, 0);
    isb__bits_begin(&lane->bits, codec->params.token_nbits);
    isb__range_encoder_init(&lane->encoder, lane->code, lane->code_capacity);
    return ISB_OK;
}

static isb_status encode_symbol(isb__codec *codec, isb__lane *lane, const uint32_t *cdf, int x) {
    isb__range_encoder *encoder = &lane->encoder;
    /* A symbol moves out 3 bytes at most, the end 5. */
    const size_t most = encoder->nbytes + (size_t)encoder->pending + 8;
    ISB_TRY(isb__grow_array(codec->ctx, most, 1, &lane->code_capacity, &lane->code));
    encoder->out = lane->code;
    encoder->capacity = lane->code_capacity;
    isb__range_encode(encoder, cdf[x], cdf[x + 1], codec->params.precision_nbits);
    return ISB_OK;
}

/* Ends the code and makes it tokens. */
static isb_status finish_code(isb__codec *codec, isb__lane *lane) {
    const size_t moved = lane->encoder.nbytes + (size_t)lane->encoder.pending;
    size_t nbytes = isb__range_encoder_finish(&lane->encoder);
    if (moved > nbytes + SLACK) {
        memset(lane->code + nbytes, 0, moved - SLACK - nbytes);
        nbytes = moved - SLACK;
    }
    for (size_t i = 0; i < nbytes; i++) {
        ISB_TRY(isb__bits_put(codec->ctx, &lane->bits, (isb__u192){{lane->code[i], 0, 0}}, 8));
    }
    lane->n_windows = 1;
    return ISB_OK;
}

isb_status isb__ac_start_encode(isb__worker *worker, isb__lane *lane, isb__job *job) {
    lane->text = job->texts[lane->document].data;
    lane->text_nbytes = job->texts[lane->document].nbytes;
    return begin_document(worker->codec, lane);
}

isb_status isb__ac_encode(isb__worker *worker, isb__lane *lane, isb__job *job, bool *done) {
    (void)job;
    for (;; ++lane->start, ++worker->n_new_bytes) {
        const uint32_t *cdf = isb__lane_cdf(worker->codec, lane, lane->start);
        const size_t left = lane->text_nbytes - lane->start;
        if (!cdf) {
            isb__lane_want(lane, lane->start, lane->start + (left < AHEAD ? left : AHEAD - 1));
            return ISB_OK;
        }
        const int x = left > 0 ? lane->text[lane->start] : ISB__END;
        ISB_TRY(encode_symbol(worker->codec, lane, cdf, x));
        if (left == 0) break;
    }
    *done = true;
    return finish_code(worker->codec, lane);
}

isb_status isb__ac_start_decode(isb__worker *worker, isb__lane *lane, isb__job *job) {
    isb__codec *codec = worker->codec;
    const isb__ids_view *codes = &job->codes[lane->document];
    const int n = codec->params.token_nbits;
    size_t valid = 0;
    while (valid < codes->count && codes->ids[valid] >> n == 0) ++valid;
    lane->final_status = valid == codes->count ? ISB_OK : ISB_ERR_CORRUPT;
    const uint64_t nbits = (uint64_t)valid * (uint64_t)n;
    const size_t nbytes = (size_t)(nbits / 8);
    ISB_TRY(isb__grow_array(codec->ctx, nbytes, 1, &lane->input_capacity, &lane->input));
    for (size_t i = 0; i < nbytes; i++)
        lane->input[i] = (uint8_t)isb__bits_get(codes->ids, n, i * 8, 8).w[0];
    ISB_TRY(begin_document(codec, lane));
    isb__range_decoder_init(&lane->decoder, lane->input, nbytes);
    return ISB_OK;
}

static bool same_code(const isb__lane *lane, const isb__ids_view *codes) {
    return lane->bits.count == codes->count &&
           (codes->count == 0 ||
            memcmp(lane->bits.ids, codes->ids, codes->count * sizeof *codes->ids) == 0);
}

isb_status isb__ac_decode(isb__worker *worker, isb__lane *lane, isb__job *job, bool *done) {
    isb__codec *codec = worker->codec;
    for (;; ++lane->start, ++worker->n_new_bytes) {
        const uint32_t *cdf = isb__lane_cdf(codec, lane, lane->start);
        if (!cdf) {
            isb__lane_want(lane, lane->start, lane->start);
            return ISB_OK;
        }
        const int x =
            isb__range_decode(&lane->decoder, cdf, ISB__N_SYMBOLS, codec->params.precision_nbits);
        ISB_TRY(encode_symbol(codec, lane, cdf, x));
        if (x == ISB__END) break;
        const bool past_end = lane->decoder.consumed > lane->decoder.nbytes + 4 + SLACK;
        if (past_end || lane->text_nbytes >= job->limit_nbytes) {
            lane->final_status = ISB_ERR_CORRUPT;
            *done = true;
            return ISB_OK;
        }
        ISB_TRY(isb__lane_push_byte(codec->ctx, lane, (uint8_t)x));
    }
    ISB_TRY(finish_code(codec, lane));
    if (!same_code(lane, &job->codes[lane->document])) lane->final_status = ISB_ERR_CORRUPT;
    *done = true;
    return ISB_OK;
}
