/* Codes: every byte string comes back, whatever the parameters, the batch and the cache. */
#include <pthread.h>

#include "check.h"
#include "toy_source.h"

#include "base/context.h"
#include "code/codec.h"

static isb_context *ctx;
static isb__rng rng;

static isb__codec *make_codec(const isb__code_params *params, int order, uint32_t sharpness,
                              size_t n_streams) {
    isb__cdf_source source;
    isb__codec *codec = NULL;
    CHECK_OK(ctx, toy_source_create(ctx, order, sharpness, n_streams, &source));
    CHECK_OK(ctx, isb__codec_create(ctx, params, &source, &codec));
    return codec;
}

/* ---- documents ---- */

enum { MAX_DOCUMENTS = 400, RUN_NBYTES = 100000 };

typedef struct documents {
    isb__bytes_view views[MAX_DOCUMENTS];
    uint8_t *owned[MAX_DOCUMENTS];
    size_t n;
} documents;

static uint8_t *add_document(documents *all, const void *data, size_t nbytes) {
    uint8_t *copy = malloc(nbytes + 1);
    CHECK_FATAL(copy && all->n < MAX_DOCUMENTS);
    if (data) memcpy(copy, data, nbytes);
    all->owned[all->n] = copy;
    all->views[all->n++] = (isb__bytes_view){copy, nbytes};
    return copy;
}

static void free_documents(documents *all) {
    for (size_t i = 0; i < all->n; i++) free(all->owned[i]);
    all->n = 0;
}

static void add_hostile(documents *all) {
    static const char invalid_utf8[] =
        "caf\xC3 \xFF\xFE \xED\xA0\x80 \xC0\xAF na\xC3\xAFve \xF4\x90\x80\x80";
    add_document(all, "", 0);
    add_document(all, invalid_utf8, sizeof invalid_utf8 - 1);
    add_document(all, toy_english, sizeof toy_english - 1);
    uint8_t *bytes = add_document(all, NULL, 256);
    for (int x = 0; x < 256; x++) bytes[x] = (uint8_t)x;
    bytes = add_document(all, NULL, 512);
    for (int x = 0; x < 512; x++) bytes[x] = (uint8_t)(511 - x);
    bytes = add_document(all, NULL, 1500);
    for (int i = 0; i < 1500; i++) bytes[i] = (uint8_t)isb__rng_u64(&rng);
    bytes = add_document(all, NULL, 700); /* likely text with wild bytes in it */
    for (int i = 0; i < 700; i++) {
        bytes[i] =
            isb__rng_below(&rng, 20) ? (uint8_t)toy_english[i % 200] : (uint8_t)isb__rng_u64(&rng);
    }
    memset(add_document(all, NULL, 3000), ' ', 3000);
    memset(add_document(all, NULL, 1000), 0, 1000);
    memset(add_document(all, NULL, 1000), 0xFF, 1000);
}

static void add_single_bytes(documents *all) {
    for (int x = 0; x < 256; x++) {
        const uint8_t byte = (uint8_t)x;
        add_document(all, &byte, 1);
    }
}

/* ---- round trips ---- */

static size_t expected_tokens(const isb__code_params *params, size_t n_windows) {
    const size_t n = (size_t)params->token_nbits;
    return (n_windows * (size_t)params->window_nbits + n - 1) / n;
}

static void check_round_trip(isb__codec *codec, const documents *all) {
    static isb__encoded encoded[MAX_DOCUMENTS];
    static isb__ids_view ids[MAX_DOCUMENTS];
    static isb__decoded decoded[MAX_DOCUMENTS];
    const isb__code_params *params = isb__codec_params(codec);
    CHECK_OK(ctx, isb__codec_encode(codec, all->n, all->views, encoded, NULL, NULL));
    for (size_t i = 0; i < all->n; i++) {
        ids[i] = (isb__ids_view){encoded[i].ids, encoded[i].count};
        if (params->kind == ISB__CODE_EQUAL_INFO)
            CHECK_EQ(encoded[i].count, expected_tokens(params, encoded[i].n_windows));
        if (params->kind != ISB__CODE_AC && all->views[i].nbytes == 0)
            CHECK_EQ(encoded[i].count, 0);
    }
    CHECK_OK(ctx, isb__codec_decode(codec, all->n, ids, 0, decoded, NULL, NULL));
    for (size_t i = 0; i < all->n; i++) {
        const isb__bytes_view *text = &all->views[i];
        CHECK_EQ(decoded[i].status, ISB_OK);
        CHECK_EQ(decoded[i].nbytes, text->nbytes);
        if (params->kind == ISB__CODE_EQUAL_INFO)
            CHECK_EQ(decoded[i].n_windows, encoded[i].n_windows);
        CHECK(decoded[i].nbytes == text->nbytes &&
              memcmp(decoded[i].bytes, text->data, text->nbytes) == 0);
    }
}

static void test_bytes(void) {
    isb__code_params params;
    isb__codec *codec = NULL;
    documents all = {.n = 0};
    isb__code_params_init(&params, ISB__CODE_BYTES);
    CHECK_OK(ctx, isb__codec_create(ctx, &params, NULL, &codec));
    CHECK_EQ(isb__codec_n_codes(codec), 256);
    add_hostile(&all);
    check_round_trip(codec, &all);
    const uint32_t bad[] = {65, 66, 256};
    const isb__ids_view ids = {bad, 3};
    isb__decoded decoded;
    CHECK_OK(ctx, isb__codec_decode(codec, 1, &ids, 0, &decoded, NULL, NULL));
    CHECK_EQ(decoded.status, ISB_ERR_CORRUPT);
    CHECK_EQ(decoded.nbytes, 2);
    free_documents(&all);
    isb__codec_free(codec);
}

static void test_hostile_windows(void) {
    static const int widths[] = {8, 9, 12, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100, 127, 128};
    static const int tokens[] = {1, 8, 16}, resets[] = {1, 2, 3, 0};
    documents all = {.n = 0};
    add_hostile(&all);
    int turn = 0;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        for (size_t j = 0; j < 4; j++) {
            for (int variant = ISB__EXACT; variant <= ISB__DELAY; variant += ISB__DELAY) {
                /* Every combination of width, reset and variant; token widths and streams take
                 * turns. */
                isb__code_params params;
                isb__code_params_init(&params, ISB__CODE_EQUAL_INFO);
                params.variant = (isb__window_variant)variant;
                params.window_nbits = widths[i];
                params.reset_windows = resets[j];
                params.token_nbits = tokens[turn % 3] <= widths[i] ? tokens[turn % 3] : 8;
                params.precision_nbits = turn % 5 == 4 ? 14 : 16;
                isb__codec *codec =
                    make_codec(&params, 2, turn % 2 ? 40 : 2000, (size_t)(1 + turn % 5));
                isb__codec_check_windows(codec, 1);
                check_round_trip(codec, &all);
                isb__codec_stats stats;
                isb__codec_stats_get(codec, &stats);
                CHECK_EQ(stats.windows_failed, 0);
                CHECK_EQ(stats.windows_checked, stats.windows);
                CHECK(stats.windows > 0);
                isb__codec_free(codec);
                ++turn;
            }
        }
    }
    free_documents(&all);
}

static void test_single_bytes_and_runs(void) {
    static const int widths[] = {8, 16, 33, 128};
    documents singles = {.n = 0}, run = {.n = 0};
    add_single_bytes(&singles);
    memset(add_document(&run, NULL, RUN_NBYTES), 'e', RUN_NBYTES);
    for (int i = 0; i < 4; i++) {
        isb__code_params params;
        isb__code_params_init(&params, ISB__CODE_EQUAL_INFO);
        params.window_nbits = widths[i];
        params.token_nbits = 8;
        for (int variant = ISB__EXACT; variant <= ISB__DELAY; variant += ISB__DELAY) {
            params.variant = (isb__window_variant)variant;
            isb__codec *codec = make_codec(&params, 0, 100000, 16);
            check_round_trip(codec, &singles);
            if (variant == ISB__EXACT ? i % 2 : i == 2) check_round_trip(codec, &run);
            isb__codec_free(codec);
        }
    }
    free_documents(&singles);
    free_documents(&run);
}

static void test_ac(void) {
    static const int tokens[] = {1, 8, 16};
    documents all = {.n = 0}, run = {.n = 0};
    add_hostile(&all);
    add_single_bytes(&all);
    memset(add_document(&run, NULL, RUN_NBYTES), 'e', RUN_NBYTES);
    for (int precision = 9; precision <= 16; precision += 7) {
        for (int i = 0; i < 3; i++) {
            isb__code_params params;
            isb__code_params_init(&params, ISB__CODE_AC);
            params.token_nbits = tokens[i];
            params.precision_nbits = precision;
            isb__codec *codec = make_codec(&params, 2, 300, 7);
            CHECK_EQ(isb__codec_n_codes(codec), INT64_C(1) << tokens[i]);
            check_round_trip(codec, &all);
            if (tokens[i] == 16 && precision == 16) check_round_trip(codec, &run);
            isb__codec_free(codec);
        }
    }
    free_documents(&all);
    free_documents(&run);
}

/* ---- exhaustion ---- */

/* Every cell of a small window decodes to a text, and the text's own code decodes to it. */
static void test_all_cells(int b, int precision, uint32_t sharpness) {
    isb__code_params params;
    isb__code_params_init(&params, ISB__CODE_EQUAL_INFO);
    params.window_nbits = b;
    params.token_nbits = 8;
    params.precision_nbits = precision;
    isb__codec *codec = make_codec(&params, 1, sharpness, 8);
    for (uint32_t cell = 0; cell < UINT32_C(1) << b; cell++) {
        /* One window fills ceil(b / 8) tokens; what is over is padding. */
        const uint32_t shifted = b > 8 ? cell << (16 - b) : cell;
        const uint32_t tokens[2] = {(uint32_t)(b > 8 ? shifted >> 8 : shifted),
                                    (uint32_t)(shifted & 255)};
        const isb__ids_view ids = {tokens, b > 8 ? 2u : 1u};
        isb__decoded decoded;
        CHECK_OK(ctx, isb__codec_decode(codec, 1, &ids, 0, &decoded, NULL, NULL));
        CHECK_EQ(decoded.status, ISB_OK);
        CHECK(decoded.nbytes >= 1);
        documents one = {.n = 0};
        add_document(&one, decoded.bytes, decoded.nbytes);
        check_round_trip(codec, &one);
        free_documents(&one);
    }
    isb__codec_free(codec);
}

/* All strings of up to three bytes over an alphabet of likely, unlikely, first and last bytes. */
static void test_all_short_strings(int b, int variant, int reset) {
    static const uint8_t alphabet[] = {0, 1, 'a', 'e', ' ', 'z', 0x80, 0xFE, 0xFF};
    enum { N = sizeof alphabet };
    isb__code_params params;
    isb__code_params_init(&params, ISB__CODE_EQUAL_INFO);
    params.window_nbits = b;
    params.token_nbits = 1;
    params.variant = (isb__window_variant)variant;
    params.reset_windows = reset;
    isb__codec *codec = make_codec(&params, 2, 5000, 4);
    for (int first = 0; first < N; first++) {
        documents all = {.n = 0};
        for (int i = 0; i < N * N; i++) {
            const uint8_t text[3] = {alphabet[first], alphabet[i / N], alphabet[i % N]};
            if (i == 0) add_document(&all, text, 1);
            if (i % N == 0) add_document(&all, text, 2);
            add_document(&all, text, 3);
        }
        check_round_trip(codec, &all);
        free_documents(&all);
    }
    isb__codec_free(codec);
}

/* ---- one code, however it is computed ---- */

static uint64_t code_hash(isb__codec *codec, const documents *all, bool one_by_one) {
    static isb__encoded encoded[MAX_DOCUMENTS];
    uint64_t hash = 0;
    for (size_t i = 0; i < all->n; i += one_by_one ? 1 : all->n) {
        const size_t n = one_by_one ? 1 : all->n;
        CHECK_OK(ctx, isb__codec_encode(codec, n, all->views + i, encoded, NULL, NULL));
        for (size_t j = 0; j < n; j++) {
            hash = isb__mix64(hash, encoded[j].count);
            for (size_t k = 0; k < encoded[j].count; k++)
                hash = isb__mix64(hash, encoded[j].ids[k]);
        }
    }
    return hash;
}

static void test_independence(const isb__code_params *params) {
    documents all = {.n = 0};
    add_hostile(&all);
    uint64_t expected = 0;
    for (int turn = 0; turn < 6; turn++) {
        isb__codec *codec = make_codec(params, 2, 200, turn < 2 ? 1 : (size_t)(turn * 7));
        if (turn == 3) isb__codec_limit_cache(codec, 0);
        const uint64_t first = code_hash(codec, &all, turn % 2 == 1);
        if (turn == 0) expected = first;
        CHECK(first == expected);
        CHECK(code_hash(codec, &all, turn % 2 == 0) ==
              expected); /* with a warm cache, and the other way */
        if (turn == 3) check_round_trip(codec, &all);
        isb__codec_free(codec);
    }
    free_documents(&all);
}

/* ---- many workers ---- */

static isb_context *context_with(int n_threads) {
    isb_context_options options;
    isb_context *made = NULL;
    isb_context_options_init(&options);
    options.n_threads = n_threads;
    CHECK_FATAL(isb_context_create(&options, &made) == ISB_OK);
    return made;
}

/* Documents of many sizes, empty ones among them, short ones between long ones. */
static void add_assorted(documents *all) {
    for (int i = 0; i < 60; i++) {
        const size_t at = (size_t)isb__rng_below(&rng, 500);
        add_document(all, toy_english + at, i % 7 ? (size_t)isb__rng_below(&rng, 200) : 0);
    }
}

/* Hash of the ids and of what they decode to, and whether that is the text. */
static uint64_t both_ways_hash(isb_context *own, isb__codec *codec, const documents *all) {
    static isb__encoded encoded[MAX_DOCUMENTS];
    static isb__ids_view ids[MAX_DOCUMENTS];
    static isb__decoded decoded[MAX_DOCUMENTS];
    uint64_t hash = 0;
    CHECK_OK(own, isb__codec_encode(codec, all->n, all->views, encoded, NULL, NULL));
    for (size_t i = 0; i < all->n; i++) {
        ids[i] = (isb__ids_view){encoded[i].ids, encoded[i].count};
        hash = isb__mix64(hash, encoded[i].count);
        hash = isb__mix64(hash, encoded[i].n_windows);
        for (size_t k = 0; k < encoded[i].count; k++) hash = isb__mix64(hash, encoded[i].ids[k]);
    }
    CHECK_OK(own, isb__codec_decode(codec, all->n, ids, 0, decoded, NULL, NULL));
    for (size_t i = 0; i < all->n; i++) {
        const isb__bytes_view *text = &all->views[i];
        hash = isb__mix64(hash, decoded[i].n_windows);
        CHECK(decoded[i].status == ISB_OK && decoded[i].nbytes == text->nbytes &&
              memcmp(decoded[i].bytes, text->data, text->nbytes) == 0);
    }
    return hash;
}

/* The same ids, and the same text of them, from one thread and from many, over few streams and many,
 * with the cache empty, warm and full. */
static void test_workers(const isb__code_params *params) {
    documents all = {.n = 0};
    add_hostile(&all);
    add_assorted(&all);
    uint64_t expected = 0;
    for (int n_threads = 1; n_threads <= 4; n_threads++) {
        isb_context *own = context_with(n_threads);
        for (size_t n_streams = 1; n_streams <= 11; n_streams += 5) {
            isb__cdf_source source;
            isb__codec *codec = NULL;
            CHECK_OK(own, toy_source_create(own, 2, 300, n_streams, &source));
            const toy_source *toy = source.self;
            CHECK_OK(own, isb__codec_create(own, params, &source, &codec));
            if (n_streams == 6) isb__codec_limit_cache(codec, 0);
            isb__codec_check_windows(codec, 1);
            const uint64_t first = both_ways_hash(own, codec, &all);
            if (n_threads == 1 && n_streams == 1) expected = first;
            CHECK(first == expected);
            if (params->reset_windows == 1) CHECK(both_ways_hash(own, codec, &all) == expected);
            isb__codec_stats stats;
            isb__codec_stats_get(codec, &stats);
            CHECK_EQ(stats.windows_failed, 0);
            if (params->kind == ISB__CODE_EQUAL_INFO)
                CHECK_EQ(stats.windows_checked, stats.windows);
            CHECK_EQ(stats.m1_bytes, atomic_load(&toy->n_bytes));
            CHECK_EQ(atomic_load(&toy->n_clashes), 0);
            isb__codec_free(codec);
        }
        isb_context_free(own);
    }
    free_documents(&all);
}

/* M1 fails, on whichever thread: all stop, the call says so with a text, and the codec still works. */
static void test_failures_of_workers(const isb__code_params *params) {
    static isb__encoded encoded[MAX_DOCUMENTS];
    documents all = {.n = 0};
    isb_context *own = context_with(4);
    isb__cdf_source source;
    isb__codec *codec = NULL;
    add_assorted(&all);
    CHECK_OK(own, toy_source_create(own, 2, 300, 8, &source));
    toy_source *toy = source.self;
    CHECK_OK(own, isb__codec_create(own, params, &source, &codec));
    isb__codec_limit_cache(codec, 0);
    const uint64_t expected = both_ways_hash(own, codec, &all);
    for (size_t at = 1; at <= 20; at += 1 + at / 2) {
        atomic_store(&toy->fail_after, atomic_load(&toy->n_calls) + at);
        isb__fail(own, ISB_ERR_ARGUMENT, "an older failure");
        CHECK_STATUS(isb__codec_encode(codec, all.n, all.views, encoded, NULL, NULL),
                     ISB_ERR_CANCELLED);
        CHECK(strcmp(isb_context_error(own), "an older failure") != 0);
        atomic_store(&toy->fail_after, 0);
        CHECK(both_ways_hash(own, codec, &all) == expected);
    }
    isb__codec_free(codec);
    isb_context_free(own);
    free_documents(&all);
}

typedef struct watcher {
    isb_context *ctx;
    pthread_t caller;
    size_t n_calls, n_elsewhere, n_backwards, cancel_at;
    double done;
} watcher;

static void watch(void *user, double done) {
    watcher *w = user;
    w->n_elsewhere += !pthread_equal(pthread_self(), w->caller);
    w->n_backwards += done < w->done;
    w->done = done;
    if (++w->n_calls == w->cancel_at) isb_context_cancel(w->ctx);
}

/* Progress comes on the calling thread and grows to the number of bytes; a cancelled call ends. */
static void test_progress_and_cancel(const isb__code_params *params) {
    static isb__encoded encoded[MAX_DOCUMENTS];
    documents all = {.n = 0};
    add_assorted(&all);
    size_t total = 0;
    for (size_t i = 0; i < all.n; i++) total += all.views[i].nbytes;
    for (int n_threads = 1; n_threads <= 3; n_threads += 2) {
        isb_context *own = context_with(n_threads);
        isb__cdf_source source;
        isb__codec *codec = NULL;
        CHECK_OK(own, toy_source_create(own, 2, 300, 9, &source));
        CHECK_OK(own, isb__codec_create(own, params, &source, &codec));
        watcher w = {.ctx = own, .caller = pthread_self()};
        CHECK_OK(own, isb__codec_encode(codec, all.n, all.views, encoded, watch, &w));
        CHECK_EQ(w.n_elsewhere + w.n_backwards, 0);
        CHECK(w.done <= (double)total);
        if (n_threads == 1) CHECK_EQ((size_t)w.done, total);
        isb__codec_free(codec);
        CHECK_OK(own, toy_source_create(own, 2, 300, 9, &source));
        CHECK_OK(own, isb__codec_create(own, params, &source, &codec));
        w = (watcher){.ctx = own, .caller = pthread_self(), .cancel_at = 1};
        const isb_status status = isb__codec_encode(codec, all.n, all.views, encoded, watch, &w);
        /* the caller's worker may come too late to see any of the job */
        CHECK(w.n_calls == 0 ? status == ISB_OK : status == ISB_ERR_CANCELLED || n_threads > 1);
        isb_context_cancel_clear(own);
        both_ways_hash(own, codec, &all);
        isb__codec_free(codec);
        isb_context_free(own);
    }
    free_documents(&all);
}

/* A code of the exact kind is denser than delay and nearly as dense as greedy; greedy fails and
 * says so. */
static void test_variants_compared(void) {
    size_t counts[3] = {0, 0, 0};
    documents all = {.n = 0};
    add_document(&all, toy_english, sizeof toy_english - 1);
    for (int variant = ISB__EXACT; variant <= ISB__DELAY; variant++) {
        isb__code_params params;
        isb__code_params_init(&params, ISB__CODE_EQUAL_INFO);
        params.variant = (isb__window_variant)variant;
        isb__codec *codec = make_codec(&params, 2, 2000, 4);
        isb__codec_check_windows(codec, 1);
        isb__encoded encoded;
        isb__decoded decoded;
        CHECK_OK(ctx, isb__codec_encode(codec, 1, all.views, &encoded, NULL, NULL));
        counts[variant] = encoded.count;
        const isb__ids_view ids = {encoded.ids, encoded.count};
        CHECK_OK(ctx, isb__codec_decode(codec, 1, &ids, 0, &decoded, NULL, NULL));
        const bool same = decoded.nbytes == all.views[0].nbytes &&
                          memcmp(decoded.bytes, all.views[0].data, decoded.nbytes) == 0;
        isb__codec_stats stats;
        isb__codec_stats_get(codec, &stats);
        CHECK_EQ(stats.windows_checked, encoded.n_windows);
        CHECK_EQ(stats.documents_checked, 1);
        CHECK_EQ(stats.documents_failed, variant == ISB__GREEDY);
        CHECK_EQ(stats.windows_failed > 0, variant == ISB__GREEDY);
        CHECK_EQ(same, variant != ISB__GREEDY);
        isb__codec_free(codec);
    }
    printf("tokens: exact %zu, greedy %zu, delay %zu\n", counts[ISB__EXACT], counts[ISB__GREEDY],
           counts[ISB__DELAY]);
    CHECK(counts[ISB__EXACT] < counts[ISB__DELAY]);
    CHECK(counts[ISB__GREEDY] <= counts[ISB__EXACT]);
    free_documents(&all);
}

/* The cache: each pass over the same text makes its prefixes longer, until M1 is asked for nothing. */
static void test_cache(void) {
    documents all = {.n = 0};
    add_document(&all, toy_english, sizeof toy_english - 1);
    isb__code_params params;
    isb__code_params_init(&params, ISB__CODE_EQUAL_INFO);
    isb__codec *codec = make_codec(&params, 2, 500, 4);
    isb__codec_stats before, after;
    uint64_t m1_bytes = UINT64_MAX;
    size_t n_passes = 0;
    for (isb__codec_stats_get(codec, &before); m1_bytes > 0 && n_passes < 10; ++n_passes) {
        check_round_trip(codec, &all);
        isb__codec_stats_get(codec, &after);
        CHECK(after.m1_bytes - before.m1_bytes < m1_bytes);
        m1_bytes = after.m1_bytes - before.m1_bytes;
        before = after;
    }
    CHECK(n_passes > 1 && n_passes < 10);
    CHECK(after.cached_nodes > 100 && after.cache_nbytes > 0);
    CHECK_EQ(after.bytes, n_passes * (sizeof toy_english - 1));
    isb__codec_free(codec);
    free_documents(&all);
}

/* ---- damage ---- */

static void test_damage(const isb__code_params *params) {
    isb__codec *codec = make_codec(params, 2, 500, 4);
    const uint32_t n_codes = (uint32_t)isb__codec_n_codes(codec);
    for (int turn = 0; turn < 150; turn++) {
        uint32_t ids[40];
        const size_t count = (size_t)isb__rng_below(&rng, 40);
        for (size_t i = 0; i < count; i++)
            ids[i] = (uint32_t)isb__rng_below(&rng, turn % 3 ? n_codes : 65536);
        const isb__ids_view view = {ids, count};
        isb__decoded decoded;
        CHECK_OK(ctx, isb__codec_decode(codec, 1, &view, 5000, &decoded, NULL, NULL));
        CHECK(decoded.status == ISB_OK || decoded.status == ISB_ERR_CORRUPT ||
              decoded.status == ISB_ERR_UNDECODABLE);
        CHECK(decoded.nbytes <= 5000);
        /* What decodes without an error and without padding is a text; its code decodes to it
         * again. */
        if (decoded.status != ISB_OK || params->variant == ISB__GREEDY) continue;
        documents one = {.n = 0};
        add_document(&one, decoded.bytes, decoded.nbytes);
        check_round_trip(codec, &one);
        free_documents(&one);
    }
    isb__codec_free(codec);
}

/* Only the code that encoding gives is accepted: a damaged code is refused or is the code of
 * another text. */
static void test_ac_damage(void) {
    isb__code_params params;
    isb__code_params_init(&params, ISB__CODE_AC);
    isb__codec *codec = make_codec(&params, 1, 500, 4);
    const isb__bytes_view text = {(const uint8_t *)toy_english, 200};
    isb__encoded encoded;
    isb__decoded decoded;
    uint32_t ids[512];
    CHECK_OK(ctx, isb__codec_encode(codec, 1, &text, &encoded, NULL, NULL));
    CHECK_FATAL(encoded.count + 2 < 512);
    const size_t count = encoded.count;
    memcpy(ids, encoded.ids, count * sizeof *ids);
    ids[count] = ids[count + 1] = 0;
    for (size_t cut = 0; cut <= count + 2; cut++) {
        const isb__ids_view view = {ids, cut};
        CHECK_OK(ctx, isb__codec_decode(codec, 1, &view, 0, &decoded, NULL, NULL));
        const bool same =
            decoded.nbytes == text.nbytes && memcmp(decoded.bytes, text.data, text.nbytes) == 0;
        CHECK_EQ(decoded.status == ISB_OK && same, cut == count);
        if (cut > count) CHECK_EQ(decoded.status, ISB_ERR_CORRUPT);
    }
    for (size_t i = 0; i < count; i++) {
        ids[i] ^= (uint32_t)(1 + isb__rng_below(&rng, 255));
        const isb__ids_view view = {ids, count};
        CHECK_OK(ctx, isb__codec_decode(codec, 1, &view, 4096, &decoded, NULL, NULL));
        const bool same =
            decoded.nbytes == text.nbytes && memcmp(decoded.bytes, text.data, text.nbytes) == 0;
        CHECK(decoded.status != ISB_OK || !same);
        ids[i] =
            encoded.ids[i]; /* nothing has been encoded since: the memory is still the codec's */
    }
    isb__codec_free(codec);
}

static void test_padding_and_limit(void) {
    isb__code_params params;
    isb__code_params_init(&params, ISB__CODE_EQUAL_INFO);
    params.window_nbits = 24;
    isb__codec *codec = make_codec(&params, 2, 500, 4);
    uint32_t ids[3] = {0x1234, 0x5600, 0};
    isb__decoded decoded;
    const isb__ids_view fine = {ids, 2}, excess = {ids, 1};
    CHECK_OK(ctx, isb__codec_decode(codec, 1, &fine, 0, &decoded, NULL, NULL));
    CHECK_EQ(decoded.status, ISB_OK);
    CHECK_EQ(decoded.n_windows, 1);
    const size_t nbytes = decoded.nbytes;
    ids[1] = 0x5601; /* padding that is not zero: the window decodes, and the damage is told */
    CHECK_OK(ctx, isb__codec_decode(codec, 1, &fine, 0, &decoded, NULL, NULL));
    CHECK_EQ(decoded.status, ISB_ERR_CORRUPT);
    CHECK_EQ(decoded.nbytes, nbytes);
    CHECK_OK(ctx, isb__codec_decode(codec, 1, &excess, 0, &decoded, NULL, NULL));
    CHECK_EQ(decoded.status, ISB_ERR_CORRUPT);
    CHECK_EQ(decoded.nbytes, 0);
    ids[1] = 0x5600;
    CHECK_OK(ctx, isb__codec_decode(codec, 1, &fine, nbytes - 1, &decoded, NULL, NULL));
    CHECK_EQ(decoded.status, ISB_ERR_CORRUPT);
    CHECK_EQ(decoded.nbytes, nbytes - 1);
    isb__codec_free(codec);
}

/* After a failure of M1, or a cancelled call, the codec still works. */
static void test_failures(void) {
    documents all = {.n = 0};
    add_document(&all, toy_english, 300);
    isb__code_params params;
    isb__code_params_init(&params, ISB__CODE_EQUAL_INFO);
    params.reset_windows = 0;
    isb__cdf_source source;
    isb__codec *codec = NULL;
    isb__encoded encoded;
    CHECK_OK(ctx, toy_source_create(ctx, 2, 500, 2, &source));
    toy_source *toy = source.self;
    CHECK_OK(ctx, isb__codec_create(ctx, &params, &source, &codec));
    for (size_t at = 1; at <= 3; at++) {
        atomic_store(&toy->fail_after, atomic_load(&toy->n_calls) + at);
        CHECK_STATUS(isb__codec_encode(codec, 1, all.views, &encoded, NULL, NULL),
                     ISB_ERR_CANCELLED);
        atomic_store(&toy->fail_after, 0);
        check_round_trip(codec, &all);
    }
    isb_context_cancel(ctx);
    CHECK_STATUS(isb__codec_encode(codec, 1, all.views, &encoded, NULL, NULL), ISB_ERR_CANCELLED);
    isb_context_cancel_clear(ctx);
    check_round_trip(codec, &all);
    isb__codec_free(codec);
    free_documents(&all);
}

/* ---- streams ---- */

static void push_all(isb__decode_stream *stream, const uint32_t *ids, size_t count, uint8_t *out,
                     size_t *nbytes) {
    for (size_t i = 0; i < count; i++) {
        const uint8_t *bytes;
        size_t n;
        CHECK_OK(ctx, isb__decode_stream_push(stream, ids[i], &bytes, &n));
        memcpy(out + *nbytes, bytes, n);
        *nbytes += n;
    }
}

static void test_decode_streams(const isb__code_params *params) {
    enum { HALF = 300 };
    isb__codec *codec = make_codec(params, 2, 500, 2);
    const isb__bytes_view text = {(const uint8_t *)toy_english, sizeof toy_english - 1};
    isb__encoded encoded;
    CHECK_OK(ctx, isb__codec_encode(codec, 1, &text, &encoded, NULL, NULL));
    const size_t count = encoded.count;
    uint32_t *ids = malloc((count + 1) * sizeof *ids);
    CHECK_FATAL(ids && count > HALF / 10);
    memcpy(ids, encoded.ids, count * sizeof *ids);
    isb__decode_stream *streams[3];
    static uint8_t out[3][sizeof toy_english];
    size_t nbytes[3] = {0, 0, 0};
    const size_t piece = count / 5 + 1;
    for (int s = 0; s < 3; s++) CHECK_OK(ctx, isb__decode_stream_create(codec, &streams[s]));
    for (size_t i = 0; i < count;
         i += piece) { /* three streams over M1's two, and other work between */
        const size_t n = i + piece < count ? piece : count - i;
        for (int s = 0; s < 3; s++) push_all(streams[s], ids + i, n, out[s], &nbytes[s]);
        CHECK_OK(ctx, isb__codec_encode(codec, 1, &text, &encoded, NULL, NULL));
    }
    for (int s = 0; s < 3; s++) {
        CHECK_EQ(nbytes[s], text.nbytes);
        CHECK(memcmp(out[s], text.data, text.nbytes) == 0);
        const uint8_t *bytes;
        size_t n;
        CHECK_STATUS(
            isb__decode_stream_push(streams[s], (uint32_t)isb__codec_n_codes(codec), &bytes, &n),
            ISB_ERR_CORRUPT);
        CHECK_EQ(n, 0);
        isb__decode_stream_free(streams[s]);
    }
    free(ids);
    isb__codec_free(codec);
}

/* A window that no text has is as if it had never come: what follows decodes as without it. */
static void test_stream_drops_windows(int reset_windows) {
    isb__code_params params;
    isb__code_params_init(&params, ISB__CODE_EQUAL_INFO);
    params.variant = ISB__DELAY;
    params.reset_windows = reset_windows;
    isb__codec *codec = make_codec(&params, 2, 500, 3);
    isb__decode_stream *with = NULL, *without = NULL;
    CHECK_OK(ctx, isb__decode_stream_create(codec, &with));
    CHECK_OK(ctx, isb__decode_stream_create(codec, &without));
    size_t n_dropped = 0;
    for (int turn = 0; turn < 400; turn++) {
        const uint32_t id = (uint32_t)isb__rng_below(&rng, 65536);
        const uint8_t *bytes, *expected;
        size_t n, n_expected;
        const isb_status status = isb__decode_stream_push(with, id, &bytes, &n);
        n_dropped += status == ISB_ERR_UNDECODABLE;
        CHECK(status == ISB_OK || (status == ISB_ERR_UNDECODABLE && n == 0));
        if (status != ISB_OK) continue;
        CHECK_OK(ctx, isb__decode_stream_push(without, id, &expected, &n_expected));
        CHECK(n == n_expected && memcmp(bytes, expected, n) == 0);
    }
    CHECK(n_dropped > 10);
    isb__decode_stream_free(with);
    isb__decode_stream_free(without);
    isb__codec_free(codec);
}

/* ---- parameters ---- */

static void test_parameters(void) {
    isb__code_params params;
    isb__code_params_init(&params, ISB__CODE_EQUAL_INFO);
    CHECK_OK(ctx, isb__code_params_check(ctx, &params));
    const isb__code_params good = params;
#define CHECK_BAD(field, value)                                            \
    do {                                                                   \
        params = good;                                                     \
        params.field = value;                                              \
        CHECK_STATUS(isb__code_params_check(ctx, &params), ISB_ERR_RANGE); \
    } while (0)
    CHECK_BAD(window_nbits, 7);
    CHECK_BAD(window_nbits, 129);
    CHECK_BAD(window_nbits, 9); /* tokens of 16 bits */
    CHECK_BAD(token_nbits, 4);
    CHECK_BAD(reset_windows, -1);
    CHECK_BAD(precision_nbits, 7);
    CHECK_BAD(precision_nbits, 17);
    CHECK_BAD(variant, (isb__window_variant)3);
    CHECK_BAD(kind, (isb__code_kind)3);
#undef CHECK_BAD
    isb__codec *codec = NULL;
    CHECK_STATUS(isb__codec_create(ctx, &good, NULL, &codec), ISB_ERR_ARGUMENT);
    CHECK(codec == NULL);
    isb__code_params_init(&params, ISB__CODE_AC);
    params.precision_nbits = 8;
    CHECK_STATUS(isb__code_params_check(ctx, &params), ISB_ERR_RANGE);
}

int main(int argc, char **argv) {
    isb__rng_seed(&rng, check_begin(argc, argv));
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    test_parameters();
    test_bytes();
    test_hostile_windows();
    test_single_bytes_and_runs();
    test_ac();
    for (int b = 8; b <= 12; b++) test_all_cells(b, b == 10 ? 9 : 16, b % 2 ? 3 : 800);
    for (int b = 8; b <= 40; b += 4) {
        for (int reset = 0; reset <= 2; reset++) {
            test_all_short_strings(b, ISB__EXACT, reset);
            test_all_short_strings(b, ISB__DELAY, reset);
        }
    }
    isb__code_params params;
    for (int reset = 0; reset <= 2; reset++) {
        isb__code_params_init(&params, ISB__CODE_EQUAL_INFO);
        params.reset_windows = reset;
        params.window_nbits = 20 + 40 * reset;
        test_independence(&params);
        test_workers(&params);
        test_failures_of_workers(&params);
        test_progress_and_cancel(&params);
        test_decode_streams(&params);
        for (int variant = ISB__EXACT; variant <= ISB__DELAY; variant++) {
            params.variant = (isb__window_variant)variant;
            test_damage(&params);
        }
    }
    test_stream_drops_windows(0);
    test_stream_drops_windows(1);
    isb__code_params_init(&params, ISB__CODE_AC);
    test_independence(&params);
    test_workers(&params);
    test_failures_of_workers(&params);
    test_progress_and_cancel(&params);
    test_damage(&params);
    test_ac_damage();
    test_variants_compared();
    test_cache();
    test_padding_and_limit();
    test_failures();
    isb_context_free(ctx);
    return check_end();
}
