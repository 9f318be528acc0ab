/* Codebooks against the definition of greedy longest match: random sets of strings, mostly over two letters so that
 * they overlap in every way, on all short texts and on long ones; every way of calling gives the same ids. */
#include "check.h"

#include "base/rng.h"
#include "codebook/codebook.h"

enum { MAX_STRINGS = 400, MAX_TEXT = 40000 };

static isb_context *ctx;
static isb__rng rng;

static size_t below(size_t n) { return (size_t)isb__rng_below(&rng, n); }

/* ---- the definition, without any code of the library ---- */

typedef struct string_set {
    uint8_t bytes[MAX_STRINGS][256];
    isb_codebook_text texts[MAX_STRINGS];
    size_t n;
} string_set;

static size_t longest_match(const string_set *set, const uint8_t *text, size_t nbytes) {
    size_t longest = 1;
    for (size_t i = 0; i < set->n; ++i) {
        const size_t n = set->texts[i].nbytes;
        if (n > longest && n <= nbytes && memcmp(set->bytes[i], text, n) == 0) longest = n;
    }
    return longest;
}

/* The lengths of the tokens. */
static size_t reference(const string_set *set, const uint8_t *text, size_t nbytes,
                        size_t *lengths) {
    size_t n = 0;
    for (size_t i = 0; i < nbytes; i += lengths[n++])
        lengths[n] = longest_match(set, text + i, nbytes - i);
    return n;
}

/* ---- random sets and texts ---- */

static void add_string(string_set *set, const uint8_t *bytes, size_t nbytes) {
    memcpy(set->bytes[set->n], bytes, nbytes);
    set->texts[set->n] = (isb_codebook_text){set->bytes[set->n], nbytes};
    ++set->n;
}

static void random_bytes(uint8_t *bytes, size_t nbytes, size_t n_letters) {
    for (size_t i = 0; i < nbytes; ++i)
        bytes[i] = (uint8_t)(n_letters == 256 ? below(256) : 'a' + below(n_letters));
}

/* Fresh strings, and pieces, doublings and extensions of earlier ones. */
static void random_set(string_set *set, size_t n, size_t max_nbytes, size_t n_letters) {
    uint8_t bytes[512];
    set->n = 0;
    while (set->n < n) {
        size_t nbytes = 1 + below(max_nbytes);
        random_bytes(bytes, sizeof bytes, below(3) ? n_letters : 1);
        if (set->n > 0 && below(2)) {
            const isb_codebook_text *old = &set->texts[below(set->n)];
            const size_t from = below(old->nbytes), kept = old->nbytes - from;
            memcpy(bytes + (below(2) ? 0 : nbytes % 3), old->bytes + from, kept);
            if (below(3) == 0) memcpy(bytes + kept, old->bytes, old->nbytes);
        }
        if (nbytes > max_nbytes) nbytes = max_nbytes;
        add_string(set, bytes, nbytes);
    }
}

/* Mostly made of the set's strings, whole or cut. */
static void random_text(const string_set *set, uint8_t *text, size_t nbytes, size_t n_letters) {
    random_bytes(text, nbytes, n_letters);
    for (size_t i = 0; i < nbytes; i += 1 + below(20)) {
        const isb_codebook_text *string = &set->texts[below(set->n)];
        for (size_t repeats = below(4); repeats > 0 && i + string->nbytes < nbytes; --repeats) {
            memcpy(text + i, string->bytes, string->nbytes);
            i += string->nbytes;
        }
    }
}

/* ---- all ways of calling ---- */

static void check_streaming(const isb_codebook *c, const uint8_t *text, size_t nbytes,
                            const uint32_t *ids, size_t n_ids, size_t max_piece) {
    static uint32_t found[MAX_TEXT + 256];
    isb_codebook_info info = {.struct_size = sizeof info};
    isb_codebook_encoder encoder;
    size_t n = 0, got;
    isb_codebook_get_info(c, &info);
    isb_codebook_encoder_init(&encoder, c);
    for (size_t i = 0, piece; i < nbytes; i += piece) {
        piece = below(max_piece + 1);
        if (piece > nbytes - i) piece = nbytes - i;
        /* the memory ends where the piece ends */
        uint8_t *copy = malloc(piece + 1);
        memcpy(copy, text + i, piece);
        CHECK(isb_codebook_encoder_push(&encoder, copy, piece, found + n,
                                        piece + info.max_string_nbytes, &got) == ISB_OK);
        free(copy);
        n += got;
    }
    CHECK(isb_codebook_encoder_finish(&encoder, found + n, info.max_string_nbytes, &got) == ISB_OK);
    n += got;
    CHECK_EQ(n, n_ids);
    CHECK(memcmp(found, ids, n_ids * sizeof *ids) == 0);
    CHECK(isb_codebook_encoder_finish(&encoder, found, 0, &got) == ISB_OK && got == 0);
}

static void check_capacity(const isb_codebook *c, const uint8_t *text, size_t nbytes,
                           const uint32_t *ids, size_t n_ids) {
    const size_t capacity = below(n_ids + 1);
    uint32_t *found = malloc((capacity + 1) * sizeof *found); /* sanitizers watch its end */
    size_t n;
    const isb_status expected = capacity < n_ids ? ISB_ERR_BUFFER_SIZE : ISB_OK;
    CHECK_STATUS(isb_codebook_encode(c, text, nbytes, found, capacity, &n), expected);
    CHECK_EQ(n, n_ids);
    if (expected == ISB_OK) CHECK(memcmp(found, ids, n * sizeof *ids) == 0);
    free(found);
    CHECK_EQ(isb_codebook_count(c, text, nbytes), n_ids);
}

static void check_u16(const isb_codebook *c, const uint8_t *text, size_t nbytes,
                      const uint32_t *ids, size_t n_ids) {
    static uint16_t found[MAX_TEXT];
    static uint8_t back[MAX_TEXT];
    size_t n, got;
    CHECK(isb_codebook_encode_u16(c, text, nbytes, found, MAX_TEXT, &n) == ISB_OK);
    CHECK_EQ(n, n_ids);
    for (size_t i = 0; i < n; ++i) {
        if (found[i] != ids[i]) CHECK_EQ(found[i], ids[i]);
    }
    CHECK(isb_codebook_decode_u16(c, found, n, back, MAX_TEXT, &got) == ISB_OK);
    CHECK(got == nbytes && memcmp(back, text, nbytes) == 0);
}

static void check_decoding(const isb_codebook *c, const uint8_t *text, size_t nbytes,
                           const uint32_t *ids, size_t n_ids) {
    uint64_t *offsets = malloc((n_ids + 1) * sizeof *offsets);
    uint8_t *back = malloc(nbytes + 1);
    size_t n, n_good;
    CHECK(isb_codebook_decode_nbytes(c, ids, n_ids, &n, &n_good) == ISB_OK);
    CHECK(n == nbytes && n_good == n_ids);
    CHECK(isb_codebook_decode(c, ids, n_ids, back, nbytes, &n) == ISB_OK);
    CHECK(n == nbytes && memcmp(back, text, nbytes) == 0);
    if (nbytes > 0) {
        CHECK_STATUS(isb_codebook_decode(c, ids, n_ids, back, below(nbytes), &n),
                     ISB_ERR_BUFFER_SIZE);
        CHECK_EQ(n, nbytes);
    }
    CHECK(isb_codebook_offsets(c, ids, n_ids, offsets) == ISB_OK);
    CHECK(offsets[0] == 0 && offsets[n_ids] == nbytes);
    for (size_t i = 0; i < n_ids; ++i) {
        const uint8_t *string;
        isb_codebook_string(c, ids[i], &string, &n);
        if (offsets[i + 1] - offsets[i] != n || memcmp(text + offsets[i], string, n) != 0)
            CHECK(!"offsets are those of the strings");
    }
    free(offsets);
    free(back);
}

static void check_text(const isb_codebook *c, const string_set *set, const uint8_t *text,
                       size_t nbytes, int all) {
    static size_t lengths[MAX_TEXT];
    static uint32_t ids[MAX_TEXT], naive[MAX_TEXT];
    size_t n, at = 0, bad = 0;
    const size_t n_expected = reference(set, text, nbytes, lengths);
    CHECK(isb_codebook_encode(c, text, nbytes, ids, nbytes, &n) == ISB_OK);
    CHECK_EQ(n, n_expected);
    for (size_t i = 0; i < n && i < n_expected; at += lengths[i++])
        bad += ids[i] != isb_codebook_find(c, text + at, lengths[i]);
    CHECK_EQ(bad, 0);
    CHECK(isb__codebook_encode_naive(c, text, nbytes, naive) == n);
    CHECK(memcmp(ids, naive, n * sizeof *ids) == 0);
    if (!all) return;
    check_streaming(c, text, nbytes, ids, n, 1 + below(3));
    check_streaming(c, text, nbytes, ids, n, 1 + below(3000));
    check_capacity(c, text, nbytes, ids, n);
    check_u16(c, text, nbytes, ids, n);
    check_decoding(c, text, nbytes, ids, n);
}

/* All texts of up to 9 letters a and b. */
static void check_short_texts(const isb_codebook *c, const string_set *set) {
    for (unsigned code = 1; code < 1 << 10; ++code) {
        uint8_t text[10];
        size_t n = 0;
        for (unsigned rest = code; rest > 1; rest /= 2) text[n++] = (uint8_t)('a' + rest % 2);
        check_text(c, set, text, n, 0);
    }
}

static isb_codebook *create(const string_set *set) {
    isb_codebook *c = NULL;
    CHECK_OK(ctx, isb_codebook_create(ctx, set->texts, set->n, NULL, &c));
    return c;
}

static void random_sets(void) {
    static string_set set;
    static uint8_t text[MAX_TEXT];
    static const size_t letters[] = {1, 2, 2, 3, 26, 256}, lengths[] = {2, 4, 9, 40, 255};
    for (int round = 0; round < 40; ++round) {
        const size_t n_letters = letters[below(6)];
        random_set(&set, 1 + below(round % 4 ? 40 : MAX_STRINGS), lengths[below(5)], n_letters);
        isb_codebook *c = create(&set);
        if (round < 12) check_short_texts(c, &set);
        for (int i = 0; i < 6; ++i) {
            const size_t nbytes = below(i < 5 ? 3000 : 20000);
            random_text(&set, text, nbytes, n_letters);
            check_text(c, &set, text, nbytes, 1);
        }
        isb_codebook_free(c);
    }
}

/* Where failures are many and long: a^255 b without its beginnings, and texts of almost that. */
static void repeats(void) {
    static string_set set;
    static uint8_t text[MAX_TEXT];
    uint8_t bytes[255];
    set.n = 0;
    memset(bytes, 'a', sizeof bytes);
    bytes[254] = 'b';
    add_string(&set, bytes, 255);
    add_string(&set, bytes + 100, 155);
    add_string(&set, bytes, 7);
    isb_codebook *c = create(&set);
    for (size_t run = 1; run < 600; run += 1 + run / 9) {
        memset(text, 'a', sizeof text);
        for (size_t i = run; i < sizeof text; i += run + 1) text[i] = (uint8_t)(i % 3 ? 'b' : 'c');
        check_text(c, &set, text, 6000 + below(1000), run % 5 == 0);
    }
    memset(text, 'a', sizeof text);
    check_text(c, &set, text, sizeof text, 0);
    isb_codebook_free(c);
}

/* Lanes that never meet: in a text of one letter, tokens of 251 bytes from two places agree nowhere. */
static void no_common_border(void) {
    static string_set set;
    static uint8_t text[MAX_TEXT];
    uint8_t bytes[251];
    memset(bytes, 'x', sizeof bytes);
    set.n = 0;
    add_string(&set, bytes, sizeof bytes);
    isb_codebook *c = create(&set);
    memset(text, 'x', sizeof text);
    for (size_t nbytes = 200; nbytes < sizeof text; nbytes += nbytes / 3)
        check_text(c, &set, text, nbytes, 1);
    isb_codebook_free(c);
}

static void batch(void) {
    enum { N = 300 };
    static string_set set;
    static uint8_t text[MAX_TEXT];
    static uint32_t ids[MAX_TEXT], one[MAX_TEXT];
    isb_codebook_text documents[N];
    uint64_t offsets[N + 1];
    random_set(&set, 60, 12, 3);
    isb_codebook *c = create(&set);
    random_text(&set, text, sizeof text, 3);
    size_t at = 0;
    for (size_t i = 0; i < N; ++i) {
        const size_t nbytes = i % 7 == 0 ? 0 : below(i % 50 == 1 ? 3000 : 100);
        documents[i] = (isb_codebook_text){text + at, at + nbytes < MAX_TEXT ? nbytes : 0};
        at += documents[i].nbytes;
    }
    for (int with_context = 0; with_context < 2; ++with_context) {
        memset(ids, 0xff, sizeof ids);
        CHECK_STATUS(
            isb_codebook_encode_batch(with_context ? ctx : NULL, c, documents, N, ids, at, offsets),
            ISB_OK);
        CHECK_EQ(offsets[0], 0);
        for (size_t i = 0; i < N; ++i) {
            size_t n;
            CHECK(isb_codebook_encode(c, documents[i].bytes, documents[i].nbytes, one, MAX_TEXT,
                                      &n) == ISB_OK);
            CHECK_EQ(offsets[i + 1] - offsets[i], n);
            CHECK(memcmp(ids + offsets[i], one, n * sizeof *ids) == 0);
        }
    }
    CHECK_STATUS(isb_codebook_encode_batch(ctx, c, documents, N, ids, at - 1, offsets),
                 ISB_ERR_BUFFER_SIZE);
    CHECK_STATUS(isb_codebook_encode_batch(ctx, c, NULL, 0, NULL, 0, offsets), ISB_OK);
    CHECK_EQ(offsets[0], 0);
    isb_context_cancel(ctx);
    CHECK_STATUS(isb_codebook_encode_batch(ctx, c, documents, N, ids, at, offsets),
                 ISB_ERR_CANCELLED);
    isb_context_cancel_clear(ctx);
    isb_codebook_free(c);
}

int main(int argc, char **argv) {
    isb__rng_seed(&rng, check_begin(argc, argv));
    isb_context_options options;
    isb_context_options_init(&options);
    options.n_threads = 3;
    CHECK_FATAL(isb_context_create(&options, &ctx) == ISB_OK);
    random_sets();
    repeats();
    no_common_border();
    batch();
    isb_context_free(ctx);
    return check_end();
}
