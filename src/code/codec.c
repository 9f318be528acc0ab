/* The codec: parameters, life, statistics, and what its calls ask of the workers. */
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
        source->max_streams == 0 || source->n_workers == 0) {
        return isb__fail(
            ctx, ISB_ERR_ARGUMENT,
            "M1 has %d symbols, %zu streams and %zu workers; this code needs %d, 1 and 1",
            source->n_symbols, source->max_streams, source->n_workers, n_symbols);
    }
    return check_range(ctx, "M1's precision in bits", source->precision_nbits, 8,
                       ISB__CDF_PRECISION);
}

/* Divides lanes and requests among the workers. */
static void divide_lanes(isb__codec *codec) {
    const size_t W = codec->n_workers, n = codec->n_lanes;
    for (size_t i = 0; i < n; i++) codec->lanes[i].slot = i;
    for (size_t w = 0; w < W; w++) {
        const size_t first = w * n / W;
        codec->workers[w] = (isb__worker){.codec = codec,
                                          .number = w,
                                          .lanes = n > 0 ? codec->lanes + first : NULL,
                                          .n_lanes = (w + 1) * n / W - first,
                                          .requests = n > 0 ? codec->requests + first : NULL,
                                          .likely_length = 16};
    }
}

static isb_status allocate_workers(isb__codec *codec, const isb__cdf_source *source) {
    const size_t n = source ? source->max_streams : 0;
    const size_t n_threads = (size_t)isb__thread_count(codec->ctx);
    size_t W = source ? source->n_workers : 1;
    W = W < n_threads ? W : n_threads;
    W = W < n || n == 0 ? W : n;
    ISB_TRY(isb__alloc_array(codec->ctx, n, sizeof *codec->serials, &codec->serials));
    ISB_TRY(isb__alloc_array(codec->ctx, n, sizeof *codec->requests, &codec->requests));
    ISB_TRY(isb__alloc_array(codec->ctx, n, sizeof *codec->lanes, &codec->lanes));
    codec->n_lanes = n;
    ISB_TRY(isb__alloc_array(codec->ctx, W, sizeof *codec->workers, &codec->workers));
    codec->n_workers = W;
    divide_lanes(codec);
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
    isb__trie_init(&codec->trie, ctx, ISB__TRIE_LIMIT_NBYTES);
    const isb_status status = allocate_workers(codec, source);
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
    for (size_t i = 0; i < codec->n_workers; i++) {
        isb__arena_free(ctx, &codec->workers[i].ids);
        isb__arena_free(ctx, &codec->workers[i].bytes);
    }
    if (codec->source.free) codec->source.free(codec->source.self);
    isb__trie_free(&codec->trie);
    void *const owned[] = {codec->serials, codec->requests, codec->lanes, codec->workers};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++) isb__free(ctx, owned[i]);
    isb__free(ctx, codec);
}

int64_t isb__codec_n_codes(const isb__codec *codec) {
    return codec->params.kind == ISB__CODE_BYTES ? ISB__N_BYTES
                                                 : INT64_C(1) << codec->params.token_nbits;
}

const isb__code_params *isb__codec_params(const isb__codec *codec) { return &codec->params; }

void isb__codec_stats_get(const isb__codec *codec, isb__codec_stats *stats) {
    *stats = (isb__codec_stats){.cached_nodes = isb__trie_count(&codec->trie),
                                .cache_nbytes = isb__trie_nbytes(&codec->trie)};
    for (size_t i = 0; i < codec->n_workers; i++) {
        const isb__codec_stats *part = &codec->workers[i].stats;
        stats->bytes += part->bytes;
        stats->tokens += part->tokens;
        stats->windows += part->windows;
        stats->windows_checked += part->windows_checked;
        stats->windows_failed += part->windows_failed;
        stats->documents_checked += part->documents_checked;
        stats->documents_failed += part->documents_failed;
        stats->m1_bytes += part->m1_bytes;
    }
}

void isb__codec_check_windows(isb__codec *codec, int on) { codec->check_windows = on != 0; }

void isb__codec_limit_cache(isb__codec *codec, size_t limit_nbytes) {
    codec->trie.limit_nbytes = limit_nbytes;
}

/* ---- what the empty context says ---- */

static isb_status ask_root(isb__codec *codec) {
    const isb__cdf_source *source = &codec->source;
    const isb__code_params *params = &codec->params;
    const isb__cdf_request request = {.restart = 1, .n_cdfs = 1, .cdfs = codec->root};
    ++codec->serials[0];
    ISB_TRY(source->evaluate(source->self, 0, 1, &request));
    codec->has_root = true;
    if (params->kind != ISB__CODE_EQUAL_INFO) return ISB_OK;
    isb__cdf_row(codec->root, source->n_symbols, source->precision_nbits, params->precision_nbits,
                 codec->root_row);
    isb__cdf_first_row(codec->root_row, params->precision_nbits, codec->first_precision,
                       codec->first_row);
    return ISB_OK;
}

isb_status isb__codec_prepare(isb__codec *codec, size_t n_more) {
    if (!codec->has_root) ISB_TRY(ask_root(codec));
    if (!codec->cached) return ISB_OK;
    ISB_TRY(isb__trie_reserve(&codec->trie, n_more + 1));
    if (isb__trie_count(&codec->trie) > 0) return ISB_OK;
    uint32_t root;
    const isb__trie_node node = {.has_cell = false}; /* a window has at least one byte */
    return isb__trie_add(&codec->trie, 0, 0, &node, codec->first_row, &root);
}

/* ---- bytes ---- */

static isb_status encode_bytes(isb__job *job) {
    isb__worker *worker = &job->codec->workers[0];
    for (size_t i = 0; i < job->n; i++) {
        const isb__bytes_view text = job->texts[i];
        uint32_t *ids = NULL;
        if (text.nbytes > SIZE_MAX / sizeof *ids)
            return isb__fail(job->codec->ctx, ISB_ERR_NO_MEMORY, "document %zu is too large", i);
        ISB_TRY(isb__job_check(job));
        ISB_TRY(isb__arena_take(job->codec->ctx, &worker->ids, text.nbytes * sizeof *ids, &ids));
        for (size_t j = 0; j < text.nbytes; j++) ids[j] = text.data[j];
        job->encoded[i] = (isb__encoded){.ids = ids, .count = text.nbytes};
        worker->stats.bytes += text.nbytes;
        worker->stats.tokens += text.nbytes;
    }
    return ISB_OK;
}

static isb_status decode_bytes(isb__job *job) {
    isb__worker *worker = &job->codec->workers[0];
    for (size_t i = 0; i < job->n; i++) {
        const isb__ids_view code = job->codes[i];
        const size_t count = code.count < job->limit_nbytes ? code.count : job->limit_nbytes;
        uint8_t *bytes = NULL;
        size_t valid = 0;
        ISB_TRY(isb__job_check(job));
        ISB_TRY(isb__arena_take(job->codec->ctx, &worker->bytes, count, &bytes));
        while (valid < count && code.ids[valid] < ISB__N_BYTES) {
            bytes[valid] = (uint8_t)code.ids[valid];
            ++valid;
        }
        job->decoded[i] =
            (isb__decoded){bytes, valid, 0, valid == code.count ? ISB_OK : ISB_ERR_CORRUPT};
    }
    return ISB_OK;
}

/* ---- calls ---- */

static void begin_job(isb__job *job) {
    isb__codec *codec = job->codec;
    atomic_init(&job->next, 0);
    atomic_init(&job->bytes_done, 0);
    atomic_init(&job->failed, false);
    for (size_t i = 0; i < codec->n_workers; i++) {
        isb__worker *worker = &codec->workers[i];
        isb__arena_reset(codec->ctx, job->encoded ? &worker->ids : &worker->bytes);
    }
}

isb_status isb__codec_encode(isb__codec *codec, size_t n, const isb__bytes_view *documents,
                             isb__encoded *out, void (*progress)(void *user, double done),
                             void *user) {
    isb__job job = {.codec = codec,
                    .n = n,
                    .texts = documents,
                    .encoded = out,
                    .progress = progress,
                    .user = user};
    if (n > 0) memset(out, 0, n * sizeof *out);
    begin_job(&job);
    if (codec->params.kind == ISB__CODE_BYTES) return encode_bytes(&job);
    const bool ac = codec->params.kind == ISB__CODE_AC;
    job.start = ac ? isb__ac_start_encode : isb__windows_start_encode;
    job.advance = ac ? isb__ac_encode : isb__windows_encode;
    size_t total = 0; /* a byte adds a prefix at most */
    for (size_t i = 0; i < n; i++) total += documents[i].nbytes;
    ISB_TRY(isb__codec_prepare(codec, total));
    return isb__job_run(&job);
}

isb_status isb__codec_decode(isb__codec *codec, size_t n, const isb__ids_view *documents,
                             size_t limit_nbytes, isb__decoded *out,
                             void (*progress)(void *user, double done), void *user) {
    isb__job job = {.codec = codec,
                    .n = n,
                    .codes = documents,
                    .decoded = out,
                    .progress = progress,
                    .user = user,
                    .limit_nbytes = limit_nbytes ? limit_nbytes : DEFAULT_LIMIT_NBYTES};
    if (n > 0) memset(out, 0, n * sizeof *out);
    begin_job(&job);
    if (codec->params.kind == ISB__CODE_BYTES) return decode_bytes(&job);
    const bool ac = codec->params.kind == ISB__CODE_AC;
    job.start = ac ? isb__ac_start_decode : isb__windows_start_decode;
    job.advance = ac ? isb__ac_decode : isb__windows_decode;
    size_t total = 0; /* text seldom has more bytes than its code has bits */
    for (size_t i = 0; i < n; i++) total += documents[i].count;
    ISB_TRY(isb__codec_prepare(codec, total * (size_t)codec->params.token_nbits));
    return isb__job_run(&job);
}
