/* Files compressed and decompressed through the public calls, with an M1 that is a table of byte
 * counts. */
#include "check.h"
#include "temp_dir.h"

#include <isobit/container.h>

#include "base/context.h"
#include "base/rng.h"
#include "data/m1.h"

static isb_context *ctx;
static isb_compress_options options;

static void write_m1(const char *name, uint64_t favourite) {
    uint64_t counts[257];
    for (int x = 0; x < 257; x++) counts[x] = 1;
    counts[favourite] = 5000;
    CHECK_OK(ctx, isb__m1_write_static(ctx, temp_path(name), counts));
}

static void make_text(isb__rng *rng, uint8_t *data, size_t nbytes) {
    for (size_t i = 0; i < nbytes; i++)
        data[i] = isb__rng_below(rng, 4) ? 'e' : (uint8_t)isb__rng_u64(rng);
}

static void test_round_trips(isb__rng *rng) {
    static const size_t sizes[] = {0, 1, 1023, 1024, 1025, 50000, 200000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t nbytes = sizes[i];
        uint8_t *data = malloc(nbytes + 1);
        CHECK_FATAL(data != NULL);
        make_text(rng, data, nbytes);
        temp_write(temp_path("in"), data, nbytes);
        options.force = 1;
        options.chunk_nbytes = i % 2 ? 1024 : 0;
        options.n_streams = i % 3 ? 5 : 0;
        isb_compress_result result, info, back;
        CHECK_OK(ctx,
                 isb_compress_file(ctx, temp_path("in"), temp_path("packed"), &options, &result));
        const size_t chunk = i % 2 ? 1024 : 16384;
        CHECK_EQ(result.raw_nbytes, nbytes);
        CHECK_EQ(result.n_chunks, (nbytes + chunk - 1) / chunk);
        struct stat status;
        CHECK_EQ(stat(temp_path("packed"), &status), 0);
        CHECK_EQ(result.packed_nbytes, status.st_size);
        if (nbytes >= 50000) CHECK(result.packed_nbytes < nbytes);

        CHECK_OK(ctx, isb_container_info(ctx, temp_path("packed"), &info));
        CHECK_EQ(info.raw_nbytes, nbytes);
        CHECK_EQ(info.packed_nbytes, result.packed_nbytes);
        CHECK_EQ(info.n_chunks, result.n_chunks);
        CHECK(strcmp(info.m1_identity, result.m1_identity) == 0 && strlen(info.m1_identity) == 32);

        CHECK_OK(ctx,
                 isb_decompress_file(ctx, temp_path("packed"), temp_path("out"), &options, &back));
        CHECK(temp_holds(temp_path("out"), data, nbytes));
        CHECK_EQ(back.raw_nbytes, nbytes);
        CHECK_EQ(back.packed_nbytes, result.packed_nbytes);
        free(data);
    }
}

/* Leaves "packed": 3000 bytes in chunks of 1024. */
/* What M1 does not make shorter is stored: random bytes grow by the headers alone. */
static void test_random_bytes_are_stored(isb__rng *rng) {
    enum { N = 100000 };
    static uint8_t data[N];
    for (size_t i = 0; i < N; i++) data[i] = (uint8_t)isb__rng_u64(rng);
    for (size_t i = 16384; i < 2 * 16384; i++) data[i] = 'e'; /* one chunk of seven is coded */
    temp_write(temp_path("in"), data, N);
    options.force = 1;
    options.chunk_nbytes = options.n_streams = 0;
    isb_compress_result result;
    CHECK_OK(ctx, isb_compress_file(ctx, temp_path("in"), temp_path("packed"), &options, &result));
    CHECK(result.packed_nbytes < N - 16384 / 2);
    CHECK(result.packed_nbytes > N - 16384 + 128 + 7 * 24);
    CHECK_OK(ctx, isb_decompress_file(ctx, temp_path("packed"), temp_path("out"), &options, NULL));
    CHECK(temp_holds(temp_path("out"), data, N));
}

static void write_packed(isb__rng *rng) {
    uint8_t data[3000];
    make_text(rng, data, sizeof data);
    temp_write(temp_path("in"), data, sizeof data);
    options.chunk_nbytes = 1024;
    options.force = 1;
    CHECK_OK(ctx, isb_compress_file(ctx, temp_path("in"), temp_path("packed"), &options, NULL));
    options.force = 0;
}

static void test_refusals(isb__rng *rng) {
    write_packed(rng);
    isb_compress_result info;
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
    bad.m1_dir = NULL;
    CHECK_STATUS(isb_compress_file(ctx, temp_path("in"), temp_path("out"), &bad, NULL),
                 ISB_ERR_ARGUMENT);

    char other[1024];
    snprintf(other, sizeof other, "%s", temp_path("other"));
    bad.m1_dir = other;
    CHECK_OK(ctx, isb_container_info(ctx, temp_path("packed"), &info));
    CHECK_STATUS(isb_decompress_file(ctx, temp_path("packed"), temp_path("out"), &bad, NULL),
                 ISB_ERR_MISMATCH);
    CHECK(strstr(isb_context_error(ctx), info.m1_identity) != NULL); /* both are named */
    CHECK(strstr(isb_context_error(ctx), other) != NULL);
    isb_context_cancel(ctx);
    CHECK_STATUS(isb_compress_file(ctx, temp_path("in"), temp_path("out"), &options, NULL),
                 ISB_ERR_CANCELLED);
    isb_context_cancel_clear(ctx);
    CHECK(!temp_exists(temp_path("out")));
}

/* Whatever byte is damaged, nothing appears under the final name, and no other file stays behind.
 */
static void test_damage(isb__rng *rng) {
    write_packed(rng);
    static uint8_t data[8192];
    FILE *file = fopen(temp_path("packed"), "rb");
    CHECK_FATAL(file != NULL);
    const size_t nbytes = fread(data, 1, sizeof data, file);
    fclose(file);
    const int n_files = temp_count(temp_dir_path);
    for (int turn = 0; turn < 200; turn++) {
        const size_t at = (size_t)isb__rng_below(rng, nbytes);
        const size_t n = turn % 4 ? nbytes : at;
        data[at] ^= 1;
        temp_write(temp_path("packed"), data, n);
        const isb_status status =
            isb_decompress_file(ctx, temp_path("packed"), temp_path("out"), &options, NULL);
        CHECK(status == ISB_ERR_CORRUPT || (at < 6 && status != ISB_OK));
        data[at] ^= 1;
    }
    CHECK_EQ(temp_count(temp_dir_path), n_files);
}

int main(int argc, char **argv) {
    isb__rng rng;
    isb__rng_seed(&rng, check_begin(argc, argv));
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    temp_dir_begin();
    write_m1("m1", 'e');
    write_m1("other", 'f');
    char m1_dir[1024];
    snprintf(m1_dir, sizeof m1_dir, "%s", temp_path("m1"));
    isb_compress_options_init(&options);
    options.m1_path = m1_dir;
    test_round_trips(&rng);
    test_random_bytes_are_stored(&rng);
    test_refusals(&rng);
    test_damage(&rng);
    temp_dir_end();
    isb_context_free(ctx);
    return check_end();
}
