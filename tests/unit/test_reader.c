/* Readers: plain, gzip and zstd, concatenated, padded, cut short at every byte, damaged, missing,
 * folders, pipes. */
#include <fcntl.h>
#include <sys/wait.h>

#include <zlib.h>
#include <zstd.h>

#include "base/io.h"
#include "base/rng.h"
#include "check.h"
#include "temp_dir.h"

static isb_context *ctx;

typedef struct blob {
    uint8_t *data;
    size_t nbytes, capacity;
} blob;

static void blob_append(blob *to, const void *data, size_t nbytes) {
    if (to->nbytes + nbytes >= to->capacity) {
        to->capacity = 2 * (to->nbytes + nbytes) + 64;
        to->data = realloc(to->data, to->capacity);
    }
    memcpy(to->data + to->nbytes, data, nbytes);
    to->nbytes += nbytes;
}

/* Words with some repetition, so that packed sizes are neither tiny nor full. */
static blob make_text(size_t nbytes, uint64_t seed) {
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    blob text = {0};
    blob_append(&text, "", 0);
    while (text.nbytes < nbytes) {
        char word[16];
        const int n = snprintf(word, sizeof word, "%x ", (unsigned)isb__rng_below(&rng, 5000));
        blob_append(&text, word, (size_t)n);
    }
    text.nbytes = nbytes;
    return text;
}

static void append_gzip(blob *to, const void *data, size_t nbytes) {
    z_stream z = {0};
    CHECK_FATAL(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    uint8_t *packed = malloc(deflateBound(&z, (uLong)nbytes) + 64);
    z.next_in = (Bytef *)(uintptr_t)data;
    z.avail_in = (uInt)nbytes;
    z.next_out = packed;
    z.avail_out = (uInt)deflateBound(&z, (uLong)nbytes) + 64;
    CHECK_FATAL(deflate(&z, Z_FINISH) == Z_STREAM_END);
    blob_append(to, packed, z.total_out);
    deflateEnd(&z);
    free(packed);
}

static void append_zstd(blob *to, const void *data, size_t nbytes) {
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
    const size_t bound = ZSTD_compressBound(nbytes);
    void *packed = malloc(bound);
    const size_t n = ZSTD_compress2(zstd, packed, bound, data, nbytes);
    CHECK_FATAL(!ZSTD_isError(n));
    blob_append(to, packed, n);
    ZSTD_freeCCtx(zstd);
    free(packed);
}

/* Reads all of `path` in pieces of `piece` bytes. */
static isb_status read_all(const char *path, bool decompress, size_t piece, blob *out) {
    *out = (blob){0};
    isb__reader *reader = NULL;
    ISB_TRY(isb__reader_open(ctx, path, decompress, &reader));
    uint8_t *buffer = malloc(piece);
    isb_status status;
    size_t got = 0;
    do {
        status = isb__reader_read(reader, buffer, piece, &got);
        if (status == ISB_OK) blob_append(out, buffer, got);
    } while (status == ISB_OK && got > 0);
    if (status == ISB_OK) {
        /* the end stays the end */
        CHECK_STATUS(isb__reader_read(reader, buffer, piece, &got), ISB_OK);
        CHECK_EQ(got, 0);
        uint64_t position, nbytes;
        isb__reader_position(reader, &position, &nbytes);
        CHECK_EQ(position, nbytes);
    }
    free(buffer);
    isb__reader_close(reader);
    return status;
}

static void check_reads_as(const blob *file, const blob *expected, bool decompress) {
    static const size_t pieces[] = {1, 7, 4096, 1 << 20};
    const char *path = temp_path("in");
    temp_write(path, file->data, file->nbytes);
    for (size_t i = 0; i < 4; ++i) {
        if (pieces[i] == 1 && expected->nbytes > 20000) continue;
        blob out;
        CHECK_STATUS(read_all(path, decompress, pieces[i], &out), ISB_OK);
        CHECK_EQ(out.nbytes, expected->nbytes);
        CHECK(out.nbytes == expected->nbytes &&
              (out.nbytes == 0 || memcmp(out.data, expected->data, out.nbytes) == 0));
        free(out.data);
    }
}

static void check_fails(const blob *file, isb_status expected, const char *text) {
    temp_write(temp_path("in"), file->data, file->nbytes);
    blob out;
    CHECK_STATUS(read_all(temp_path("in"), true, 4096, &out), expected);
    const char *error = isb_context_error(ctx);
    check_report(strstr(error, text) && strstr(error, temp_path("in")), __FILE__, __LINE__, text,
                 error);
    free(out.data);
}

static void test_plain(void) {
    const size_t sizes[] = {0, 1, 2, 3, 4, 1000, 131071, 131072, 131073, 500000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; ++i) {
        blob text = make_text(sizes[i], i);
        check_reads_as(&text, &text, true);
        check_reads_as(&text, &text, false);
        free(text.data);
    }
    blob half_magic = {0};
    blob_append(&half_magic, "\x1f", 1);
    check_reads_as(&half_magic, &half_magic, true);
    free(half_magic.data);
}

typedef void (*append_fn)(blob *to, const void *data, size_t nbytes);

static void test_packed(append_fn append) {
    const size_t sizes[] = {0, 1, 1000, 131072, 700000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; ++i) {
        blob text = make_text(sizes[i], i), twice = make_text(sizes[i], i), file = {0};
        append(&file, text.data, text.nbytes);
        check_reads_as(&file, &text, true);
        check_reads_as(&file, &file, false); /* not looked through */
        append(&file, "", 0);                /* an empty member in the middle */
        append(&file, text.data, text.nbytes);
        blob_append(&twice, text.data, text.nbytes);
        check_reads_as(&file, &twice, true);
        free(text.data);
        free(twice.data);
        free(file.data);
    }
}

/* Two members cut at every length: whole at 0 (an empty plain file), after the first and after the
 * second. */
static void test_cut_everywhere(append_fn append, size_t magic_nbytes) {
    blob text = make_text(300, 1), file = {0};
    append(&file, text.data, text.nbytes);
    const size_t first = file.nbytes;
    append(&file, text.data, text.nbytes);
    for (size_t n = magic_nbytes; n < file.nbytes; ++n) {
        const blob cut = {.data = file.data, .nbytes = n};
        if (n == first)
            check_reads_as(&cut, &text, true);
        else
            check_fails(&cut, ISB_ERR_CORRUPT, "");
    }
    free(text.data);
    free(file.data);
}

static void test_damage(append_fn append) {
    blob text = make_text(5000, 2), file = {0};
    append(&file, text.data, text.nbytes);
    for (size_t i = 20; i < file.nbytes; i += 13) {
        file.data[i] ^= 0x10;
        check_fails(&file, ISB_ERR_CORRUPT, "");
        file.data[i] ^= 0x10;
    }
    blob_append(&file, "garbage", 7);
    check_fails(&file, ISB_ERR_CORRUPT, "");
    free(text.data);
    free(file.data);
}

static void test_gzip_padding(void) {
    blob text = make_text(1000, 3), file = {0};
    append_gzip(&file, text.data, text.nbytes);
    char zeros[5000] = {0};
    blob_append(&file, zeros, sizeof zeros);
    check_reads_as(&file, &text, true);
    free(text.data);
    free(file.data);
}

static void test_zstd_special(void) {
    blob text = make_text(1000, 4), file = {0};
    blob_append(&file,
                "\x50\x2a\x4d\x18\x03\x00\x00\x00"
                "abc",
                11); /* a skippable frame first */
    append_zstd(&file, text.data, text.nbytes);
    check_reads_as(&file, &text, true);
    blob wide = {0}; /* a frame header that asks for a window of 2^41 bytes */
    blob_append(&wide, "\x28\xb5\x2f\xfd\x00\xf8\x01\x00\x00", 9);
    check_fails(&wide, ISB_ERR_UNSUPPORTED, "window");
    free(wide.data);
    free(text.data);
    free(file.data);
}

static void test_bad_paths(void) {
    isb__reader *reader = NULL;
    CHECK_STATUS(isb__reader_open(ctx, temp_path("missing"), true, &reader), ISB_ERR_NOT_FOUND);
    CHECK(reader == NULL && strstr(isb_context_error(ctx), temp_path("missing")));
    CHECK_STATUS(isb__reader_open(ctx, temp_dir_path, true, &reader), ISB_ERR_IS_DIRECTORY);
    CHECK(reader == NULL && strstr(isb_context_error(ctx), temp_dir_path));
}

/* A pipe delivers in bits and pieces and has no size. */
static void test_pipe(void) {
    blob text = make_text(100000, 5), file = {0}, out;
    append_gzip(&file, text.data, text.nbytes);
    CHECK_FATAL(mkfifo(temp_path("fifo"), 0600) == 0);
    const pid_t child = fork();
    if (child == 0) {
        const int fd = open(temp_path("fifo"), O_WRONLY);
        for (size_t i = 0; i < file.nbytes; i += 999) {
            const size_t n = file.nbytes - i < 999 ? file.nbytes - i : 999;
            if (write(fd, file.data + i, n) != (ssize_t)n) _exit(1);
        }
        _exit(0);
    }
    isb__reader *reader = NULL;
    CHECK_OK(ctx, isb__reader_open(ctx, temp_path("fifo"), true, &reader));
    out = (blob){.data = malloc(text.nbytes + 1)};
    size_t got = 0;
    do {
        CHECK_OK(ctx, isb__reader_read(reader, out.data + out.nbytes, text.nbytes + 1 - out.nbytes,
                                       &got));
        out.nbytes += got;
    } while (got > 0);
    CHECK(out.nbytes == text.nbytes && memcmp(out.data, text.data, text.nbytes) == 0);
    isb__reader_close(reader);
    int result = 1;
    waitpid(child, &result, 0);
    CHECK_EQ(result, 0);
    free(out.data);
    free(text.data);
    free(file.data);
}

static void test_file_read(void) {
    blob text = make_text(300000, 6);
    const char *path = temp_path("whole");
    temp_write(path, text.data, text.nbytes);
    uint8_t *data = NULL;
    size_t nbytes = 0;
    CHECK_OK(ctx, isb__file_read(ctx, path, text.nbytes, &data, &nbytes));
    CHECK(nbytes == text.nbytes && memcmp(data, text.data, nbytes) == 0 && data[nbytes] == 0);
    isb__free(ctx, data);
    CHECK_STATUS(isb__file_read(ctx, path, text.nbytes - 1, &data, &nbytes), ISB_ERR_RANGE);
    CHECK(data == NULL && nbytes == 0);
    /* a size that fstat cannot tell */
    CHECK_STATUS(isb__file_read(ctx, "/dev/zero", 1000, &data, &nbytes), ISB_ERR_RANGE);
    CHECK_OK(ctx, isb__file_read(ctx, "/dev/null", 0, &data, &nbytes));
    CHECK(nbytes == 0 && data && data[0] == 0);
    isb__free(ctx, data);
    CHECK_STATUS(isb__file_read(ctx, temp_path("missing"), 10, &data, &nbytes), ISB_ERR_NOT_FOUND);
    free(text.data);
}

/* Positions do not disturb the stream. */
static void test_read_at(void) {
    blob text = make_text(300000, 7);
    uint8_t bytes[100];
    size_t got = 0;
    isb__reader *reader = NULL;
    temp_write(temp_path("in"), text.data, text.nbytes);
    CHECK_OK(ctx, isb__reader_open(ctx, temp_path("in"), false, &reader));
    for (size_t at = 0; at < 200000; at += 100) {
        const size_t other = at * 7919 % (text.nbytes - sizeof bytes);
        CHECK_OK(ctx, isb__reader_read_at(reader, other, bytes, sizeof bytes));
        CHECK(memcmp(bytes, text.data + other, sizeof bytes) == 0);
        CHECK_OK(ctx, isb__reader_read(reader, bytes, 100, &got));
        CHECK(memcmp(bytes, text.data + at, got) == 0);
        if (got < 100) at -= 100 - got; /* at the end of a buffer */
    }
    CHECK_STATUS(isb__reader_read_at(reader, text.nbytes - 99, bytes, 100), ISB_ERR_CORRUPT);
    isb__reader_close(reader);
    free(text.data);
}

static void test_map(void) {
    isb__map map;
    temp_write(temp_path("map"), "mapped", 6);
    CHECK_OK(ctx, isb__map_open(ctx, temp_path("map"), &map));
    CHECK(map.nbytes == 6 && memcmp(map.data, "mapped", 6) == 0);
    isb__map_close(&map);
    CHECK(map.data == NULL && map.nbytes == 0);
    isb__map_close(&map);
    temp_write(temp_path("empty"), "", 0);
    CHECK_OK(ctx, isb__map_open(ctx, temp_path("empty"), &map));
    CHECK(map.data != NULL && map.nbytes == 0);
    isb__map_close(&map);
    CHECK_STATUS(isb__map_open(ctx, temp_path("missing"), &map), ISB_ERR_NOT_FOUND);
    CHECK_STATUS(isb__map_open(ctx, temp_dir_path, &map), ISB_ERR_IS_DIRECTORY);
    CHECK_STATUS(isb__map_open(ctx, "/dev/null", &map), ISB_ERR_UNSUPPORTED);
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    temp_dir_begin();
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    test_plain();
    test_packed(append_gzip);
    test_packed(append_zstd);
    test_cut_everywhere(append_gzip, 2);
    test_cut_everywhere(append_zstd, 4);
    test_damage(append_gzip);
    test_damage(append_zstd);
    test_gzip_padding();
    test_zstd_special();
    test_bad_paths();
    test_pipe();
    test_file_read();
    test_read_at();
    test_map();
    isb_context_free(ctx);
    temp_dir_end();
    return check_end();
}
