/* Text to files of ids and back, in every format; ids that are none; codes that need to know where
 * documents end. */
#include <isobit/data.h>

#include "check.h"
#include "m1/m1.h"
#include "temp_dir.h"

static isb_context *ctx;

static const char ONE[] = "The cat sat on the mat.\n", TWO[] = "\xff\xfe\x80 not UTF-8 \xc3";

static void write_inputs(void) {
    temp_write("one", ONE, strlen(ONE));
    temp_write("two", TWO, strlen(TWO));
    temp_write("nothing", "", 0);
    uint64_t counts[257];
    for (int i = 0; i < 257; ++i) counts[i] = i >= 'a' && i <= 'z' ? 50 : 1;
    CHECK_OK(ctx, isb__m1_write_static(ctx, "m1", counts));
}

static isb_encode_options make_options(const char *tokenizer, isb_ids_format format) {
    isb_encode_options options;
    isb_encode_options_init(&options);
    options.tokenizer = tokenizer;
    options.m1_dir = strcmp(tokenizer, "bytes") == 0 ? NULL : "m1";
    options.format = format;
    return options;
}

static void check_file(const char *path, const char *text) {
    char detail[1200];
    snprintf(detail, sizeof detail, "%s holds something else", path);
    check_report(temp_holds(path, text, strlen(text)), __FILE__, __LINE__, text, detail);
}

/* The formats themselves, on bytes, whose ids are known. */
static void test_formats(void) {
    temp_write("ab", "A\xff", 2);
    const char *paths[] = {"ab", "nothing", "ab"};
    isb_encode_result result;
    isb_encode_options options = make_options("bytes", ISB_IDS_TEXT);
    CHECK_OK(ctx, isb_encode_files(ctx, paths, 3, "ids", &options, &result));
    CHECK(result.n_documents == 3 && result.n_tokens == 4 && result.n_bytes == 4);
    check_file("ids", "65 255\n\n65 255\n");
    options.format = ISB_IDS_JSON;
    CHECK_OK(ctx, isb_encode_files(ctx, paths, 3, "ids", &options, &result));
    check_file("ids", "{\"ids\": [65, 255]}\n{\"ids\": []}\n{\"ids\": [65, 255]}\n");
    options.format = ISB_IDS_U16;
    CHECK_OK(ctx, isb_encode_files(ctx, paths, 1, "ids", &options, &result));
    CHECK(temp_holds("ids", "A\0\xff\0", 4));
    options.format = ISB_IDS_U32;
    CHECK_OK(ctx, isb_encode_files(ctx, paths, 1, "ids", &options, &result));
    CHECK(temp_holds("ids", "A\0\0\0\xff\0\0\0", 8));
}

static void test_round_trip(void) {
    static const char *const tokenizers[] = {
        "bytes", "window:b=16", "window:b=16,token=8", "window:b=64", "window:b=32,reset=0",
        "ac",    "static-ac",   "ac:token=1"};
    const char *paths[] = {"one", "nothing", "two"};
    char both[100];
    snprintf(both, sizeof both, "%s%s", ONE, TWO);
    for (size_t t = 0; t < sizeof tokenizers / sizeof *tokenizers; ++t) {
        for (int f = 0; f < 4; ++f) {
            isb_encode_options options = make_options(tokenizers[t], (isb_ids_format)f);
            const int binary = f == ISB_IDS_U16 || f == ISB_IDS_U32;
            const int needs_ends = t >= 4;
            isb_encode_result in, out;
            const char *ids = "ids", *back = "back";
            if (binary && needs_ends) {
                CHECK_STATUS(isb_encode_files(ctx, paths, 3, ids, &options, &in), ISB_ERR_ARGUMENT);
                CHECK_OK(ctx, isb_encode_files(ctx, paths, 1, ids, &options, &in));
            } else {
                CHECK_OK(ctx, isb_encode_files(ctx, paths, 3, ids, &options, &in));
            }
            CHECK_OK(ctx, isb_decode_file(ctx, ids, back, &options, &out));
            check_file(back, binary && needs_ends ? ONE : both);
            CHECK_EQ(out.n_tokens, in.n_tokens);
            CHECK_EQ(out.n_bytes, in.n_bytes);
            CHECK_EQ(out.n_documents, binary ? 1 : in.n_documents);
        }
    }
}

/* Decoding to JSON Lines keeps documents apart; as a corpus it encodes to the same ids. */
static void test_jsonl_out(void) {
    temp_write("odd", "a\"b\\c\n\t\x01\0d\xff", 11);
    const char *paths[] = {"odd", "nothing", "two"};
    const char *back = "back.jsonl";
    isb_encode_options options = make_options("window:b=16", ISB_IDS_JSON);
    options.jsonl_out = 1;
    isb_encode_result result;
    CHECK_OK(ctx, isb_encode_files(ctx, paths, 3, "ids", &options, &result));
    CHECK_OK(ctx, isb_decode_file(ctx, "ids", back, &options, &result));
    CHECK_OK(ctx, isb_encode_files(ctx, &back, 1, "ids2", &options, &result));
    CHECK_EQ(result.n_documents, 3);
    char ids[4096];
    FILE *file = fopen("ids", "rb");
    CHECK_FATAL(file != NULL);
    const size_t n = fread(ids, 1, sizeof ids, file);
    fclose(file);
    CHECK(n > 0 && n < sizeof ids && temp_holds("ids2", ids, n));
}

/* As a whole file, JSON Lines and gzip are bytes like others. */
static void test_whole_file(void) {
    const char *path = "lines.jsonl", text[] = "{\"text\":\"a\"}\n\x1f\x8b\n";
    temp_write(path, text, strlen(text));
    isb_encode_options options = make_options("window:b=16", ISB_IDS_U16);
    options.whole_file = 1;
    isb_encode_result result;
    CHECK_OK(ctx, isb_encode_files(ctx, &path, 1, "ids", &options, &result));
    CHECK(result.n_documents == 1 && result.n_bytes == strlen(text) && result.n_windows > 0);
    CHECK_OK(ctx, isb_decode_file(ctx, "ids", "back", &options, &result));
    check_file("back", text);
    const char *empty = "nothing", *two[] = {path, path};
    CHECK_OK(ctx, isb_encode_files(ctx, &empty, 1, "ids", &options, &result));
    CHECK(result.n_documents == 1 && result.n_tokens == 0);
    CHECK_STATUS(isb_encode_files(ctx, two, 2, "ids", &options, &result), ISB_ERR_ARGUMENT);
}

static void expect_refused(const void *ids, size_t nbytes, isb_ids_format format, isb_status status,
                           const char *says) {
    isb_encode_options options = make_options("bytes", format);
    isb_encode_result result;
    temp_write("bad", ids, nbytes);
    unlink("back");
    const isb_status found = isb_decode_file(ctx, "bad", "back", &options, &result);
    char detail[1300];
    snprintf(detail, sizeof detail, "%s: %s", isb_status_name(found), isb_context_error(ctx));
    check_report(found == status && strstr(isb_context_error(ctx), says), __FILE__, __LINE__, says,
                 detail);
    CHECK(!temp_exists("back"));
}

static void test_refusals(void) {
    expect_refused("1 2\n3 x\n", 8, ISB_IDS_TEXT, ISB_ERR_CORRUPT,
                   "bad:2: expected ids in decimal (byte 3");
    expect_refused("-1\n", 3, ISB_IDS_TEXT, ISB_ERR_CORRUPT, "bad:1: expected ids in decimal");
    expect_refused("1,2\n", 4, ISB_IDS_TEXT, ISB_ERR_CORRUPT,
                   "bad:1: expected ids in decimal (byte 2");
    expect_refused("1\n2 256\n", 8, ISB_IDS_TEXT, ISB_ERR_UNDECODABLE,
                   "bad, line 2: id 256 is out of range: \"bytes\" has ids 0 .. 255");
    expect_refused("99999999999999999999\n", 21, ISB_IDS_TEXT, ISB_ERR_UNDECODABLE, "out of range");
    expect_refused("{\"ids\":[1]}\n{\"ids\":[1}\n", 23, ISB_IDS_JSON, ISB_ERR_CORRUPT,
                   "bad:2: expected , or ]");
    expect_refused("{\"ids\":[1.5]}\n", 14, ISB_IDS_JSON, ISB_ERR_CORRUPT,
                   "bad:1: an id is not an integer");
    expect_refused("{\"id\":[1]}\n", 11, ISB_IDS_JSON, ISB_ERR_CORRUPT,
                   "bad:1: the object has no array \"ids\"");
    expect_refused("{\"ids\":[300]}\n", 14, ISB_IDS_JSON, ISB_ERR_UNDECODABLE,
                   "bad, line 1: id 300");
    expect_refused("abc", 3, ISB_IDS_U16, ISB_ERR_CORRUPT, "bad has 3 bytes, not a multiple of 2");
    expect_refused("abcdef", 6, ISB_IDS_U32, ISB_ERR_CORRUPT, "not a multiple of 4");
    expect_refused("a\0b\1", 4, ISB_IDS_U16, ISB_ERR_UNDECODABLE, "bad, byte 2: id 354");
    isb_encode_options options = make_options("ac", ISB_IDS_TEXT);
    isb_encode_result result;
    temp_write("bad", "65535\n", 6);
    const isb_status status = isb_decode_file(ctx, "bad", "back", &options, &result);
    CHECK(status == ISB_ERR_CORRUPT || status == ISB_ERR_UNDECODABLE);
    CHECK(strstr(isb_context_error(ctx), "bad: document 1 (1 ids) does not decode") != NULL);
    options.model_dir = "model";
    CHECK_STATUS(isb_decode_file(ctx, "bad", "back", &options, &result), ISB_ERR_ARGUMENT);
    CHECK_STATUS(isb_decode_file(ctx, "bad", "back", NULL, &result), ISB_ERR_ARGUMENT);
    options = make_options("bytes", ISB_IDS_TEXT);
    CHECK_STATUS(isb_decode_file(ctx, "missing", "back", &options, &result), ISB_ERR_NOT_FOUND);
    const char *missing = "missing";
    CHECK_STATUS(isb_encode_files(ctx, &missing, 1, "ids3", &options, &result), ISB_ERR_NOT_FOUND);
    CHECK(!temp_exists("ids3") && !temp_exists("back"));
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    CHECK_FATAL(chdir(temp_dir_begin()) == 0);
    CHECK_OK(ctx, isb_context_create(NULL, &ctx));
    write_inputs();
    test_formats();
    test_round_trip();
    test_jsonl_out();
    test_whole_file();
    test_refusals();
    isb_context_free(ctx);
    temp_dir_end();
    return check_end();
}
