/* The .isb form: what is written is read, from both ends, and every wrong bit is found. */
#include "check.h"

#include "base/context.h"
#include "base/rng.h"
#include "code/container_index.h"

static isb_context *ctx;

enum { CHUNK = 1024, CAPACITY = 40000 };

typedef struct memory_file {
    uint8_t data[CAPACITY];
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

static isb_status read_memory_at(void *user, uint64_t offset, void *data, size_t nbytes) {
    const memory_file *file = user;
    if (offset > file->nbytes || nbytes > file->nbytes - offset)
        return isb__fail(ctx, ISB_ERR_CORRUPT, "the test file ends");
    memcpy(data, file->data + offset, nbytes);
    return ISB_OK;
}

/* ---- a codec that needs no M1: what "zstd" and "ac" mean is not this layer's business ---- */

/* A chunk that ends in a 7 loses that and is inverted: "zstd"; in 70, the same: "ac"; one of a
 * single value is filled; all else is stored. */
static isb__container_kind pack(const uint8_t *from, size_t nbytes, uint8_t *to, size_t *n) {
    bool fill = true;
    for (size_t i = 1; i < nbytes; i++) fill = fill && from[i] == from[0];
    *n = fill ? 1 : nbytes;
    memcpy(to, from, *n);
    if (fill) return ISB__CONTAINER_FILL;
    if (from[nbytes - 1] != 7 && from[nbytes - 1] != 70) return ISB__CONTAINER_STORED;
    *n = nbytes - 1;
    for (size_t i = 0; i < *n; i++) to[i] = (uint8_t)~from[i];
    return from[nbytes - 1] == 7 ? ISB__CONTAINER_ZSTD : ISB__CONTAINER_AC;
}

/* Returns whether the payload can be unpacked. */
static bool unpack(const isb__container_record *record, const uint8_t *from, uint8_t *to) {
    const bool inverted = record->kind == ISB__CONTAINER_ZSTD || record->kind == ISB__CONTAINER_AC;
    const size_t n = record->raw_nbytes;
    if (record->kind == ISB__CONTAINER_FILL) memset(to, from[0], n);
    if (record->kind == ISB__CONTAINER_STORED) memcpy(to, from, n);
    if (!inverted) return true;
    for (size_t i = 0; i + 1 < n; i++) to[i] = (uint8_t)~from[i];
    to[n - 1] = record->kind == ISB__CONTAINER_ZSTD ? 7 : 70;
    return record->payload_nbytes == n - 1;
}

static const isb__id128 m1_id = {{1, 2, 3, 250}};
static const uint8_t m1_bytes[40] = {9, 8, 7};

static void append_frame(const uint8_t *raw, size_t nbytes, size_t m1_nbytes, memory_file *file) {
    isb__container_writer writer;
    const size_t before = file->nbytes;
    CHECK_OK(ctx, isb__container_write_begin(ctx, CHUNK, write_memory, file, &writer));
    for (size_t at = 0; at < nbytes; at += CHUNK) {
        uint8_t payload[CHUNK];
        const size_t n = nbytes - at < CHUNK ? nbytes - at : CHUNK;
        size_t payload_nbytes;
        const isb__container_kind kind = pack(raw + at, n, payload, &payload_nbytes);
        if (kind == ISB__CONTAINER_AC && writer.layout.n_of[ISB__CONTAINER_M1] == 0)
            CHECK_OK(ctx, isb__container_write_m1(&writer, &m1_id, m1_bytes, m1_nbytes));
        CHECK_OK(ctx,
                 isb__container_write_chunk(&writer, kind, raw + at, n, payload, payload_nbytes));
    }
    CHECK_OK(ctx, isb__container_write_end(&writer));
    CHECK_EQ(writer.layout.position, file->nbytes - before);
    CHECK_EQ(writer.layout.raw_nbytes, nbytes);
    isb__container_writer_free(&writer);
}

static void write_file(const uint8_t *raw, size_t nbytes, memory_file *file) {
    file->nbytes = 0;
    append_frame(raw, nbytes, sizeof m1_bytes, file);
}

/* ---- reading ---- */

static isb_status read_chunk(isb__container_reader *reader, const isb__container_record *record,
                             uint8_t *raw, size_t *nbytes) {
    uint8_t payload[CHUNK], bytes[CHUNK];
    if (record->kind == ISB__CONTAINER_M1) return isb__container_skip_payload(reader);
    CHECK_FATAL(record->payload_nbytes <= CHUNK && record->raw_nbytes <= CHUNK);
    ISB_TRY(isb__container_read_payload(reader, payload, record->payload_nbytes));
    if (!unpack(record, payload, bytes) ||
        isb__container_check(bytes, record->raw_nbytes) != record->check) {
        return isb__container_bad_record(ctx, record, "its bytes are wrong");
    }
    for (uint32_t i = 0; i < record->n_chunks; i++) {
        if (*nbytes + record->raw_nbytes > CAPACITY)
            return isb__container_bad_record(ctx, record, "too many bytes for the test");
        memcpy(raw + *nbytes, bytes, record->raw_nbytes);
        *nbytes += record->raw_nbytes;
        isb__container_add_raw(reader, bytes, record->raw_nbytes);
    }
    return ISB_OK;
}

static isb_status read_frames(isb__container_reader *reader, uint8_t *raw, size_t *nbytes) {
    for (bool more = true; more;) {
        isb__container_record record;
        bool end;
        for (;;) {
            ISB_TRY(isb__container_read_record(reader, &record, &end));
            if (end) break;
            ISB_TRY(read_chunk(reader, &record, raw, nbytes));
        }
        ISB_TRY(isb__container_read_end(reader));
        ISB_TRY(isb__container_next_frame(reader, &more));
    }
    return ISB_OK;
}

static isb_status read_file(memory_file *file, uint8_t *raw, size_t *nbytes) {
    isb__container_reader reader;
    file->position = 0;
    *nbytes = 0;
    isb_status status = isb__container_read_begin(ctx, read_memory, file, &reader);
    if (status == ISB_OK) status = read_frames(&reader, raw, nbytes);
    isb__container_reader_free(&reader);
    return status;
}

/* Everything by the index; m1: whether it is named. */
static isb_status read_by_index(memory_file *file, uint8_t *raw, size_t *nbytes) {
    isb__container_index index;
    isb__container_record record;
    uint8_t bytes[CHUNK];
    *nbytes = 0;
    isb_status status = isb__container_index_open(ctx, read_memory_at, file, file->nbytes, &index);
    for (size_t i = 0; i < index.n_frames && status == ISB_OK; i++) {
        isb__id128 id;
        status = isb__container_index_load(&index, i, UINT64_MAX);
        if (status == ISB_OK && index.layout.n_of[ISB__CONTAINER_M1] > 0) {
            status = isb__container_index_m1(&index, &id);
            if (status == ISB_OK) CHECK(memcmp(&id, &m1_id, sizeof id) == 0);
        }
        while (status == ISB_OK && isb__container_index_next(&index, &record)) {
            status = isb__container_index_check(&index, &record);
            if (status != ISB_OK || record.kind == ISB__CONTAINER_M1) continue;
            const uint8_t *payload = file->data + record.offset + record.header_nbytes;
            if (!unpack(&record, payload, bytes) ||
                isb__container_check(bytes, record.raw_nbytes) != record.check)
                status = ISB_ERR_CORRUPT;
            for (uint32_t k = 0; status == ISB_OK && k < record.n_chunks; k++) {
                if (*nbytes + record.raw_nbytes > CAPACITY) {
                    status = ISB_ERR_CORRUPT;
                    break;
                }
                memcpy(raw + *nbytes, bytes, record.raw_nbytes);
                *nbytes += record.raw_nbytes;
            }
        }
    }
    isb__container_index_free(&index);
    return status;
}

static uint8_t raw[9 * CHUNK], again[CAPACITY];
static memory_file good, bad;

static void check_file(const uint8_t *bytes, size_t expected) {
    size_t nbytes;
    CHECK_OK(ctx, read_file(&good, again, &nbytes));
    CHECK(nbytes == expected && memcmp(bytes, again, nbytes) == 0);
    CHECK_OK(ctx, read_by_index(&good, again, &nbytes));
    CHECK(nbytes == expected && memcmp(bytes, again, nbytes) == 0);
}

/* ---- tests ---- */

static void test_sizes(void) {
    static const size_t sizes[] = {0, 1, 2, 1023, 1024, 1025, 2048, 3000, 5000, 8192, 9216};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t n_chunks = (sizes[i] + CHUNK - 1) / CHUNK;
        write_file(raw, sizes[i], &good);
        CHECK(good.nbytes <= 120 + sizeof m1_bytes + 12 * n_chunks + sizes[i]);
        check_file(raw, sizes[i]);
    }
    write_file(raw, 0, &good);
    CHECK_EQ(good.nbytes, 88);
}

/* Neighbours of one value are one record. */
static void test_fill(void) {
    static uint8_t zeros[20 * CHUNK];
    write_file(zeros, 20 * CHUNK, &good);
    CHECK_EQ(good.nbytes, 88 + 13);
    check_file(zeros, 20 * CHUNK);
    write_file(zeros, 20 * CHUNK - 1, &good);
    CHECK_EQ(good.nbytes, 88 + 13 + 17);
    check_file(zeros, 20 * CHUNK - 1);
    memset(zeros + 5 * CHUNK, 1, 3 * CHUNK);
    write_file(zeros, 20 * CHUNK, &good);
    CHECK_EQ(good.nbytes, 88 + 3 * 13);
    check_file(zeros, 20 * CHUNK);
}

static void test_frames(void) {
    good.nbytes = 0;
    append_frame(raw, 3000, 0, &good);
    append_frame(raw, 0, 0, &good);
    append_frame(raw + 3000, 1000, 7, &good);
    append_frame(raw + 4000, 5000, 0, &good);
    check_file(raw, 9000);
}

/* The bytes of a file are part of the specification: they may not change. */
static void test_golden_bytes(void) {
    static const uint8_t expected[] = {0x89, 'I', 'S', 'B', '\r', '\n', 2, 0, 0, 4, 0, 0};
    write_file((const uint8_t *)"ab\7", 3, &good);
    CHECK_EQ(good.nbytes, 88 + 12 + 4 + 2);
    CHECK(memcmp(good.data, expected, sizeof expected) == 0);
    CHECK_EQ(isb__container_get_word(good.data + 20), 3u << 29 | 1u << 28 | 2);
    CHECK_EQ(isb__container_get_word(good.data + 24), (uint32_t)isb__hash64("ab\7", 3, 0));
    CHECK_EQ(isb__container_get_word(good.data + 28), 3);
    CHECK(good.data[32] == (uint8_t) ~'a' && good.data[33] == (uint8_t) ~'b');
    CHECK_EQ(isb__container_get_word(good.data + 34), 0);
    CHECK_EQ(isb__container_get_word(good.data + 38), 3u << 29 | 1u << 28 | 2);
    CHECK(memcmp(good.data + good.nbytes - 8, "ISB end\n", 8) == 0);

    write_file((const uint8_t *)"ab\106", 3, &good); /* ac: the record of M1 comes first */
    CHECK_EQ(isb__container_get_word(good.data + 20), 5u << 29 | 56);
    CHECK(memcmp(good.data + 28, m1_id.bytes, 16) == 0);
    CHECK(memcmp(good.data + 44, m1_bytes, sizeof m1_bytes) == 0);
    CHECK_EQ(isb__container_get_word(good.data + 84), 4u << 29 | 1u << 28 | 2);
}

/* Checks a record's kind; returns its bytes. */
static size_t check_kind(size_t at, int kind) {
    const uint32_t word = isb__container_get_word(good.data + at);
    CHECK_EQ(word >> 29, kind);
    return 8 + (word >> 28 & 1) * 4 + (kind == 2 ? 1 : word & 0xfffffff);
}

static void test_damage(void) {
    size_t nbytes;
    good.nbytes = 0;
    append_frame(raw, 6000, sizeof m1_bytes, &good);
    for (size_t at = 20, i = 0; i < 7; i++) /* all kinds of records */
        at += check_kind(at, (int[]){1, 3, 1, 5, 4, 2, 1}[i]);
    append_frame(raw, 100, 0, &good);
    CHECK(good.nbytes < 8000);
    for (size_t i = 0; i < 8 * good.nbytes; i++) { /* every bit flipped */
        bad = good;
        bad.data[i / 8] ^= (uint8_t)(1 << i % 8);
        const isb_status expected = i < 48   ? ISB_ERR_FORMAT
                                    : i < 64 ? ISB_ERR_VERSION
                                             : ISB_ERR_CORRUPT;
        const isb_status status = read_file(&bad, again, &nbytes);
        CHECK(status == expected || (i > 64 && status == ISB_ERR_VERSION)); /* the second frame */
        /* by the index: an error, or the right bytes (what the index does not cover is not used) */
        if (read_by_index(&bad, again, &nbytes) == ISB_OK)
            CHECK(nbytes == 6100 && memcmp(again, raw, 6000) == 0);
    }
    for (size_t n = 0; n < good.nbytes; n++) { /* every length cut */
        bad = good;
        bad.nbytes = n;
        CHECK(read_file(&bad, again, &nbytes) != ISB_OK || nbytes == 6000);
        CHECK(read_by_index(&bad, again, &nbytes) != ISB_OK || nbytes == 6000);
    }
    bad = good;
    bad.data[bad.nbytes++] = 0;
    CHECK_STATUS(read_file(&bad, again, &nbytes), ISB_ERR_CORRUPT);
    CHECK_STATUS(read_by_index(&bad, again, &nbytes), ISB_ERR_CORRUPT);
}

/* A chunk's number and place are in the text; sizes are refused before they are used. */
static void test_texts_and_sizes(void) {
    static const uint32_t lies[] = {0u << 29 | 5,
                                    1u << 29 | 1023,
                                    1u << 29 | 0xfffffff,
                                    2u << 29,
                                    3u << 29,
                                    3u << 29 | 1024,
                                    4u << 29 | 1,
                                    5u << 29 | 15,
                                    6u << 29 | 1,
                                    7u << 29 | 1,
                                    1u << 29 | 1u << 28 | 1024};
    size_t nbytes;
    write_file(raw, 3 * CHUNK, &good); /* chunk 0 is stored, 1 "zstd" */
    bad = good;
    bad.data[20 + 8 + CHUNK + 8 + 5] ^= 1;
    CHECK_STATUS(read_file(&bad, again, &nbytes), ISB_ERR_CORRUPT);
    CHECK_EQ(nbytes, CHUNK);
    CHECK(strstr(isb_context_error(ctx), "chunk 1 at byte 1052") != NULL);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        bad = good;
        for (int k = 0; k < 4; k++) bad.data[20 + k] = (uint8_t)(lies[i] >> (8 * k));
        CHECK_STATUS(read_file(&bad, again, &nbytes), ISB_ERR_CORRUPT);
        CHECK_EQ(nbytes, 0);
        CHECK(strstr(isb_context_error(ctx), " 0 at byte 20: ") != NULL);
    }
    isb__container_writer writer;
    CHECK_STATUS(isb__container_write_begin(ctx, 1023, write_memory, &bad, &writer), ISB_ERR_RANGE);
    isb__container_writer_free(&writer);
    memcpy(bad.data, "ISB\1\1\0\1\20", 8);
    CHECK_STATUS(read_file(&bad, again, &nbytes), ISB_ERR_VERSION);
}

/* Records that add up to more raw bytes than there are numbers for, or break the order. */
static void test_layouts(void) {
    isb__container_layout layout = {.chunk_nbytes = ISB__CONTAINER_MAX_CHUNK, .position = 20};
    isb__container_record record;
    const uint32_t fills = 2u << 29 | ISB__CONTAINER_MAX_SIZE;
    int n = 0;
    while (!isb__container_place(&layout, fills, 0, &record)) ++n;
    CHECK(n == 2048 && layout.raw_nbytes <= INT64_MAX); /* 2^28 chunks of 2^24 bytes each */

    layout = (isb__container_layout){.chunk_nbytes = 1024, .position = 20};
    CHECK(isb__container_place(&layout, 4u << 29 | 5, 0, &record) != NULL); /* ac before M1 */
    CHECK(isb__container_place(&layout, 5u << 29 | 16, 0, &record) == NULL);
    CHECK(isb__container_place(&layout, 4u << 29 | 0, 0, &record) == NULL);
    CHECK(isb__container_place(&layout, 5u << 29 | 16, 0, &record) != NULL); /* M1 twice */
    CHECK(isb__container_place(&layout, 1u << 29 | 1u << 28 | 9, 9, &record) == NULL);
    CHECK(isb__container_place(&layout, 1u << 29 | 1024, 0, &record) != NULL); /* the end was */
}

/* Footers and indexes that lie, with right checksums. */
static void put64(uint8_t *at, uint64_t value) {
    for (int i = 0; i < 8; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static void test_lying_footers(void) {
    static const uint64_t values[] = {0, 1, 87, 88, 1u << 20, UINT64_MAX, UINT64_C(1) << 63};
    size_t nbytes;
    write_file(raw, 3000, &good);
    for (int field = 0; field < 6; field++) {
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            bad = good;
            uint8_t *footer = bad.data + bad.nbytes - ISB__CONTAINER_FOOTER_NBYTES;
            put64(footer + 8 * field, values[i]);
            put64(footer + 48, isb__hash64(footer, 48, 0));
            CHECK_STATUS(read_file(&bad, again, &nbytes), ISB_ERR_CORRUPT);
            if (field < 4) CHECK_STATUS(read_by_index(&bad, again, &nbytes), ISB_ERR_CORRUPT);
        }
    }
    isb__container_index index;
    CHECK_OK(ctx, isb__container_index_open(ctx, read_memory_at, &good, good.nbytes, &index));
    CHECK_STATUS(isb__container_index_load(&index, 0, 11), ISB_ERR_NO_MEMORY);
    isb__container_index_free(&index);
}

int main(int argc, char **argv) {
    isb__rng rng;
    isb__rng_seed(&rng, check_begin(argc, argv));
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    for (size_t i = 0; i < sizeof raw; i++) raw[i] = (uint8_t)isb__rng_u64(&rng);
    static const uint8_t ends[9] = {8, 7, 8, 70, 7, 70, 8, 8, 7};
    for (size_t i = 0; i < 9; i++) raw[i * CHUNK + CHUNK - 1] = ends[i];
    memset(raw + 2 * CHUNK, 5, CHUNK);
    raw[2999] = 70;
    memset(raw + 4 * CHUNK, 9, CHUNK);
    test_sizes();
    test_fill();
    test_frames();
    test_golden_bytes();
    test_damage();
    test_texts_and_sizes();
    test_layouts();
    test_lying_footers();
    isb_context_free(ctx);
    return check_end();
}
