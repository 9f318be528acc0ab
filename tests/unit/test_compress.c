/* Files compressed and decompressed through the public calls, with an M1 that is a table of byte
 * counts, and with a small quantised model where M1 must be in a file. */
#include "check.h"
#include "m1_text.h"
#include "small_models.h"
#include "temp_dir.h"

#include <isobit/container.h>
#include <isobit/m1.h>

#include "base/rng.h"
#include "m1/m1.h"

enum { CAPACITY = 400000 };

static isb_context *ctx;
static isb_compress_options options;
static char counts_dir[1024], model_dir[1024], m1_file[1024];
static uint8_t data[CAPACITY], packed[CAPACITY + 4096];

static void write_counts(const char *name, uint64_t favourite) {
    uint64_t counts[257];
    for (int x = 0; x < 257; x++) counts[x] = 1;
    counts[favourite] = 770;
    CHECK_OK(ctx, isb__m1_write_static(ctx, temp_path(name), counts));
}

static size_t load(const char *path, uint8_t *bytes, size_t capacity) {
    FILE *file = fopen(path, "rb");
    CHECK_FATAL(file != NULL);
    const size_t n = fread(bytes, 1, capacity, file);
    fclose(file);
    return n;
}

static uint64_t file_nbytes(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}

/* ---- hostile bytes ---- */

typedef void (*maker)(isb__rng *rng, uint8_t *bytes, size_t nbytes);

static void make_zeros(isb__rng *rng, uint8_t *bytes, size_t nbytes) {
    (void)rng;
    memset(bytes, 0, nbytes);
}
static void make_noise(isb__rng *rng, uint8_t *bytes, size_t nbytes) {
    for (size_t i = 0; i < nbytes; i++) bytes[i] = (uint8_t)isb__rng_u64(rng);
}
/* Letters with little to repeat: M1's. */
static void make_text(isb__rng *rng, uint8_t *bytes, size_t nbytes) {
    for (size_t i = 0; i < nbytes; i++)
        bytes[i] = isb__rng_below(rng, 4) ? 'e' : (uint8_t)isb__rng_u64(rng);
}
/* zstd's. */
static void make_records(isb__rng *rng, uint8_t *bytes, size_t nbytes) {
    for (size_t i = 0; i < nbytes; i++)
        bytes[i] = i % 64 == 5 ? (uint8_t)isb__rng_below(rng, 3) : (uint8_t)(i % 64);
}
static uint8_t model_text[60000]; /* what the small model finds likely */

static void make_model_text(isb__rng *rng, uint8_t *bytes, size_t nbytes) {
    for (size_t at = 0; at < nbytes;) {
        size_t n = 1 + (size_t)isb__rng_below(rng, 20000);
        if (n > nbytes - at) n = nbytes - at;
        memcpy(bytes + at, model_text + isb__rng_below(rng, sizeof model_text - n), n);
        at += n;
    }
}
/* Runs of all of these, of lengths that ignore chunks. */
static void make_mixed(isb__rng *rng, uint8_t *bytes, size_t nbytes) {
    static const maker makers[] = {make_zeros, make_noise, make_text, make_records,
                                   make_model_text};
    for (size_t at = 0; at < nbytes;) {
        size_t n = 1 + (size_t)isb__rng_below(rng, 40000);
        if (n > nbytes - at) n = nbytes - at;
        makers[isb__rng_below(rng, 5)](rng, bytes + at, n);
        at += n;
    }
}
static const maker all_makers[] = {make_zeros, make_noise, make_text, make_records, make_mixed};
enum { N_MAKERS = 5 };

/* ---- round trips ---- */

static void check_results(const isb_compress_result *a, const isb_compress_result *b) {
    CHECK_EQ(a->raw_nbytes, b->raw_nbytes);
    CHECK_EQ(a->packed_nbytes, b->packed_nbytes);
    CHECK_EQ(a->n_frames, b->n_frames);
    CHECK_EQ(a->n_chunks, b->n_chunks);
    CHECK_EQ(a->n_stored, b->n_stored);
    CHECK_EQ(a->n_fill, b->n_fill);
    CHECK_EQ(a->n_zstd, b->n_zstd);
    CHECK_EQ(a->n_ac, b->n_ac);
    CHECK_EQ(a->m1_nbytes, b->m1_nbytes);
    CHECK_EQ(a->chunk_nbytes, b->chunk_nbytes);
    CHECK(strcmp(a->m1_identity, b->m1_identity) == 0);
}

static void check_round_trip(size_t nbytes, isb_compress_result *result) {
    isb_compress_result info, back;
    const size_t chunk = options.chunk_nbytes ? options.chunk_nbytes : 16384;
    temp_write(temp_path("in"), data, nbytes);
    CHECK_OK(ctx, isb_compress_file(ctx, temp_path("in"), temp_path("packed"), &options, result));
    CHECK_EQ(result->raw_nbytes, nbytes);
    CHECK_EQ(result->chunk_nbytes, chunk);
    CHECK_EQ(result->n_chunks, (nbytes + chunk - 1) / chunk);
    CHECK_EQ(result->n_chunks, result->n_stored + result->n_fill + result->n_zstd + result->n_ac);
    CHECK_EQ(result->packed_nbytes, file_nbytes(temp_path("packed")));
    CHECK(result->packed_nbytes <= nbytes + 120 + 12 * result->n_chunks + result->m1_nbytes);
    CHECK((*result->m1_identity != '\0') == (result->n_ac > 0));
    CHECK_OK(ctx, isb_container_info(ctx, temp_path("packed"), &info));
    check_results(&info, result);
    CHECK_OK(ctx, isb_decompress_file(ctx, temp_path("packed"), temp_path("out"), &options, &back));
    check_results(&back, result);
    CHECK(temp_holds(temp_path("out"), data, nbytes));
    CHECK_OK(ctx, isb_decompress_file(ctx, temp_path("packed"), NULL, &options, &back));
    check_results(&back, result);
}

static void test_round_trips(isb__rng *rng) {
    static const size_t sizes[] = {0, 1, 2, 1023, 1024, 1025, 16383, 16384, 16385, 50000, 200000};
    isb_compress_result result;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int k = 0; k < N_MAKERS; k++) {
            all_makers[k](rng, data, sizes[i]);
            options.chunk_nbytes = k % 2 ? 1024 : 0;
            options.n_streams = i % 3 ? 5 : 0;
            check_round_trip(sizes[i], &result);
        }
    }
    options.chunk_nbytes = options.n_streams = 0;
}

/* Each of the kinds is chosen where it belongs. */
static void test_choice(isb__rng *rng) {
    isb_compress_result result;
    make_zeros(rng, data, 100000);
    check_round_trip(100000, &result);
    CHECK(result.n_fill == 7 && result.packed_nbytes == 88 + 13 + 17);
    make_noise(rng, data, 100000);
    check_round_trip(100000, &result);
    CHECK_EQ(result.n_stored, 7);
    CHECK_EQ(result.packed_nbytes, 100000 + 88 + 7 * 12 + 4);
    make_text(rng, data, 100000);
    check_round_trip(100000, &result);
    CHECK_EQ(result.n_ac, 7);
    make_records(rng, data, 100000);
    check_round_trip(100000, &result);
    CHECK_EQ(result.n_zstd, 7);
    CHECK(*result.m1_identity == '\0');
}

/* ---- what must not matter ---- */

static void test_same_bytes(isb__rng *rng) {
    static const size_t streams[] = {1, 2, 7, 64};
    const size_t nbytes = CAPACITY;
    isb_context *const main_ctx = ctx;
    isb_compress_result result;
    make_mixed(rng, data, nbytes);
    temp_write(temp_path("in"), data, nbytes);
    options.m1_path = m1_file;
    options.chunk_nbytes = 4096;
    check_round_trip(nbytes, &result);
    const size_t n = load(temp_path("packed"), packed, sizeof packed);
    CHECK(result.n_ac > 0 && result.n_zstd > 0 && result.n_stored > 0 && result.n_fill > 0);
    for (int threads = 1; threads <= 4; threads++) {
        ctx = small_context(NULL, threads);
        options.n_streams = streams[threads - 1];
        options.memory_limit_nbytes = threads == 3 ? 24 << 20 : 0; /* small groups */
        CHECK_OK(ctx, isb_compress_file(ctx, temp_path("in"), temp_path("packed"), &options, NULL));
        CHECK(temp_holds(temp_path("packed"), packed, n));
        CHECK_OK(ctx,
                 isb_decompress_file(ctx, temp_path("packed"), temp_path("out"), &options, NULL));
        CHECK(temp_holds(temp_path("out"), data, nbytes));
        isb_context_free(ctx);
    }
    ctx = main_ctx;
    options.m1_path = counts_dir;
    options.chunk_nbytes = options.n_streams = 0;
    options.memory_limit_nbytes = 0;
}

/* ---- ranges, frames, holes ---- */

static void check_range(uint64_t start, uint64_t n, uint64_t nbytes) {
    isb_compress_result result;
    options.range_start = start;
    options.range_nbytes = n;
    const uint64_t expected = n > 0 && n < nbytes - start ? n : nbytes - start;
    CHECK_OK(ctx,
             isb_decompress_file(ctx, temp_path("packed"), temp_path("out"), &options, &result));
    CHECK_EQ(result.raw_nbytes, expected);
    CHECK(temp_holds(temp_path("out"), data + start, (size_t)expected));
    options.range_start = options.range_nbytes = 0;
}

static void test_ranges(isb__rng *rng) {
    const uint64_t nbytes = 150000;
    make_mixed(rng, data, nbytes);
    memset(data + 40000, 0, 30000); /* a run of fill that ranges begin and end in */
    temp_write(temp_path("in"), data, nbytes);
    options.chunk_nbytes = 1024;
    CHECK_OK(ctx, isb_compress_file(ctx, temp_path("in"), temp_path("packed"), &options, NULL));
    check_range(0, 1, nbytes);
    check_range(nbytes, 5, nbytes);
    check_range(nbytes - 1, 0, nbytes);
    check_range(45000, 0, nbytes);
    check_range(45000, 10, nbytes);
    for (int i = 0; i < 100; i++)
        check_range(isb__rng_below(rng, nbytes), 1 + isb__rng_below(rng, i % 3 ? 3000 : nbytes),
                    nbytes);
    options.range_start = nbytes + 1;
    CHECK_STATUS(isb_decompress_file(ctx, temp_path("packed"), temp_path("out"), &options, NULL),
                 ISB_ERR_RANGE);
    options.range_start = 1;
    CHECK_STATUS(isb_decompress_file(ctx, "-", temp_path("out"), &options, NULL),
                 ISB_ERR_UNSUPPORTED);
    options.range_start = options.chunk_nbytes = 0;
}

/* Files joined end to end are their contents joined; by stream, by range, and to be looked at. */
static void test_frames(isb__rng *rng) {
    static const size_t parts[] = {5000, 0, 40000, 1};
    static const size_t chunks[] = {1024, 2048, 0, 1024};
    const char *const m1[] = {counts_dir, m1_file, m1_file, counts_dir};
    isb_compress_result result;
    size_t n = 0, at = 0;
    make_text(rng, data, 45001);
    for (int i = 0; i < 4; i++) {
        temp_write(temp_path("in"), data + at, parts[i]);
        options.chunk_nbytes = chunks[i];
        options.m1_path = m1[i];
        options.embed_m1 = m1[i] == m1_file;
        CHECK_OK(ctx, isb_compress_file(ctx, temp_path("in"), temp_path("part"), &options, NULL));
        n += load(temp_path("part"), packed + n, sizeof packed - n);
        at += parts[i];
    }
    options.chunk_nbytes = 0;
    options.embed_m1 = 0;
    options.m1_path = NULL;
    temp_write(temp_path("packed"), packed, n);
    CHECK_STATUS(isb_decompress_file(ctx, temp_path("packed"), NULL, &options, NULL),
                 ISB_ERR_NOT_FOUND); /* counts are nowhere */
    check_range(5000, 40000, 45001);
    CHECK_OK(ctx, isb_container_info(ctx, temp_path("packed"), &result));
    CHECK(result.n_frames == 4 && result.raw_nbytes == 45001 && result.n_chunks == 5 + 3 + 1);
    CHECK_EQ(result.packed_nbytes, n);
    options.m1_path = counts_dir;
    temp_write(temp_path("packed"), packed + n - file_nbytes(temp_path("part")),
               file_nbytes(temp_path("part")));
    CHECK_OK(ctx, isb_decompress_file(ctx, temp_path("packed"), NULL, &options, NULL));
}

static void test_two_frames(isb__rng *rng) {
    isb_compress_result result;
    make_text(rng, data, 6000);
    temp_write(temp_path("in"), data, 3000);
    CHECK_OK(ctx, isb_compress_file(ctx, temp_path("in"), temp_path("packed"), &options, NULL));
    const size_t n = load(temp_path("packed"), packed, sizeof packed);
    memcpy(data + 3000, data, 3000);
    memcpy(packed + n, packed, n);
    temp_write(temp_path("packed"), packed, 2 * n);
    CHECK_OK(ctx,
             isb_decompress_file(ctx, temp_path("packed"), temp_path("out"), &options, &result));
    CHECK(temp_holds(temp_path("out"), data, 6000));
    CHECK(result.n_frames == 2 && result.n_chunks == 2 && result.packed_nbytes == 2 * n);
    check_range(2999, 2, 6000);
}

static uint64_t blocks_of(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 ? (uint64_t)info.st_blocks : UINT64_MAX;
}

/* 300 KB of zeros around a few bytes take little of the disk, unless that is not wanted. */
static void test_holes(isb__rng *rng) {
    isb_compress_result result;
    memset(data, 0, 300000);
    make_text(rng, data + 100001, 5000);
    check_round_trip(300000, &result);
    const uint64_t sparse = blocks_of(temp_path("out"));
    options.sparse = ISB_SPARSE_OFF;
    check_round_trip(300000, &result);
    const uint64_t dense = blocks_of(temp_path("out"));
    CHECK(dense * 512 >= 300000);
    CHECK(sparse < dense || sparse * 512 >= 300000); /* a file system without holes */
    options.sparse = ISB_SPARSE_ON;
    check_round_trip(300000, &result);
    CHECK_EQ(blocks_of(temp_path("out")), sparse);
    options.sparse = ISB_SPARSE_AUTO;
    memset(data, 0, 300000); /* nothing but a hole */
    check_round_trip(262144, &result);
    make_mixed(rng, data, CAPACITY);
    for (int i = 0; i < 20; i++) memset(data + isb__rng_below(rng, CAPACITY - 9000), 0, 9000);
    options.chunk_nbytes = 1031;
    check_round_trip(CAPACITY, &result);
    options.chunk_nbytes = 0;
}

/* ---- M1: in the file, by name, in folders, or missing ---- */

static isb_status unpack_with(const char *m1_path) {
    options.m1_path = m1_path;
    const isb_status status =
        isb_decompress_file(ctx, temp_path("packed"), temp_path("out"), &options, NULL);
    if (status == ISB_OK) CHECK(temp_holds(temp_path("out"), data, 20000));
    remove(temp_path("out"));
    options.m1_path = counts_dir;
    return status;
}

static void pack_with_model(int embed, isb_compress_result *result) {
    options.m1_path = model_dir;
    options.embed_m1 = embed;
    CHECK_OK(ctx, isb_compress_file(ctx, temp_path("in"), temp_path("packed"), &options, result));
    options.embed_m1 = 0;
    options.m1_path = counts_dir;
}

static void test_embedded(void) {
    isb_compress_result with, without;
    pack_with_model(1, &with);
    CHECK(with.n_ac > 0);
    CHECK_EQ(with.m1_nbytes, file_nbytes(m1_file));
    CHECK_OK(ctx, unpack_with(NULL));
    CHECK_OK(ctx, unpack_with(m1_file));
    CHECK_STATUS(unpack_with(counts_dir), ISB_ERR_MISMATCH);
    options.range_start = 19999;
    options.m1_path = NULL;
    CHECK_OK(ctx, isb_decompress_file(ctx, temp_path("packed"), temp_path("out"), &options, NULL));
    CHECK(temp_holds(temp_path("out"), data + 19999, 1));
    options.range_start = 0;
    options.m1_path = counts_dir;
    remove(temp_path("out"));
    pack_with_model(0, &without);
    CHECK_EQ(without.m1_nbytes, 0);
    CHECK_EQ(without.packed_nbytes + with.m1_nbytes, with.packed_nbytes);
}

static void copy_m1(const char *to) {
    const size_t n = load(m1_file, packed, sizeof packed);
    temp_write(to, packed, n);
}

static void test_look_up(void) {
    char identity[33], folder[1024], path[1200], list[2200];
    isb_compress_result result;
    CHECK_OK(ctx, isb_m1_identity(ctx, m1_file, identity));
    setenv("XDG_DATA_HOME", temp_path("data"), 1);
    unsetenv("ISB_M1_PATH");
    pack_with_model(0, &result);
    CHECK(strcmp(result.m1_identity, identity) == 0);
    CHECK_OK(ctx, unpack_with(model_dir));
    CHECK_STATUS(unpack_with(NULL), ISB_ERR_NOT_FOUND);
    CHECK(strstr(isb_context_error(ctx), identity) != NULL);
    CHECK(strstr(isb_context_error(ctx), "data/isobit/m1") != NULL);

    snprintf(folder, sizeof folder, "%s", temp_path("shelf"));
    CHECK_OK(ctx, isb__dir_create(ctx, folder));
    snprintf(list, sizeof list, "/nowhere::%s", folder);
    setenv("ISB_M1_PATH", list, 1);
    CHECK_STATUS(unpack_with(NULL), ISB_ERR_NOT_FOUND);
    CHECK(strstr(isb_context_error(ctx), "/nowhere:") != NULL);
    snprintf(path, sizeof path, "%s/%s.isb-m1", folder, identity);
    copy_m1(path);
    CHECK_OK(ctx, unpack_with(NULL));
    unsetenv("ISB_M1_PATH");

    CHECK_OK(ctx, isb__dir_create(ctx, temp_path("data/isobit/m1")));
    snprintf(path, sizeof path, "%s/%s.isb-m1", temp_path("data/isobit/m1"), identity);
    copy_m1(path);
    CHECK_OK(ctx, unpack_with(NULL));
}

static void test_wrong_m1(isb__rng *rng) {
    char other[1024];
    isb_compress_result result;
    make_text(rng, data, 20000);
    temp_write(temp_path("in"), data, 20000);
    snprintf(other, sizeof other, "%s", temp_path("other"));
    CHECK_OK(ctx, isb_compress_file(ctx, temp_path("in"), temp_path("packed"), &options, &result));
    CHECK_STATUS(unpack_with(other), ISB_ERR_MISMATCH);
    CHECK(strstr(isb_context_error(ctx), result.m1_identity) != NULL);
    CHECK(strstr(isb_context_error(ctx), "/other is M1 ") != NULL);
    CHECK_STATUS(unpack_with("nothing-of-that-name"), ISB_ERR_NOT_FOUND);
    options.embed_m1 = 1;
    CHECK_STATUS(isb_compress_file(ctx, temp_path("in"), temp_path("out"), &options, NULL),
                 ISB_ERR_UNSUPPORTED); /* counts */
    options.embed_m1 = 0;
    memset(data, 1, 20000); /* no chunk needs M1: any will do, or none */
    temp_write(temp_path("in"), data, 20000);
    CHECK_OK(ctx, isb_compress_file(ctx, temp_path("in"), temp_path("packed"), &options, NULL));
    CHECK_OK(ctx, unpack_with(NULL));
    CHECK_OK(ctx, unpack_with(other));
}

static void test_m1(isb__rng *rng) {
    make_model_text(rng, data, 20000);
    temp_write(temp_path("in"), data, 20000);
    test_embedded();
    test_look_up();
    test_wrong_m1(rng);
}

/* ---- refusals and limits ---- */

static void test_refusals(isb__rng *rng) {
    isb_compress_result info;
    make_text(rng, data, 3000);
    temp_write(temp_path("in"), data, 3000);
    CHECK_OK(ctx, isb_compress_file(ctx, temp_path("in"), temp_path("packed"), &options, NULL));
    options.force = 0;
    remove(temp_path("out"));
    CHECK_STATUS(isb_compress_file(ctx, temp_path("in"), temp_path("packed"), &options, NULL),
                 ISB_ERR_EXISTS);
    CHECK_STATUS(isb_compress_file(ctx, temp_path("none"), temp_path("out"), &options, NULL),
                 ISB_ERR_NOT_FOUND);
    CHECK_STATUS(isb_decompress_file(ctx, temp_path("in"), temp_path("out"), &options, NULL),
                 ISB_ERR_FORMAT);
    CHECK(strstr(isb_context_error(ctx), "/in: ") != NULL);
    CHECK_STATUS(isb_container_info(ctx, temp_path("in"), &info), ISB_ERR_FORMAT);
    isb_compress_options bad = options;
    bad.chunk_nbytes = 1000;
    CHECK_STATUS(isb_compress_file(ctx, temp_path("in"), temp_path("out"), &bad, NULL),
                 ISB_ERR_RANGE);
    bad = options;
    bad.struct_size = 3;
    CHECK_STATUS(isb_compress_file(ctx, temp_path("in"), temp_path("out"), &bad, NULL),
                 ISB_ERR_ARGUMENT);
    CHECK(!temp_exists(temp_path("out")));
    options.force = 1;
}

static void test_limits(isb__rng *rng) {
    isb_compress_result result;
    make_mixed(rng, data, 100000);
    options.memory_limit_nbytes = 1 << 20;
    temp_write(temp_path("in"), data, 100000);
    CHECK_STATUS(isb_compress_file(ctx, temp_path("in"), temp_path("packed"), &options, NULL),
                 ISB_ERR_NO_MEMORY);
    CHECK(strstr(isb_context_error(ctx), "need a memory limit of ") != NULL);
    options.memory_limit_nbytes = 16 << 20;
    check_round_trip(100000, &result);
    options.chunk_nbytes = 16 << 20; /* would need more */
    CHECK_STATUS(isb_compress_file(ctx, temp_path("in"), temp_path("packed"), &options, NULL),
                 ISB_ERR_NO_MEMORY);
    options.memory_limit_nbytes = 0;
    check_round_trip(100000, &result);
    options.memory_limit_nbytes = 16 << 20; /* and so does reading it */
    CHECK_STATUS(isb_decompress_file(ctx, temp_path("packed"), NULL, &options, NULL),
                 ISB_ERR_NO_MEMORY);
    options.chunk_nbytes = 0;
    options.memory_limit_nbytes = 0;
}

int main(int argc, char **argv) {
    isb__rng rng;
    isb__rng_seed(&rng, check_begin(argc, argv));
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    temp_dir_begin();
    write_counts("counts", 'e');
    write_counts("other", 'f');
    snprintf(counts_dir, sizeof counts_dir, "%s", temp_path("counts"));
    snprintf(model_dir, sizeof model_dir, "%s", temp_path("model"));
    snprintf(m1_file, sizeof m1_file, "%s", temp_path("model.isb-m1"));
    small_m1(ctx, 1, model_dir);
    CHECK_OK(ctx, isb_m1_quantise_file(ctx, model_dir, m1_file, NULL, 1));
    isb_compress_options_init(&options);
    options.m1_path = counts_dir;
    options.force = 1;
    m1_text(ctx, model_dir, isb__rng_u64(&rng), model_text, sizeof model_text);
    test_round_trips(&rng);
    test_choice(&rng);
    test_same_bytes(&rng);
    test_ranges(&rng);
    test_frames(&rng);
    test_two_frames(&rng);
    test_holes(&rng);
    test_m1(&rng);
    test_refusals(&rng);
    test_limits(&rng);
    temp_dir_end();
    isb_context_free(ctx);
    return check_end();
}
