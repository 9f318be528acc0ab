/* The JSON Lines scanner: what it takes, what it refuses and why, and that text comes through byte
 * for byte. */
#include "data/jsonl.h"

#include "check.h"

/* The text of a line, or the reason why there is none, as a comparison that prints both. */
static void expect_bytes(const char *line, size_t line_nbytes, const char *text, size_t nbytes) {
    uint8_t *copy =
        malloc(line_nbytes + 1); /* exact size: a sanitizer sees every byte read too far */
    memcpy(copy, line, line_nbytes);
    copy = realloc(copy, line_nbytes ? line_nbytes : 1);
    const uint8_t *found = NULL;
    size_t found_nbytes = 0;
    isb__json_error error = {"", 0};
    const bool ok = isb__json_text(copy, line_nbytes, &found, &found_nbytes, &error);
    char detail[256];
    snprintf(detail, sizeof detail, "%.*s: %s at %zu", line_nbytes < 80 ? (int)line_nbytes : 80,
             line, error.reason, error.offset);
    check_report(ok && found_nbytes == nbytes && memcmp(found, text, nbytes) == 0, __FILE__,
                 __LINE__, "text", detail);
    free(copy);
}

static void expect(const char *line, const char *text) {
    expect_bytes(line, strlen(line), text, strlen(text));
}

static void expect_refused(const char *line, const char *reason, size_t offset) {
    const size_t nbytes = strlen(line);
    uint8_t *copy = malloc(nbytes ? nbytes : 1);
    memcpy(copy, line, nbytes);
    const uint8_t *found;
    size_t found_nbytes;
    isb__json_error error = {"taken", 0};
    const bool ok = isb__json_text(copy, nbytes, &found, &found_nbytes, &error);
    char detail[256];
    snprintf(detail, sizeof detail, "%s: %s at %zu, expected %s at %zu", line, error.reason,
             error.offset, reason, offset);
    check_report(!ok && strstr(error.reason, reason) && error.offset == offset, __FILE__, __LINE__,
                 "refused", detail);
    free(copy);
}

static void test_values(void) {
    expect("{\"text\":\"a\"}", "a");
    expect(" \t{ \"text\" : \"a\" } \r", "a");
    expect("{\"text\":\"\"}", "");
    expect("{\"id\":-0.5e+7,\"a\":[1,[2,{}],{\"text\":\"no\"}],\"t\":true,\"n\":null,\"f\":false,"
           "\"text\":\"yes\"}",
           "yes");
    expect("{\"x\":NaN,\"y\":-Infinity,\"z\":Infinity,\"text\":\"python\"}", "python");
    expect("{\"text\":\"first\",\"text\":\"last\"}", "last");
    expect("{\"\\u0074ext\":\"escaped key\"}", "escaped key");
    expect("{\"texts\":\"a\",\"text\":\"b\",\"tex\":\"c\"}", "b");
}

static void test_escapes(void) {
    expect("{\"text\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "\"\\/\b\f\n\r\t");
    expect("{\"text\":\"caf\\u00e9 \\u20AC\"}", "caf\xC3\xA9 \xE2\x82\xAC");
    expect("{\"text\":\"\\ud83d\\ude00!\"}", "\xF0\x9F\x98\x80!");
    expect("{\"text\":\"\\ud83d\"}", "\xED\xA0\xBD"); /* lone surrogates: 3 bytes */
    expect("{\"text\":\"\\ude00\\ud83d\"}", "\xED\xB8\x80\xED\xA0\xBD");
    expect("{\"text\":\"\\ud83dx\\ude00\"}", "\xED\xA0\xBDx\xED\xB8\x80");
    expect("{\"text\":\"\\ud83d\\n\"}", "\xED\xA0\xBD\n");
    expect("{\"text\":\"\\ud83d\\ud83d\\ude00\"}", "\xED\xA0\xBD\xF0\x9F\x98\x80");
    expect_bytes("{\"text\":\"a\\u0000b\"}", 19, "a\0b", 3);
    expect("{\"text\":\"\xff\xfe \xc3 \x80\"}",
           "\xff\xfe \xc3 \x80"); /* bytes that are no UTF-8 pass */
}

static void test_refusals(void) {
    expect_refused("", "expected a JSON object", 0);
    expect_refused("[1]", "expected a JSON object", 0);
    expect_refused("\"text\"", "expected a JSON object", 0);
    expect_refused("{\"text\":\"a\"", "expected , or }", 11);
    expect_refused("{\"text\":\"a", "ends inside a string", 10);
    expect_refused("{\"text\":\"a\\", "ends inside a string", 11);
    expect_refused("{\"text\" \"a\"}", "expected : after a key", 8);
    expect_refused("{text:\"a\"}", "expected a string", 1);
    expect_refused("{\"text\":\"a\",}", "expected a string", 12);
    expect_refused("{\"text\":\"a\"} x", "something follows", 13);
    expect_refused("{\"text\":\"a\nb\"}", "control character", 10);
    expect_refused("{\"text\":\"\\x\"}", "unknown escape", 10);
    expect_refused("{\"text\":\"\\u12g4\"}", "four hexadecimal digits", 13);
    expect_refused("{\"text\":\"\\u12\"}", "four hexadecimal digits", 13);
    expect_refused("{\"a\":01,\"text\":\"\"}", "expected , or }", 6);
    expect_refused("{\"a\":1.,\"text\":\"\"}", "lacks digits", 7);
    expect_refused("{\"a\":-,\"text\":\"\"}", "lacks digits", 6);
    expect_refused("{\"a\":1e,\"text\":\"\"}", "lacks digits", 7);
    expect_refused("{\"a\":tru,\"text\":\"\"}", "expected a value", 5);
    expect_refused("{\"a\":,\"text\":\"\"}", "expected a value", 5);
    expect_refused("{\"a\":[1,],\"text\":\"\"}", "expected a value", 8);
    expect_refused("{\"a\":[1 2],\"text\":\"\"}", "expected , or ]", 8);
    expect_refused("{\"a\":", "the line ends where a value", 5);
    expect_refused("{}", "no field \"text\"", 0);
    expect_refused("{\"Text\":\"a\"}", "no field \"text\"", 0);
    expect_refused("{\"text\":null}", "not a string", 8);
    expect_refused("{\"text\":[\"a\"]}", "not a string", 8);
}

static void test_depth(void) {
    enum { DEEP = 100000 };
    char *line = malloc(2 * DEEP + 64);
    const size_t depths[] = {500, DEEP};
    for (int i = 0; i < 2; ++i) {
        const size_t n = depths[i];
        size_t at = (size_t)sprintf(line, "{\"a\":");
        memset(line + at, '[', n);
        memset(line + at + n, ']', n);
        at += 2 * n;
        strcpy(line + at, ",\"text\":\"x\"}");
        const uint8_t *text;
        size_t nbytes;
        isb__json_error error = {"", 0};
        const bool ok = isb__json_text((uint8_t *)line, strlen(line), &text, &nbytes, &error);
        CHECK(ok == (n == 500));
        if (!ok) CHECK(strstr(error.reason, "too deeply") != NULL);
    }
    free(line);
}

/* Any bytes, written as JSON, come back as they were. */
static void test_round_trip(uint64_t seed) {
    for (size_t n = 0; n < 600; ++n) {
        uint8_t bytes[600];
        char *line = malloc(6 * n + 32);
        size_t at = (size_t)sprintf(line, "{\"text\": \"");
        for (size_t i = 0; i < n; ++i) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (uint8_t)(seed >> 33);
            if (n % 3 == 0) bytes[i] = (uint8_t)("\\\"u0d\n\x01/"[bytes[i] % 8]);
            at += isb__json_escape_byte(bytes[i], line + at);
        }
        memcpy(line + at, "\"}", 2);
        expect_bytes(line, at + 2, (const char *)bytes, n);
        free(line);
    }
}

static void test_ids(void) {
    const char *line = "{\"ids\": [0, 7 ,65535,\t4294967295 ]}";
    const uint32_t expected[] = {0, 7, 65535, 4294967295u};
    isb__json_value array;
    isb__json_error error;
    CHECK_FATAL(isb__json_find((const uint8_t *)line, strlen(line), "ids", &array, &error));
    size_t at = 0, n = 0;
    uint32_t id;
    while (isb__json_next_id(&array, &at, &id, &error) == 1) CHECK_EQ(id, expected[n++]);
    CHECK_EQ(n, 4);
    const char *bad[] = {
        "[-1]",  "[1.5]", "[4294967296]", "[\"1\"]", "[[1]]", "[1e3]", "[99999999999999999999999]",
        "[null]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        array = (isb__json_value){(const uint8_t *)bad[i], strlen(bad[i])};
        at = 0;
        CHECK_EQ(isb__json_next_id(&array, &at, &id, &error), -1);
    }
    array = (isb__json_value){(const uint8_t *)"[ ]", 3};
    at = 0;
    CHECK_EQ(isb__json_next_id(&array, &at, &id, &error), 0);
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    test_values();
    test_escapes();
    test_refusals();
    test_depth();
    test_round_trip(seed);
    test_ids();
    CHECK(isb__json_is_blank((const uint8_t *)" \t\r", 3) &&
          !isb__json_is_blank((const uint8_t *)" x", 2));
    return check_end();
}
