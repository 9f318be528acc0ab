/* isb_prepare() in shards and isb_merge(): whatever the number of shards, and whether files are given
 * whole or read by all, the merged files are those of one call, byte for byte; and what is missing,
 * damaged or of another preparation is named, with nothing written. */
#include <glob.h>
#include <unistd.h>

#include "base/rng.h"
#include "check.h"
#include "data/dataset.h"
#include "temp_dir.h"

static isb_context *ctx;

static const char *const endings[] = {".train.bin", ".train.idx", ".train.json",
                                      ".valid.bin", ".valid.idx", ".valid.json",
                                      ".test.bin",  ".test.idx",  ".test.json"};
enum { N_ENDINGS = sizeof endings / sizeof *endings };

/* Plain text with blank lines, or JSON Lines with blank and empty ones between. */
static void write_text(isb__rng *rng, const char *path, size_t nbytes, int jsonl) {
    FILE *file = fopen(path, "wb");
    CHECK_FATAL(file != NULL);
    for (size_t n = 0; n < nbytes;) {
        const uint64_t kind = isb__rng_below(rng, 40);
        if (kind == 0) {
            n += (size_t)fprintf(file, "\n");
            continue;
        }
        if (jsonl) fputs("{\"text\": \"", file);
        for (uint64_t words = kind == 1 ? 0 : isb__rng_below(rng, 300); words > 0; --words)
            n += (size_t)fprintf(file, "%llu ", (unsigned long long)isb__rng_below(rng, 5000));
        n += (size_t)fprintf(file, jsonl ? "\\u00e9\"}\n" : "\n\n");
    }
    CHECK_FATAL(fclose(file) == 0);
}

static int same_file(const char *a, const char *b) {
    FILE *x = fopen(a, "rb"), *y = fopen(b, "rb");
    CHECK_FATAL(x != NULL && y != NULL);
    int c;
    do c = getc(x);
    while (c == getc(y) && c != EOF);
    const int same = c == EOF && feof(y);
    fclose(x);
    fclose(y);
    return same;
}

static const char *join(const char *a, const char *b) {
    static char text[4][300];
    static int next;
    char *to = text[next++ % 4];
    snprintf(to, sizeof text[0], "%s%s", a, b);
    return to;
}

static isb_prepare_options options_for(const char *tokenizer) {
    isb_prepare_options options;
    isb_prepare_options_init(&options);
    options.tokenizer = tokenizer;
    options.split_files = 1;
    options.corpus.plain_document_nbytes = 3000;
    options.corpus.valid_permille = 80, options.corpus.test_permille = 150;
    return options;
}

static void prepare_shards(const char *const *paths, size_t n_paths, const char *prefix,
                           const isb_prepare_options *base, uint32_t n) {
    isb_prepare_options options = *base;
    for (uint32_t i = 0; i < n; ++i) {
        options.shard_index = i, options.n_shards = n;
        CHECK_OK(ctx, isb_prepare(ctx, paths, n_paths, prefix, &options, NULL));
    }
}

static int count_matches(const char *pattern) {
    glob_t found;
    const int n = glob(pattern, 0, NULL, &found) == 0 ? (int)found.gl_pathc : 0;
    globfree(&found);
    return n;
}

static void check_merge(const char *const *paths, size_t n_paths, const isb_prepare_options *base,
                        const char *expected, uint32_t n) {
    isb_merge_options options;
    isb_merge_options_init(&options);
    options.remove = 1;
    isb_merge_result merged;
    isb_dataset_info info;
    prepare_shards(paths, n_paths, "merged", base, n);
    CHECK_OK(ctx, isb_merge(ctx, "merged", &options, &merged));
    CHECK_EQ(merged.n_shards, n);
    uint64_t n_tokens = 0;
    if (base->split_files) {
        for (size_t i = 0; i < N_ENDINGS; ++i)
            CHECK(same_file(join("merged", endings[i]), join(expected, endings[i])));
        for (size_t i = 0; i < N_ENDINGS; i += 3) {
            char prefix[300];
            snprintf(prefix, sizeof prefix, "merged%.*s", (int)strlen(endings[i]) - 4, endings[i]);
            CHECK_OK(ctx, isb_dataset_get_info(ctx, prefix, 1, &info));
            n_tokens += info.n_tokens;
        }
    } else {
        for (size_t i = 0; i < 3; ++i)
            CHECK(same_file(join("merged", endings[i] + 6), join(expected, endings[i] + 6)));
        CHECK_OK(ctx, isb_dataset_get_info(ctx, "merged", 1, &info));
        n_tokens = info.n_tokens;
    }
    CHECK_EQ(merged.n_tokens, n_tokens);
    CHECK_EQ(count_matches("merged.shard*"), 0);
}

static void check_all(const char *const *paths, size_t n_paths, const isb_prepare_options *base,
                      uint32_t most) {
    static const uint32_t counts[] = {1, 2, 3, 7, 16};
    CHECK_OK(ctx, isb_prepare(ctx, paths, n_paths, "whole", base, NULL));
    for (size_t i = 0; i < sizeof counts / sizeof *counts && counts[i] <= most; ++i)
        check_merge(paths, n_paths, base, "whole", counts[i]);
}

/* One large file among small ones: it is read by all, they are given whole. */
static void test_identical(isb__rng *rng) {
    const char *many[] = {"a.jsonl", "b.txt", "large.jsonl", "c.jsonl", "empty.txt", "large.txt"};
    write_text(rng, many[0], 20000, 1);
    write_text(rng, many[1], 9000, 0);
    write_text(rng, many[2], 5000000, 1);
    write_text(rng, many[3], 70000, 1);
    write_text(rng, many[4], 0, 0);
    write_text(rng, many[5], 3300000, 0);
    isb_prepare_options options = options_for("bytes");
    check_all(many, 6, &options, 16);
    check_all(many + 2, 1, &options, 7);
    check_all(many, 2, &options, 7); /* more shards than files */
    options.corpus.max_nbytes = 4000000;
    check_all(many, 6, &options, 3);
    options.split_files = 0, options.corpus.split = ISB_SPLIT_TEST;
    check_all(many, 6, &options, 3);
    options.corpus.max_nbytes = 0, options.corpus.plain_document_nbytes = 0;
    check_all(many, 6, &options, 3);
}

/* The codebook lies beside the merged datasets, as it does without shards. */
static void test_codebook(void) {
    const char *paths[] = {"a.jsonl", "b.txt"};
    const isb_prepare_options options = options_for("codebook");
    check_all(paths, 2, &options, 3);
    CHECK(same_file("merged.isb-codebook", "whole.isb-codebook"));
}

/* Six documents for sixteen shards: most have none. */
static void test_few_documents(void) {
    const char *paths[] = {"few.jsonl"};
    static const char text[] = "{\"text\":\"a\"}\n\n{\"text\":\"\"}\n{\"text\":\"b\"}\n{\"text\":\"c\"}\n"
                               "{\"text\":\"d\"}\n{\"text\":\"e\"}";
    temp_write(paths[0], text, sizeof text - 1);
    const isb_prepare_options options = options_for("bytes");
    check_all(paths, 1, &options, 16);
    temp_write("none.jsonl", "{\"text\":\"\"}\n", 12);
    const char *none[] = {"none.jsonl"};
    prepare_shards(none, 1, "none", &options, 2);
    CHECK_STATUS(isb_merge(ctx, "none", NULL, NULL), ISB_ERR_EMPTY);
}

/* False past the end. */
static int flip(const char *path, long at) {
    FILE *file = fopen(path, "r+b");
    CHECK_FATAL(file != NULL && fseek(file, at, SEEK_SET) == 0);
    const int c = getc(file);
    fseek(file, at, SEEK_SET);
    if (c != EOF) putc(c ^ 1, file);
    fclose(file);
    return c != EOF;
}

/* The merge fails with this status, names this file, and writes nothing. */
static void refused(isb_status status, const char *named) {
    CHECK_STATUS(isb_merge(ctx, "bad", NULL, NULL), status);
    CHECK(strstr(isb_context_error(ctx), named) != NULL);
    CHECK_EQ(count_matches("bad.train*") + count_matches("bad.isb*") + count_matches("*.tmp*"), 0);
}

static void test_refusals(void) {
    const char *paths[] = {"a.jsonl", "c.jsonl"};
    isb_prepare_options options = options_for("bytes");
    refused(ISB_ERR_NOT_FOUND, "bad.shard-00000-of-");
    prepare_shards(paths, 2, "bad", &options, 3);

    CHECK_FATAL(rename("bad.shard-00001-of-00003.shard", "kept") == 0);
    refused(ISB_ERR_NOT_FOUND, "bad.shard-00001-of-00003.shard");
    CHECK_FATAL(rename("kept", "bad.shard-00001-of-00003.shard") == 0);

    CHECK(flip("bad.shard-00001-of-00003.train.bin", 1000));
    refused(ISB_ERR_CORRUPT, "bad.shard-00001-of-00003.train");
    CHECK(flip("bad.shard-00001-of-00003.train.bin", 1000));
    for (long at = 3; flip("bad.shard-00001-of-00003.shard", at); at += 7) {
        CHECK(isb_merge(ctx, "bad", NULL, NULL) != ISB_OK);
        CHECK(strstr(isb_context_error(ctx), "bad.shard-00001-of-00003.shard") != NULL);
        flip("bad.shard-00001-of-00003.shard", at);
    }

    options.shard_index = 2, options.n_shards = 3; /* another tokenizer, another split, other text */
    options.tokenizer = "codebook";
    CHECK_OK(ctx, isb_prepare(ctx, paths, 2, "bad", &options, NULL));
    refused(ISB_ERR_MISMATCH, "bad.shard-00002-of-00003");
    CHECK(strstr(isb_context_error(ctx), "tokenizer") != NULL);
    options.tokenizer = "bytes", options.corpus.valid_permille = 81;
    CHECK_OK(ctx, isb_prepare(ctx, paths, 2, "bad", &options, NULL));
    refused(ISB_ERR_MISMATCH, "valid_permille");
    options.corpus.valid_permille = 80;
    CHECK_OK(ctx, isb_prepare(ctx, paths, 1, "bad", &options, NULL));
    refused(ISB_ERR_MISMATCH, "n_files");
    CHECK_OK(ctx, isb_prepare(ctx, paths, 2, "bad", &options, NULL));

    /* The dataset of another run under a shard's description. */
    options.corpus.max_nbytes = 30000;
    options.shard_index = 0, options.n_shards = 0;
    CHECK_OK(ctx, isb_prepare(ctx, paths, 2, "bad.shard-00000-of-00003", &options, NULL));
    refused(ISB_ERR_CORRUPT, "bad.shard-00000-of-00003");
    options.corpus.max_nbytes = 0;
    prepare_shards(paths, 2, "bad", &options, 3);

    prepare_shards(paths, 2, "bad", &options, 2); /* of another number, beside them */
    refused(ISB_ERR_MISMATCH, "shards of");
    isb_merge_options merge;
    isb_merge_options_init(&merge);
    merge.n_shards = 3;
    CHECK_OK(ctx, isb_merge(ctx, "bad", &merge, NULL));
    CHECK_OK(ctx, isb_prepare(ctx, paths, 2, "good", &options, NULL));
    for (size_t i = 0; i < N_ENDINGS; ++i)
        CHECK(same_file(join("bad", endings[i]), join("good", endings[i])));
    CHECK_EQ(count_matches("bad.shard-*.shard"), 5); /* not asked to remove them */
}

static void test_range(void) {
    const char *paths[] = {"a.jsonl"};
    isb_prepare_options options = options_for("bytes");
    const uint32_t bad[][2] = {{3, 3}, {7, 3}, {1, 0}, {0, 10001}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        options.shard_index = bad[i][0], options.n_shards = bad[i][1];
        CHECK_STATUS(isb_prepare(ctx, paths, 1, "no", &options, NULL), ISB_ERR_RANGE);
    }
    options.shard_index = 0, options.n_shards = 2, options.tokenizer = "external:x,vocab=9";
    CHECK_STATUS(isb_prepare(ctx, paths, 1, "no", &options, NULL), ISB_ERR_UNSUPPORTED);
    CHECK_EQ(count_matches("no.*"), 0);
}

int main(int argc, char **argv) {
    isb__rng rng;
    isb__rng_seed(&rng, check_begin(argc, argv));
    CHECK_FATAL(chdir(temp_dir_begin()) == 0);
    CHECK_OK(ctx, isb_context_create(NULL, &ctx));
    test_identical(&rng);
    test_codebook();
    test_few_documents();
    test_refusals();
    test_range();
    isb_context_free(ctx);
    temp_dir_end();
    return check_end();
}
