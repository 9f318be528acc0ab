/* Codes and the .isb form may not change: what an older version wrote must read, and be written,
 * the same.
 *
 * The ids' hashes come from scripts/reference_codes.py, which follows docs/codes.md and shares
 * nothing with the library. v1.isb was written from the text below with the M1 below, in chunks of
 * 1,024 bytes.  To see what changed, run this with ISB_GOLDEN_OUT=FOLDER: it leaves there what it
 * writes now. */
#include "check.h"
#include "temp_dir.h"

#include <isobit/container.h>

#include "base/context.h"
#include "code/codec.h"
#include "data/m1.h"

static isb_context *ctx;
static uint8_t text[3000];

/* English-like letters from a fixed generator, then bytes of all values. */
static void make_text(void) {
    static const char letters[] = "etaoin shrdlu etaoin shr eta  ";
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof text; i++) {
        state = state * 1664525u + 1013904223u;
        text[i] = i < 2500 ? (uint8_t)letters[(state >> 16) % (sizeof letters - 1)]
                           : (uint8_t)(state >> 24);
    }
}

static void make_counts(uint64_t *counts) {
    for (int x = 0; x < 257; x++) counts[x] = 1;
    for (size_t i = 0; i < sizeof text; i++) counts[text[i]] += 7;
}

static void check_code(const isb__code_params *params, uint64_t expected) {
    uint64_t counts[257];
    isb__cdf_source source;
    isb__codec *codec = NULL;
    isb__encoded encoded;
    const isb__bytes_view view = {text, sizeof text};
    make_counts(counts);
    CHECK_OK(ctx, isb__cdf_source_static(ctx, counts, &source));
    CHECK_OK(ctx, isb__codec_create(ctx, params, &source, &codec));
    CHECK_OK(ctx, isb__codec_encode(codec, 1, &view, &encoded, NULL, NULL));
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a over the ids, low byte first */
    for (size_t i = 0; i < 2 * encoded.count; i++) {
        hash = (hash ^ (encoded.ids[i / 2] >> (i % 2 ? 8 : 0) & 255)) * UINT64_C(0x100000001b3);
    }
    if (hash != expected) {
        printf("kind %d variant %d b %d n %d: 0x%016" PRIx64 "\n", params->kind, params->variant,
               params->window_nbits, params->token_nbits, hash);
    }
    CHECK(hash == expected);
    isb__codec_free(codec);
}

static void test_ids(void) {
    static const struct golden {
        int variant, window_nbits, token_nbits;
        uint64_t hash;
    } windows[] = {
        {ISB__EXACT, 16, 16, UINT64_C(0xa76e82b4a94f7285)},
        {ISB__EXACT, 9, 1, UINT64_C(0x067274d4bd6353e4)},
        {ISB__EXACT, 24, 16, UINT64_C(0x8660f7b0cc29bea1)},
        {ISB__EXACT, 64, 8, UINT64_C(0x0dd06726d0602c44)},
        {ISB__EXACT, 128, 16, UINT64_C(0x814d980b7b5b69a6)},
        {ISB__GREEDY, 16, 16, UINT64_C(0xa337753bc0f08523)},
        {ISB__DELAY, 32, 8, UINT64_C(0x06a8821152b6f96a)},
    };
    isb__code_params params;
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        isb__code_params_init(&params, ISB__CODE_EQUAL_INFO);
        params.variant = (isb__window_variant)windows[i].variant;
        params.window_nbits = windows[i].window_nbits;
        params.token_nbits = windows[i].token_nbits;
        check_code(&params, windows[i].hash);
    }
    isb__code_params_init(&params, ISB__CODE_AC);
    check_code(&params, UINT64_C(0xbd1803e53ffb6d8e));
}

static void test_container(void) {
    const char *golden = getenv("ISB_GOLDEN"), *keep = getenv("ISB_GOLDEN_OUT");
    char path[1024], m1_dir[1024], out[1024];
    uint64_t counts[257];
    make_counts(counts);
    temp_dir_begin();
    snprintf(path, sizeof path, "%s/v1.isb", golden ? golden : "tests/golden");
    snprintf(m1_dir, sizeof m1_dir, "%s", temp_path("m1"));
    snprintf(out, sizeof out, "%s/v1.isb", keep ? keep : temp_dir_path);
    CHECK_OK(ctx, isb__m1_write_static(ctx, m1_dir, counts));
    temp_write(temp_path("text"), text, sizeof text);
    isb_compress_options options;
    isb_compress_options_init(&options);
    options.m1_path = m1_dir;
    options.chunk_nbytes = 1024;
    CHECK_OK(ctx, isb_compress_file(ctx, temp_path("text"), out, &options, NULL));
    CHECK_OK(ctx, isb_decompress_file(ctx, path, temp_path("back"), &options, NULL));
    CHECK(temp_holds(temp_path("back"), text, sizeof text));
    static uint8_t data[8192];
    FILE *file = fopen(path, "rb");
    CHECK_FATAL(file != NULL);
    const size_t nbytes = fread(data, 1, sizeof data, file);
    fclose(file);
    CHECK(temp_holds(out, data, nbytes));
    temp_dir_end();
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    make_text();
    test_ids();
    test_container();
    isb_context_free(ctx);
    return check_end();
}
