/* The file of a codebook (docs/formats.md, section 5): a header, and one zstd frame of texts, front-coded strings and,
 * for compiled windows, ids.
 *
 * The frame holds each kind of number together, since zstd does better on them: first all lengths that strings share
 * with the string before, then all lengths of what is new, then what is new; ids as differences, all low bytes first.
 *
 * Files come from anywhere.  The checksum finds damage; against malice, no number is believed: sizes are bounded before
 * memory is taken, every read is inside the frame, and the strings and ids are checked for all that the matcher relies
 * on. */
#include <string.h>
#include <zstd.h>

#include "base/io.h"
#include "codebook/codebook_state.h"

enum { HEADER_NBYTES = 40, CHECKED_FROM = 16, VERSION = 1, FLAG_IDS = 1, LEVEL = 19 };
#define LIMIT_NBYTES ((size_t)1 << 27) /* of a file, and of what is in its frame */
static const uint8_t MAGIC[4] = {'I', 'S', 'B', 2};
#define NO_STRING UINT32_MAX

static void put_number(uint8_t *bytes, size_t nbytes, uint64_t number) {
    for (size_t i = 0; i < nbytes; ++i) bytes[i] = (uint8_t)(number >> (8 * i));
}
static uint64_t get_number(const uint8_t *bytes, size_t nbytes) {
    uint64_t number = 0;
    for (size_t i = 0; i < nbytes; ++i) number |= (uint64_t)bytes[i] << (8 * i);
    return number;
}

/* ---- writing ---- */

typedef struct buffer {
    uint8_t *bytes;
    size_t nbytes;
} buffer;

static void put_bytes(buffer *b, const void *data, size_t nbytes) {
    memcpy(b->bytes + b->nbytes, data, nbytes);
    b->nbytes += nbytes;
}
static void put_text(buffer *b, const char *text) { put_bytes(b, text, strlen(text) + 1); }

static size_t shared_with_last(const isb_codebook *c, size_t i) {
    size_t last_nbytes = 0, nbytes, n = 0;
    if (i == 0) return 0;
    const uint8_t *last = isb__codebook_listed(c, i - 1, &last_nbytes),
                  *string = isb__codebook_listed(c, i, &nbytes);
    while (n < last_nbytes && n < nbytes && last[n] == string[n]) ++n;
    return n;
}

static void put_strings(buffer *b, const isb_codebook *c) {
    uint8_t *shared = b->bytes + b->nbytes, *rest = shared + c->n_listed;
    b->nbytes += 2 * c->n_listed;
    for (size_t i = 0; i < c->n_listed; ++i) {
        size_t nbytes;
        const uint8_t *string = isb__codebook_listed(c, i, &nbytes);
        shared[i] = (uint8_t)shared_with_last(c, i);
        rest[i] = (uint8_t)(nbytes - shared[i]);
        put_bytes(b, string + shared[i], rest[i]);
    }
}

/* The id that text with the string of this id gets. */
static uint32_t canonical_id(const isb_codebook *c, size_t id) {
    size_t nbytes;
    const uint8_t *string = isb__codebook_bytes(c, id, &nbytes);
    return nbytes ? (uint32_t)isb_codebook_find(c, string, nbytes) : NO_STRING;
}

static void put_ids(buffer *b, const isb_codebook *c, size_t n,
                    uint32_t (*get)(const isb_codebook *c, size_t i)) {
    uint32_t last = 0;
    for (size_t i = 0; i < n; ++i) {
        const uint32_t id = get(c, i);
        for (size_t plane = 0; plane < 4; ++plane)
            b->bytes[b->nbytes + plane * n + i] = (uint8_t)((id - last) >> (8 * plane));
        last = id;
    }
    b->nbytes += 4 * n;
}
static uint32_t id_of_string(const isb_codebook *c, size_t i) { return c->ids[i]; }

static size_t content_bound(const isb_codebook *c) {
    const size_t texts = sizeof c->name + sizeof c->kind + strlen(c->card) + 1;
    const size_t ids = c->ids ? 4 * (c->n_listed + c->n_codes) : 0;
    const size_t strings = c->ids ? (size_t)c->listed_offsets[c->n_listed] : c->offsets[c->n_ids];
    return texts + c->n_specials * sizeof *c->specials + 2 * c->n_listed + strings + ids;
}

static void put_content(buffer *b, const isb_codebook *c) {
    put_text(b, c->name);
    put_text(b, c->kind);
    put_text(b, c->card);
    for (size_t i = 1; i < c->n_specials; ++i) put_text(b, c->specials[i]);
    put_strings(b, c);
    if (!c->ids) return;
    put_ids(b, c, c->n_listed, id_of_string);
    put_ids(b, c, c->n_codes, canonical_id);
}

static void put_header(uint8_t *file, size_t nbytes, const isb_codebook *c, size_t content_nbytes) {
    memcpy(file, MAGIC, sizeof MAGIC);
    put_number(file + 4, 4, VERSION);
    put_number(file + 16, 4, c->n_listed);
    put_number(file + 20, 4, c->n_codes);
    put_number(file + 24, 4, c->n_specials);
    put_number(file + 28, 4, c->ids ? FLAG_IDS : 0);
    put_number(file + 32, 8, content_nbytes);
    put_number(file + 8, 8, isb__hash64(file + CHECKED_FROM, nbytes - CHECKED_FROM, 0));
}

/* The whole file in memory (returns owned). */
static isb_status make_file(isb_context *ctx, const isb_codebook *c, uint8_t **file,
                            size_t *nbytes) {
    buffer content = {0};
    *file = NULL;
    ISB_TRY(isb__alloc(ctx, content_bound(c), &content.bytes));
    put_content(&content, c);
    const size_t bound = ZSTD_compressBound(content.nbytes);
    isb_status status = isb__alloc(ctx, HEADER_NBYTES + bound, file);
    if (status == ISB_OK) {
        const size_t packed =
            ZSTD_compress(*file + HEADER_NBYTES, bound, content.bytes, content.nbytes, LEVEL);
        *nbytes = HEADER_NBYTES + packed;
        if (ZSTD_isError(packed)) {
            status =
                isb__fail(ctx, ISB_ERR_NO_MEMORY, "cannot compress a codebook of %zu bytes: %s",
                          content.nbytes, ZSTD_getErrorName(packed));
        } else {
            put_header(*file, *nbytes, c, content.nbytes);
        }
    }
    isb__free(ctx, content.bytes);
    return status;
}

isb_status isb_codebook_save(isb_context *ctx, const isb_codebook *codebook, const char *path) {
    uint8_t *file;
    size_t nbytes = 0;
    isb_status status = make_file(ctx, codebook, &file, &nbytes);
    if (status == ISB_OK) status = isb__file_write(ctx, path, file, nbytes);
    isb__free(ctx, file);
    return status;
}

/* ---- reading ---- */

typedef struct reader {
    isb_context *ctx;
    const char *source; /* the name in messages */
    size_t n_strings, n_codes, n_specials;
    bool has_ids;
    uint8_t *content; /* owned: the unpacked frame */
    size_t nbytes, position;
    char **specials;                     /* owned, of borrowed names */
    uint64_t *offsets;                   /* owned */
    uint8_t *bytes;                      /* owned */
    uint32_t *ids;                       /* owned: of the strings */
    size_t *decoded;                     /* owned */
    isb_codebook_create_options options; /* borrows from content */
} reader;

static isb_status corrupt(const reader *r, const char *what, size_t where) {
    return isb__fail(r->ctx, ISB_ERR_CORRUPT, "%s is damaged: %s %zu", r->source, what, where);
}

static isb_status get_header(reader *r, const uint8_t *file, size_t nbytes) {
    if (nbytes < 8 || memcmp(file, MAGIC, sizeof MAGIC) != 0) {
        return isb__fail(r->ctx, ISB_ERR_FORMAT,
                         "%s is no codebook: it does not begin with \"ISB\" and the byte 2",
                         r->source);
    }
    const unsigned version = (unsigned)get_number(file + 4, 4);
    if (version != VERSION) {
        return isb__fail(r->ctx, ISB_ERR_VERSION,
                         "%s is a codebook of version %u; this program reads version %d", r->source,
                         version, VERSION);
    }
    if (nbytes < HEADER_NBYTES) return corrupt(r, "the file ends in its header, at byte", nbytes);
    if (get_number(file + 8, 8) != isb__hash64(file + CHECKED_FROM, nbytes - CHECKED_FROM, 0))
        return corrupt(r, "the checksum is wrong; bytes:", nbytes);
    const uint64_t flags = get_number(file + 28, 4), content_nbytes = get_number(file + 32, 8);
    r->n_strings = (size_t)get_number(file + 16, 4);
    r->n_codes = (size_t)get_number(file + 20, 4);
    r->n_specials = (size_t)get_number(file + 24, 4);
    r->has_ids = flags & FLAG_IDS;
    if (flags > FLAG_IDS) return corrupt(r, "unknown flags", (size_t)flags);
    if (r->n_codes > ISB_CODEBOOK_MAX_IDS) return corrupt(r, "too many codes:", r->n_codes);
    if (r->n_specials < 1 || r->n_specials > ISB_CODEBOOK_MAX_IDS - r->n_codes)
        return corrupt(r, "number of special ids:", r->n_specials);
    if (r->n_strings < 256 || r->n_strings > ISB_CODEBOOK_MAX_IDS ||
        (!r->has_ids && r->n_strings != r->n_codes))
        return corrupt(r, "number of strings:", r->n_strings);
    if (content_nbytes > LIMIT_NBYTES) return corrupt(r, "content size:", (size_t)content_nbytes);
    r->nbytes = (size_t)content_nbytes;
    return ISB_OK;
}

static isb_status unpack(reader *r, const uint8_t *packed, size_t packed_nbytes) {
    if (ZSTD_getFrameContentSize(packed, packed_nbytes) != r->nbytes)
        return corrupt(r, "the frame does not have the content size", r->nbytes);
    ISB_TRY(isb__alloc(r->ctx, r->nbytes, &r->content));
    const size_t n = ZSTD_decompress(r->content, r->nbytes, packed, packed_nbytes);
    if (ZSTD_isError(n)) {
        return isb__fail(r->ctx, ISB_ERR_CORRUPT, "%s is damaged: %s", r->source,
                         ZSTD_getErrorName(n));
    }
    return n == r->nbytes ? ISB_OK : corrupt(r, "content bytes:", n);
}

static isb_status take(reader *r, size_t nbytes, const uint8_t **bytes) {
    if (nbytes > r->nbytes - r->position) return corrupt(r, "the content ends at byte", r->nbytes);
    *bytes = r->content + r->position;
    r->position += nbytes;
    return ISB_OK;
}

static isb_status take_text(reader *r, char **text) {
    char *begin = (char *)r->content + r->position;
    const char *end = memchr(begin, 0, r->nbytes - r->position);
    if (!end) return corrupt(r, "a text has no end; it begins at byte", r->position);
    r->position += (size_t)(end - begin) + 1;
    *text = begin;
    return ISB_OK;
}

static isb_status take_texts(reader *r) {
    char *name, *kind, *card;
    ISB_TRY(take_text(r, &name));
    ISB_TRY(take_text(r, &kind));
    ISB_TRY(take_text(r, &card));
    ISB_TRY(isb__alloc_array(r->ctx, r->n_specials, sizeof *r->specials, &r->specials));
    for (size_t i = 0; i + 1 < r->n_specials; ++i) ISB_TRY(take_text(r, &r->specials[i]));
    isb_codebook_create_options_init(&r->options);
    r->options.name = name;
    r->options.kind = kind;
    r->options.card = card;
    r->options.specials = (const char *const *)r->specials;
    r->options.n_specials = r->n_specials - 1;
    return ISB_OK;
}

static isb_status measure_strings(reader *r, const uint8_t *shared, const uint8_t *rest,
                                  size_t *rest_nbytes) {
    size_t nbytes = 0, last_nbytes = 0;
    *rest_nbytes = 0;
    ISB_TRY(isb__alloc_array(r->ctx, r->n_strings + 1, sizeof *r->offsets, &r->offsets));
    for (size_t i = 0; i < r->n_strings; ++i) {
        const size_t n = (size_t)shared[i] + rest[i];
        if (rest[i] == 0 || n > ISB_CODEBOOK_MAX_STRING_NBYTES || shared[i] > last_nbytes)
            return corrupt(r, "impossible length of string", i);
        *rest_nbytes += rest[i];
        nbytes += n;
        r->offsets[i + 1] = nbytes;
        last_nbytes = n;
    }
    return nbytes <= ISB__CODEBOOK_MAX_TEXT_NBYTES ? ISB_OK
                                                   : corrupt(r, "bytes of all strings:", nbytes);
}

/* The first new byte of a string must be above the byte in its place in the last one, if that has one: then the strings
 * are in order and distinct. */
static isb_status take_strings(reader *r) {
    const uint8_t *shared = NULL, *rest = NULL, *bytes = NULL;
    size_t rest_nbytes, n_singles = 0;
    ISB_TRY(take(r, r->n_strings, &shared));
    ISB_TRY(take(r, r->n_strings, &rest));
    ISB_TRY(measure_strings(r, shared, rest, &rest_nbytes));
    ISB_TRY(take(r, rest_nbytes, &bytes));
    ISB_TRY(isb__alloc(r->ctx, (size_t)r->offsets[r->n_strings], &r->bytes));
    for (size_t i = 0; i < r->n_strings; bytes += rest[i], ++i) {
        uint8_t *string = r->bytes + r->offsets[i];
        const size_t last_nbytes = i > 0 ? (size_t)(r->offsets[i] - r->offsets[i - 1]) : 0;
        const uint8_t *last = string - last_nbytes;
        if (shared[i] < last_nbytes && bytes[0] <= last[shared[i]])
            return corrupt(r, "not in order or not distinct: string", i);
        memcpy(string, last, shared[i]);
        memcpy(string + shared[i], bytes, rest[i]);
        n_singles += shared[i] + rest[i] == 1;
    }
    return n_singles == 256 ? ISB_OK : corrupt(r, "bytes that are strings:", n_singles);
}

static isb_status take_ids(reader *r, size_t n, uint32_t **ids) {
    const uint8_t *planes = NULL;
    uint32_t id = 0;
    ISB_TRY(take(r, 4 * n, &planes));
    ISB_TRY(isb__alloc_array(r->ctx, n, sizeof **ids, ids));
    for (size_t i = 0; i < n; ++i) {
        for (size_t plane = 0; plane < 4; ++plane)
            id += (uint32_t)planes[plane * n + i] << (8 * plane);
        (*ids)[i] = id;
    }
    return ISB_OK;
}

static bool begins_with(const reader *r, size_t i, size_t prefix) {
    const uint64_t *at = r->offsets;
    const size_t n = (size_t)(at[prefix + 1] - at[prefix]);
    return n < at[i + 1] - at[i] && memcmp(r->bytes + at[i], r->bytes + at[prefix], n) == 0;
}

/* Every string has an id of its own, that decodes to it, or is a cut and has that of a string before; other ids decode
 * to what one of these does, or to nothing. */
static isb_status check_ids(reader *r, const uint32_t *canonical) {
    ISB_TRY(isb__alloc_array(r->ctx, r->n_codes, sizeof *r->decoded, &r->decoded));
    for (size_t id = 0; id < r->n_codes; ++id) r->decoded[id] = SIZE_MAX;
    for (size_t i = 0; i < r->n_strings; ++i) {
        const uint32_t id = r->ids[i];
        if (id >= r->n_codes || canonical[id] != id)
            return corrupt(r, "impossible id of string", i);
        if (r->decoded[id] == SIZE_MAX)
            r->decoded[id] = i;
        else if (!begins_with(r, i, r->decoded[id]))
            return corrupt(r, "the id of another string has string", i);
    }
    for (size_t id = 0; id < r->n_codes; ++id) {
        const uint32_t same = canonical[id];
        if (same == id && r->decoded[id] != SIZE_MAX) continue;
        if (same == NO_STRING) continue;
        if (same >= r->n_codes || same == id || canonical[same] != same ||
            r->decoded[same] == SIZE_MAX)
            return corrupt(r, "impossible string of id", id);
        r->decoded[id] = r->decoded[same];
    }
    return ISB_OK;
}

static isb_status take_all_ids(reader *r) {
    uint32_t *canonical = NULL;
    if (!r->has_ids) return ISB_OK;
    ISB_TRY(take_ids(r, r->n_strings, &r->ids));
    isb_status status = take_ids(r, r->n_codes, &canonical);
    if (status == ISB_OK) status = check_ids(r, canonical);
    isb__free(r->ctx, canonical);
    return status;
}

static isb_status parse(reader *r, const uint8_t *file, size_t nbytes, isb_codebook **codebook) {
    ISB_TRY(get_header(r, file, nbytes));
    ISB_TRY(unpack(r, file + HEADER_NBYTES, nbytes - HEADER_NBYTES));
    ISB_TRY(take_texts(r));
    ISB_TRY(take_strings(r));
    ISB_TRY(take_all_ids(r));
    if (r->position != r->nbytes) return corrupt(r, "unknown content from byte", r->position);
    const isb__codebook_content content = {.bytes = r->bytes,
                                           .offsets = r->offsets,
                                           .n_strings = r->n_strings,
                                           .ids = r->ids,
                                           .decoded = r->decoded,
                                           .n_codes = r->n_codes};
    ISB_TRY(isb__codebook_from_sorted(r->ctx, &content, &r->options, codebook));
    (*codebook)->file_nbytes = nbytes;
    return ISB_OK;
}

isb_status isb__codebook_parse(isb_context *ctx, const char *source, const uint8_t *file,
                               size_t nbytes, isb_codebook **codebook) {
    reader r = {.ctx = ctx, .source = source};
    *codebook = NULL;
    const isb_status status = parse(&r, file, nbytes, codebook);
    isb__free(ctx, r.content);
    isb__free(ctx, r.specials);
    isb__free(ctx, r.offsets);
    isb__free(ctx, r.bytes);
    isb__free(ctx, r.ids);
    isb__free(ctx, r.decoded);
    return status;
}

isb_status isb_codebook_open_memory(isb_context *ctx, const uint8_t *file, size_t nbytes,
                                    isb_codebook **codebook) {
    return isb__codebook_parse(ctx, "the codebook in memory", file, nbytes, codebook);
}

static isb_status open_file(isb_context *ctx, const char *path, isb_codebook **codebook) {
    uint8_t *file;
    size_t nbytes;
    ISB_TRY(isb__file_read(ctx, path, LIMIT_NBYTES, &file, &nbytes));
    const isb_status status = isb__codebook_parse(ctx, path, file, nbytes, codebook);
    isb__free(ctx, file);
    return status;
}

isb_status isb_codebook_open(isb_context *ctx, const char *where, isb_codebook **codebook) {
    *codebook = NULL;
    const bool released = !where || strcmp(where, ISB__RELEASED_NAME) == 0;
    if (where && isb__path_exists(where)) return open_file(ctx, where, codebook);
    if (!released) {
        return isb__fail(
            ctx, ISB_ERR_NOT_FOUND,
            "there is no file %s, and no codebook of that name in the library, which has "
            "only " ISB__RELEASED_NAME,
            where);
    }
    size_t nbytes;
    const uint8_t *file = isb__released_codebook(&nbytes);
    return isb__codebook_parse(ctx, ISB__RELEASED_NAME, file, nbytes, codebook);
}
