/* Datasets: the bytes on disk against Megatron's layout made by hand, reading back, and every kind
 * of damage. */
#include "data/dataset.h"

#include <signal.h>
#include <sys/resource.h>

#include "base/hash.h"
#include "check.h"
#include "temp_dir.h"

static isb_context *ctx;

typedef struct bytes {
    uint8_t data[4096];
    size_t n;
} bytes;

static void put(bytes *b, uint64_t value, int nbytes) {
    for (int i = 0; i < nbytes; ++i) b->data[b->n++] = (uint8_t)(value >> (8 * i));
}

/* An index as megatron/core/datasets/indexed_dataset.py writes it, field by field from its
 * _IndexWriter: header, version
 * "<Q" 1, dtype code "<B", sequence count "<Q", document count "<Q" (the length of
 * document_indices, which begins with 0), then int32 lengths, int64 pointers, int64 document
 * indices. */
static bytes megatron_index(int dtype, int id_nbytes, const int *lengths, int n) {
    bytes b = {.n = 0};
    memcpy(b.data, "MMIDIDX\0\0", 9);
    b.n = 9;
    put(&b, 1, 8);
    put(&b, (uint64_t)dtype, 1);
    put(&b, (uint64_t)n, 8);
    put(&b, (uint64_t)n + 1, 8);
    for (int i = 0; i < n; ++i) put(&b, (uint64_t)lengths[i], 4);
    uint64_t pointer = 0;
    for (int i = 0; i < n; pointer += (uint64_t)(lengths[i++] * id_nbytes)) put(&b, pointer, 8);
    for (int i = 0; i <= n; ++i) put(&b, (uint64_t)i, 8);
    return b;
}

static const uint32_t IDS[] = {5, 65535, 0, 1, 2, 3, 300};
static const int LENGTHS[] = {3, 0, 4};

static void write_dataset(const char *prefix, int64_t n_codes, const uint32_t *ids) {
    isb__dataset_writer *writer = NULL;
    CHECK_OK(ctx, isb__dataset_writer_open(
                      ctx, prefix,
                      &(isb_dataset_info){.tokenizer = "window:b=16",
                                          .tokenizer_identity = "00112233445566778899aabbccddeeff",
                                          .n_codes = n_codes,
                                          .n_ids = n_codes + 1},
                      NULL, &writer));
    for (int d = 0; d < 3; ids += LENGTHS[d++])
        CHECK_OK(ctx, isb__dataset_writer_add(writer, ids, (size_t)LENGTHS[d], 10));
    const int n_before = temp_count(temp_dir_path);
    CHECK_OK(ctx, isb__dataset_writer_commit(writer));
    CHECK_EQ(temp_count(temp_dir_path), n_before); /* renamed, not added */
}

static void test_layout(void) {
    write_dataset(temp_path("d"), 65536, IDS);
    bytes bin = {.n = 0};
    for (int i = 0; i < 7; ++i) put(&bin, IDS[i], 2);
    const bytes idx = megatron_index(8, 2, LENGTHS, 3);
    CHECK(temp_holds(temp_path("d.bin"), bin.data, bin.n));
    CHECK(temp_holds(temp_path("d.idx"), idx.data, idx.n));
    CHECK_EQ(temp_count(temp_dir_path), 3);
}

static void test_layout_wide(void) {
    write_dataset(temp_path("wide"), 65537, IDS);
    bytes bin = {.n = 0};
    for (int i = 0; i < 7; ++i) put(&bin, IDS[i], 4);
    const bytes idx = megatron_index(4, 4, LENGTHS, 3);
    CHECK(temp_holds(temp_path("wide.bin"), bin.data, bin.n));
    CHECK(temp_holds(temp_path("wide.idx"), idx.data, idx.n));
}

static void check_read(const char *prefix, int id_nbytes) {
    isb__dataset *dataset = NULL;
    CHECK_OK(ctx, isb__dataset_open(ctx, prefix, &dataset));
    CHECK_OK(ctx, isb__dataset_verify(dataset));
    CHECK_EQ(dataset->info.n_documents, 3);
    CHECK_EQ(dataset->info.n_tokens, 7);
    CHECK_EQ(dataset->info.n_bytes, 30);
    CHECK_EQ(dataset->info.id_nbytes, id_nbytes);
    CHECK(strcmp(dataset->info.tokenizer, "window:b=16") == 0);
    CHECK(strcmp(dataset->info.tokenizer_identity, "00112233445566778899aabbccddeeff") == 0);
    for (int d = 0; d < 3; ++d) CHECK_EQ(dataset->lengths[d], LENGTHS[d]);
    CHECK(dataset->starts[1] == 3 && dataset->starts[2] == 3 && dataset->starts[3] == 7);
    for (size_t from = 0; from < 7; ++from) {
        int32_t ids[7];
        isb__dataset_read(dataset, from, 7 - from, ids);
        for (size_t i = from; i < 7; ++i) CHECK_EQ(ids[i - from], IDS[i]);
    }
    isb__dataset_close(dataset);
    isb_dataset_info info;
    CHECK_OK(ctx, isb_dataset_get_info(ctx, prefix, 1, &info));
    CHECK_EQ(info.n_tokens, 7);
}

static void expect_damage(const char *what, int full, isb_status status, const char *says) {
    isb_dataset_info info;
    const isb_status found = isb_dataset_get_info(ctx, temp_path("d"), full, &info);
    char detail[1400];
    snprintf(detail, sizeof detail, "%s: %s: %s", what, isb_status_name(found),
             isb_context_error(ctx));
    check_report(found == status && strstr(isb_context_error(ctx), says), __FILE__, __LINE__, says,
                 detail);
}

static void patch(const char *path, long offset, int value) {
    FILE *file = fopen(path, "r+b");
    CHECK_FATAL(file && fseek(file, offset, SEEK_SET) == 0 && fputc(value, file) == value &&
                fclose(file) == 0);
}

static void replace_in_json(const char *from, const char *to) {
    char text[2048] = {0}, changed[2048];
    FILE *file = fopen(temp_path("d.json"), "rb");
    CHECK_FATAL(file && fread(text, 1, sizeof text - 1, file) > 0 && fclose(file) == 0);
    const char *at = strstr(text, from);
    CHECK_FATAL(at != NULL);
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    temp_write(temp_path("d.json"), changed, strlen(changed));
}

static void renew(void) {
    unlink(temp_path("d.bin"));
    unlink(temp_path("d.idx"));
    unlink(temp_path("d.json"));
    write_dataset(temp_path("d"), 65536, IDS);
}

static void test_damaged_files(void) {
    renew();
    CHECK_EQ(truncate(temp_path("d.bin"), 12), 0);
    expect_damage("short .bin", 0, ISB_ERR_CORRUPT,
                  "d.bin has 12 bytes, expected 7 tokens of 2 bytes: it is cut short");
    renew();
    patch(temp_path("d.bin"), 14, 0);
    expect_damage("long .bin", 0, ISB_ERR_CORRUPT, "d.bin has 15 bytes");
    renew();
    patch(temp_path("d.bin"), 3, 7);
    expect_damage("changed .bin, not looked at", 0, ISB_OK, "");
    expect_damage("changed .bin", 1, ISB_ERR_CORRUPT, "d.bin has checksum");
    renew();
    patch(temp_path("d.idx"), 34, 2);
    expect_damage("changed length", 0, ISB_ERR_CORRUPT, "d.idx has checksum");
    renew();
    patch(temp_path("d.idx"), 0, 'X');
    expect_damage("magic", 0, ISB_ERR_FORMAT, "d.idx is not an index");
    renew();
    patch(temp_path("d.idx"), 9, 2);
    expect_damage("version", 0, ISB_ERR_VERSION, "index version 2");
    renew();
    patch(temp_path("d.idx"), 17, 4);
    expect_damage("type", 0, ISB_ERR_CORRUPT, "type code 4");
    renew();
    CHECK_EQ(truncate(temp_path("d.idx"), 100), 0);
    expect_damage("short .idx", 0, ISB_ERR_CORRUPT, "d.idx has 100 bytes");
    renew();
    CHECK_EQ(truncate(temp_path("d.idx"), 20), 0);
    expect_damage("very short .idx", 0, ISB_ERR_FORMAT, "d.idx is not an index");
    renew();
    unlink(temp_path("d.json"));
    expect_damage("no .json", 0, ISB_ERR_NOT_FOUND, "d.json is missing");
    renew();
    unlink(temp_path("d.idx"));
    expect_damage("no .idx", 0, ISB_ERR_NOT_FOUND, "d.idx");
    renew();
    unlink(temp_path("d.bin"));
    expect_damage("no .bin", 0, ISB_ERR_NOT_FOUND, "d.bin");
}

static void test_damaged_description(void) {
    static const struct {
        const char *from, *to;
        isb_status status;
        const char *says;
    } cases[] = {
        {"\"n_documents\": 3", "\"n_documents\": 4", ISB_ERR_CORRUPT, "says 4 documents"},
        {"\"n_tokens\": 7", "\"n_tokens\": 8", ISB_ERR_CORRUPT,
         "counts 7 tokens, its .json says 8"},
        {"\"n_tokens\": 7", "\"n_tokens\": -7", ISB_ERR_CORRUPT,
         "\"n_tokens\" should be an integer"},
        {"\"n_tokens\": 7", "\"n_tokens\": 7.5", ISB_ERR_CORRUPT,
         "\"n_tokens\" should be an integer"},
        {"\"id_nbytes\": 2", "\"id_nbytes\": 3", ISB_ERR_CORRUPT, "ids of 3 bytes"},
        {"\"n_codes\": 65536", "\"n_codes\": 70000", ISB_ERR_RANGE,
         "70000 codes do not fit ids of 2 bytes"},
        {"\"n_codes\": 65536", "\"n_codes\": 0", ISB_ERR_CORRUPT, "with 0 codes"},
        {"isobit-dataset", "something-else", ISB_ERR_FORMAT, "does not describe a dataset"},
        {"\"version\": 1", "\"version\": 2", ISB_ERR_VERSION, "version 2"},
        {"\"tokenizer\"", "\"tokeniser\"", ISB_ERR_CORRUPT, "\"tokenizer\" should be a string"},
        {"{", "[", ISB_ERR_CORRUPT, "d.json:"},
        {"}", "", ISB_ERR_CORRUPT, "d.json:"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        renew();
        replace_in_json(cases[i].from, cases[i].to);
        expect_damage(cases[i].from, 0, cases[i].status, cases[i].says);
    }
}

/* Ids that the .json does not allow: found by verify, harmless to read. */
static void test_ids_out_of_range(void) {
    renew();
    replace_in_json("\"n_codes\": 65536", "\"n_codes\": 300");
    expect_damage("id too large", 1, ISB_ERR_CORRUPT,
                  "d.bin has id 65535 at token 1, ids go to 299");
    isb__dataset *dataset = NULL;
    int32_t ids[7];
    CHECK_OK(ctx, isb__dataset_open(ctx, temp_path("d"), &dataset));
    isb__dataset_read(dataset, 0, 7, ids);
    for (int i = 0; i < 7; ++i) CHECK_EQ(ids[i], IDS[i] < 300 ? IDS[i] : 0);
    isb__dataset_close(dataset);
}

static void test_writer_refuses(void) {
    isb__dataset_writer *writer = NULL;
    const uint32_t ids[] = {1, 256};
    static const int64_t bad[][2] = {
        {(int64_t)1 << 31, ((int64_t)1 << 31) + 1}, {0, 1}, {256, 256}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        const isb_dataset_info what = {.tokenizer = "x", .n_codes = bad[i][0], .n_ids = bad[i][1]};
        CHECK_STATUS(isb__dataset_writer_open(ctx, temp_path("r"), &what, NULL, &writer), ISB_ERR_RANGE);
    }
    const isb_dataset_info plain = {.tokenizer = "bytes", .n_codes = 256, .n_ids = 257};
    CHECK_STATUS(isb__dataset_writer_open(ctx, temp_path("no/such/folder"), &plain, NULL, &writer),
                 ISB_ERR_NOT_FOUND);
    CHECK_OK(ctx, isb__dataset_writer_open(ctx, temp_path("r"), &plain, NULL, &writer));
    CHECK_STATUS(isb__dataset_writer_add(writer, ids, 2, 2), ISB_ERR_RANGE);
    CHECK(strstr(isb_context_error(ctx), "id 256 at token 1 of document 0") != NULL);
    CHECK_STATUS(isb__dataset_writer_commit(writer), ISB_ERR_RANGE);
    CHECK(!temp_exists(temp_path("r.bin")) && !temp_exists(temp_path("r.json")));
    CHECK_EQ(temp_count(temp_dir_path), 6); /* "d" and "wide", no temporary files */
}

static void test_empty(void) {
    isb__dataset_writer *writer = NULL;
    isb__dataset *dataset = NULL;
    isb__loader *loader = NULL;
    CHECK_OK(ctx, isb__dataset_writer_open(
                      ctx, temp_path("empty"),
                      &(isb_dataset_info){.tokenizer = "bytes", .n_codes = 256, .n_ids = 256 + 1},
                      NULL, &writer));
    CHECK_OK(ctx, isb__dataset_writer_commit(writer));
    CHECK_OK(ctx, isb__dataset_open(ctx, temp_path("empty"), &dataset));
    CHECK_OK(ctx, isb__dataset_verify(dataset));
    CHECK_EQ(dataset->info.n_documents, 0);
    const isb__loader_options options = {.B = 1, .T = 8};
    CHECK_STATUS(isb__loader_create(ctx, dataset, &options, &loader), ISB_ERR_EMPTY);
    isb__dataset_close(dataset);
    isb__dataset_remove(temp_path("empty"));
    CHECK(!temp_exists(temp_path("empty.bin")) && !temp_exists(temp_path("empty.idx")) &&
          !temp_exists(temp_path("empty.json")));
}

/* A file size limit stands for a full disk: whichever of the files it hits, nothing is left under
 * the final names. */
static void test_disk_full(void) {
    uint32_t ids[1000] = {0};
    signal(SIGXFSZ, SIG_IGN);
    const struct {
        rlim_t limit;
        size_t count, n_documents;
    } cases[] = {
        {100000, 1000, 2000}, /* the .bin, while it grows */
        {1500, 1000, 1},      /* the .bin, at the commit */
        {10000, 1, 1000},     /* the .idx */
        {200, 1, 2},          /* the .json */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        isb__dataset_writer *writer = NULL;
        struct rlimit old, limited;
        getrlimit(RLIMIT_FSIZE, &old);
        limited = (struct rlimit){cases[i].limit, old.rlim_max};
        CHECK_OK(ctx,
                 isb__dataset_writer_open(
                     ctx, temp_path("full"),
                     &(isb_dataset_info){.tokenizer = "bytes", .n_codes = 256, .n_ids = 256 + 1},
                     NULL, &writer));
        setrlimit(RLIMIT_FSIZE, &limited);
        isb_status status = ISB_OK;
        for (size_t d = 0; d < cases[i].n_documents && status == ISB_OK; ++d) {
            status = isb__dataset_writer_add(writer, ids, cases[i].count, 1);
        }
        const isb_status committed = isb__dataset_writer_commit(writer);
        setrlimit(RLIMIT_FSIZE, &old);
        CHECK_EQ(committed, ISB_ERR_NO_SPACE);
        CHECK(!temp_exists(temp_path("full.bin")) && !temp_exists(temp_path("full.idx")) &&
              !temp_exists(temp_path("full.json")));
        CHECK_EQ(temp_count(temp_dir_path), 6);
    }
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    temp_dir_begin();
    CHECK_OK(ctx, isb_context_create(NULL, &ctx));
    test_layout();
    test_layout_wide();
    check_read(temp_path("d"), 2);
    check_read(temp_path("wide"), 4);
    test_damaged_files();
    test_damaged_description();
    test_ids_out_of_range();
    test_writer_refuses();
    test_empty();
    test_disk_full();
    isb_context_free(ctx);
    temp_dir_end();
    return check_end();
}
