/* Damaged and hostile files through isb_decompress_file(): over a hundred thousand bits flipped
 * and lengths cut, none of which may go unnoticed, crash, or take more memory than was allowed;
 * and files that are whole and lie. */
#include <fcntl.h>
#include <stdatomic.h>

#include "check.h"
#include "m1_text.h"
#include "small_models.h"
#include "temp_dir.h"

#include <isobit/container.h>
#include <isobit/m1.h>

#include "code/container_format.h"

/* ---- memory that is counted ---- */

static atomic_size_t in_use, peak;

static void *counting_allocate(void *user, size_t nbytes, size_t alignment) {
    char *block = NULL;
    (void)user;
    if (posix_memalign((void **)&block, alignment, nbytes + alignment) != 0) return NULL;
    memcpy(block + alignment - sizeof nbytes - sizeof alignment, &nbytes, sizeof nbytes);
    memcpy(block + alignment - sizeof alignment, &alignment, sizeof alignment);
    const size_t now = atomic_fetch_add(&in_use, nbytes) + nbytes;
    size_t most = atomic_load(&peak);
    while (now > most && !atomic_compare_exchange_weak(&peak, &most, now)) {
    }
    return block + alignment;
}

static void counting_release(void *user, void *memory) {
    size_t nbytes, alignment;
    (void)user;
    memcpy(&nbytes, (char *)memory - sizeof nbytes - sizeof alignment, sizeof nbytes);
    memcpy(&alignment, (char *)memory - sizeof alignment, sizeof alignment);
    atomic_fetch_sub(&in_use, nbytes);
    free((char *)memory - alignment);
}

static isb_context *counting_context(int n_threads) {
    isb_context_options options;
    isb_context *ctx = NULL;
    isb_context_options_init(&options);
    options.n_threads = n_threads;
    options.allocate = counting_allocate;
    options.release = counting_release;
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    return ctx;
}

/* ---- files ---- */

enum { CAPACITY = 1 << 19, LIMIT = 32 << 20 };

typedef struct subject {
    char path[1024];
    uint8_t *bytes;
    size_t nbytes;
    const uint8_t *raw;
    size_t raw_nbytes, first_nbytes; /* of the first frame, if there are two; else 0 */
} subject;

static isb_context *ctx;
static isb_compress_options options;
static char counts_dir[1024], m1_file[1024];
static uint8_t raw[20000];
static int n_damaged;

static void load(subject *s) {
    FILE *file = fopen(s->path, "rb");
    CHECK_FATAL(file != NULL && (s->bytes = malloc(CAPACITY)) != NULL);
    s->nbytes = fread(s->bytes, 1, CAPACITY, file);
    CHECK_FATAL(s->nbytes > 0 && s->nbytes < CAPACITY);
    fclose(file);
}

static void pack(const char *name, const char *m1, size_t start, size_t nbytes, subject *s,
                 isb_compress_result *result) {
    *s = (subject){.raw = raw + start, .raw_nbytes = nbytes};
    snprintf(s->path, sizeof s->path, "%s", temp_path(name));
    temp_write(temp_path("in"), raw + start, nbytes);
    options.m1_path = m1;
    options.embed_m1 = m1 == m1_file;
    CHECK_OK(ctx, isb_compress_file(ctx, temp_path("in"), s->path, &options, result));
    options.m1_path = counts_dir;
    if (options.embed_m1) options.m1_path = NULL;
    load(s);
}

static void join(const char *name, const subject *a, const subject *b, subject *s) {
    *s = (subject){.raw = a->raw,
                   .raw_nbytes = a->raw_nbytes + b->raw_nbytes,
                   .nbytes = a->nbytes + b->nbytes,
                   .first_nbytes = a->nbytes};
    snprintf(s->path, sizeof s->path, "%s", temp_path(name));
    CHECK_FATAL((s->bytes = malloc(CAPACITY)) != NULL);
    memcpy(s->bytes, a->bytes, a->nbytes);
    memcpy(s->bytes + a->nbytes, b->bytes, b->nbytes);
    temp_write(s->path, s->bytes, s->nbytes);
}

/* ---- damage ---- */

static void put(int file, size_t at, size_t n, const uint8_t *bytes) {
    CHECK_FATAL(pwrite(file, bytes, n, (off_t)at) == (ssize_t)n);
}

/* Everything is unpacked: no damage may pass. */
static void check_all(const subject *s, size_t length) {
    atomic_store(&peak, 0);
    const isb_status status = isb_decompress_file(ctx, s->path, NULL, &options, NULL);
    CHECK(status != ISB_OK || (length > 0 && length == s->first_nbytes));
    CHECK(atomic_load(&peak) <= LIMIT);
    ++n_damaged;
}

/* A part: what comes out is right. */
static void check_part(const subject *s, isb__rng *rng) {
    const uint64_t start = isb__rng_below(rng, s->raw_nbytes),
                   n = 1 + isb__rng_below(rng, s->raw_nbytes - start);
    options.range_start = start;
    options.range_nbytes = n;
    const isb_status status = isb_decompress_file(ctx, s->path, temp_path("out"), &options, NULL);
    CHECK(status != ISB_OK || temp_holds(temp_path("out"), s->raw + start, (size_t)n));
    options.range_start = options.range_nbytes = 0;
    ++n_damaged;
}

static void flip_bits(const subject *s, isb__rng *rng, int n) {
    const int file = open(s->path, O_RDWR | O_CLOEXEC);
    CHECK_FATAL(file >= 0);
    for (int i = 0; i < n && check_failures < 20; i++) {
        const int n_bits = i % 4 ? 1 : 1 + (int)isb__rng_below(rng, 8);
        size_t at[8];
        for (int k = 0; k < n_bits; k++) {
            at[k] = (size_t)isb__rng_below(rng, s->nbytes);
            /* other than it is, whatever was changed before */
            const uint8_t other = (uint8_t)(s->bytes[at[k]] ^ (1 << isb__rng_below(rng, 8)));
            put(file, at[k], 1, &other);
        }
        if (i % 16 == 7) {
            check_part(s, rng);
        } else {
            check_all(s, 0);
        }
        for (int k = 0; k < n_bits; k++) put(file, at[k], 1, &s->bytes[at[k]]);
    }
    close(file);
    CHECK_OK(ctx, isb_decompress_file(ctx, s->path, NULL, &options, NULL));
}

static void cut(const subject *s, isb__rng *rng, int n) {
    const int file = open(s->path, O_RDWR | O_CLOEXEC);
    CHECK_FATAL(file >= 0);
    for (int i = 0; i < n && check_failures < 20; i++) {
        const size_t length = (size_t)isb__rng_below(rng, s->nbytes);
        CHECK_FATAL(ftruncate(file, (off_t)length) == 0);
        check_all(s, length);
        put(file, length, s->nbytes - length, s->bytes + length);
    }
    close(file);
}

static void damage(const char *name, const subject *s, isb__rng *rng, int n_flips, int n_cuts) {
    const int before = n_damaged;
    flip_bits(s, rng, n_flips);
    cut(s, rng, n_cuts);
    printf("%s, %zu bytes: %d damaged\n", name, s->nbytes, n_damaged - before);
    free(s->bytes);
}

/* Chunks of 1 KiB: two of the table's text, two for zstd, two of noise, three of zeros, a short
 * one; then the model's. */
static void make_raw(isb__rng *rng) {
    for (size_t i = 0; i < sizeof raw; i++) {
        const size_t k = i / 1024;
        raw[i] = k < 2   ? (isb__rng_below(rng, 4) ? 'e' : (uint8_t)isb__rng_u64(rng))
                 : k < 4 ? (uint8_t)(i % 50)
                 : k < 6 ? (uint8_t)isb__rng_u64(rng)
                         : 0;
    }
    m1_text(ctx, m1_file, 1, raw + 10240, 2048);
}

static void test_damage(isb__rng *rng) {
    subject plain, coded, both, embedded;
    isb_compress_result result;
    pack("plain", counts_dir, 2048, 7000, &plain, &result);
    CHECK(result.n_zstd == 2 && result.n_stored == 2 && result.n_fill == 3);
    pack("coded", counts_dir, 0, 2100, &coded, &result);
    CHECK_EQ(result.n_ac, 2);
    join("both", &coded, &plain, &both);
    both.raw = raw; /* 2100 bytes and then those from 2048 on: checked by parts of the first only */
    both.raw_nbytes = 2048;
    options.m1_path = counts_dir;
    damage("without M1", &plain, rng, 88000, 6000);
    damage("coded with a table", &coded, rng, 8000, 1000);
    damage("two files joined", &both, rng, 4000, 500);
    pack("embedded", m1_file, 10240, 2048, &embedded, &result);
    CHECK_EQ(result.n_ac, 2);
    damage("M1 in the file", &embedded, rng, 1500, 200);
    printf("%d damaged files\n", n_damaged);
    CHECK(n_damaged >= 100000);
}

/* ---- whole files that lie ---- */

static isb_status append(void *user, const void *data, size_t nbytes) {
    return fwrite(data, 1, nbytes, user) == nbytes ? ISB_OK : ISB_ERR_IO;
}

/* Runs with a limit; returns the status, and checks that the limit was kept. */
static isb_status unpack_within(uint64_t limit) {
    options.memory_limit_nbytes = limit;
    const size_t before = atomic_load(&in_use);
    atomic_store(&peak, before);
    const isb_status status = isb_decompress_file(ctx, temp_path("lie"), NULL, &options, NULL);
    CHECK(atomic_load(&peak) - before <= limit);
    CHECK_EQ(atomic_load(&in_use), before);
    options.memory_limit_nbytes = LIMIT;
    return status;
}

typedef void (*liar)(isb__container_writer *writer);

static void write_lie(uint32_t chunk_nbytes, liar lie) {
    isb__container_writer writer;
    FILE *file = fopen(temp_path("lie"), "wb");
    CHECK_FATAL(file != NULL);
    CHECK_OK(ctx, isb__container_write_begin(ctx, chunk_nbytes, append, file, &writer));
    lie(&writer);
    CHECK_OK(ctx, isb__container_write_end(&writer));
    isb__container_writer_free(&writer);
    CHECK_EQ(fclose(file), 0);
}

static const uint8_t zeros[1 << 20];

/* 64 MiB out of a hundred bytes. */
static void lie_fill(isb__container_writer *writer) {
    for (int i = 0; i < 64; i++)
        CHECK_OK(ctx, isb__container_write_chunk(writer, ISB__CONTAINER_FILL, zeros, sizeof zeros,
                                                 zeros, 1));
}
static void lie_zstd(isb__container_writer *writer) {
    /* a frame of 1 MiB of zeros whose header says 1 TiB */
    static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0,    0, 0,
                                    0,    1,    0,    0,    3,    0, 0x10, 0};
    CHECK_OK(ctx, isb__container_write_chunk(writer, ISB__CONTAINER_ZSTD, zeros, sizeof zeros,
                                             frame, sizeof frame));
}
static void lie_two_zstd(isb__container_writer *writer) {
    /* an empty frame, and a skippable one */
    static const uint8_t frames[] = {0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0,
                                     0x50, 0x2a, 0x4d, 0x18, 0,    0, 0, 0};
    CHECK_OK(ctx, isb__container_write_chunk(writer, ISB__CONTAINER_ZSTD, zeros, 1024, frames,
                                             sizeof frames));
}
/* M1 that is none. */
static void lie_m1(isb__container_writer *writer) {
    CHECK_OK(ctx, isb__container_write_m1(writer, &(isb__id128){{1}}, zeros, sizeof zeros));
}
/* An ac chunk that is noise; its M1 is the table. */
static void lie_ac(isb__container_writer *writer) {
    isb__cdf_source source;
    CHECK_OK(ctx, isb__m1_open(ctx, counts_dir, 1, &source));
    CHECK_OK(ctx, isb__container_write_m1(writer, &source.identity, NULL, 0));
    if (source.free) source.free(source.self);
    CHECK_OK(ctx,
             isb__container_write_chunk(writer, ISB__CONTAINER_AC, zeros, 1024, raw + 5000, 500));
}

static void test_lies(void) {
    options.m1_path = counts_dir;
    write_lie(1 << 20, lie_fill);
    CHECK_OK(ctx, unpack_within(24 << 20));
    CHECK_STATUS(unpack_within(8 << 20), ISB_ERR_NO_MEMORY); /* a chunk is 1 MiB */
    write_lie(1 << 20, lie_zstd);
    CHECK_STATUS(unpack_within(24 << 20), ISB_ERR_CORRUPT);
    write_lie(1024, lie_two_zstd);
    CHECK_STATUS(unpack_within(24 << 20), ISB_ERR_CORRUPT);
    write_lie(1024, lie_ac);
    CHECK_STATUS(unpack_within(24 << 20), ISB_ERR_CORRUPT);
    options.m1_path = NULL;
    write_lie(1024, lie_m1);
    CHECK(unpack_within(24 << 20) != ISB_OK);
    /* M1 says 200 MiB; the file ends long before */
    uint8_t file[ISB__CONTAINER_HEADER_NBYTES + 8 + ISB__CONTAINER_ID_NBYTES] = {0};
    isb__container_put_header(1024, file);
    isb__container_put(file + 20, 4, 5u << 29 | 200u << 20);
    isb__container_put(file + 24, 4, isb__container_check(zeros, ISB__CONTAINER_ID_NBYTES));
    temp_write(temp_path("lie"), file, sizeof file);
    CHECK_STATUS(unpack_within(24 << 20), ISB_ERR_NO_MEMORY);
    /* a header of 16 MiB chunks and nothing else */
    isb__container_put_header(16 << 20, file);
    temp_write(temp_path("lie"), file, ISB__CONTAINER_HEADER_NBYTES);
    CHECK_STATUS(unpack_within(24 << 20), ISB_ERR_NO_MEMORY);
    CHECK_STATUS(unpack_within(1 << 30), ISB_ERR_CORRUPT);
}

/* Whatever the limit, threads and chunk size: what is taken stays below, in both directions. */
static void test_limits(void) {
    static const uint64_t limits[] = {12 << 20, 40 << 20, 100 << 20, 1 << 30};
    static const size_t chunks[] = {1024, 16384, 1 << 18};
    static uint8_t text[120000];
    m1_text(ctx, m1_file, 2, text, 20000);
    for (size_t i = 20000; i < sizeof text; i++)
        text[i] = i % 50000 < 15000 ? text[i % 20000] : (uint8_t)(i * i >> 9);
    temp_write(temp_path("text"), text, sizeof text);
    isb_context_free(ctx);
    for (int i = 0; i < 12; i++) {
        ctx = counting_context(1 + i % 4);
        options.m1_path = m1_file;
        options.embed_m1 = 1;
        options.chunk_nbytes = chunks[i % 3];
        options.memory_limit_nbytes = limits[i / 3];
        const size_t before = atomic_load(&in_use);
        atomic_store(&peak, before);
        isb_status status =
            isb_compress_file(ctx, temp_path("text"), temp_path("lie"), &options, NULL);
        printf("limit %zu MiB, chunks of %zu, %d threads: %s, %zu KiB",
               (size_t)(limits[i / 3] >> 20), chunks[i % 3], 1 + i % 4, isb_status_name(status),
               (atomic_load(&peak) - before) >> 10);
        CHECK(status == ISB_OK || status == ISB_ERR_NO_MEMORY);
        CHECK(atomic_load(&peak) - before <= limits[i / 3]);
        options.m1_path = NULL;
        if (status == ISB_OK) status = unpack_within(limits[i / 3]);
        printf("; %s, %zu KiB\n", isb_status_name(status), (atomic_load(&peak) - before) >> 10);
        CHECK(status == ISB_OK || status == ISB_ERR_NO_MEMORY);
        isb_context_free(ctx);
    }
}

int main(int argc, char **argv) {
    isb__rng rng;
    isb__rng_seed(&rng, check_begin(argc, argv));
    ctx = counting_context(1);
    temp_dir_begin();
    snprintf(counts_dir, sizeof counts_dir, "%s", temp_path("counts"));
    snprintf(m1_file, sizeof m1_file, "%s", temp_path("model.isb-m1"));
    uint64_t counts[257];
    for (int x = 0; x < 257; x++) counts[x] = x == 'e' ? 770 : 1;
    CHECK_OK(ctx, isb__m1_write_static(ctx, counts_dir, counts));
    small_m1(ctx, 1, temp_path("model"));
    CHECK_OK(ctx, isb_m1_quantise_file(ctx, temp_path("model"), m1_file, NULL, 1));
    isb_compress_options_init(&options);
    options.chunk_nbytes = 1024;
    options.force = 1;
    options.memory_limit_nbytes = LIMIT;
    make_raw(&rng);
    test_damage(&rng);
    test_lies();
    test_limits();
    temp_dir_end();
    return check_end();
}
