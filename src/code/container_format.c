/* The .isb form: header, footer, and what a record may be.  Numbers are little-endian, checksums
 * XXH3-64. */
#include "code/container_format.h"

#include <inttypes.h>
#include <string.h>

static const uint8_t MAGIC[6] = {0x89, 'I', 'S', 'B', '\r', '\n'};
static const uint8_t OLD_MAGIC[4] = {'I', 'S', 'B', 1};
static const uint8_t END_MAGIC[8] = {'I', 'S', 'B', ' ', 'e', 'n', 'd', '\n'};
enum { HEADER_HASHED = 12, FOOTER_HASHED = 48 };

/* ---- numbers ---- */

void isb__container_put(uint8_t *bytes, int nbytes, uint64_t value) {
    for (int i = 0; i < nbytes; i++) bytes[i] = (uint8_t)(value >> (8 * i));
}

uint64_t isb__container_get(const uint8_t *bytes, int nbytes) {
    uint64_t value = 0;
    for (int i = nbytes - 1; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

uint32_t isb__container_get_word(const uint8_t bytes[4]) {
    return (uint32_t)isb__container_get(bytes, 4);
}

uint32_t isb__container_check(const uint8_t *data, size_t nbytes) {
    return (uint32_t)isb__hash64(data, nbytes, 0);
}

isb_status isb__container_hash_begin(isb_context *ctx, isb__hasher **hasher) {
    *hasher = isb__hasher_create();
    return *hasher ? ISB_OK : isb__fail(ctx, ISB_ERR_NO_MEMORY, "no memory for a checksum");
}

uint64_t isb__container_hash_end(isb__hasher **hasher) {
    const uint64_t hash = *hasher ? isb__hasher_finish64(*hasher) : 0;
    *hasher = NULL;
    return hash;
}

/* ---- header and footer ---- */

void isb__container_put_header(uint32_t chunk_nbytes, uint8_t bytes[ISB__CONTAINER_HEADER_NBYTES]) {
    memcpy(bytes, MAGIC, sizeof MAGIC);
    isb__container_put(bytes + 6, 2, ISB__CONTAINER_VERSION);
    isb__container_put(bytes + 8, 4, chunk_nbytes);
    isb__container_put(bytes + HEADER_HASHED, 8, isb__hash64(bytes, HEADER_HASHED, 0));
}

bool isb__container_begins(const uint8_t *bytes, size_t nbytes) {
    return memcmp(bytes, MAGIC, nbytes < sizeof MAGIC ? nbytes : sizeof MAGIC) == 0;
}

static isb_status other_version(isb_context *ctx, int version) {
    return isb__fail(ctx, ISB_ERR_VERSION,
                     "a .isb file of version %d; this program reads version %d", version,
                     ISB__CONTAINER_VERSION);
}

/* The version is looked at before the checksum, whose place another version may move. */
isb_status isb__container_get_header(isb_context *ctx,
                                     const uint8_t bytes[ISB__CONTAINER_HEADER_NBYTES],
                                     uint32_t *chunk_nbytes) {
    if (memcmp(bytes, OLD_MAGIC, sizeof OLD_MAGIC) == 0) return other_version(ctx, 1);
    if (!isb__container_begins(bytes, sizeof MAGIC)) {
        return isb__fail(ctx, ISB_ERR_FORMAT,
                         "not a .isb file: it does not begin with the bytes 89 49 53 42 0d 0a");
    }
    const int version = (int)isb__container_get(bytes + 6, 2);
    if (version != ISB__CONTAINER_VERSION) return other_version(ctx, version);
    if (isb__container_get(bytes + HEADER_HASHED, 8) != isb__hash64(bytes, HEADER_HASHED, 0)) {
        return isb__fail(ctx, ISB_ERR_CORRUPT, "the header's checksum is wrong");
    }
    *chunk_nbytes = (uint32_t)isb__container_get(bytes + 8, 4);
    if (*chunk_nbytes >= ISB__CONTAINER_MIN_CHUNK && *chunk_nbytes <= ISB__CONTAINER_MAX_CHUNK)
        return ISB_OK;
    return isb__fail(ctx, ISB_ERR_CORRUPT,
                     "the header has chunks of %u bytes; %d to %d are allowed",
                     (unsigned)*chunk_nbytes, ISB__CONTAINER_MIN_CHUNK, ISB__CONTAINER_MAX_CHUNK);
}

void isb__container_put_footer(const isb__container_footer *footer,
                               uint8_t bytes[ISB__CONTAINER_FOOTER_NBYTES]) {
    const uint64_t fields[] = {footer->frame_nbytes, footer->raw_nbytes, footer->n_records,
                               footer->index_hash,   footer->raw_hash,   footer->frame_hash};
    for (int i = 0; i < 6; i++) isb__container_put(bytes + 8 * i, 8, fields[i]);
    isb__container_put(bytes + FOOTER_HASHED, 8, isb__hash64(bytes, FOOTER_HASHED, 0));
    memcpy(bytes + 56, END_MAGIC, sizeof END_MAGIC);
}

bool isb__container_get_footer(const uint8_t bytes[ISB__CONTAINER_FOOTER_NBYTES],
                               isb__container_footer *footer) {
    if (memcmp(bytes + 56, END_MAGIC, sizeof END_MAGIC) != 0) return false;
    if (isb__container_get(bytes + FOOTER_HASHED, 8) != isb__hash64(bytes, FOOTER_HASHED, 0))
        return false;
    *footer = (isb__container_footer){
        isb__container_get(bytes, 8),      isb__container_get(bytes + 8, 8),
        isb__container_get(bytes + 16, 8), isb__container_get(bytes + 24, 8),
        isb__container_get(bytes + 32, 8), isb__container_get(bytes + 40, 8)};
    return true;
}

/* ---- records ---- */

isb__container_layout isb__container_layout_begin(uint32_t chunk_nbytes, uint64_t start) {
    return (isb__container_layout){.chunk_nbytes = chunk_nbytes,
                                   .start = start,
                                   .position = start + ISB__CONTAINER_HEADER_NBYTES};
}

/* Whether a size is as the table of docs/container.md says. */
static bool size_is_right(const isb__container_record *record, uint32_t size, bool is_short) {
    const size_t raw = record->raw_nbytes;
    switch (record->kind) {
    case ISB__CONTAINER_STORED: return size == raw;
    case ISB__CONTAINER_FILL: return size >= 1 && (!is_short || size == 1);
    case ISB__CONTAINER_ZSTD: return size >= 1 && size < raw;
    case ISB__CONTAINER_AC: return size < raw;
    case ISB__CONTAINER_M1: return size >= ISB__CONTAINER_ID_NBYTES && !is_short;
    default: return false;
    }
}

static const char *what_is_wrong(const isb__container_layout *layout,
                                 const isb__container_record *record, uint32_t size,
                                 bool is_short) {
    if (record->kind == ISB__CONTAINER_END || record->kind >= ISB__CONTAINER_N_KINDS)
        return "a record of an unknown kind";
    if (layout->ended) return "a record after a chunk that is not full";
    if (is_short && (record->raw_nbytes == 0 || record->raw_nbytes >= layout->chunk_nbytes))
        return "a short chunk that is not shorter than the others";
    if (!size_is_right(record, size, is_short)) return "its size is not possible";
    if (record->kind == ISB__CONTAINER_M1 && layout->n_of[ISB__CONTAINER_M1] > 0)
        return "a second M1";
    if (record->kind == ISB__CONTAINER_AC && layout->n_of[ISB__CONTAINER_M1] == 0)
        return "a chunk coded with an M1 before any M1 is named";
    const uint64_t more = (uint64_t)record->n_chunks * record->raw_nbytes;
    return layout->raw_nbytes > INT64_MAX - more ? "more raw bytes than can be counted" : NULL;
}

const char *isb__container_place(isb__container_layout *layout, uint32_t word,
                                 uint64_t short_nbytes, isb__container_record *record) {
    const uint32_t size = word & ISB__CONTAINER_MAX_SIZE;
    const bool is_short = (word & ISB__CONTAINER_SHORT) != 0;
    const isb__container_kind kind = (isb__container_kind)(word >> (ISB__CONTAINER_SIZE_NBITS + 1));
    const bool is_m1 = kind == ISB__CONTAINER_M1, is_fill = kind == ISB__CONTAINER_FILL;
    if (short_nbytes > layout->chunk_nbytes)
        short_nbytes = layout->chunk_nbytes; /* refused below */
    *record = (isb__container_record){.kind = kind,
                                      .word = word,
                                      .offset = layout->position,
                                      .chunk = layout->n_chunks,
                                      .n_chunks = is_m1     ? 0
                                                  : is_fill ? size
                                                            : 1,
                                      .raw_nbytes = is_short ? (size_t)short_nbytes
                                                    : is_m1  ? 0
                                                             : layout->chunk_nbytes,
                                      .header_nbytes = is_short ? 12 : 8,
                                      .payload_nbytes = is_fill ? 1 : size};
    const char *wrong = what_is_wrong(layout, record, size, is_short);
    if (wrong) return wrong;
    if (is_m1) {
        layout->m1_offset = record->offset;
        layout->m1_nbytes = size - ISB__CONTAINER_ID_NBYTES;
    }
    layout->n_of[kind] += is_m1 ? 1 : record->n_chunks;
    layout->n_chunks += record->n_chunks;
    layout->raw_nbytes += (uint64_t)record->n_chunks * record->raw_nbytes;
    layout->position += record->header_nbytes + record->payload_nbytes;
    layout->ended = is_short;
    ++layout->n_records;
    return NULL;
}

isb_status isb__container_bad_record(isb_context *ctx, const isb__container_record *record,
                                     const char *what) {
    const char *name = record->kind == ISB__CONTAINER_M1 ? "M1 before chunk" : "chunk";
    return isb__fail(ctx, ISB_ERR_CORRUPT, "%s %" PRIu64 " at byte %" PRIu64 ": %s", name,
                     record->chunk, record->offset, what);
}

uint64_t isb__container_frame_nbytes(const isb__container_layout *layout) {
    return layout->position - layout->start + ISB__CONTAINER_WORD_NBYTES * (1 + layout->n_records) +
           ISB__CONTAINER_FOOTER_NBYTES;
}
