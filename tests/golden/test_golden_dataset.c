/* Datasets written by earlier versions must be read forever, and the same documents must give the
 * same three files. */
#include "check.h"
#include "data/dataset.h"
#include "temp_dir.h"

static isb_context *ctx;

static const uint32_t IDS[] = {0, 1, 65535, 4660, 7, 7, 7, 40000};
static const int LENGTHS[] = {4, 0, 1, 3};
static const uint64_t NBYTES[] = {17, 0, 3, 12};
static const char IDENTITY[] = "0123456789abcdef0123456789abcdef";
static const char TOKENIZER[] = "window:b=16,variant=exact,token=16,reset=1,precision=16";

static void golden_path(char *path, size_t capacity, const char *name) {
    const char *folder = getenv("ISB_GOLDEN");
    snprintf(path, capacity, "%s/%s", folder ? folder : "tests/golden", name);
}

static void check_content(const char *prefix) {
    isb__dataset *dataset = NULL;
    CHECK_OK(ctx, isb__dataset_open(ctx, prefix, &dataset));
    CHECK_OK(ctx, isb__dataset_verify(dataset));
    CHECK(dataset->info.n_documents == 4 && dataset->info.n_tokens == 8 &&
          dataset->info.n_bytes == 32);
    CHECK(dataset->info.n_codes == 65536 && dataset->info.id_nbytes == 2);
    CHECK(strcmp(dataset->info.tokenizer, TOKENIZER) == 0 &&
          strcmp(dataset->info.tokenizer_identity, IDENTITY) == 0);
    int32_t ids[8];
    isb__dataset_read(dataset, 0, 8, ids);
    for (int i = 0; i < 8; ++i) CHECK_EQ(ids[i], (int32_t)IDS[i]);
    for (int d = 0; d < 4; ++d) CHECK_EQ(dataset->lengths[d], LENGTHS[d]);
    isb__dataset_close(dataset);
}

/* A row of a known dataset, seed and position: resumed runs depend on the order staying what it
 * was. */
static void check_rows(const char *prefix) {
    static const int32_t first[8] = {65536, 65536, 7, 65536, 7, 7, 40000, 65536};
    static const int32_t second[8] = {65536, 7, 7, 40000, 65536, 65536, 65536, 65536};
    isb__dataset *dataset = NULL;
    isb__loader *loader = NULL;
    const isb__loader_options options = {.B = 1, .T = 8, .seed = 42, .isolate_documents = 1};
    int32_t inputs[8], targets[8], starts[8];
    CHECK_OK(ctx, isb__dataset_open(ctx, prefix, &dataset));
    CHECK_OK(ctx, isb__loader_create(ctx, dataset, &options, &loader));
    CHECK_EQ(isb__loader_rows_per_epoch(loader), 2);
    isb__loader_fill(loader, 1, inputs, targets, starts);
    for (int i = 0; i < 8; ++i) CHECK_EQ(inputs[i], first[i]);
    isb__loader_fill(loader, 1000001, inputs, targets, starts);
    for (int i = 0; i < 8; ++i) CHECK_EQ(inputs[i], second[i]);
    isb__loader_free(loader);
    isb__dataset_close(dataset);
}

static void write_again(const char *prefix) {
    isb__dataset_writer *writer = NULL;
    isb_dataset_info what = {.n_codes = 65536, .n_ids = 65537};
    strcpy(what.tokenizer, TOKENIZER);
    strcpy(what.tokenizer_identity, IDENTITY);
    CHECK_OK(ctx, isb__dataset_writer_open(ctx, prefix, &what, NULL, &writer));
    const uint32_t *ids = IDS;
    for (int d = 0; d < 4; ids += LENGTHS[d++]) {
        CHECK_OK(ctx, isb__dataset_writer_add(writer, ids, (size_t)LENGTHS[d], NBYTES[d]));
    }
    CHECK_OK(ctx, isb__dataset_writer_commit(writer));
}

static void check_same(const char *name, const char *written) {
    char path[1100], data[2048];
    golden_path(path, sizeof path, name);
    FILE *file = fopen(path, "rb");
    CHECK_FATAL(file != NULL);
    const size_t n = fread(data, 1, sizeof data, file);
    fclose(file);
    CHECK(n < sizeof data && temp_holds(written, data, n));
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    char prefix[1100];
    golden_path(prefix, sizeof prefix, "dataset-v1");
    temp_dir_begin();
    CHECK_OK(ctx, isb_context_create(NULL, &ctx));
    check_content(prefix);
    check_rows(prefix);
    write_again(temp_path("again"));
    check_same("dataset-v1.bin", temp_path("again.bin"));
    check_same("dataset-v1.idx", temp_path("again.idx"));
    check_same("dataset-v1.json", temp_path("again.json"));
    isb_context_free(ctx);
    temp_dir_end();
    return check_end();
}
