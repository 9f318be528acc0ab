/* The .isb form: what is written is read, and every damage is found. */
#include "check.h"

#include "base/context.h"
#include "base/rng.h"
#include "code/container_format.h"

static isb_context *ctx;

typedef struct memory_file {
    uint8_t data[20000];
    size_t nbytes, position;
} memory_file;

static isb_status write_memory(void *user, const void *data, size_t nbytes) {
    memory_file *file = user;
    if (nbytes > sizeof file->data - file->nbytes)
        return isb__fail(ctx, ISB_ERR_NO_SPACE, "test file is full");
    if (nbytes > 0) memcpy(file->data + file->nbytes, data, nbytes);
    file->nbytes += nbytes;
    return ISB_OK;
}

static isb_status read_memory(void *user, void *data, size_t nbytes, size_t *got) {
    memory_file *file = user;
    *got = nbytes < file->nbytes - file->position ? nbytes : file->nbytes - file->position;
    if (*got > 0) memcpy(data, file->data + file->position, *got);
    file->position += *got;
    return ISB_OK;
}

static const isb__container_header header = {.code = ISB__CONTAINER_CODE_AC,
                                             .precision_nbits = 16,
                                             .chunk_nbytes = 1024,
                                             .m1 = {{1, 2, 3, 250}}};

/* Packs a chunk that ends in a 7 by leaving that out and inverting the rest; others it makes longer, so they are stored. */
static size_t pack(const uint8_t *from, size_t nbytes, uint8_t *to) {
    if (from[nbytes - 1] != 7) return nbytes + 1;
    for (size_t i = 0; i + 1 < nbytes; i++) to[i] = (uint8_t)~from[i];
    return nbytes - 1;
}

static size_t unpack(const isb__container_chunk *chunk, uint8_t *to, size_t capacity) {
    const size_t n = chunk->packed_nbytes < capacity ? chunk->packed_nbytes : capacity - 1;
    for (size_t i = 0; i < n; i++) {
        to[i] = chunk->stored ? chunk->packed[i] : (uint8_t)~chunk->packed[i];
    }
    if (!chunk->stored) to[n] = 7;
    return chunk->stored ? n : n + 1;
}

static void write_file(const uint8_t *raw, size_t nbytes, memory_file *file) {
    isb__container_writer writer;
    file->nbytes = 0;
    CHECK_OK(ctx, isb__container_write_begin(ctx, &header, write_memory, file, &writer));
    for (size_t at = 0; at < nbytes; at += header.chunk_nbytes) {
        uint8_t packed[1024];
        const size_t n = nbytes - at < header.chunk_nbytes ? nbytes - at : header.chunk_nbytes;
        const size_t packed_nbytes = pack(raw + at, n, packed);
        CHECK_OK(ctx, isb__container_write_chunk(&writer, raw + at, n, packed, packed_nbytes));
    }
    CHECK_OK(ctx, isb__container_write_end(&writer));
    CHECK_EQ(writer.position, file->nbytes);
    isb__container_writer_free(&writer);
}

static isb_status read_chunks(isb__container_reader *reader, isb__container_chunk *chunk,
                              uint8_t *raw, size_t *nbytes) {
    for (bool end = false;;) {
        uint8_t bytes[1025];
        ISB_TRY(isb__container_read_chunk(reader, chunk, &end));
        if (end) return isb__container_read_end(reader);
        const size_t n = unpack(chunk, bytes, sizeof bytes);
        ISB_TRY(isb__container_check_chunk(reader, chunk, bytes, n));
        memcpy(raw + *nbytes, bytes, n);
        *nbytes += n;
    }
}

static isb_status read_file(memory_file *file, uint8_t *raw, size_t *nbytes) {
    isb__container_reader reader;
    isb__container_chunk chunk = {0};
    file->position = 0;
    *nbytes = 0;
    isb_status status = isb__container_read_begin(ctx, read_memory, file, &reader);
    if (status == ISB_OK) CHECK(memcmp(&reader.header.m1, &header.m1, sizeof header.m1) == 0);
    if (status == ISB_OK) status = read_chunks(&reader, &chunk, raw, nbytes);
    isb__free(ctx, chunk.packed);
    isb__container_reader_free(&reader);
    return status;
}

static uint8_t raw[8192], again[20000];
static memory_file good, bad;

static void test_sizes(void) {
    static const size_t sizes[] = {0, 1, 1023, 1024, 1025, 2048, 5000, 8192};
    size_t nbytes;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t n_chunks = (sizes[i] + 1023) / 1024;
        size_t n_packed = 0;
        for (size_t c = 0; c < n_chunks; c++) {
            n_packed += raw[(c + 1 < n_chunks ? (c + 1) * 1024 : sizes[i]) - 1] == 7;
        }
        write_file(raw, sizes[i], &good);
        CHECK_EQ(good.nbytes, 64 + n_chunks * 24 + sizes[i] - n_packed + 16 + 48);
        CHECK_OK(ctx, read_file(&good, again, &nbytes));
        CHECK_EQ(nbytes, sizes[i]);
        CHECK(memcmp(raw, again, nbytes) == 0);
    }
}

/* The bytes of a file are part of the specification: they may not change. */
static void test_golden_bytes(void) {
    static const uint8_t expected[] = {'I', 'S', 'B', 1, 1, 0, 1, 16, 0, 4,
                                       0,   0,   0,   0, 0, 0, 1, 2,  3, 250};
    write_file((const uint8_t *)"ab\7", 3, &good);
    CHECK(memcmp(good.data, expected, sizeof expected) == 0);
    CHECK_EQ(good.data[64], 3);              /* raw size */
    CHECK_EQ(good.data[68], 2);              /* packed size */
    CHECK_EQ(good.data[80], (uint8_t) ~'a'); /* the first packed byte */
    CHECK(memcmp(good.data + 72, good.data + 82 + 8, 8) ==
          0); /* one chunk: its checksum is the whole's */
    CHECK(memcmp(good.data + good.nbytes - 8, "ISB end\n", 8) == 0);
    const uint64_t hash = isb__hash64("ab\7", 3, 0);
    for (int i = 0; i < 8; i++) CHECK_EQ(good.data[72 + i], hash >> (8 * i) & 255);

    write_file((const uint8_t *)"abc", 3, &good); /* stored */
    CHECK_EQ(good.data[64], 3);
    CHECK_EQ(good.data[68], 3);
    CHECK(memcmp(good.data + 80, "abc", 3) == 0);
}

static void test_damage(isb__rng *rng) {
    size_t nbytes;
    write_file(raw, 3000, &good);
    for (size_t i = 0; i < good.nbytes; i++) { /* every byte changed */
        bad = good;
        bad.data[i] ^= (uint8_t)(1 + isb__rng_below(rng, 255));
        const isb_status status = read_file(&bad, again, &nbytes);
        const isb_status expected = i < 4   ? ISB_ERR_FORMAT
                                    : i < 6 ? ISB_ERR_VERSION
                                            : ISB_ERR_CORRUPT;
        CHECK_EQ(status, expected);
    }
    for (size_t n = 0; n < good.nbytes; n++) { /* every length cut */
        bad = good;
        bad.nbytes = n;
        CHECK_EQ(read_file(&bad, again, &nbytes), n == 0 ? ISB_ERR_FORMAT : ISB_ERR_CORRUPT);
    }
    bad = good;
    bad.data[bad.nbytes++] = 0;
    CHECK_STATUS(read_file(&bad, again, &nbytes), ISB_ERR_CORRUPT);
}

/* A chunk's number and place are in the text; sizes are refused before memory is taken. */
static void test_texts_and_sizes(void) {
    size_t nbytes;
    write_file(raw, 3000, &good);
    bad = good;
    bad.data[64 + 16 + 1024 + 16 + 5] ^= 1; /* chunk 0 is stored */
    CHECK_STATUS(read_file(&bad, again, &nbytes), ISB_ERR_CORRUPT);
    CHECK_EQ(nbytes, 1024);
    CHECK(strstr(isb_context_error(ctx), "chunk 1 at byte 1104") != NULL);
    for (int field = 64; field <= 68; field += 4) {
        bad = good;
        memset(bad.data + field, 0xFF, 4);
        CHECK_STATUS(read_file(&bad, again, &nbytes), ISB_ERR_CORRUPT);
        CHECK(strstr(isb_context_error(ctx), "chunk 0 at byte 64") != NULL);
    }
    isb__container_writer writer;
    isb__container_header wrong = header;
    wrong.chunk_nbytes = 1023;
    CHECK_STATUS(isb__container_write_begin(ctx, &wrong, write_memory, &bad, &writer),
                 ISB_ERR_RANGE);
    isb__container_writer_free(&writer);
}

int main(int argc, char **argv) {
    isb__rng rng;
    isb__rng_seed(&rng, check_begin(argc, argv));
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    for (size_t i = 0; i < sizeof raw; i++) raw[i] = (uint8_t)isb__rng_u64(&rng);
    for (size_t i = 0; i < 8; i++) raw[i * 1024 + 1023] = i % 2 ? 7 : 8;
    raw[2999] = 7;
    test_sizes();
    test_golden_bytes();
    test_damage(&rng);
    test_texts_and_sizes();
    isb_context_free(ctx);
    return check_end();
}
