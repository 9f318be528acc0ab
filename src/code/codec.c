/* The codec: parameters, the lanes' wavefront, outputs, statistics. */
#include "code/codec.h"

#include <string.h>

#include "code/codec_state.h"

enum { DEFAULT_LIMIT_NBYTES = 1 << 30 };

/* ---- parameters ---- */

void isb__code_params_init(isb__code_params *params, isb__code_kind kind) {
    *params = (isb__code_params){.kind = kind,
                                 .variant = ISB__EXACT,
                                 .window_nbits = 16,
                                 .token_nbits = kind == ISB__CODE_EQUAL_INFO ? 16 : 8,
                                 .reset_windows = 1,
                                 .precision_nbits = ISB__CDF_PRECISION};
}

static isb_status check_range(isb_context *ctx, const char *name, int value, int low, int high) {
    if (value >= low && value <= high) return ISB_OK;
    return isb__fail(ctx, ISB_ERR_RANGE, "%s is %d; it must be %d to %d", name, value, low, high);
}

isb_status isb__code_params_check(isb_context *ctx, const isb__code_params *params) {
    ISB_TRY(
        check_range(ctx, "code kind", (int)params->kind, ISB__CODE_BYTES, ISB__CODE_EQUAL_INFO));
    if (params->kind == ISB__CODE_BYTES) return ISB_OK;
    const int n = params->token_nbits;
    if (n != 1 && n != 8 && n != 16) {
        return isb__fail(ctx, ISB_ERR_RANGE, "bits per token is %d; it must be 1, 8 or 16", n);
    }
    const int least =
        params->kind == ISB__CODE_AC ? 9 : 8; /* 257 symbols of at least one count do not fit 2^8 */
    ISB_TRY(
        check_range(ctx, "precision in bits", params->precision_nbits, least, ISB__CDF_PRECISION));
    if (params->kind == ISB__CODE_AC) return ISB_OK;
    ISB_TRY(check_range(ctx, "window variant", (int)params->variant, ISB__EXACT, ISB__DELAY));
    ISB_TRY(check_range(ctx, "bits per window", params->window_nbits, 8, 128));
    if (n > params->window_nbits) {
        return isb__fail(ctx, ISB_ERR_RANGE, "bits per token is %d; a window has only %d", n,
                         params->window_nbits);
    }
    return check_range(ctx, "windows per reset", params->reset_windows, 0, INT32_MAX);
}

/* ---- life ---- */

static isb_status check_source(isb_context *ctx, const isb__code_params *params,
                               const isb__cdf_source *source) {
    if (params->kind == ISB__CODE_BYTES) return ISB_OK;
    if (!source) return isb__fail(ctx, ISB_ERR_ARGUMENT, "this code needs an M1");
    const int n_symbols = params->kind == ISB__CODE_AC ? ISB__N_SYMBOLS : ISB__N_BYTES;
    if (source->n_symbols < n_symbols || source->n_symbols > ISB__N_SYMBOLS ||
        source->max_streams == 0) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "M1 has %d symbols and %zu streams; this code needs %d and at least 1",
                         source->n_symbols, source->max_streams, n_symbols);
    }
    return check_range(ctx, "M1's precision in bits", source->precision_nbits, 8,
                       ISB__CDF_PRECISION);
}

static isb_status allocate_lanes(isb__codec *codec, size_t n) {
    ISB_TRY(isb__alloc_array(codec->ctx, n, sizeof *codec->owners, &codec->owners));
    ISB_TRY(isb__alloc_array(codec->ctx, n, sizeof *codec->requests, &codec->requests));
    ISB_TRY(isb__alloc_array(codec->ctx, n, sizeof *codec->lanes, &codec->lanes));
    codec->n_lanes = n;
    for (size_t i = 0; i < n; i++) codec->lanes[i].slot = i;
    return ISB_OK;
}

isb_status isb__codec_create(isb_context *ctx, const isb__code_params *params,
                             const isb__cdf_source *source, isb__codec **codec_out) {
    isb__codec *codec = NULL;
    *codec_out = NULL;
    ISB_TRY(isb__code_params_check(ctx, params));
    ISB_TRY(check_source(ctx, params, source));
    ISB_TRY(isb__alloc(ctx, sizeof *codec, &codec));
    codec->ctx = ctx;
    codec->params = *params;
    codec->n_symbols = params->kind == ISB__CODE_AC ? ISB__N_SYMBOLS : ISB__N_BYTES;
    const int b = params->window_nbits, P = params->precision_nbits;
    codec->first_precision = b < P ? b : P;
    codec->cached = params->kind == ISB__CODE_EQUAL_INFO && params->reset_windows == 1;
    codec->mean_length = 8 * 16;
    isb__trie_init(&codec->trie, ctx, ISB__TRIE_LIMIT_NBYTES);
    const isb_status status = allocate_lanes(codec, source ? source->max_streams : 0);
    if (status != ISB_OK) {
        isb__codec_free(codec);
        return status;
    }
    if (source) codec->source = *source; /* last: on failure the source is still the caller's */
    *codec_out = codec;
    return ISB_OK;
}

void isb__codec_free(isb__codec *codec) {
    if (!codec) return;
    isb_context *ctx = codec->ctx;
    for (size_t i = 0; i < codec->n_lanes; i++) isb__lane_free(ctx, &codec->lanes[i]);
    if (codec->source.free) codec->source.free(codec->source.self);
    isb__trie_free(&codec->trie);
    void *const owned[] = {codec->owners, codec->requests, codec->lanes,  codec->cdfs,
                           codec->ids,    codec->bytes,    codec->offsets};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) isb__free(ctx, owned[i]);
    isb__free(ctx, codec);
}

int64_t isb__codec_n_codes(const isb__codec *codec) {
    return codec->params.kind == ISB__CODE_BYTES ? ISB__N_BYTES
                                                 : INT64_C(1) << codec->params.token_nbits;
}

const isb__code_params *isb__codec_params(const isb__codec *codec) { return &codec->params; }

void isb__codec_stats_get(const isb__codec *codec, isb__codec_stats *stats) {
    *stats = codec->stats;
    stats->cached_nodes = codec->trie.n_nodes - 1;
    stats->cache_nbytes = isb__trie_nbytes(&codec->trie);
}

void isb__codec_check_windows(isb__codec *codec, int on) { codec->check_windows = on != 0; }

void isb__codec_limit_cache(isb__codec *codec, size_t limit_nbytes) {
    codec->trie.limit_nbytes = limit_nbytes;
}

/* ---- outputs ---- */

/* The next `count` ids, or bytes, of the output array are the document's. */
static void put_ids(isb__codec *codec, isb__job *job, size_t document, size_t count) {
    codec->offsets[document] = job->out_count;
    job->encoded[document].count = count;
    job->out_count += count;
    codec->stats.bytes += job->texts[document].nbytes;
    codec->stats.tokens += count;
}

static void put_bytes(isb__codec *codec, isb__job *job, size_t document, size_t count) {
    codec->offsets[document] = job->out_count;
    job->decoded[document].nbytes = count;
    job->out_count += count;
}

static isb_status put_document(isb__codec *codec, isb__lane *lane, isb__job *job) {
    const size_t n_windows = (size_t)lane->n_windows;
    if (job->encoded) {
        const size_t count = lane->bits.count, end = job->out_count + count;
        ISB_TRY(isb__grow_array(codec->ctx, end, sizeof *codec->ids, &codec->ids_capacity,
                                &codec->ids));
        if (count > 0)
            memcpy(codec->ids + job->out_count, lane->bits.ids, count * sizeof *codec->ids);
        put_ids(codec, job, lane->document, count);
        job->encoded[lane->document].n_windows = n_windows;
        codec->stats.windows += n_windows;
    } else {
        const size_t count = lane->text_nbytes, end = job->out_count + count;
        ISB_TRY(isb__grow_array(codec->ctx, end, 1, &codec->bytes_capacity, &codec->bytes));
        if (count > 0) memcpy(codec->bytes + job->out_count, lane->bytes, count);
        put_bytes(codec, job, lane->document, count);
        job->decoded[lane->document].n_windows = n_windows;
        job->decoded[lane->document].status = lane->final_status;
    }
    return ISB_OK;
}

/* The output array has its final place only when the last document is in. */
static void set_pointers(const isb__codec *codec, isb__job *job) {
    for (size_t i = 0; i < job->n; i++) {
        if (job->encoded) {
            job->encoded[i].ids = codec->ids + codec->offsets[i];
        } else {
            job->decoded[i].bytes = codec->bytes + codec->offsets[i];
        }
    }
}

/* ---- the wavefront ---- */

/* Runs the lane, document after document, until it wants M1 or no document is left. */
static isb_status advance_lane(isb__codec *codec, isb__lane *lane, isb__job *job, size_t *next) {
    for (;;) {
        ISB_TRY(isb__check_cancel(codec->ctx));
        if (!lane->busy) {
            if (*next == job->n) return ISB_OK;
            isb__lane_reset(lane);
            lane->document = (*next)++;
            lane->busy = true;
            ISB_TRY(job->start(codec, lane, job));
        }
        bool done = false;
        ISB_TRY(job->advance(codec, lane, job, &done));
        if (!done) return ISB_OK;
        lane->busy = false;
        ISB_TRY(put_document(codec, lane, job));
    }
}

static isb_status run_lanes(isb__codec *codec, isb__job *job) {
    const size_t n_lanes = codec->n_lanes < job->n ? codec->n_lanes : job->n;
    size_t next = 0, n_busy = n_lanes;
    for (size_t i = 0; i < n_lanes; i++) codec->lanes[i].busy = codec->lanes[i].wanting = false;
    while (n_busy > 0) {
        n_busy = 0;
        for (size_t i = 0; i < n_lanes; i++) {
            ISB_TRY(advance_lane(codec, &codec->lanes[i], job, &next));
            n_busy += codec->lanes[i].busy;
        }
        ISB_TRY(isb__lanes_evaluate(codec, codec->lanes, n_lanes));
        if (job->progress) job->progress(job->user, (double)job->bytes_done);
    }
    return ISB_OK;
}

/* ---- bytes ---- */

static isb_status encode_bytes(isb__codec *codec, isb__job *job) {
    size_t total = 0;
    for (size_t i = 0; i < job->n; i++) total += job->texts[i].nbytes;
    ISB_TRY(
        isb__grow_array(codec->ctx, total, sizeof *codec->ids, &codec->ids_capacity, &codec->ids));
    for (size_t i = 0; i < job->n; i++) {
        const isb__bytes_view text = job->texts[i];
        for (size_t j = 0; j < text.nbytes; j++) codec->ids[job->out_count + j] = text.data[j];
        put_ids(codec, job, i, text.nbytes);
    }
    return ISB_OK;
}

static isb_status decode_bytes(isb__codec *codec, isb__job *job) {
    for (size_t i = 0; i < job->n; i++) {
        const isb__ids_view code = job->codes[i];
        const size_t count = code.count < job->limit_nbytes ? code.count : job->limit_nbytes;
        ISB_TRY(isb__grow_array(codec->ctx, job->out_count + count, 1, &codec->bytes_capacity,
                                &codec->bytes));
        uint8_t *bytes = codec->bytes + job->out_count;
        size_t valid = 0;
        while (valid < count && code.ids[valid] < ISB__N_BYTES) {
            bytes[valid] = (uint8_t)code.ids[valid];
            ++valid;
        }
        put_bytes(codec, job, i, valid);
        job->decoded[i].status = valid == code.count ? ISB_OK : ISB_ERR_CORRUPT;
    }
    return ISB_OK;
}

/* ---- calls ---- */

static isb_status run_job(isb__codec *codec, isb__job *job,
                          isb_status (*run)(isb__codec *codec, isb__job *job)) {
    ISB_TRY(isb__check_cancel(codec->ctx));
    ISB_TRY(isb__grow_array(codec->ctx, job->n, sizeof *codec->offsets, &codec->offsets_capacity,
                            &codec->offsets));
    /* A document may be empty: its pointer is valid all the same. */
    ISB_TRY(isb__grow_array(codec->ctx, 1, sizeof *codec->ids, &codec->ids_capacity, &codec->ids));
    ISB_TRY(isb__grow_array(codec->ctx, 1, 1, &codec->bytes_capacity, &codec->bytes));
    ISB_TRY(run(codec, job));
    set_pointers(codec, job);
    return ISB_OK;
}

isb_status isb__codec_encode(isb__codec *codec, size_t n, const isb__bytes_view *documents,
                             isb__encoded *out, void (*progress)(void *user, double done),
                             void *user) {
    isb__job job = {.n = n, .texts = documents, .encoded = out, .progress = progress, .user = user};
    if (n > 0) memset(out, 0, n * sizeof *out);
    if (codec->params.kind == ISB__CODE_BYTES) return run_job(codec, &job, encode_bytes);
    const bool ac = codec->params.kind == ISB__CODE_AC;
    job.start = ac ? isb__ac_start_encode : isb__windows_start_encode;
    job.advance = ac ? isb__ac_encode : isb__windows_encode;
    return run_job(codec, &job, run_lanes);
}

isb_status isb__codec_decode(isb__codec *codec, size_t n, const isb__ids_view *documents,
                             size_t limit_nbytes, isb__decoded *out,
                             void (*progress)(void *user, double done), void *user) {
    isb__job job = {.n = n, .codes = documents, .decoded = out, .progress = progress, .user = user};
    job.limit_nbytes = limit_nbytes ? limit_nbytes : DEFAULT_LIMIT_NBYTES;
    if (n > 0) memset(out, 0, n * sizeof *out);
    if (codec->params.kind == ISB__CODE_BYTES) return run_job(codec, &job, decode_bytes);
    const bool ac = codec->params.kind == ISB__CODE_AC;
    job.start = ac ? isb__ac_start_decode : isb__windows_start_decode;
    job.advance = ac ? isb__ac_decode : isb__windows_decode;
    return run_job(codec, &job, run_lanes);
}
