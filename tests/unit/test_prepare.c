/* isb_prepare(): what lands in the datasets decodes to the documents, the split is disjoint and
 * does not depend on order, and failures leave nothing. */
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/rng.h"
#include "check.h"
#include "data/dataset.h"
#include "data/split.h"
#include "data/tokenizer.h"
#include "m1/m1.h"
#include "temp_dir.h"

static isb_context *ctx;

enum { N_DOCUMENTS = 300 };
static char documents[N_DOCUMENTS][200];

static void make_documents(isb__rng *rng) {
    for (int d = 0; d < N_DOCUMENTS; ++d) {
        if (d == 17) continue; /* an empty one */
        size_t n = (size_t)sprintf(documents[d], "document %d:", d);
        for (uint64_t words = isb__rng_below(rng, 20); words > 0; --words) {
            static const char *const list[] = {" the", " cat", " sat",     " on", " a",
                                               " mat", ".",    "\xff\xfe", "\n"};
            n += (size_t)sprintf(documents[d] + n, "%s", list[isb__rng_below(rng, 9)]);
        }
    }
}

/* Documents from..to as JSON Lines, forwards or backwards; line breaks are the only bytes that need
 * an escape. */
static void write_jsonl(const char *path, int from, int to, int backwards) {
    FILE *file = fopen(path, "wb");
    CHECK_FATAL(file != NULL);
    for (int i = from; i < to; ++i) {
        const char *text = documents[backwards ? to - 1 - (i - from) : i];
        fputs("{\"text\": \"", file);
        for (; *text; ++text) *text == '\n' ? (void)fputs("\\n", file) : (void)fputc(*text, file);
        fputs("\"}\n", file);
    }
    CHECK_FATAL(fclose(file) == 0);
}

/* A static M1 that knows the bytes of the documents. */
static void make_m1(const char *dir) {
    uint64_t counts[257] = {0};
    for (int d = 0; d < N_DOCUMENTS; ++d) {
        for (const char *p = documents[d]; *p; ++p) ++counts[(uint8_t)*p];
        ++counts[256];
    }
    CHECK_OK(ctx, isb__m1_write_static(ctx, dir, counts));
}

static void prepare(const char *const *paths, size_t n_paths, const char *prefix,
                    const char *tokenizer, const char *m1_dir, isb_prepare_result *result) {
    isb_prepare_options options;
    isb_prepare_options_init(&options);
    options.tokenizer = tokenizer;
    options.m1_dir = m1_dir;
    options.split_files = 1;
    options.check_windows = 1;
    options.corpus.valid_permille = 100, options.corpus.test_permille = 100;
    CHECK_OK(ctx, isb_prepare(ctx, paths, n_paths, prefix, &options, result));
}

/* Decodes a dataset and marks which documents were seen, in stored order. */
static size_t decode_dataset(const char *prefix, const char *m1_dir, int *seen, int mark) {
    isb__dataset *dataset = NULL;
    isb__tokenizer *tokenizer = NULL;
    CHECK_OK(ctx, isb__dataset_open(ctx, prefix, &dataset));
    CHECK_OK(ctx, isb__dataset_verify(dataset));
    CHECK_OK(ctx, isb__tokenizer_open(ctx, dataset->info.tokenizer, m1_dir, &tokenizer));
    CHECK(strcmp(tokenizer->spec, dataset->info.tokenizer) == 0);
    CHECK(strcmp(tokenizer->identity, dataset->info.tokenizer_identity) == 0);
    CHECK_EQ(tokenizer->n_codes, dataset->info.n_codes);
    for (uint64_t i = 0; i < dataset->info.n_documents; ++i) {
        int32_t wide[4096];
        uint32_t ids[4096];
        const size_t count = (size_t)dataset->lengths[i];
        CHECK_FATAL(count <= 4096);
        isb__dataset_read(dataset, dataset->starts[i], count, wide);
        for (size_t k = 0; k < count; ++k) ids[k] = (uint32_t)wide[k];
        const isb__ids_view view = {ids, count};
        isb__decoded decoded;
        CHECK_OK(ctx, isb__codec_decode(tokenizer->codec, 1, &view, 0, &decoded, NULL, NULL));
        CHECK_EQ(decoded.status, ISB_OK);
        int d = 0;
        while (d < N_DOCUMENTS && (seen[d] != 0 || strlen(documents[d]) != decoded.nbytes ||
                                   memcmp(documents[d], decoded.bytes, decoded.nbytes) != 0))
            ++d;
        CHECK_FATAL(d < N_DOCUMENTS);
        CHECK_EQ(isb__split_of(decoded.bytes, decoded.nbytes, 100, 100), mark);
        seen[d] = mark;
    }
    const size_t n = (size_t)dataset->info.n_documents;
    isb__dataset_close(dataset);
    isb__tokenizer_free(tokenizer);
    return n;
}

static const char *join(const char *prefix, const char *side) {
    static char text[1100];
    snprintf(text, sizeof text, "%s%s", prefix, side);
    return text;
}

static void check_all(const char *prefix, const char *m1_dir, const isb_prepare_result *result) {
    int seen[N_DOCUMENTS] = {0};
    uint64_t n_bytes = 0;
    size_t n[4];
    n[1] = decode_dataset(join(prefix, ".train"), m1_dir, seen, ISB_SPLIT_TRAIN);
    n[2] = decode_dataset(join(prefix, ".valid"), m1_dir, seen, ISB_SPLIT_VALID);
    n[3] = decode_dataset(join(prefix, ".test"), m1_dir, seen, ISB_SPLIT_TEST);
    CHECK_EQ(n[1] + n[2] + n[3], N_DOCUMENTS);
    CHECK(n[2] > 0 && n[3] > 0 && n[1] > n[2] + n[3]);
    for (int d = 0; d < N_DOCUMENTS; ++d) {
        CHECK(seen[d] != 0);
        n_bytes += strlen(documents[d]);
    }
    CHECK_EQ(result->n_documents, N_DOCUMENTS);
    CHECK_EQ(result->n_bytes, n_bytes);
    CHECK(result->n_tokens > 0 &&
          result->bytes_per_token == (double)n_bytes / (double)result->n_tokens);
    CHECK_EQ(result->n_windows_failed, 0);
}

static int same_file(const char *a, const char *b) {
    static char data[1 << 20];
    FILE *file = fopen(a, "rb");
    const size_t n = file ? fread(data, 1, sizeof data, file) : 0;
    if (file) fclose(file);
    return n > 0 && n < sizeof data && temp_holds(b, data, n);
}

static void test_round_trip(void) {
    static const char *const tokenizers[] = {"bytes",
                                             "window:b=16",
                                             "window:b=24,token=8",
                                             "window:b=32,variant=delay,reset=0",
                                             "ac",
                                             "ac:token=8",
                                             "static-ac"};
    const char *m1 = "m1", *path = "all.jsonl";
    write_jsonl(path, 0, N_DOCUMENTS, 0);
    make_m1(m1);
    for (size_t i = 0; i < sizeof tokenizers / sizeof *tokenizers; ++i) {
        const char *paths[] = {path}, *m1_dir = i == 0 ? NULL : m1;
        isb_prepare_result result;
        char prefix[16];
        snprintf(prefix, sizeof prefix, "out%zu", i);
        prepare(paths, 1, prefix, tokenizers[i], m1_dir, &result);
        check_all(prefix, m1_dir, &result);
    }
}

/* Shards in another order, packed otherwise: the same sides, and for the same order the same bytes.
 */
static void test_order(void) {
    const char *shards[] = {"s1.jsonl", "s0.jsonl"};
    write_jsonl(shards[1], 0, 100, 0);
    write_jsonl(shards[0], 100, N_DOCUMENTS, 1);
    isb_prepare_result result;
    prepare(shards, 2, "shards", "bytes", NULL, &result);
    check_all("shards", NULL, &result);
    prepare(shards, 2, "again", "bytes", NULL, &result);
    CHECK(same_file("shards.train.bin", "again.train.bin"));
    CHECK(same_file("shards.test.idx", "again.test.idx"));
    CHECK(same_file("shards.valid.json", "again.valid.json"));
}

/* One document: its side has it, the other two are empty datasets that open. */
static void test_tiny(void) {
    const char *paths[] = {"tiny.txt"};
    temp_write(paths[0], "only one", 8);
    isb_prepare_options options;
    isb_prepare_options_init(&options);
    options.tokenizer = "bytes";
    options.split_files = 1;
    isb_prepare_result result;
    CHECK_OK(ctx, isb_prepare(ctx, paths, 1, "tiny", &options, &result));
    isb_dataset_info info[3];
    CHECK_OK(ctx, isb_dataset_get_info(ctx, "tiny.train", 1, &info[0]));
    CHECK_OK(ctx, isb_dataset_get_info(ctx, "tiny.valid", 1, &info[1]));
    CHECK_OK(ctx, isb_dataset_get_info(ctx, "tiny.test", 1, &info[2]));
    CHECK_EQ(info[0].n_documents + info[1].n_documents + info[2].n_documents, 1);
    CHECK_EQ(info[0].n_tokens + info[1].n_tokens + info[2].n_tokens, 8);
    options.split_files = 0;
    options.corpus.split = ISB_SPLIT_ALL;
    CHECK_OK(ctx, isb_prepare(ctx, paths, 1, "whole", &options, &result));
    CHECK_OK(ctx, isb_dataset_get_info(ctx, "whole", 1, &info[0]));
    CHECK_EQ(info[0].n_documents, 1);
}

static void test_refusals(void) {
    isb_prepare_options options;
    isb_prepare_options_init(&options);
    options.tokenizer = "bytes";
    isb_prepare_result result;
    temp_write("none.jsonl", "\n\n", 2);
    temp_write("broken.jsonl", "{\"text\":\"a\"}\n{\n", 15);
    const char *none = "none.jsonl", *broken = "broken.jsonl", *missing = "missing";
    const int n_files = temp_count(temp_dir_path);
    CHECK_STATUS(isb_prepare(ctx, &none, 1, "no", &options, &result), ISB_ERR_EMPTY);
    temp_write("empty.txt", "", 0); /* one document, without a byte */
    const char *empty = "empty.txt";
    CHECK_STATUS(isb_prepare(ctx, &empty, 1, "no", &options, &result), ISB_ERR_EMPTY);
    unlink("empty.txt");
    CHECK_STATUS(isb_prepare(ctx, &broken, 1, "no", &options, &result), ISB_ERR_CORRUPT);
    CHECK(strstr(isb_context_error(ctx), "broken.jsonl:2:") != NULL);
    CHECK_STATUS(isb_prepare(ctx, &missing, 1, "no", &options, &result), ISB_ERR_NOT_FOUND);
    CHECK_STATUS(isb_prepare(ctx, &none, 1, "-", &options, &result), ISB_ERR_ARGUMENT);
    CHECK_STATUS(isb_prepare(ctx, &none, 1, "no", NULL, &result), ISB_ERR_ARGUMENT);
    options.tokenizer = "window:b=16";
    CHECK(isb_prepare(ctx, &broken, 1, "no", &options, &result) != ISB_OK);
    options.tokenizer = "nonsense";
    CHECK_STATUS(isb_prepare(ctx, &broken, 1, "no", &options, &result), ISB_ERR_ARGUMENT);
    CHECK_EQ(temp_count(temp_dir_path), n_files);
}

/* A full disk in the middle, or at the commit of the second of three datasets. */
static void test_disk_full(void) {
    char *text = malloc(3 << 20);
    size_t n = 0;
    for (int i = 0; n < (3 << 20) - 64; ++i) n += (size_t)sprintf(text + n, "paragraph %d\n\n", i);
    const char *path = "large.txt";
    temp_write(path, text, n);
    free(text);
    isb_prepare_options options;
    isb_prepare_options_init(&options);
    options.tokenizer = "bytes";
    options.corpus.plain_document_nbytes = 1000;
    options.split_files = 1;
    options.corpus.valid_permille = 100, options.corpus.test_permille = 300;
    const int n_files = temp_count(temp_dir_path);
    const rlim_t limits[] = {2 << 20, 1 << 20, 100, 0};
    struct rlimit old;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; ++i) {
        const struct rlimit limited = {limits[i], old.rlim_max};
        isb_prepare_result result;
        setrlimit(RLIMIT_FSIZE, &limited);
        const isb_status status = isb_prepare(ctx, &path, 1, "full", &options, &result);
        setrlimit(RLIMIT_FSIZE, &old);
        CHECK_EQ(status, ISB_ERR_NO_SPACE);
        CHECK_EQ(temp_count(temp_dir_path), n_files);
    }
}

static void test_cancel(void) {
    const char *path = "all.jsonl";
    isb_prepare_options options;
    isb_prepare_options_init(&options);
    options.tokenizer = "bytes";
    isb_prepare_result result;
    const int n_files = temp_count(temp_dir_path);
    isb_context_cancel(ctx);
    CHECK_STATUS(isb_prepare(ctx, &path, 1, "cancelled", &options, &result), ISB_ERR_CANCELLED);
    isb_context_cancel_clear(ctx);
    CHECK_EQ(temp_count(temp_dir_path), n_files);
}

int main(int argc, char **argv) {
    isb__rng rng;
    isb__rng_seed(&rng, check_begin(argc, argv));
    CHECK_FATAL(chdir(temp_dir_begin()) == 0);
    CHECK_OK(ctx, isb_context_create(NULL, &ctx));
    make_documents(&rng);
    test_round_trip();
    test_order();
    test_tiny();
    test_refusals();
    test_disk_full();
    test_cancel();
    isb_context_free(ctx);
    temp_dir_end();
    return check_end();
}
