/* Corpora: every way in gives the documents it should, bytes untouched, and bad input gives a
 * status and a text. */
#include <isobit/data.h>

#include <zlib.h>
#include <zstd.h>

#include "check.h"
#include "data/split.h"
#include "temp_dir.h"

static isb_context *ctx;

typedef struct documents {
    isb_status status;
    size_t n;
    size_t lengths[4096];
    uint8_t *texts[4096];
} documents;

static void documents_free(documents *d) {
    for (size_t i = 0; i < d->n; ++i) free(d->texts[i]);
    free(d);
}

static documents *read_all(const isb_corpus_options *options, size_t n_paths,
                           const char *const *paths) {
    documents *d = calloc(1, sizeof *d);
    isb_corpus *corpus = NULL;
    d->status = isb_corpus_open(ctx, paths, n_paths, options, &corpus);
    while (d->status == ISB_OK) {
        const uint8_t *text;
        size_t nbytes;
        d->status = isb_corpus_next(corpus, &text, &nbytes);
        if (!text) break;
        CHECK_FATAL(d->n < 4096);
        d->lengths[d->n] = nbytes;
        d->texts[d->n] = malloc(nbytes + 1);
        memcpy(d->texts[d->n++], text, nbytes);
    }
    if (d->status == ISB_OK) CHECK(isb_corpus_fraction(corpus) == 1.0);
    isb_corpus_free(corpus);
    return d;
}

static int is(const documents *d, size_t i, const char *text) {
    return i < d->n && d->lengths[i] == strlen(text) &&
           memcmp(d->texts[i], text, d->lengths[i]) == 0;
}

static void write_text(const char *path, const char *text) { temp_write(path, text, strlen(text)); }

static void write_gz(const char *path, const char *text) {
    gzFile file = gzopen(path, "wb");
    CHECK_FATAL(file && gzwrite(file, text, (unsigned)strlen(text)) == (int)strlen(text) &&
                gzclose(file) == Z_OK);
}

static void write_zst(const char *path, const char *text) {
    char packed[4096];
    const size_t nbytes = ZSTD_compress(packed, sizeof packed, text, strlen(text), 3);
    CHECK_FATAL(!ZSTD_isError(nbytes));
    temp_write(path, packed, nbytes);
}

static const char LINES[] =
    "{\"text\": \"one\"}\n\n  \r\n{\"n\": 1, \"text\": \"two\\u0000\\nlines\"}\r\n{\"text\": \"\"}";

static void check_lines(const char *path, isb_text_format format) {
    isb_corpus_options options;
    isb_corpus_options_init(&options);
    options.format = format;
    documents *d = read_all(&options, 1, &path);
    CHECK_EQ(d->status, ISB_OK);
    CHECK_EQ(d->n, 3);
    CHECK(is(d, 0, "one"));
    CHECK(d->n > 1 && d->lengths[1] == 10 && memcmp(d->texts[1], "two\0\nlines", 10) == 0);
    CHECK(is(d, 2, ""));
    documents_free(d);
}

static void test_kinds(void) {
    write_text(temp_path("a.jsonl"), LINES);
    write_gz(temp_path("b.ndjson.gz"), LINES);
    write_zst(temp_path("c.json-lines.zst"), LINES);
    write_text(temp_path("d.txt"), LINES);
    write_gz(temp_path("packed-without-a-name"), "plain");
    check_lines(temp_path("a.jsonl"), ISB_TEXT_AUTO);
    check_lines(temp_path("b.ndjson.gz"), ISB_TEXT_AUTO);
    check_lines(temp_path("c.json-lines.zst"), ISB_TEXT_AUTO);
    check_lines(temp_path("d.txt"), ISB_TEXT_JSONL);
    const char *plain[] = {temp_path("d.txt"), temp_path("packed-without-a-name")};
    documents *d = read_all(NULL, 2, plain);
    CHECK_EQ(d->n, 2);
    CHECK(is(d, 0, LINES) && is(d, 1, "plain"));
    documents_free(d);
}

static void test_plain_bytes(void) {
    uint8_t bytes[256];
    for (int i = 0; i < 256; ++i) bytes[i] = (uint8_t)i;
    temp_write(temp_path("bytes"), bytes, 256);
    write_text(temp_path("empty"), "");
    const char *paths[] = {temp_path("bytes"), temp_path("empty")};
    documents *d = read_all(NULL, 2, paths);
    CHECK_EQ(d->n, 2);
    CHECK(d->n == 2 && d->lengths[0] == 256 && memcmp(d->texts[0], bytes, 256) == 0 &&
          d->lengths[1] == 0);
    documents_free(d);
}

/* The documents cut from one text are that text, and each has a size that the rule allows. */
static void check_cut(const char *text, size_t nbytes, size_t target) {
    isb_corpus_options options;
    isb_corpus_options_init(&options);
    options.plain_document_nbytes = target;
    const char *path = temp_path("cut");
    temp_write(path, text, nbytes);
    documents *d = read_all(&options, 1, &path);
    size_t at = 0;
    for (size_t i = 0; i < d->n; at += d->lengths[i++]) {
        CHECK(at + d->lengths[i] <= nbytes && memcmp(text + at, d->texts[i], d->lengths[i]) == 0);
        CHECK(target == 0 || d->lengths[i] <= 2 * target);
        if (i + 1 < d->n) CHECK(d->lengths[i] >= target);
    }
    CHECK_EQ(at, nbytes);
    documents_free(d);
}

static void test_cut(uint64_t seed) {
    CHECK_EQ(isb__plain_cut((const uint8_t *)"aaaa\n\n\nbb\ncc", 12, 4),
             7); /* all the blank lines */
    CHECK_EQ(isb__plain_cut((const uint8_t *)"aaaa\n \t\r\nbb\ncc", 14, 5), 9);
    CHECK_EQ(isb__plain_cut((const uint8_t *)"aaaa\nbb\ncc", 10, 3),
             5); /* no blank line: a line end */
    CHECK_EQ(isb__plain_cut((const uint8_t *)"aaaaaaaaaa", 10, 3),
             6); /* no line end: twice the target */
    CHECK_EQ(isb__plain_cut((const uint8_t *)"aaaaa\xE2\x82\xAC"
                                             "aaaa",
                            12, 3),
             5); /* not inside a character */
    CHECK_EQ(isb__plain_cut((const uint8_t *)"\x80\x80\x80\x80\x80\x80\x80", 7, 3),
             6); /* no characters at all */
    CHECK_EQ(isb__plain_cut((const uint8_t *)"aaaa", 4, 4), 4);
    CHECK_EQ(isb__plain_cut((const uint8_t *)"aaaa", 4, 0), 4);
    CHECK_EQ(isb__plain_cut((const uint8_t *)"", 0, 4), 0);
    enum { N = 5000 };
    char text[N];
    const size_t targets[] = {0, 10, 64, 1000, 4999, 5000, 100000};
    for (int style = 0; style < 4; ++style) {
        for (int i = 0; i < N; ++i) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            const unsigned r = (unsigned)(seed >> 40);
            text[i] = style == 0   ? (char)r
                      : style == 1 ? "ab \n"[r % 4]
                      : style == 2 ? "abcdefghijklmnopqrstuvwxyz\n."[r % 28]
                                   : 'x';
        }
        for (size_t i = 0; i < sizeof targets / sizeof *targets; ++i)
            check_cut(text, N, targets[i]);
    }
}

static void test_folder(void) {
    char root[1024];
    snprintf(root, sizeof root, "%s", temp_path("folder"));
    mkdir(root, 0777);
    mkdir(temp_path("folder/a"), 0777);
    mkdir(temp_path("folder/.hidden"), 0777);
    write_text(temp_path("folder/a/x.txt"), "a/x");
    write_text(temp_path("folder/a-b"), "a-b");
    write_text(temp_path("folder/z.jsonl"), "{\"text\":\"z\"}\n");
    write_text(temp_path("folder/.secret"), "hidden");
    write_text(temp_path("folder/.hidden/x"), "hidden");
    CHECK_EQ(symlink("..", temp_path("folder/a/loop")), 0);
    CHECK_EQ(symlink("nowhere", temp_path("folder/broken")), 0);
    CHECK_EQ(symlink("a-b", temp_path("folder/link")), 0);
    const char *path = root;
    documents *d = read_all(NULL, 1, &path);
    CHECK_EQ(d->status, ISB_OK);
    CHECK_EQ(d->n, 4);
    CHECK(is(d, 0, "a-b") && is(d, 1, "a/x") && is(d, 2, "a-b") &&
          is(d, 3, "z")); /* '-' before '/'; link; z */
    documents_free(d);
}

static void expect_error(const char *path, isb_status status, const char *says) {
    documents *d = read_all(NULL, 1, &path);
    CHECK_EQ(d->status, status);
    const char *text = isb_context_error(ctx);
    check_report(strstr(text, says) != NULL, __FILE__, __LINE__, says, text);
    documents_free(d);
}

static void test_errors(void) {
    expect_error(temp_path("missing.txt"), ISB_ERR_NOT_FOUND, "missing.txt");
    mkdir(temp_path("none"), 0777);
    write_text(temp_path("none/.x"), "hidden");
    expect_error(temp_path("none"), ISB_ERR_EMPTY, "none");
    write_text(temp_path("bad.jsonl"), "{\"text\":\"a\"}\n\n{\"text\":\"b\"\n");
    expect_error(temp_path("bad.jsonl"), ISB_ERR_CORRUPT,
                 "bad.jsonl:3: expected , or } in an object (byte 12");
    write_text(temp_path("lacks.jsonl"), "{\"text\":\"a\"}\n{\"body\":\"b\"}\n");
    expect_error(temp_path("lacks.jsonl"), ISB_ERR_CORRUPT,
                 "lacks.jsonl:2: the object has no field \"text\"");
    write_gz(temp_path("cut.gz"), "some text that is packed");
    CHECK_EQ(truncate(temp_path("cut.gz"), 20), 0);
    expect_error(temp_path("cut.gz"), ISB_ERR_CORRUPT, "cut.gz");
    isb_corpus *corpus = NULL;
    CHECK_STATUS(isb_corpus_open(ctx, NULL, 0, NULL, &corpus), ISB_ERR_ARGUMENT);
    isb_corpus_options options = {0};
    const char *path = temp_path("bad.jsonl");
    CHECK_STATUS(isb_corpus_open(ctx, &path, 1, &options, &corpus), ISB_ERR_ARGUMENT);
    isb_corpus_options_init(&options);
    options.valid_permille = 600, options.test_permille = 401;
    CHECK_STATUS(isb_corpus_open(ctx, &path, 1, &options, &corpus), ISB_ERR_RANGE);
}

/* Every document is on exactly one side, wherever it lies; shares are about right; the limit stops.
 */
static void test_split(void) {
    enum { N = 2000 };
    char *lines = malloc(N * 40), *reversed = malloc(N * 40);
    size_t at = 0, back = 0;
    for (int i = 0; i < N; ++i)
        at += (size_t)sprintf(lines + at, "{\"text\":\"document %d\"}\n", i);
    for (int i = N - 1; i >= 0; --i)
        back += (size_t)sprintf(reversed + back, "{\"text\":\"document %d\"}\n", i);
    write_text(temp_path("forward.jsonl"), lines);
    write_text(temp_path("backward.jsonl"), reversed);
    const char *forward = temp_path("forward.jsonl"), *backward = temp_path("backward.jsonl");
    isb_corpus_options options;
    isb_corpus_options_init(&options);
    options.valid_permille = 100, options.test_permille = 50;
    size_t total = 0, counts[4] = {0};
    for (int side = 1; side <= 3; ++side) {
        options.split = (isb_split)side;
        documents *a = read_all(&options, 1, &forward), *b = read_all(&options, 1, &backward);
        CHECK_EQ(a->n, b->n);
        for (size_t i = 0; i < a->n && i < b->n; ++i) {
            CHECK_EQ(isb__split_of(a->texts[i], a->lengths[i], 100, 50), side);
            CHECK(a->lengths[i] == b->lengths[b->n - 1 - i] &&
                  memcmp(a->texts[i], b->texts[b->n - 1 - i], a->lengths[i]) == 0);
        }
        total += counts[side] = a->n;
        documents_free(a);
        documents_free(b);
    }
    CHECK_EQ(total, N);
    CHECK(counts[ISB_SPLIT_VALID] > 140 && counts[ISB_SPLIT_VALID] < 260);
    CHECK(counts[ISB_SPLIT_TEST] > 60 && counts[ISB_SPLIT_TEST] < 140);
    isb_corpus_options_init(&options);
    options.max_nbytes = 100; /* documents of 10 bytes, then 11 */
    documents *d = read_all(&options, 1, &backward);
    CHECK_EQ(d->n, 8);
    documents_free(d);
    free(lines);
    free(reversed);
}

/* The side of these documents is part of the format: it must never change. */
static void test_split_is_stable(void) {
    static const struct {
        const char *text;
        isb_split side;
    } known[] = {
        {"", ISB_SPLIT_TRAIN},
        {"a", ISB_SPLIT_TRAIN},
        {"document 1", ISB_SPLIT_TEST},
        {"The quick brown fox", ISB_SPLIT_VALID},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i) {
        CHECK_EQ(isb__split_of((const uint8_t *)known[i].text, strlen(known[i].text), 333, 333),
                 known[i].side);
    }
    CHECK_EQ(isb__split_of((const uint8_t *)"x", 1, 0, 0), ISB_SPLIT_TRAIN);
    CHECK_EQ(isb__split_of((const uint8_t *)"x", 1, 1000, 0), ISB_SPLIT_VALID);
    CHECK_EQ(isb__split_of((const uint8_t *)"x", 1, 0, 1000), ISB_SPLIT_TEST);
}

/* A line larger than every buffer. */
static void test_huge_line(void) {
    const size_t n = 3000000;
    char *line = malloc(n + 64);
    size_t at = (size_t)sprintf(line, "{\"text\":\"");
    memset(line + at, 'h', n);
    strcpy(line + at + n, "\"}\n{\"text\":\"end\"}");
    write_text(temp_path("huge.jsonl"), line);
    const char *path = temp_path("huge.jsonl");
    documents *d = read_all(NULL, 1, &path);
    CHECK_EQ(d->n, 2);
    CHECK(d->n == 2 && d->lengths[0] == n && d->texts[0][n - 1] == 'h' && is(d, 1, "end"));
    documents_free(d);
    free(line);
}

static void test_mark(void) {
    write_text(temp_path("mark.jsonl"), "\xEF\xBB\xBF{\"text\":\"a\"}\n");
    const char *path = temp_path("mark.jsonl");
    documents *d = read_all(NULL, 1, &path);
    CHECK(d->n == 1 && is(d, 0, "a"));
    documents_free(d);
}

static void test_stdin(void) {
    const char *path = "-";
    isb_corpus_options options;
    isb_corpus_options_init(&options);
    options.format = ISB_TEXT_JSONL;
    write_text(temp_path("in"), LINES);
    CHECK_FATAL(freopen(temp_path("in"), "rb", stdin) != NULL);
    isb_corpus *corpus = NULL;
    CHECK_OK(ctx, isb_corpus_open(ctx, &path, 1, &options, &corpus));
    const uint8_t *text;
    size_t nbytes, n = 0;
    CHECK(isb_corpus_fraction(corpus) == -1.0);
    do CHECK_OK(ctx, isb_corpus_next(corpus, &text, &nbytes));
    while (text && ++n);
    CHECK_EQ(n, 3);
    isb_corpus_free(corpus);
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    temp_dir_begin();
    CHECK_OK(ctx, isb_context_create(NULL, &ctx));
    test_kinds();
    test_plain_bytes();
    test_cut(seed);
    test_folder();
    test_errors();
    test_split();
    test_split_is_stable();
    test_huge_line();
    test_mark();
    test_stdin();
    isb_context_free(ctx);
    temp_dir_end();
    return check_end();
}
