/* Measures of a codebook: by hand on small texts, and against plain definitions on random ones. */
#include <isobit/codebook.h>

#include "base/rng.h"
#include "check.h"
#include "codebook/codebook.h"
#include "temp_dir.h"

static isb_context *ctx;
static isb_corpus_options whole_files;

static isb_codebook *make(const char *const *strings, size_t n) {
    isb_codebook_text texts[32];
    isb_codebook *codebook = NULL;
    CHECK_FATAL(n <= 32);
    for (size_t i = 0; i < n; ++i) {
        texts[i] = (isb_codebook_text){(const uint8_t *)strings[i], strlen(strings[i])};
    }
    CHECK_OK(ctx, isb_codebook_create(ctx, texts, n, NULL, &codebook));
    return codebook;
}

static isb_codebook_measures measure(const isb_codebook *codebook, const char *path,
                                     const char *const *words, size_t n_words) {
    isb_codebook_measures m = {.struct_size = sizeof m};
    CHECK_OK(ctx, isb_codebook_measure(ctx, codebook, &path, 1, &whole_files, words, n_words, &m));
    return m;
}

static void write_text(const char *name, const char *text) {
    temp_write(temp_path(name), text, strlen(text));
}

static int is_near(double a, double b) { return a > b - 1e-12 && a < b + 1e-12; }

/* ---- by hand ---- */

static void test_whole_words(void) {
    const char *strings[] = {" cat", " sat", "The", " c", "at", ". ", "s ", "of the ", "\xc3\xa9"};
    isb_codebook *codebook = make(strings, 9);
    write_text("a.txt", "The cats at");
    isb_codebook_measures m = measure(codebook, temp_path("a.txt"), NULL, 0);
    CHECK_EQ(m.n_documents, 1);
    CHECK_EQ(m.n_bytes, 11);
    CHECK_EQ(m.n_tokens, 4); /* The| cat|s |at */
    CHECK_EQ(m.n_used, 4);
    CHECK(is_near(m.bytes_per_token, 11.0 / 4));
    CHECK(is_near(m.whole_word_share, 2.0 / 4)); /* The, at: " cat" and "s " cut a word in two */
    CHECK_EQ(m.n_words, 0);
    write_text("b.txt", "of the cat. \xc3\xa9\xc3\xa9 .");
    m = measure(codebook, temp_path("b.txt"), NULL, 0);
    CHECK_EQ(m.n_tokens, 8); /* "of the "|c|at|". "|e'|e'|" "|"." */
    CHECK(is_near(m.whole_word_share, 1.0 / 8));
    isb_codebook_free(codebook);
}

static void test_spellings(void) {
    const char *strings[] = {" cat", "cat", "ca", "xca", "t."};
    const char *words[] = {"cat", "dog", "cat", "at"};
    char text[400] = "";
    isb_codebook *codebook = make(strings, 5);
    /* Two spellings: "cat" and " cat". */
    for (int i = 0; i < 6; ++i) strcat(text, "cat cat\n");
    for (int i = 0; i < 9; ++i) strcat(text, "dog,");
    write_text("c.txt", text);
    isb_codebook_measures m = measure(codebook, temp_path("c.txt"), words, 4);
    CHECK_EQ(m.n_words, 1); /* dog: 9 times; at: never a word of its own */
    CHECK(is_near(m.spellings_per_word, 2));
    strcat(text, "dog xcat");
    write_text("c.txt", text);
    m = measure(codebook, temp_path("c.txt"), words, 4);
    CHECK_EQ(m.n_words, 2);
    CHECK(is_near(m.spellings_per_word, 1.5)); /* xcat is another word; dog is d, o, g */
    isb_codebook_free(codebook);
}

/* Without strings of several bytes an edit is one token at most. */
static void test_edit_of_bytes(void) {
    char text[3000];
    memset(text, 'a', sizeof text);
    for (size_t i = 0; i < sizeof text; i += 7) text[i] = (char)('b' + i % 11);
    temp_write(temp_path("d.txt"), text, sizeof text);
    isb_codebook *codebook = make(NULL, 0);
    const isb_codebook_measures m = measure(codebook, temp_path("d.txt"), NULL, 0);
    CHECK(m.edit_tokens_changed <= 1);
    CHECK(is_near(m.bytes_per_token, 1));
    isb_codebook_free(codebook);
}

/* ---- against the definitions ---- */

static int is_letter(int c) { return c >= 128 || strchr("abcdefgh0", c) != NULL; }

/* One document of at most 16 KiB: the seed of the library's edits gives a place, a sort, a byte. */
static double naive_edit(const isb_codebook *codebook, const uint8_t *text, size_t n) {
    static uint8_t edited[20000];
    static uint32_t a[20000], b[20000];
    isb__rng rng;
    isb__rng_seed(&rng, 1);
    const size_t at = (size_t)isb__rng_below(&rng, n);
    int sort = (int)isb__rng_below(&rng, 3);
    const uint8_t byte = text[isb__rng_below(&rng, n)];
    if (sort == 2 && text[at] == byte) sort = 0;
    size_t m = 0;
    for (size_t i = 0; i < n; ++i) {
        if (i == at && sort != 1) edited[m++] = byte;
        if (i != at || sort == 0) edited[m++] = text[i];
    }
    const size_t n_a = isb__codebook_encode_naive(codebook, text, n, a),
                 n_b = isb__codebook_encode_naive(codebook, edited, m, b);
    size_t head = 0, tail = 0;
    while (head < n_a && head < n_b && a[head] == b[head]) ++head;
    while (tail + head < n_a && tail + head < n_b && a[n_a - 1 - tail] == b[n_b - 1 - tail]) ++tail;
    return (double)(n_b - head - tail);
}

static double naive_whole(const isb_codebook *codebook, const uint8_t *text, size_t n,
                          size_t *n_tokens) {
    static uint32_t ids[20000];
    size_t at = 0, n_whole = 0;
    *n_tokens = isb__codebook_encode_naive(codebook, text, n, ids);
    for (size_t i = 0; i < *n_tokens; ++i) {
        const uint8_t *bytes;
        size_t nbytes, n_letters = 0;
        isb_codebook_string(codebook, ids[i], &bytes, &nbytes);
        for (size_t j = 0; j < nbytes; ++j) n_letters += (size_t)is_letter(bytes[j]);
        const size_t end = at + nbytes;
        const int cut = (at > 0 && is_letter(text[at - 1]) && is_letter(text[at])) ||
                        (end < n && is_letter(text[end - 1]) && is_letter(text[end]));
        n_whole += n_letters > 0 && !cut;
        at = end;
    }
    return (double)n_whole / (double)*n_tokens;
}

static void test_random(uint64_t seed) {
    const char *strings[] = {"ab", "abc", " ab", "cab", "ba ba",    "abababab", "b c", " ",
                             "e.", "hh",  "hhh", "fe",  "\xff\xfe", "0a",       "a0",  "d e"};
    static const char alphabet[] = "ababababccdefgh0 .  \xff\xfe";
    isb_codebook *codebook = make(strings, 16);
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    for (int round = 0; round < 60; ++round) {
        uint8_t text[16384];
        const size_t n = 1 + (size_t)isb__rng_below(&rng, round % 3 ? 40 : sizeof text);
        for (size_t i = 0; i < n; ++i) {
            text[i] = (uint8_t)alphabet[isb__rng_below(&rng, sizeof alphabet - 1)];
        }
        temp_write(temp_path("r.txt"), text, n);
        const isb_codebook_measures m = measure(codebook, temp_path("r.txt"), NULL, 0);
        size_t n_tokens = 0;
        CHECK(is_near(m.whole_word_share, naive_whole(codebook, text, n, &n_tokens)));
        CHECK_EQ(m.n_tokens, n_tokens);
        CHECK(is_near(m.edit_tokens_changed, naive_edit(codebook, text, n)));
    }
    isb_codebook_free(codebook);
}

/* ---- errors ---- */

static void test_errors(void) {
    isb_codebook *codebook = make(NULL, 0);
    const char *path = temp_path("e.txt"), *word = "cat";
    write_text("e.txt", "");
    isb_codebook_measures m = {.struct_size = sizeof m};
    CHECK_STATUS(isb_codebook_measure(ctx, codebook, &path, 1, NULL, NULL, 0, &m), ISB_ERR_EMPTY);
    CHECK_STATUS(isb_codebook_measure(ctx, codebook, &path, 1, NULL, NULL, 1, &m),
                 ISB_ERR_ARGUMENT);
    CHECK_STATUS(isb_codebook_measure(ctx, codebook, &path, 1, NULL, &word, 0, &m),
                 ISB_ERR_ARGUMENT);
    CHECK_STATUS(isb_codebook_measure(ctx, NULL, &path, 1, NULL, NULL, 0, &m), ISB_ERR_ARGUMENT);
    path = temp_path("none.txt");
    CHECK_STATUS(isb_codebook_measure(ctx, codebook, &path, 1, NULL, NULL, 0, &m),
                 ISB_ERR_NOT_FOUND);
    m.struct_size = 0;
    CHECK_STATUS(isb_codebook_measure(ctx, codebook, &path, 1, NULL, NULL, 0, &m),
                 ISB_ERR_ARGUMENT);
    isb_codebook_free(codebook);
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    isb_corpus_options_init(&whole_files);
    whole_files.plain_document_nbytes = 0;
    temp_dir_begin();
    test_whole_words();
    test_spellings();
    test_edit_of_bytes();
    test_random(seed);
    test_errors();
    temp_dir_end();
    isb_context_free(ctx);
    return check_end();
}
