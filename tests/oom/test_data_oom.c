/* Corpora, datasets, rows, preparation and files of ids without memory: every allocation fails
 * once; the status says so, nothing leaks, and no file is left. */
#include <isobit/codebook.h>

#include <unistd.h>

#include "fail_alloc.h"
#include "m1/m1.h"
#include "temp_dir.h"

#include "base/context.h"
#include "data/dataset.h"

static const char IDS[] =
    "{\"ids\": [1, 2, 98], \"text\": \"abc\"}\n{\"ids\": [], \"n_bytes\": 7}\n";
static const char TEXT[] =
    "{\"text\": \"The cat sat on the mat.\"}\n{\"text\": \"And the dog?\\n\"}\n{\"text\": \"\"}\n";

static isb_status read_corpus(isb_context *ctx, void *arg) {
    (void)arg;
    const char *paths[] = {"folder", "lines.jsonl"};
    isb_corpus *corpus = NULL;
    ISB_TRY(isb_corpus_open(ctx, paths, 2, NULL, &corpus));
    isb_status status;
    const uint8_t *text;
    size_t nbytes, n = 0;
    do status = isb_corpus_next(corpus, &text, &nbytes);
    while (status == ISB_OK && text && ++n);
    CHECK(status != ISB_OK || n == 5);
    isb_corpus_free(corpus);
    return status;
}

static isb_status write_dataset(isb_context *ctx, void *arg) {
    (void)arg;
    static const uint32_t ids[] = {1, 2, 3};
    isb__dataset_writer *writer = NULL;
    ISB_TRY(isb__dataset_writer_open(
        ctx, "data", &(isb_dataset_info){.tokenizer = "bytes", .n_codes = 256, .n_ids = 256 + 1},
        NULL, &writer));
    isb_status status = ISB_OK;
    for (int d = 0; d < 100 && status == ISB_OK; ++d)
        status = isb__dataset_writer_add(writer, ids, (size_t)d % 4, 3);
    if (status == ISB_OK) {
        status = isb__dataset_writer_commit(writer);
    } else {
        isb__dataset_writer_abort(writer);
    }
    CHECK(temp_exists("data.bin") == (status == ISB_OK) &&
          temp_exists("data.json") == (status == ISB_OK));
    if (status == ISB_OK) isb__dataset_remove("data");
    return status;
}

static isb_status read_rows(isb_context *ctx, void *arg) {
    (void)arg;
    isb__dataset *dataset = NULL;
    isb__loader *loader = NULL;
    const isb__loader_options options = {.B = 2, .T = 4};
    int32_t inputs[8], targets[8], starts[8];
    ISB_TRY(isb__dataset_open(ctx, "kept", &dataset));
    const isb_status status = isb__loader_create(ctx, dataset, &options, &loader);
    if (status == ISB_OK) isb__loader_fill(loader, 0, inputs, targets, starts);
    isb__loader_free(loader);
    isb__dataset_close(dataset);
    return status;
}

static isb_status prepare(isb_context *ctx, void *tokenizer) {
    const char *path = "lines.jsonl";
    isb_prepare_options options;
    isb_prepare_options_init(&options);
    options.tokenizer = tokenizer;
    options.m1_dir = strcmp(tokenizer, "bytes") == 0 ? NULL : "m1";
    options.split_files = 1;
    isb_prepare_result result;
    const isb_status status = isb_prepare(ctx, &path, 1, "out", &options, &result);
    CHECK(temp_exists("out.train.bin") == (status == ISB_OK) &&
          temp_exists("out.test.json") == (status == ISB_OK));
    if (strstr(tokenizer, "codebook")) {
        CHECK(temp_exists("out.isb-codebook") == (status == ISB_OK));
        unlink("out.isb-codebook");
    }
    if (status == ISB_OK) {
        isb__dataset_remove("out.train");
        isb__dataset_remove("out.valid");
        isb__dataset_remove("out.test");
    }
    return status;
}

static isb_status import_ids(isb_context *ctx, void *unused) {
    (void)unused;
    const char *path = "ids.jsonl";
    isb_prepare_options options;
    isb_prepare_options_init(&options);
    options.tokenizer = "external:x,vocab=100";
    const isb_status status = isb_prepare(ctx, &path, 1, "out", &options, NULL);
    CHECK(temp_exists("out.json") == (status == ISB_OK));
    if (status == ISB_OK) isb__dataset_remove("out");
    return status;
}

/* Two shards and their merge; the codebook's dataset, since it has all the parts. */
static isb_status prepare_shards(isb_context *ctx, void *unused) {
    (void)unused;
    const char *path = "lines.jsonl";
    isb_prepare_options options;
    isb_prepare_options_init(&options);
    options.tokenizer = "small.isb-codebook";
    options.n_shards = 2;
    isb_merge_options merge;
    isb_merge_options_init(&merge);
    merge.remove = 1;
    isb_status status = ISB_OK;
    for (; options.shard_index < 2 && status == ISB_OK; ++options.shard_index)
        status = isb_prepare(ctx, &path, 1, "out", &options, NULL);
    if (status == ISB_OK) status = isb_merge(ctx, "out", &merge, NULL);
    CHECK(temp_exists("out.json") == (status == ISB_OK));
    isb__dataset_remove("out");
    unlink("out.isb-codebook");
    static const char *const endings[] = {".bin", ".idx", ".json", ".shard", ".isb-codebook"};
    for (int i = 0; i < 10; ++i) {
        char name[64];
        snprintf(name, sizeof name, "out.shard-0000%d-of-00002%s", i / 5, endings[i % 5]);
        CHECK(status != ISB_OK || !temp_exists(name));
        unlink(name);
    }
    return status;
}

static isb_status encode_decode(isb_context *ctx, void *tokenizer) {
    const char *path = "lines.jsonl";
    isb_encode_options options;
    isb_encode_options_init(&options);
    options.tokenizer = tokenizer;
    options.m1_dir = strcmp(tokenizer, "bytes") == 0 ? NULL : "m1";
    options.format = ISB_IDS_JSON;
    ISB_TRY(isb_encode_files(ctx, &path, 1, "ids", &options, NULL));
    const isb_status status = isb_decode_file(ctx, "ids", "back", &options, NULL);
    CHECK(temp_exists("back") == (status == ISB_OK));
    unlink("ids");
    unlink("back");
    return status;
}

static void make_inputs(void) {
    isb_context *ctx = NULL;
    uint64_t counts[257];
    isb__dataset_writer *writer = NULL;
    const uint32_t ids[] = {1, 2, 3};
    for (int i = 0; i < 257; ++i) counts[i] = i >= 'a' && i <= 'z' ? 50 : 1;
    mkdir("folder", 0777);
    temp_write("folder/a", "plain", 5);
    temp_write("folder/b", "", 0);
    temp_write("lines.jsonl", TEXT, strlen(TEXT));
    temp_write("ids.jsonl", IDS, strlen(IDS));
    CHECK_OK(ctx, isb_context_create(NULL, &ctx));
    CHECK_OK(ctx, isb__m1_write_static(ctx, "m1", counts));
    CHECK_OK(ctx, isb__dataset_writer_open(
                      ctx, "kept",
                      &(isb_dataset_info){.tokenizer = "bytes", .n_codes = 256, .n_ids = 256 + 1},
                      NULL, &writer));
    CHECK_OK(ctx, isb__dataset_writer_add(writer, ids, 3, 3));
    CHECK_OK(ctx, isb__dataset_writer_commit(writer));
    const isb_codebook_text strings[] = {{(const uint8_t *)"in", 2}, {(const uint8_t *)" th", 3}};
    isb_codebook *codebook = NULL;
    CHECK_OK(ctx, isb_codebook_create(ctx, strings, 2, NULL, &codebook));
    CHECK_OK(ctx, isb_codebook_save(ctx, codebook, "small.isb-codebook"));
    isb_codebook_free(codebook);
    isb_context_free(ctx);
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    CHECK_FATAL(chdir(temp_dir_begin()) == 0);
    make_inputs();
    const int n_files = temp_count(".");
    fail_alloc_sweep("corpus", read_corpus, NULL);
    fail_alloc_sweep("dataset, writing", write_dataset, NULL);
    fail_alloc_sweep("dataset, rows", read_rows, NULL);
    fail_alloc_sweep("prepare, bytes", prepare, "bytes");
    fail_alloc_sweep("prepare, windows", prepare, "window:b=16");
    fail_alloc_sweep("prepare, codebook", prepare, "small.isb-codebook");
    fail_alloc_sweep("prepare, ids of others", import_ids, NULL);
    fail_alloc_sweep("prepare, shards", prepare_shards, NULL);
    fail_alloc_sweep("files of ids, bytes", encode_decode, "bytes");
    fail_alloc_sweep("files of ids, ac", encode_decode, "ac");
    fail_alloc_sweep("files of ids, codebook", encode_decode, "small.isb-codebook");
    CHECK_EQ(temp_count("."), n_files);
    temp_dir_end();
    return check_end();
}
