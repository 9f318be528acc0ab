/* Exports: escapes and literals by hand, JSON with jansson, GGUF with a reader of its own, and what is refused.
 * What real consumers make of them: scripts/interop.py. */
#include <jansson.h>

#include "base/context.h"
#include "check.h"
#include "codebook/export.h"
#include "temp_dir.h"

static isb_context *ctx;

#define TEXT(literal) \
    { (const uint8_t *)(literal), sizeof(literal) - 1 }

static isb_codebook *make(const char *const *specials, size_t n_specials) {
    static const isb_codebook_text strings[] = {
        TEXT("ab"),     TEXT("abcd"),      TEXT("it's"),  TEXT("a\\n"),
        TEXT("\t\r\n"), TEXT("\xc3\xa9t"), TEXT("<EOT>"), TEXT(" [\"x\""),
        TEXT("\xff!"),  TEXT("(.*"),       TEXT("\0\0"),
    };
    isb_codebook_create_options options;
    isb_codebook_create_options_init(&options);
    options.name = "tiny";
    options.specials = specials;
    options.n_specials = n_specials;
    isb_codebook *codebook = NULL;
    CHECK_OK(ctx, isb_codebook_create(ctx, strings, sizeof strings / sizeof *strings, &options,
                                      &codebook));
    return codebook;
}

/* The whole file, NUL-terminated. */
static char *export_to_memory(const isb_codebook *codebook, const char *format, size_t *nbytes) {
    uint8_t *data = NULL;
    CHECK_OK(ctx, isb_codebook_export(ctx, codebook, format, temp_path("export")));
    CHECK_OK(ctx, isb__file_read(ctx, temp_path("export"), 1 << 24, &data, nbytes));
    return (char *)data;
}

static size_t count_lines(const char *text) {
    size_t n = 0;
    for (; *text; ++text) n += *text == '\n';
    return n;
}

/* Whether the file has this line for the id of `string`; `format` has one %lld for the id. */
static void check_line(const isb_codebook *codebook, const char *file, const char *string,
                       size_t nbytes, const char *format) {
    char line[256] = "\n";
    const int64_t id = isb_codebook_find(codebook, (const uint8_t *)string, nbytes);
    CHECK_FATAL(id >= 0);
    snprintf(line + 1, sizeof line - 1, format, (long long)id);
    strcat(line, "\n");
    const bool found = strstr(file, line) || strncmp(file, line + 1, strlen(line + 1)) == 0;
    check_report(found, __FILE__, __LINE__, "line", line + 1);
}

static void test_text(void) {
    isb_codebook *codebook = make((const char *const[]){"<|user|>"}, 1);
    size_t nbytes;
    char *file = export_to_memory(codebook, "text", &nbytes);
    check_line(codebook, file, "it's", 4, "%lld\tit's");
    check_line(codebook, file, "a\\n", 3, "%lld\ta\\\\n");
    check_line(codebook, file, "\t\r\n", 3, "%lld\t\\t\\r\\n");
    check_line(codebook, file, "\xc3\xa9t", 3, "%lld\t\\xc3\\xa9t");
    check_line(codebook, file, "\0\0", 2, "%lld\t\\x00\\x00");
    check_line(codebook, file, "<EOT>", 5, "%lld\t<EOT>");
    CHECK(strstr(file, "\n267\t<|endoftext|>\tspecial\n268\t<|user|>\tspecial\n") != NULL);
    CHECK_EQ(count_lines(file), 269);
    isb__free(ctx, file);
    isb_codebook_free(codebook);
}

static void test_rwkv(void) {
    isb_codebook *codebook = make(NULL, 0);
    size_t nbytes;
    char *file = export_to_memory(codebook, "rwkv", &nbytes);
    check_line(codebook, file, "it's", 4, "%lld 'it\\'s' 4");
    check_line(codebook, file, "a\\n", 3, "%lld 'a\\\\n' 3");
    check_line(codebook, file, "\t\r\n", 3, "%lld b'\\x09\\x0d\\x0a' 3");
    check_line(codebook, file, "\xc3\xa9t", 3, "%lld b'\\xc3\\xa9\\x74' 3");
    check_line(codebook, file, " [\"x\"", 5, "%lld ' [\"x\"' 5");
    CHECK(strncmp(file, "1 b'\\x00\\x00' 2\n", 16) == 0);
    const char *last = "\n0 b'\\x00' 1\n"; /* what pyrwkv-tokenizer needs */
    CHECK(nbytes > strlen(last) && strcmp(file + nbytes - strlen(last), last) == 0);
    CHECK_EQ(count_lines(file), 267);
    CHECK(strstr(file, "endoftext") == NULL);
    isb__free(ctx, file);
    isb_codebook_free(codebook);
}

static void test_byte_level(void) {
    static const struct {
        uint8_t byte;
        const char *character;
    } known[] = {{'a', "a"},         {'~', "~"},         {' ', "\xc4\xa0"},  {0, "\xc4\x80"},
                 {'\n', "\xc4\x8a"}, {127, "\xc4\xa1"},  {0xad, "\xc5\x83"}, {0xa0, "\xc5\x82"},
                 {0xa1, "\xc2\xa1"}, {0xff, "\xc3\xbf"}, {0x80, "\xc4\xa2"}};
    char all[256][3];
    for (int byte = 0; byte < 256; ++byte) {
        isb__byte_level_character((uint8_t)byte, all[byte]);
        for (int other = 0; other < byte; ++other) CHECK(strcmp(all[byte], all[other]) != 0);
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i)
        CHECK(strcmp(all[known[i].byte], known[i].character) == 0);
}

static void test_tokenizer_json(void) {
    isb_codebook *codebook = make((const char *const[]){"<|\"\\|>"}, 1);
    size_t nbytes;
    char *file = export_to_memory(codebook, "tokenizer.json", &nbytes);
    json_error_t error;
    json_t *root = json_loadb(file, nbytes, JSON_REJECT_DUPLICATES, &error);
    CHECK_FATAL(root != NULL);
    json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    CHECK_EQ(json_object_size(vocab), 267);
    for (uint32_t id = 0; id < 267; ++id) {
        const uint8_t *bytes;
        size_t n;
        char key[64] = "", character[3];
        isb_codebook_string(codebook, id, &bytes, &n);
        for (size_t i = 0; i < n; ++i) {
            isb__byte_level_character(bytes[i], character);
            strcat(key, character);
        }
        json_t *value = json_object_get(vocab, key);
        CHECK(value && json_integer_value(value) == id);
    }
    json_t *split =
        json_array_get(json_object_get(json_object_get(root, "pre_tokenizer"), "pretokenizers"), 1);
    const char *regex =
        json_string_value(json_object_get(json_object_get(split, "pattern"), "Regex"));
    CHECK_FATAL(regex != NULL);
    CHECK(strstr(regex, "|a(?:\\\\n|b(?:cd)?)?|b|c|") != NULL);
    CHECK(strstr(regex, "|\\((?:\\.\\*)?|\\)|\\*|\\+|") != NULL);
    CHECK(strncmp(regex, "(?:\xc4\x80(?:\xc4\x80)?|", 12) == 0);
    json_t *added = json_object_get(root, "added_tokens");
    CHECK_EQ(json_array_size(added), 2);
    json_t *second = json_array_get(added, 1);
    CHECK(strcmp(json_string_value(json_object_get(second, "content")), "<|\"\\|>") == 0);
    CHECK_EQ(json_integer_value(json_object_get(second, "id")), 268);
    json_decref(root);
    isb__free(ctx, file);
    isb_codebook_free(codebook);
}

/* ---- GGUF, read by its description ---- */

static uint64_t take(const uint8_t **at, int nbytes) {
    uint64_t value = 0;
    for (int i = 0; i < nbytes; ++i) value |= (uint64_t)(*at)[i] << 8 * i;
    *at += nbytes;
    return value;
}

static void take_string(const uint8_t **at, char *text, size_t capacity) {
    const uint64_t n = take(at, 8);
    CHECK_FATAL(n < capacity);
    memcpy(text, *at, n);
    text[n] = 0;
    *at += n;
}

static void check_tokens(const isb_codebook *codebook, const uint8_t **at) {
    char token[128];
    CHECK_EQ(take(at, 4), 8);
    CHECK_EQ(take(at, 8), 268);
    for (int64_t id = 0; id < 268; ++id) {
        take_string(at, token, sizeof token);
        if (id == isb_codebook_find(codebook, (const uint8_t *)"<EOT>", 5))
            CHECK(strcmp(token, "\\x3cEOT>") == 0);
        if (id == isb_codebook_find(codebook, (const uint8_t *)" [\"x\"", 5))
            CHECK(strcmp(token, " \\x5b\"x\"") == 0);
        if (id == isb_codebook_find(codebook, (const uint8_t *)"\t\r\n", 3))
            CHECK(strcmp(token, "\\t\\r\\n") == 0);
        if (id == 267) CHECK(strcmp(token, "\\xff<|endoftext|>") == 0);
    }
}

static void check_types(const uint8_t **at) {
    CHECK_EQ(take(at, 4), 5);
    CHECK_EQ(take(at, 8), 268);
    for (int id = 0; id < 268; ++id) CHECK_EQ(take(at, 4), id == 267 ? 3 : 1);
}

static void test_gguf(void) {
    isb_codebook *codebook = make(NULL, 0);
    size_t nbytes;
    char *file = export_to_memory(codebook, "gguf", &nbytes), key[64], value[64];
    const uint8_t *at = (const uint8_t *)file + 4, *end = (const uint8_t *)file + nbytes;
    CHECK(memcmp(file, "GGUF", 4) == 0);
    CHECK_EQ(take(&at, 4), 3);
    CHECK_EQ(take(&at, 8), 0);
    const uint64_t n_keys = take(&at, 8);
    for (uint64_t i = 0; i < n_keys; ++i) {
        take_string(&at, key, sizeof key);
        const uint64_t type = take(&at, 4);
        if (strcmp(key, "tokenizer.ggml.tokens") == 0) {
            check_tokens(codebook, &at);
        } else if (strcmp(key, "tokenizer.ggml.token_type") == 0) {
            check_types(&at);
        } else if (type == 8) {
            take_string(&at, value, sizeof value);
            if (strcmp(key, "tokenizer.ggml.model") == 0) CHECK(strcmp(value, "rwkv") == 0);
            if (strcmp(key, "general.name") == 0) CHECK(strcmp(value, "tiny") == 0);
        } else {
            CHECK_FATAL(type == 4 || type == 7);
            const uint64_t number = take(&at, type == 4 ? 4 : 1);
            if (strcmp(key, "tokenizer.ggml.eos_token_id") == 0) CHECK_EQ(number, 267);
            if (type == 7) CHECK_EQ(number, 0);
        }
    }
    CHECK(at <= end && end - at < 32 && nbytes % 32 == 0);
    while (at < end) CHECK_EQ(*at++, 0);
    isb__free(ctx, file);
    isb_codebook_free(codebook);
}

/* ---- what is refused ---- */

static void check_refused(const isb_codebook *codebook, const char *format, const char *path,
                          isb_status status, const char *why) {
    CHECK_STATUS(isb_codebook_export(ctx, codebook, format, path), status);
    check_report(strstr(isb_context_error(ctx), why) != NULL, __FILE__, __LINE__, why,
                 isb_context_error(ctx));
}

/* Ids that are not in the order of the strings, as compiled windows have. */
static isb_codebook *make_unordered(void) {
    uint8_t bytes[256];
    uint64_t offsets[257];
    uint32_t ids[256];
    size_t decoded[256];
    for (int i = 0; i < 256; ++i) {
        bytes[i] = (uint8_t)i;
        offsets[i] = (uint64_t)i;
        ids[i] = (uint32_t)(255 - i);
        decoded[i] = (size_t)(255 - i);
    }
    offsets[256] = 256;
    const isb__codebook_content content = {bytes, offsets, 256, ids, decoded, 256};
    isb_codebook *codebook = NULL;
    CHECK_OK(ctx, isb__codebook_from_sorted(ctx, &content, NULL, &codebook));
    return codebook;
}

static void test_refusals(void) {
    static const char *const formats[] = {"tokenizer.json", "rwkv", "gguf"};
    const char *path = temp_path("refused");
    isb_codebook *codebook = make((const char *const[]){"ab", "!", "a\\"}, 3);
    check_refused(codebook, "bpe", path, ISB_ERR_ARGUMENT, "known: tokenizer.json");
    check_refused(codebook, "gguf", "-", ISB_ERR_ARGUMENT, "name a file");
    check_refused(codebook, "text", NULL, ISB_ERR_ARGUMENT, "NULL");
    check_refused(NULL, "text", path, ISB_ERR_ARGUMENT, "NULL");
    check_refused(codebook, "text", temp_dir_path, ISB_ERR_IS_DIRECTORY, "folder");
    check_refused(codebook, "tokenizer.json", path, ISB_ERR_UNSUPPORTED, "\"!\" is a string");
    check_refused(codebook, "gguf", path, ISB_ERR_UNSUPPORTED, "backslash");
    isb_codebook_free(codebook);
    codebook = make((const char *const[]){"\xc3\xa9"}, 1);
    check_refused(codebook, "tokenizer.json", path, ISB_ERR_UNSUPPORTED, "ASCII");
    isb_codebook_free(codebook);
    codebook = make_unordered();
    for (int i = 0; i < 3; ++i)
        check_refused(codebook, formats[i], path, ISB_ERR_UNSUPPORTED, "\"text\" only");
    CHECK(!temp_exists(path));
    CHECK_STATUS(isb_codebook_export(NULL, codebook, "text", path), ISB_OK);
    CHECK(temp_exists(path));
    isb_codebook_free(codebook);
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    temp_dir_begin();
    test_text();
    test_rwkv();
    test_byte_level();
    test_tokenizer_json();
    test_gguf();
    test_refusals();
    temp_dir_end();
    isb_context_free(ctx);
    return check_end();
}
