/* Codebooks: finding strings, special ids, bad ids, text shown as it comes, buffers that end at a page's end. */
#include "check.h"
#include "kernels/guard.h"

#include "codebook/codebook.h"

static isb_context *ctx;
static isb__rng rng;

static isb_codebook *create(const char *const *words, size_t n, const char *const *specials,
                            size_t n_specials) {
    isb_codebook_text texts[64];
    for (size_t i = 0; i < n; ++i)
        texts[i] = (isb_codebook_text){(const uint8_t *)words[i], strlen(words[i])};
    isb_codebook_create_options options;
    isb_codebook_create_options_init(&options);
    options.specials = specials;
    options.n_specials = n_specials;
    isb_codebook *c = NULL;
    CHECK_OK(ctx, isb_codebook_create(ctx, texts, n, &options, &c));
    return c;
}

static int64_t find(const isb_codebook *c, const char *text) {
    return isb_codebook_find(c, (const uint8_t *)text, strlen(text));
}

/* ---- strings ---- */

static void check_range(const isb_codebook *c, const uint8_t *prefix, size_t nbytes) {
    uint32_t first;
    size_t count, n_found = 0;
    CHECK(isb_codebook_prefix_range(c, prefix, nbytes, &first, &count) == ISB_OK);
    isb_codebook_info info = {.struct_size = sizeof info};
    isb_codebook_get_info(c, &info);
    for (uint32_t id = 0; id < info.n_codes; ++id) {
        const uint8_t *string;
        size_t n;
        isb_codebook_string(c, id, &string, &n);
        const int begins = n >= nbytes && (nbytes == 0 || memcmp(string, prefix, nbytes) == 0);
        n_found += (size_t)begins;
        CHECK(begins == (id >= first && id - first < count));
    }
    CHECK_EQ(n_found, count);
}

static void strings(void) {
    static const char *const words[] = {"the", "them", "then", "th", "zz", "zzz", "\xff\xff"};
    isb_codebook *c = create(words, 7, NULL, 0);
    uint8_t bytes[256];
    for (int i = 0; i < 256; ++i) {
        bytes[0] = (uint8_t)i;
        CHECK(isb_codebook_find(c, bytes, 1) >= i);
        check_range(c, bytes, 1);
    }
    CHECK_EQ(find(c, "th"), find(c, "t") + 1);
    CHECK_EQ(find(c, "then"), find(c, "th") + 3);
    CHECK(find(c, "") == -1 && find(c, "themx") == -1 && find(c, "zy") == -1);
    check_range(c, NULL, 0);
    for (size_t i = 0; i < 7; ++i) check_range(c, (const uint8_t *)words[i], strlen(words[i]));
    check_range(c, (const uint8_t *)"\xff\xff\xff", 3);
    check_range(c, (const uint8_t *)"tg", 2);

    const uint8_t *string;
    size_t n;
    isb_codebook_string(c, 263, &string, &n);
    CHECK(n == 13 && memcmp(string, "<|endoftext|>", 13) == 0);
    isb_codebook_string(c, 264, &string, &n);
    CHECK(n == 0 && string == NULL);
    isb_codebook_info small = {.struct_size = 3 * sizeof(int64_t), .n_specials = 7};
    isb_codebook_get_info(c, &small); /* a caller of an older header */
    CHECK(small.n_ids == 264 && small.n_codes == 263 && small.n_specials == 7);
    isb_codebook_free(c);
}

static void bad_ids(void) {
    static const char *const words[] = {"ab"};
    isb_codebook *c = create(words, 1, NULL, 0);
    uint32_t ids[4] = {'x', 257, 'y', 258};
    uint16_t ids_u16[1] = {258};
    uint64_t offsets[5];
    uint8_t text[8];
    size_t n, n_good;
    ids[2] = (uint32_t)find(c, "ab");
    CHECK(isb_codebook_decode(c, ids, 3, text, 8, &n) == ISB_OK && n == 3);
    CHECK(isb_codebook_offsets(c, ids, 3, offsets) == ISB_OK);
    CHECK(offsets[1] == 1 && offsets[2] == 1 && offsets[3] == 3);
    CHECK_STATUS(isb_codebook_decode(c, ids, 4, text, 8, &n), ISB_ERR_RANGE);
    CHECK_STATUS(isb_codebook_decode_u16(c, ids_u16, 1, text, 8, &n), ISB_ERR_RANGE);
    CHECK_STATUS(isb_codebook_offsets(c, ids, 4, offsets), ISB_ERR_RANGE);
    CHECK_STATUS(isb_codebook_decode_nbytes(c, ids, 4, &n, &n_good), ISB_ERR_RANGE);
    CHECK_EQ(n_good, 3);
    ids[0] = UINT32_MAX;
    CHECK_STATUS(isb_codebook_decode(c, ids, 1, text, 8, &n), ISB_ERR_RANGE);
    CHECK(isb_codebook_decode(c, NULL, 0, NULL, 0, &n) == ISB_OK && n == 0);
    CHECK(isb_codebook_encode(c, NULL, 0, NULL, 0, &n) == ISB_OK && n == 0);
    CHECK(isb_codebook_decode(c, ids + 1, 1, NULL, 0, &n) == ISB_OK && n == 0);
    isb_codebook_free(c);
}

/* ---- special ids ---- */

/* expected: one character an id; 'E' and digits are special ids 0, 1, ... */
static void check_special(const isb_codebook *c, const char *text, const uint32_t *allowed,
                          size_t n_allowed, const char *expected) {
    uint32_t ids[128];
    size_t n;
    CHECK(isb_codebook_encode_special(c, (const uint8_t *)text, strlen(text), allowed, n_allowed,
                                      ids, 128, &n) == ISB_OK);
    CHECK_EQ(n, strlen(expected));
    for (size_t i = 0; i < n && i < strlen(expected); ++i) {
        const char ch = expected[i];
        CHECK_EQ(ids[i], ch == 'E' ? 256 : ch >= '1' && ch <= '4' ? 256 + ch - '0' : ch);
    }
    if (n == 0) return;
    CHECK_STATUS(isb_codebook_encode_special(c, (const uint8_t *)text, strlen(text), allowed,
                                             n_allowed, ids, n - 1, &n),
                 ISB_ERR_BUFFER_SIZE);
    CHECK_EQ(n, strlen(expected));
}

static void specials(void) {
    static const char *const names[] = {"<a>", "<a>b", "ab", "<a>bcd"};
    isb_codebook *c = create(NULL, 0, names, 4);
    check_special(c, "x<|endoftext|>y", NULL, 0, "xEy");
    check_special(c, "<a>", NULL, 0, "1");
    check_special(c, "<a>b", NULL, 0, "2");
    check_special(c, "<a>bc<a>bcd<a", NULL, 0, "2c4<a");
    check_special(c, "<<a><aab", NULL, 0, "<1<a3");
    check_special(c, "<|endoftext|", NULL, 0, "<|endoftext|");
    check_special(c, "", NULL, 0, "");
    const uint32_t allowed[] = {257, 256};
    check_special(c, "<a>bcdab<|endoftext|>", allowed, 2, "1bcdabE");
    check_special(c, "<a>b", allowed, 0, "<a>b");
    uint32_t ids[16];
    size_t n;
    CHECK(isb_codebook_encode(c, (const uint8_t *)"<a>b", 4, ids, 16, &n) == ISB_OK && n == 4);
    CHECK(isb_codebook_encode_special(c, (const uint8_t *)"<a>\0<a>", 7, NULL, 0, ids, 16, &n) ==
          ISB_OK);
    CHECK(n == 3 && ids[0] == 257 && ids[1] == 0 && ids[2] == 257);
    for (int i = 0; i < 4; ++i) CHECK_EQ(isb_codebook_find_special(c, names[i]), 257 + i);
    CHECK_EQ(isb_codebook_find_special(c, "<|endoftext|>"), 256);
    CHECK_EQ(isb_codebook_find_special(c, "<a>bc"), -1);
    CHECK_EQ(isb_codebook_find_special(c, "<a"), -1);
    CHECK_EQ(isb_codebook_find_special(c, ""), -1);
    isb_codebook_free(c);
}

/* ---- text as it comes ---- */

/* Whether bytes are whole UTF-8 characters (Unicode 15, table 3-7), written as the table is. */
static int is_utf8(const uint8_t *s, size_t n) {
    static const struct {
        uint8_t first_low, first_high, second_low, second_high;
        size_t length;
    } table[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t i = 0; i < n;) {
        size_t k = 0;
        while (k < 9 && (s[i] < table[k].first_low || s[i] > table[k].first_high)) ++k;
        if (k == 9 || table[k].length > n - i) return 0;
        if (table[k].length > 1 &&
            (s[i + 1] < table[k].second_low || s[i + 1] > table[k].second_high))
            return 0;
        for (size_t j = 2; j < table[k].length; ++j) {
            if ((s[i + j] & 0xc0) != 0x80) return 0;
        }
        i += table[k].length;
    }
    return 1;
}

static size_t decode_stream(const isb_codebook *c, const uint8_t *bytes, size_t nbytes, int replace,
                            uint8_t *text) {
    uint32_t ids[256];
    isb_codebook_decoder decoder;
    size_t n_ids, n = 0, got, n_in = 0;
    CHECK(isb_codebook_encode(c, bytes, nbytes, ids, 256, &n_ids) == ISB_OK);
    isb_codebook_decoder_init(&decoder, c, replace);
    for (size_t i = 0; i < n_ids; ++i) {
        const uint8_t *string;
        size_t length;
        isb_codebook_string(c, ids[i], &string, &length);
        n_in += length;
        CHECK(isb_codebook_decoder_push(&decoder, ids[i], text + n, 3 * 8 + 12, &got) == ISB_OK);
        n += got;
        CHECK(decoder.n_held <= 3);
        if (!replace) CHECK(n + decoder.n_held == n_in);
    }
    CHECK(isb_codebook_decoder_finish(&decoder, text + n, 12, &got) == ISB_OK);
    return n + got;
}

static void check_shown(const isb_codebook *c, const char *bytes, const char *expected) {
    uint8_t text[256];
    const size_t n = decode_stream(c, (const uint8_t *)bytes, strlen(bytes), 1, text);
    CHECK(n == strlen(expected) && memcmp(text, expected, n) == 0);
}

static void shown_text(void) {
    static const char *const words[] = {"\xe2\x82", "\x82\xac", "caf\xc3", "\xa9 \xf0\x9f", "ab"};
    isb_codebook *c = create(words, 5, NULL, 0);
    check_shown(c, "caf\xc3\xa9 \xf0\x9f\x98\x80 \xe2\x82\xac",
                "caf\xc3\xa9 \xf0\x9f\x98\x80 \xe2\x82\xac");
    /* the Unicode standard's example of maximal subparts, section 3.9 */
    check_shown(c, "\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41",
                "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf"
                "\xbd\xef\xbf\xbd\x41");
    check_shown(c, "\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41",
                "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\x41");
    check_shown(c, "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    check_shown(c, "a\xf4\x8f\xbf", "a\xef\xbf\xbd");
    static const uint8_t likely[] = {0x41, 0x80, 0x8f, 0x90, 0xa0, 0xbf, 0xc2,
                                     0xe0, 0xe2, 0xed, 0xf0, 0xf4, 0xff};
    for (int round = 0; round < 3000; ++round) {
        uint8_t bytes[60], text[256];
        const size_t nbytes = (size_t)isb__rng_below(&rng, sizeof bytes);
        for (size_t i = 0; i < nbytes; ++i) bytes[i] = likely[isb__rng_below(&rng, sizeof likely)];
        size_t n = decode_stream(c, bytes, nbytes, 0, text);
        CHECK(n == nbytes && memcmp(text, bytes, n) == 0);
        n = decode_stream(c, bytes, nbytes, 1, text);
        CHECK(is_utf8(text, n));
        if (is_utf8(bytes, nbytes)) CHECK(n == nbytes && memcmp(text, bytes, n) == 0);
    }
    isb_codebook_decoder decoder;
    uint8_t text[64];
    size_t n;
    isb_codebook_decoder_init(&decoder, c, 1);
    CHECK_STATUS(isb_codebook_decoder_push(&decoder, 9999, text, 64, &n), ISB_ERR_RANGE);
    CHECK_STATUS(isb_codebook_decoder_push(&decoder, 'x', text, 0, &n), ISB_ERR_BUFFER_SIZE);
    CHECK(isb_codebook_decoder_push(&decoder, (uint32_t)find(c, "\xe2\x82"), text, 64, &n) ==
              ISB_OK &&
          n == 0);
    /* a special id shows nothing and ends nothing */
    CHECK(isb_codebook_decoder_push(&decoder, 261, text, 64, &n) == ISB_OK && n == 0);
    CHECK(isb_codebook_decoder_push(&decoder, (uint32_t)find(c, "\xac"), text, 64, &n) == ISB_OK);
    CHECK(n == 3 && memcmp(text, "\xe2\x82\xac", 3) == 0);
    isb_codebook_free(c);
}

/* ---- nothing is read or written outside ---- */

static void guarded(void) {
    static const char *const words[] = {"ab", "abc", "abcabcabcabcabcabcabcabcabcabcabcabcabc",
                                        "bca", "ca"};
    isb_codebook *c = create(words, 5, NULL, 0);
    for (size_t nbytes = 0; nbytes < 1500; nbytes += 1 + nbytes / 7) {
        uint32_t found[1500];
        size_t n, m;
        guard text = guard_alloc(nbytes), back = guard_alloc(nbytes);
        uint8_t *bytes = text.data;
        for (size_t i = 0; i < nbytes; ++i) bytes[i] = (uint8_t)('a' + i % 3 + (i % 41 == 7));
        CHECK(isb_codebook_encode(c, bytes, nbytes, found, 1500, &n) == ISB_OK);
        guard ids = guard_alloc(n * sizeof(uint32_t)), ids_u16 = guard_alloc(n * sizeof(uint16_t));
        CHECK(isb_codebook_encode(c, bytes, nbytes, ids.data, n, &m) == ISB_OK && m == n);
        CHECK(isb_codebook_encode_u16(c, bytes, nbytes, ids_u16.data, n, &m) == ISB_OK && m == n);
        CHECK(isb_codebook_decode(c, ids.data, n, back.data, nbytes, &m) == ISB_OK);
        CHECK(m == nbytes && memcmp(back.data, bytes, nbytes) == 0);
        memset(back.data, 0, nbytes);
        CHECK(isb_codebook_decode_u16(c, ids_u16.data, n, back.data, nbytes, &m) == ISB_OK);
        CHECK(m == nbytes && memcmp(back.data, bytes, nbytes) == 0);
        guard_free(&text), guard_free(&back), guard_free(&ids), guard_free(&ids_u16);
    }
    isb_codebook_free(c);
}

int main(int argc, char **argv) {
    isb__rng_seed(&rng, check_begin(argc, argv));
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    strings();
    bad_ids();
    specials();
    shown_text();
    guarded();
    isb_context_free(ctx);
    return check_end();
}
