/* Compiled windows are the coder: the same ids for every text, the same text for every id. */
#include "check.h"
#include "temp_dir.h"
#include "toy_source.h"

#include "code/codec.h"
#include "codebook/codebook.h"
#include "codebook/windows.h"

static isb_context *ctx;
static isb__rng rng;

typedef struct setting {
    isb__window_variant variant;
    int nbits, order, precision_nbits;
    uint32_t sharpness;
} setting;

static isb__code_params params_of(const setting *s) {
    isb__code_params params;
    isb__code_params_init(&params, ISB__CODE_EQUAL_INFO);
    params.variant = s->variant;
    params.window_nbits = params.token_nbits = s->nbits;
    params.reset_windows = 1;
    params.precision_nbits = s->precision_nbits;
    return params;
}

typedef struct compiled {
    isb__candidates strings;
    uint32_t *codes;
    size_t *decoded;
} compiled;

static compiled compile(const setting *s, size_t n_streams) {
    const isb__code_params params = params_of(s);
    isb__cdf_source source;
    compiled c;
    CHECK_OK(ctx, toy_source_create(ctx, s->order, s->sharpness, n_streams, &source));
    CHECK_OK(ctx, isb__compile_windows(ctx, &source, &params, &c.strings, &c.codes, &c.decoded));
    source.free(source.self);
    return c;
}

static void free_compiled(compiled *c) {
    isb__candidates_free(ctx, &c->strings);
    isb__free(ctx, c->codes);
    isb__free(ctx, c->decoded);
}

static isb_codebook *make_codebook(const compiled *c, int nbits) {
    const isb__codebook_content content = {.bytes = c->strings.bytes,
                                           .offsets = c->strings.offsets,
                                           .n_strings = c->strings.n,
                                           .ids = c->codes,
                                           .decoded = c->decoded,
                                           .n_codes = (size_t)1 << nbits};
    isb_codebook *codebook = NULL;
    CHECK_OK(ctx, isb__codebook_from_sorted(ctx, &content, NULL, &codebook));
    return codebook;
}

static isb__codec *make_codec(const setting *s) {
    const isb__code_params params = params_of(s);
    isb__cdf_source source;
    isb__codec *codec = NULL;
    CHECK_OK(ctx, toy_source_create(ctx, s->order, s->sharpness, 16, &source));
    CHECK_OK(ctx, isb__codec_create(ctx, &params, &source, &codec));
    return codec;
}

/* ---- texts ---- */

enum { TEXT_NBYTES = 200000, N_LETTERS = 5, MAX_SHORT = 6, MAX_DOCUMENTS = 30000 };

static isb__bytes_view views[MAX_DOCUMENTS];
static uint8_t *text, *shorts;
static size_t n_documents;

/* Pieces of English, and wild bytes; runs. */
static void make_text(void) {
    text = malloc(TEXT_NBYTES);
    CHECK_FATAL(text);
    for (size_t i = 0; i < TEXT_NBYTES;) {
        const size_t left = TEXT_NBYTES - i, kind = (size_t)isb__rng_below(&rng, 20);
        size_t n = 1 + (size_t)isb__rng_below(&rng, 60);
        const size_t from = (size_t)isb__rng_below(&rng, sizeof toy_english - 61);
        n = n < left ? n : left;
        if (kind > 1) {
            memcpy(text + i, toy_english + from, n);
        } else if (kind == 1) {
            memset(text + i, toy_english[from], n);
        } else {
            for (size_t j = 0; j < n; ++j) text[i + j] = (uint8_t)isb__rng_u64(&rng);
        }
        i += n;
    }
}

/* All strings of up to MAX_SHORT letters. */
static void make_documents(void) {
    static const uint8_t letters[N_LETTERS] = {' ', 'e', 't', 'h', 0xff};
    size_t count = 1, used = 0;
    shorts = malloc((size_t)MAX_DOCUMENTS * MAX_SHORT);
    CHECK_FATAL(shorts);
    views[n_documents++] = (isb__bytes_view){text, TEXT_NBYTES};
    for (size_t n = 0; n <= MAX_SHORT; ++n, count *= N_LETTERS) {
        for (size_t i = 0; i < count; ++i) {
            for (size_t j = 0, rest = i; j < n; ++j, rest /= N_LETTERS)
                shorts[used + j] = letters[rest % N_LETTERS];
            views[n_documents++] = (isb__bytes_view){shorts + used, n};
            used += n;
        }
    }
}

/* ---- comparisons ---- */

static size_t count_differences(const isb_codebook *codebook, const isb__encoded *expected,
                                const isb__bytes_view *document) {
    static uint32_t ids[TEXT_NBYTES], naive[TEXT_NBYTES];
    size_t n = 0;
    CHECK_OK(ctx,
             isb_codebook_encode(codebook, document->data, document->nbytes, ids, TEXT_NBYTES, &n));
    const size_t n_naive =
        isb__codebook_encode_naive(codebook, document->data, document->nbytes, naive);
    size_t differ = n != expected->count || n_naive != n;
    for (size_t i = 0; i < n && !differ; ++i)
        differ = ids[i] != expected->ids[i] || ids[i] != naive[i];
    return differ;
}

static void check_encoding(const isb_codebook *codebook, isb__codec *codec) {
    static isb__encoded expected[MAX_DOCUMENTS];
    size_t differ = 0;
    CHECK_OK(ctx, isb__codec_encode(codec, n_documents, views, expected, NULL, NULL));
    for (size_t i = 0; i < n_documents; ++i)
        differ += count_differences(codebook, &expected[i], &views[i]);
    CHECK_EQ(differ, 0);
}

/* Every id on its own. */
static void check_decoding(const isb_codebook *codebook, isb__codec *codec, size_t n_codes) {
    static isb__ids_view documents[1 << 16];
    static isb__decoded expected[1 << 16];
    static uint32_t ids[1 << 16];
    size_t differ = 0;
    for (size_t id = 0; id < n_codes; ++id) {
        ids[id] = (uint32_t)id;
        documents[id] = (isb__ids_view){&ids[id], 1};
    }
    CHECK_OK(ctx, isb__codec_decode(codec, n_codes, documents, 0, expected, NULL, NULL));
    for (size_t id = 0; id < n_codes; ++id) {
        const uint8_t *bytes;
        size_t n;
        isb_codebook_string(codebook, (uint32_t)id, &bytes, &n);
        if (expected[id].status == ISB_ERR_UNDECODABLE) {
            differ += bytes != NULL;
        } else {
            differ += expected[id].status != ISB_OK || !bytes || n != expected[id].nbytes ||
                      memcmp(bytes, expected[id].bytes, n) != 0;
        }
    }
    CHECK_EQ(differ, 0);
}

/* The same codebook from its file. */
static isb_codebook *reopen(isb_codebook *codebook) {
    const char *path = temp_path("windows.isb-codebook");
    isb_codebook *again = NULL;
    isb_codebook_info before = {.struct_size = sizeof before},
                      after = {.struct_size = sizeof after};
    CHECK_OK(ctx, isb_codebook_save(ctx, codebook, path));
    CHECK_OK(ctx, isb_codebook_open(ctx, path, &again));
    isb_codebook_get_info(codebook, &before);
    isb_codebook_get_info(again, &after);
    CHECK(strcmp(before.identity, after.identity) == 0);
    CHECK_EQ(after.n_strings, before.n_strings);
    CHECK_EQ(after.max_string_nbytes, before.max_string_nbytes);
    isb_codebook_free(codebook);
    return again;
}

/* Returns how many strings are cuts. */
static size_t test_setting(const setting *s) {
    compiled c = compile(s, 7);
    isb_codebook *codebook = reopen(make_codebook(&c, s->nbits));
    isb__codec *codec = make_codec(s);
    size_t n_cuts = 0;
    for (size_t i = 0; i < c.strings.n; ++i) n_cuts += c.decoded[c.codes[i]] != i;
    if (s->variant == ISB__EXACT) CHECK_EQ(n_cuts, 0);
    check_encoding(codebook, codec);
    check_decoding(codebook, codec, (size_t)1 << s->nbits);
    isb__codec_free(codec);
    isb_codebook_free(codebook);
    free_compiled(&c);
    return n_cuts;
}

static void test_settings(void) {
    static const setting settings[] = {
        {ISB__EXACT, 8, 1, 16, 40},    {ISB__EXACT, 16, 0, 16, 400}, {ISB__EXACT, 16, 2, 16, 2000},
        {ISB__EXACT, 16, 2, 14, 40},   {ISB__DELAY, 8, 2, 14, 300},  {ISB__DELAY, 16, 0, 16, 400},
        {ISB__DELAY, 16, 2, 16, 2000}, {ISB__DELAY, 16, 1, 12, 100},
    };
    size_t n_cuts = 0;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; ++i)
        n_cuts += test_setting(&settings[i]);
    CHECK(n_cuts > 0); /* some delay windows have them: they were tested */
}

/* ---- the rest ---- */

static void test_streams(void) {
    const setting s = {ISB__EXACT, 16, 2, 16, 2000};
    compiled a = compile(&s, 1), b = compile(&s, 40);
    CHECK_EQ(a.strings.n, b.strings.n);
    CHECK(memcmp(a.strings.offsets, b.strings.offsets,
                 (a.strings.n + 1) * sizeof *a.strings.offsets) == 0);
    CHECK(memcmp(a.strings.bytes, b.strings.bytes, (size_t)a.strings.offsets[a.strings.n]) == 0);
    CHECK(memcmp(a.codes, b.codes, a.strings.n * sizeof *a.codes) == 0);
    CHECK(memcmp(a.decoded, b.decoded, sizeof *a.decoded << 16) == 0);
    free_compiled(&a);
    free_compiled(&b);
}

static void refuse(isb__cdf_source *source, const isb__code_params *params) {
    compiled c;
    CHECK_STATUS(isb__compile_windows(ctx, source, params, &c.strings, &c.codes, &c.decoded),
                 ISB_ERR_UNSUPPORTED);
    CHECK(!c.strings.bytes && c.strings.n == 0 && !c.codes && !c.decoded);
}

static void test_refused(void) {
    const setting fine = {ISB__EXACT, 16, 0, 16, 400};
    const isb__code_params params = params_of(&fine);
    isb__code_params wrong = params;
    isb__cdf_source source;
    CHECK_OK(ctx, toy_source_create(ctx, 0, 400, 4, &source));
    wrong.window_nbits = 24;
    refuse(&source, &wrong);
    wrong = params;
    wrong.token_nbits = 8;
    refuse(&source, &wrong);
    wrong = params;
    wrong.reset_windows = 0;
    refuse(&source, &wrong);
    wrong = params;
    wrong.variant = ISB__GREEDY;
    refuse(&source, &wrong);
    source.free(source.self);

    /* 'e' is as good as certain: a window would hold thousands of them. */
    uint64_t counts[ISB__N_SYMBOLS] = {['e'] = 1000000000};
    CHECK_OK(ctx, isb__cdf_source_static(ctx, counts, &source));
    refuse(&source, &params);
    source.free(source.self);
}

int main(int argc, char **argv) {
    isb__rng_seed(&rng, check_begin(argc, argv));
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    temp_dir_begin();
    make_text();
    make_documents();
    test_settings();
    test_streams();
    test_refused();
    free(text);
    free(shorts);
    temp_dir_end();
    isb_context_free(ctx);
    return check_end();
}
