/* Codes and the .isb form may not change: what an older version wrote must read, and be written,
 * the same.
 *
 * The ids' hashes come from scripts/reference_codes.py, which follows docs/codes.md and shares
 * nothing with the library.  v2.isb is two files joined, written with the M1 below in chunks of 1,024
 * bytes: the text, some of it again, and 2,000 zeros, which every version must write the same; and lines for zstd, which
 * another libzstd may write differently.  To see what changed, run this with ISB_GOLDEN_OUT=FOLDER:
 * it leaves there what it writes now. */
#include "check.h"
#include "m1/m1.h"
#include "temp_dir.h"

#include <isobit/container.h>

#include "base/context.h"
#include "code/codec.h"

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
        {ISB__EXACT, 16, 16, UINT64_C(0x7766df8dc6c91634)},
        {ISB__EXACT, 9, 1, UINT64_C(0xb36adede582b721d)},
        {ISB__EXACT, 24, 16, UINT64_C(0xf5cd879f794ed863)},
        {ISB__EXACT, 64, 8, UINT64_C(0x6c4f3daa5aff3b4f)},
        {ISB__EXACT, 128, 16, UINT64_C(0x14e0478b70a0f767)},
        {ISB__GREEDY, 16, 16, UINT64_C(0xd9b418f98be615d6)},
        {ISB__DELAY, 32, 8, UINT64_C(0xf5c3f286fd0d96a8)},
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

enum { FIRST = 3072 + 2000 }; /* bytes of the first file */
static uint8_t golden_data[8192], lines[3000], golden_raw[FIRST + sizeof lines];

static size_t load_golden(char path[1024]) {
    const char *golden = getenv("ISB_GOLDEN");
    snprintf(path, 1024, "%s/v2.isb", golden ? golden : "tests/golden");
    FILE *file = fopen(path, "rb");
    const size_t nbytes = file ? fread(golden_data, 1, sizeof golden_data, file) : 0;
    if (file) fclose(file);
    return nbytes;
}

/* Compresses `nbytes` and appends the result to a file. */
static void append_packed(const uint8_t *raw, size_t nbytes, const isb_compress_options *options,
                          const char *out_path, isb_compress_result *result) {
    static uint8_t packed[8192];
    temp_write(temp_path("raw"), raw, nbytes);
    CHECK_OK(ctx, isb_compress_file(ctx, temp_path("raw"), temp_path("packed"), options, result));
    FILE *from = fopen(temp_path("packed"), "rb"), *to = fopen(out_path, "ab");
    CHECK_FATAL(from && to);
    const size_t n = fread(packed, 1, sizeof packed, from);
    CHECK_EQ(fwrite(packed, 1, n, to), n);
    fclose(from);
    fclose(to);
}

static void test_container(void) {
    const char *keep = getenv("ISB_GOLDEN_OUT");
    char path[1024], m1_dir[1024], out[1024];
    uint64_t counts[257];
    isb_compress_options options;
    isb_compress_result result;
    make_counts(counts);
    for (size_t i = 0; i < sizeof lines; i++) lines[i] = i % 61 == 7 ? text[i] : (uint8_t)(i % 61);
    memcpy(golden_raw, text, sizeof text);
    memcpy(golden_raw + sizeof text, text, 3072 - sizeof text);
    memcpy(golden_raw + FIRST, lines, sizeof lines);
    temp_dir_begin();
    snprintf(m1_dir, sizeof m1_dir, "%s", temp_path("m1"));
    snprintf(out, sizeof out, "%s/v2.isb", keep ? keep : temp_dir_path);
    CHECK_OK(ctx, isb__m1_write_static(ctx, m1_dir, counts));
    if (keep) remove(out);
    isb_compress_options_init(&options);
    options.m1_path = m1_dir;
    options.chunk_nbytes = 1024;
    options.force = 1;
    append_packed(golden_raw, FIRST, &options, out, &result);
    CHECK(result.n_ac == 3 && result.n_fill == 2);
    const size_t nbytes = load_golden(path), n = (size_t)result.packed_nbytes;
    CHECK(nbytes > n && temp_holds(temp_path("packed"), golden_data, n));
    append_packed(lines, sizeof lines, &options, out, &result);
    CHECK_EQ(result.n_zstd, 3);
    CHECK_OK(ctx, isb_decompress_file(ctx, path, temp_path("back"), &options, NULL));
    CHECK(temp_holds(temp_path("back"), golden_raw, sizeof golden_raw));
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
