/* Files of codebooks: back as they were; every damage refused; and what creating one refuses. */
#include "check.h"
#include "temp_dir.h"

#include "base/hash.h"
#include "codebook/codebook.h"

static isb_context *ctx;

static const char *const WORDS[] = {"the", " the", " of", "ing", "th", " the", "\n\n", "a", " and"};
enum { N_WORDS = sizeof WORDS / sizeof *WORDS };

static isb_codebook *create(void) {
    isb_codebook_text texts[N_WORDS];
    static const char *const specials[] = {"<|user|>", "<|a|>"};
    for (int i = 0; i < N_WORDS; ++i)
        texts[i] = (isb_codebook_text){(const uint8_t *)WORDS[i], strlen(WORDS[i])};
    isb_codebook_create_options options;
    isb_codebook_create_options_init(&options);
    options.name = "small";
    options.kind = "word";
    options.card = "{\"data\": \"none\"}";
    options.specials = specials;
    options.n_specials = 2;
    isb_codebook *c = NULL;
    CHECK_OK(ctx, isb_codebook_create(ctx, texts, N_WORDS, &options, &c));
    return c;
}

static isb_codebook_info info_of(const isb_codebook *c) {
    isb_codebook_info info = {.struct_size = sizeof info};
    isb_codebook_get_info(c, &info);
    return info;
}

/* Ids that are not the order, two ids with one string, one id without. */
static isb_codebook *create_windows(void) {
    enum { N = 258, N_CODES = 300 };
    uint8_t bytes[N + 4];
    uint64_t offsets[N + 1] = {0};
    uint32_t ids[N];
    size_t decoded[N_CODES], n = 0;
    for (size_t i = 0, byte = 0; i < N; ++i) {
        ids[i] = (uint32_t)(N - i);
        bytes[n++] = (uint8_t)byte;
        if (i == 'a' + 1 || i == 'b' + 2) { /* "aa" after "a", "bc" after "b" */
            bytes[n - 1] = i == 'a' + 1 ? 'a' : 'b';
            bytes[n++] = i == 'a' + 1 ? 'a' : 'c';
        } else {
            ++byte;
        }
        offsets[i + 1] = n;
    }
    for (size_t id = 0; id < N_CODES; ++id) decoded[id] = SIZE_MAX;
    for (size_t i = 0; i < N; ++i) decoded[ids[i]] = i;
    decoded[280] = 'a' + 1;
    const isb__codebook_content content = {bytes, offsets, N, ids, decoded, N_CODES};
    isb_codebook *c = NULL;
    CHECK_OK(ctx, isb__codebook_from_sorted(ctx, &content, NULL, &c));
    return c;
}

static uint8_t *read_file(const char *path, size_t *nbytes) {
    FILE *file = fopen(path, "rb");
    CHECK_FATAL(file != NULL);
    uint8_t *data = malloc(1 << 20);
    *nbytes = fread(data, 1, 1 << 20, file);
    fclose(file);
    return data;
}

static void check_same(const isb_codebook *a, const isb_codebook *b) {
    const isb_codebook_info x = info_of(a), y = info_of(b);
    CHECK_EQ(x.n_ids, y.n_ids);
    CHECK(x.n_codes == y.n_codes && x.n_strings == y.n_strings && x.n_specials == y.n_specials);
    CHECK(strcmp(x.identity, y.identity) == 0);
    CHECK(strcmp(x.name, y.name) == 0 && strcmp(x.kind, y.kind) == 0 &&
          strcmp(x.card, y.card) == 0);
    for (uint32_t id = 0; id <= x.n_ids; ++id) {
        const uint8_t *p, *q;
        size_t n, m;
        isb_codebook_string(a, id, &p, &n);
        isb_codebook_string(b, id, &q, &m);
        CHECK(n == m && (p == NULL) == (q == NULL) && (n == 0 || memcmp(p, q, n) == 0));
    }
}

static void round_trip(isb_codebook *c, const char *path) {
    size_t nbytes;
    isb_codebook *again = NULL, *third = NULL;
    CHECK_OK(ctx, isb_codebook_save(ctx, c, path));
    CHECK_OK(ctx, isb_codebook_open(ctx, path, &again));
    check_same(c, again);
    uint8_t *file = read_file(path, &nbytes);
    CHECK_EQ(info_of(again).file_nbytes, nbytes);
    /* without a context */
    CHECK(isb_codebook_open_memory(NULL, file, nbytes, &third) == ISB_OK);
    check_same(c, third);
    CHECK(isb_codebook_save(NULL, third, path) == ISB_OK);
    CHECK(temp_holds(path, file, nbytes));
    free(file);
    isb_codebook_free(again);
    isb_codebook_free(third);
}

/* Each byte changed in three ways; each beginning of the file. */
static void damages(const char *path) {
    size_t nbytes;
    uint8_t *file = read_file(path, &nbytes);
    isb_codebook *c = NULL;
    for (size_t i = 0; i < nbytes; ++i) {
        static const uint8_t flips[] = {1, 0x80, 0xff};
        for (size_t k = 0; k < 3; ++k) {
            file[i] ^= flips[k];
            const isb_status expected = i < 4   ? ISB_ERR_FORMAT
                                        : i < 8 ? ISB_ERR_VERSION
                                                : ISB_ERR_CORRUPT;
            CHECK_STATUS(isb_codebook_open_memory(ctx, file, nbytes, &c), expected);
            CHECK(c == NULL);
            file[i] ^= flips[k];
        }
        uint8_t *cut = malloc(i + 1);
        memcpy(cut, file, i);
        CHECK_STATUS(isb_codebook_open_memory(ctx, cut, i, &c),
                     i < 8 ? ISB_ERR_FORMAT : ISB_ERR_CORRUPT);
        free(cut);
    }
    free(file);
}

/* With the checksum made right again, damage in the header and frame must be found by other means or be harmless. */
static void malice(const char *path) {
    size_t nbytes;
    uint8_t *file = read_file(path, &nbytes);
    for (size_t i = 16; i < nbytes; ++i) {
        for (int bit = 0; bit < 8; ++bit) {
            isb_codebook *c = NULL;
            file[i] ^= (uint8_t)(1 << bit);
            const uint64_t hash = isb__hash64(file + 16, nbytes - 16, 0);
            memcpy(file + 8, &hash, 8);
            if (isb_codebook_open_memory(ctx, file, nbytes, &c) == ISB_OK) {
                uint32_t ids[16];
                uint8_t back[16];
                size_t n, m;
                CHECK(isb_codebook_encode(c, (const uint8_t *)"the aaabc\n\n\xff", 12, ids, 16,
                                          &n) == ISB_OK);
                CHECK(isb_codebook_decode(c, ids, n, back, 16, &m) == ISB_OK);
                CHECK(m == 12 && memcmp(back, "the aaabc\n\n\xff", 12) == 0);
            } else {
                CHECK(c == NULL && isb_context_error(ctx)[0] != '\0');
            }
            isb_codebook_free(c);
            file[i] ^= (uint8_t)(1 << bit);
        }
    }
    free(file);
}

static void windows(void) {
    isb_codebook *c = create_windows();
    round_trip(c, temp_path("w"));
    const isb_codebook_info info = info_of(c);
    CHECK(info.n_codes == 300 && info.n_strings == 258);
    uint32_t ids[8], first;
    uint8_t text[8];
    size_t n, n_good;
    CHECK(isb_codebook_encode(c, (const uint8_t *)"aabc", 4, ids, 8, &n) == ISB_OK);
    CHECK(n == 2 && ids[0] == 258 - ('a' + 1) && ids[1] == 258 - ('b' + 2));
    ids[0] = 280;
    CHECK(isb_codebook_decode(c, ids, 2, text, 8, &n) == ISB_OK);
    CHECK(n == 4 && memcmp(text, "aabc", 4) == 0);
    ids[1] = 299; /* no text */
    CHECK_STATUS(isb_codebook_decode(c, ids, 2, text, 8, &n), ISB_ERR_RANGE);
    CHECK_STATUS(isb_codebook_decode_nbytes(c, ids, 2, &n, &n_good), ISB_ERR_RANGE);
    CHECK_EQ(n_good, 1);
    CHECK_STATUS(isb_codebook_prefix_range(c, text, 1, &first, &n), ISB_ERR_UNSUPPORTED);
    damages(temp_path("w"));
    malice(temp_path("w"));
    isb_codebook_free(c);
}

static void refuse(size_t nbytes, const char *name, const char *kind, const char *special,
                   isb_status expected) {
    static uint8_t bytes[256];
    const isb_codebook_text text = {bytes, nbytes};
    isb_codebook_create_options options;
    isb_codebook_create_options_init(&options);
    options.name = name;
    options.kind = kind;
    options.specials = &special;
    options.n_specials = special != NULL;
    isb_codebook *c = NULL;
    CHECK_STATUS(isb_codebook_create(ctx, &text, 1, &options, &c), expected);
    CHECK((c != NULL) == (expected == ISB_OK));
    isb_codebook_free(c);
}

static void refusals(void) {
    static const char n63[] = "123456789012345678901234567890123456789012345678901234567890123";
    static const char n64[] = "1234567890123456789012345678901234567890123456789012345678901234";
    refuse(255, n63, "fifteen-bytes-k", n63, ISB_OK);
    refuse(256, NULL, NULL, NULL, ISB_ERR_RANGE);
    refuse(0, NULL, NULL, NULL, ISB_ERR_ARGUMENT);
    refuse(1, n64, NULL, NULL, ISB_ERR_RANGE);
    refuse(1, NULL, "sixteen-bytes-ki", NULL, ISB_ERR_RANGE);
    refuse(1, NULL, NULL, n64, ISB_ERR_RANGE);
    refuse(1, NULL, NULL, "", ISB_ERR_ARGUMENT);
    refuse(1, NULL, NULL, "<|endoftext|>", ISB_ERR_ARGUMENT);
    isb_codebook *c = NULL;
    CHECK_STATUS(isb_codebook_open(ctx, temp_path("missing"), &c), ISB_ERR_NOT_FOUND);
    temp_write(temp_path("english-65k"), "no codebook", 11);
    CHECK_STATUS(isb_codebook_open(ctx, temp_path("english-65k"), &c), ISB_ERR_FORMAT);
}

/* As many ids as there can be, and one more. */
static void largest(void) {
    enum { N = ISB_CODEBOOK_MAX_IDS - 257 };
    uint8_t(*bytes)[3] = malloc((size_t)(N + 1) * sizeof *bytes);
    isb_codebook_text *texts = malloc((size_t)(N + 1) * sizeof *texts);
    for (size_t i = 0; i <= N; ++i) {
        bytes[i][0] = (uint8_t)(i >> 16);
        bytes[i][1] = (uint8_t)(i >> 8);
        bytes[i][2] = (uint8_t)i;
        texts[i] = (isb_codebook_text){bytes[i], 3};
    }
    isb_codebook *c = NULL;
    CHECK_STATUS(isb_codebook_create(ctx, texts, N + 1, NULL, &c), ISB_ERR_RANGE);
    CHECK_OK(ctx, isb_codebook_create(ctx, texts, N, NULL, &c));
    CHECK_EQ(info_of(c).n_ids, ISB_CODEBOOK_MAX_IDS);
    /* before a string come those below it, and the single bytes up to its first */
    for (size_t i = 0; i < N; i += 997)
        CHECK_EQ(isb_codebook_find(c, bytes[i], 3), i + bytes[i][0] + 1);
    isb_codebook_free(c);
    free(texts);
    free(bytes);
}

static void released(void) {
    isb_codebook *a = NULL, *b = NULL;
    CHECK_OK(ctx, isb_codebook_open(ctx, NULL, &a));
    CHECK(isb_codebook_open(NULL, "english-65k", &b) == ISB_OK);
    check_same(a, b);
    CHECK(strcmp(info_of(a).name, "english-65k") == 0);
    isb_codebook_free(a);
    isb_codebook_free(b);
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    temp_dir_begin();
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    isb_codebook *c = create();
    round_trip(c, temp_path("c"));
    damages(temp_path("c"));
    malice(temp_path("c"));
    isb_codebook_free(c);
    isb_codebook_free(NULL);
    windows();
    refusals();
    largest();
    released();
    isb_context_free(ctx);
    temp_dir_end();
    return check_end();
}
