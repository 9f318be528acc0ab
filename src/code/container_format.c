/* The .isb form.  All numbers are little-endian; checksums are XXH3-64. */
#include "code/container_format.h"

#include <inttypes.h>
#include <string.h>

static const uint8_t MAGIC[4] = {'I', 'S', 'B', 1};
static const uint8_t END_MAGIC[8] = {'I', 'S', 'B', ' ', 'e', 'n', 'd', '\n'};

/* ---- numbers ---- */

static void put_number(uint8_t *bytes, int nbytes, uint64_t value) {
    for (int i = 0; i < nbytes; i++) bytes[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_number(const uint8_t *bytes, int nbytes) {
    uint64_t value = 0;
    for (int i = nbytes - 1; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

static isb_status create_hasher(isb_context *ctx, isb__hasher **hasher) {
    *hasher = isb__hasher_create();
    return *hasher ? ISB_OK : isb__fail(ctx, ISB_ERR_NO_MEMORY, "no memory for a checksum");
}

static uint64_t take_hash(isb__hasher **hasher) {
    const uint64_t hash = isb__hasher_finish64(*hasher);
    *hasher = NULL;
    return hash;
}

static void drop_hasher(isb__hasher **hasher) {
    if (*hasher) take_hash(hasher);
}

/* ---- header and footer ---- */

static void put_header(const isb__container_header *header,
                       uint8_t bytes[ISB__CONTAINER_HEADER_NBYTES]) {
    memset(bytes, 0, ISB__CONTAINER_HEADER_NBYTES);
    memcpy(bytes, MAGIC, sizeof MAGIC);
    put_number(bytes + 4, 2, ISB__CONTAINER_VERSION);
    bytes[6] = (uint8_t)header->code;
    bytes[7] = (uint8_t)header->precision_nbits;
    put_number(bytes + 8, 4, header->chunk_nbytes);
    memcpy(bytes + 16, header->m1.bytes, sizeof header->m1.bytes);
    put_number(bytes + 56, 8, isb__hash64(bytes, 56, 0));
}

static bool header_is_valid(const isb__container_header *header) {
    return header->code == ISB__CONTAINER_CODE_AC && header->precision_nbits >= 9 &&
           header->precision_nbits <= 16 && header->chunk_nbytes >= ISB__CONTAINER_MIN_CHUNK &&
           header->chunk_nbytes <= ISB__CONTAINER_MAX_CHUNK;
}

/* The version is looked at before the checksum, whose place another version may move. */
static isb_status get_header(isb_context *ctx, const uint8_t bytes[ISB__CONTAINER_HEADER_NBYTES],
                             isb__container_header *header) {
    if (memcmp(bytes, MAGIC, sizeof MAGIC) != 0) {
        return isb__fail(ctx, ISB_ERR_FORMAT,
                         "not a .isb file: it does not begin with \"ISB\" and the byte 1");
    }
    const int version = (int)get_number(bytes + 4, 2);
    if (version != ISB__CONTAINER_VERSION) {
        return isb__fail(ctx, ISB_ERR_VERSION,
                         "a .isb file of version %d; this program reads version %d", version,
                         ISB__CONTAINER_VERSION);
    }
    if (get_number(bytes + 56, 8) != isb__hash64(bytes, 56, 0)) {
        return isb__fail(ctx, ISB_ERR_CORRUPT, "the header's checksum is wrong");
    }
    header->code = bytes[6];
    header->precision_nbits = bytes[7];
    header->chunk_nbytes = (uint32_t)get_number(bytes + 8, 4);
    memcpy(header->m1.bytes, bytes + 16, sizeof header->m1.bytes);
    if (header_is_valid(header)) return ISB_OK;
    return isb__fail(ctx, ISB_ERR_CORRUPT,
                     "the header has code %d, precision %d and chunks of %u bytes", header->code,
                     header->precision_nbits, (unsigned)header->chunk_nbytes);
}

static void put_footer(uint64_t n_chunks, uint64_t raw_nbytes, uint64_t index_hash,
                       uint64_t raw_hash, uint8_t bytes[ISB__CONTAINER_FOOTER_NBYTES]) {
    put_number(bytes, 8, n_chunks);
    put_number(bytes + 8, 8, raw_nbytes);
    put_number(bytes + 16, 8, index_hash);
    put_number(bytes + 24, 8, raw_hash);
    put_number(bytes + 32, 8, isb__hash64(bytes, 32, 0));
    memcpy(bytes + 40, END_MAGIC, sizeof END_MAGIC);
}

/* ---- writing ---- */

static isb_status write_bytes(isb__container_writer *writer, const void *data, size_t nbytes) {
    ISB_TRY(writer->write(writer->user, data, nbytes));
    writer->position += nbytes;
    return ISB_OK;
}

static isb_status write_chunk_header(isb__container_writer *writer, size_t raw_nbytes,
                                     size_t packed_nbytes, uint64_t hash) {
    uint8_t bytes[ISB__CONTAINER_CHUNK_NBYTES];
    put_number(bytes, 4, raw_nbytes);
    put_number(bytes + 4, 4, packed_nbytes);
    put_number(bytes + 8, 8, hash);
    return write_bytes(writer, bytes, sizeof bytes);
}

isb_status isb__container_write_begin(isb_context *ctx, const isb__container_header *header,
                                      isb__write_fn write, void *user,
                                      isb__container_writer *writer) {
    *writer = (isb__container_writer){.ctx = ctx, .write = write, .user = user, .header = *header};
    if (!header_is_valid(header)) {
        return isb__fail(ctx, ISB_ERR_RANGE, "chunks of %u bytes; %d to %d are allowed",
                         (unsigned)header->chunk_nbytes, ISB__CONTAINER_MIN_CHUNK,
                         ISB__CONTAINER_MAX_CHUNK);
    }
    uint8_t bytes[ISB__CONTAINER_HEADER_NBYTES];
    ISB_TRY(create_hasher(ctx, &writer->raw_hasher));
    put_header(header, bytes);
    return write_bytes(writer, bytes, sizeof bytes);
}

isb_status isb__container_write_chunk(isb__container_writer *writer, const uint8_t *raw,
                                      size_t raw_nbytes, const uint8_t *packed,
                                      size_t packed_nbytes) {
    const size_t n_chunks = (size_t)writer->n_chunks;
    if (packed_nbytes >= raw_nbytes) {
        packed = raw;
        packed_nbytes = raw_nbytes;
    }
    ISB_TRY(isb__grow_array(writer->ctx, n_chunks + 1, sizeof *writer->index,
                            &writer->index_capacity, &writer->index));
    writer->index[n_chunks] = writer->position;
    isb__hasher_update(writer->raw_hasher, raw, raw_nbytes);
    ISB_TRY(write_chunk_header(writer, raw_nbytes, packed_nbytes, isb__hash64(raw, raw_nbytes, 0)));
    ISB_TRY(write_bytes(writer, packed, packed_nbytes));
    writer->raw_nbytes += raw_nbytes;
    ++writer->n_chunks;
    return ISB_OK;
}

static isb_status write_index(isb__container_writer *writer, uint64_t *hash) {
    isb__hasher *hasher;
    ISB_TRY(create_hasher(writer->ctx, &hasher));
    isb_status status = ISB_OK;
    for (uint64_t i = 0; i < writer->n_chunks && status == ISB_OK; i++) {
        uint8_t bytes[8];
        put_number(bytes, 8, writer->index[i]);
        isb__hasher_update(hasher, bytes, sizeof bytes);
        status = write_bytes(writer, bytes, sizeof bytes);
    }
    *hash = take_hash(&hasher);
    return status;
}

isb_status isb__container_write_end(isb__container_writer *writer) {
    const uint64_t raw_hash = take_hash(&writer->raw_hasher);
    uint64_t index_hash;
    uint8_t footer[ISB__CONTAINER_FOOTER_NBYTES];
    ISB_TRY(write_chunk_header(writer, 0, 0, raw_hash));
    ISB_TRY(write_index(writer, &index_hash));
    put_footer(writer->n_chunks, writer->raw_nbytes, index_hash, raw_hash, footer);
    return write_bytes(writer, footer, sizeof footer);
}

void isb__container_writer_free(isb__container_writer *writer) {
    if (!writer->ctx) return;
    drop_hasher(&writer->raw_hasher);
    isb__free(writer->ctx, writer->index);
    *writer = (isb__container_writer){0};
}

/* ---- reading ---- */

static isb_status read_bytes(isb__container_reader *reader, void *data, size_t nbytes) {
    size_t got = 0;
    ISB_TRY(reader->read(reader->user, data, nbytes, &got));
    reader->position += got;
    if (got == nbytes) return ISB_OK;
    return isb__fail(reader->ctx, ISB_ERR_CORRUPT,
                     "the file ends at byte %" PRIu64 ", after %" PRIu64 " whole chunks",
                     reader->position, reader->n_chunks);
}

static isb_status chunk_is_corrupt(const isb__container_reader *reader, uint64_t number,
                                   uint64_t offset, const char *what) {
    return isb__fail(reader->ctx, ISB_ERR_CORRUPT, "chunk %" PRIu64 " at byte %" PRIu64 ": %s",
                     number, offset, what);
}

isb_status isb__container_read_begin(isb_context *ctx, isb__read_fn read, void *user,
                                     isb__container_reader *reader) {
    *reader = (isb__container_reader){.ctx = ctx, .read = read, .user = user};
    uint8_t bytes[ISB__CONTAINER_HEADER_NBYTES] = {0};
    size_t got = 0;
    ISB_TRY(read(user, bytes, sizeof bytes, &got));
    reader->position = got;
    if (got > 0 && got < sizeof bytes &&
        memcmp(bytes, MAGIC, got < sizeof MAGIC ? got : sizeof MAGIC) == 0) {
        return isb__fail(ctx, ISB_ERR_CORRUPT, "the file ends at byte %zu, in its header", got);
    }
    ISB_TRY(get_header(ctx, bytes, &reader->header));
    ISB_TRY(create_hasher(ctx, &reader->raw_hasher));
    return create_hasher(ctx, &reader->index_hasher);
}

/* Everything after the chunks says once more what was read; then the file must end. */
static isb_status read_tail(isb__container_reader *reader) {
    isb__hasher *hasher;
    ISB_TRY(create_hasher(reader->ctx, &hasher));
    isb_status status = ISB_OK;
    for (uint64_t i = 0; i < reader->n_chunks && status == ISB_OK; i++) {
        uint8_t bytes[8];
        status = read_bytes(reader, bytes, sizeof bytes);
        isb__hasher_update(hasher, bytes, sizeof bytes);
    }
    const uint64_t found = take_hash(&hasher), expected = take_hash(&reader->index_hasher);
    ISB_TRY(status);
    if (found != expected)
        return isb__fail(reader->ctx, ISB_ERR_CORRUPT, "the index does not match the chunks");
    uint8_t footer[ISB__CONTAINER_FOOTER_NBYTES], right[ISB__CONTAINER_FOOTER_NBYTES];
    ISB_TRY(read_bytes(reader, footer, sizeof footer));
    put_footer(reader->n_chunks, reader->raw_nbytes, expected, reader->total_hash, right);
    if (memcmp(footer, right, sizeof right) != 0) {
        return isb__fail(reader->ctx, ISB_ERR_CORRUPT,
                         "the footer does not match the %" PRIu64 " chunks before it",
                         reader->n_chunks);
    }
    size_t got = 0;
    ISB_TRY(reader->read(reader->user, footer, 1, &got));
    if (got == 0) return ISB_OK;
    return isb__fail(reader->ctx, ISB_ERR_CORRUPT,
                     "the file goes on after its end at byte %" PRIu64, reader->position);
}

static isb_status check_sizes(const isb__container_reader *reader,
                              const isb__container_chunk *chunk) {
    const char *what = NULL;
    if (reader->short_chunk) what = "a chunk after one that is not full";
    if (chunk->raw_nbytes == 0) what = "packed bytes without raw bytes";
    if (chunk->raw_nbytes > reader->header.chunk_nbytes)
        what = "larger than the header's chunk size";
    if (chunk->packed_nbytes > chunk->raw_nbytes) what = "more packed bytes than raw bytes";
    return what ? chunk_is_corrupt(reader, chunk->number, chunk->offset, what) : ISB_OK;
}

isb_status isb__container_read_chunk(isb__container_reader *reader, isb__container_chunk *chunk,
                                     bool *end) {
    uint8_t bytes[ISB__CONTAINER_CHUNK_NBYTES];
    *end = false;
    chunk->number = reader->n_chunks;
    chunk->offset = reader->position;
    ISB_TRY(read_bytes(reader, bytes, sizeof bytes));
    chunk->raw_nbytes = (size_t)get_number(bytes, 4);
    chunk->packed_nbytes = (size_t)get_number(bytes + 4, 4);
    chunk->raw_hash = get_number(bytes + 8, 8);
    chunk->stored = chunk->packed_nbytes == chunk->raw_nbytes;
    if (chunk->raw_nbytes == 0 && chunk->packed_nbytes == 0) {
        reader->total_hash = chunk->raw_hash;
        reader->ended = *end = true;
        return read_tail(reader);
    }
    ISB_TRY(check_sizes(reader, chunk));
    ISB_TRY(isb__grow_array(reader->ctx, chunk->packed_nbytes, 1, &chunk->packed_capacity,
                            &chunk->packed));
    ISB_TRY(read_bytes(reader, chunk->packed, chunk->packed_nbytes));
    put_number(bytes, 8, chunk->offset);
    isb__hasher_update(reader->index_hasher, bytes, 8);
    reader->short_chunk = chunk->raw_nbytes < reader->header.chunk_nbytes;
    reader->raw_nbytes += chunk->raw_nbytes;
    ++reader->n_chunks;
    return ISB_OK;
}

isb_status isb__container_check_chunk(isb__container_reader *reader,
                                      const isb__container_chunk *chunk, const uint8_t *raw,
                                      size_t raw_nbytes) {
    if (raw_nbytes != chunk->raw_nbytes || isb__hash64(raw, raw_nbytes, 0) != chunk->raw_hash) {
        return chunk_is_corrupt(reader, chunk->number, chunk->offset,
                                "its bytes do not have its checksum");
    }
    isb__hasher_update(reader->raw_hasher, raw, raw_nbytes);
    return ISB_OK;
}

isb_status isb__container_read_end(isb__container_reader *reader) {
    if (take_hash(&reader->raw_hasher) == reader->total_hash) return ISB_OK;
    return isb__fail(reader->ctx, ISB_ERR_CORRUPT,
                     "the chunks do not have the checksum of the whole");
}

void isb__container_reader_free(isb__container_reader *reader) {
    drop_hasher(&reader->raw_hasher);
    drop_hasher(&reader->index_hasher);
    *reader = (isb__container_reader){0};
}
