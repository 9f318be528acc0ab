/* Codebooks written by earlier versions must be read forever, and give the same ids: those of words in the order of
 * strings (codebook-v1) and those of compiled windows, with ids of their own and a cut (windows-v1).
 *
 *     test_golden_codebook write    makes the files anew, in the folder ISB_GOLDEN */
#include "check.h"
#include "codebook/codebook.h"

static isb_context *ctx;

static const char TEXT[] = "the cat and the hat\n\nabcabd\xff";

static void golden_path(char *path, size_t capacity, const char *name) {
    const char *folder = getenv("ISB_GOLDEN");
    snprintf(path, capacity, "%s/%s", folder ? folder : "tests/golden", name);
}

static isb_codebook *create_words(void) {
    static const char *const words[] = {"the", " the", " and", "and", "at", "\n\n", "abc", " c"};
    isb_codebook_text texts[8];
    for (int i = 0; i < 8; ++i)
        texts[i] = (isb_codebook_text){(const uint8_t *)words[i], strlen(words[i])};
    static const char *const special = "<|user|>";
    isb_codebook_create_options options;
    isb_codebook_create_options_init(&options);
    options.name = "golden";
    options.kind = "word";
    options.card = "{\"made\": \"by hand\"}";
    options.specials = &special;
    options.n_specials = 1;
    isb_codebook *c = NULL;
    CHECK_OK(ctx, isb_codebook_create(ctx, texts, 8, &options, &c));
    return c;
}

/* Bytes, "ab" after "a" and its cut "abd"; ids count down; id 299 is another one for "ab". */
static isb_codebook *create_windows(void) {
    enum { N = 258, N_CODES = 300 };
    uint8_t bytes[N + 3];
    uint64_t offsets[N + 1] = {0};
    uint32_t ids[N];
    size_t decoded[N_CODES], n = 0;
    for (size_t i = 0; i < N; ++i) {
        const size_t byte = i <= 'a' ? i : i <= 'a' + 2 ? 'a' : i - 2;
        bytes[n++] = (uint8_t)byte;
        if (i == 'a' + 1 || i == 'a' + 2) bytes[n++] = 'b';
        if (i == 'a' + 2) bytes[n++] = 'd';
        offsets[i + 1] = n;
        ids[i] = (uint32_t)(N - (i == 'a' + 2 ? i - 1 : i));
    }
    for (size_t id = 0; id < N_CODES; ++id) decoded[id] = SIZE_MAX;
    for (size_t i = 0; i < N; ++i) {
        if (i != 'a' + 2) decoded[ids[i]] = i;
    }
    decoded[299] = 'a' + 1;
    const isb__codebook_content content = {bytes, offsets, N, ids, decoded, N_CODES};
    isb_codebook *c = NULL;
    CHECK_OK(ctx, isb__codebook_from_sorted(ctx, &content, NULL, &c));
    return c;
}

static void check_file(const char *name, const isb_codebook *made, const char *identity,
                       uint64_t ids_sum) {
    char path[1100];
    golden_path(path, sizeof path, name);
    isb_codebook *c = NULL;
    CHECK_OK(ctx, isb_codebook_open(ctx, path, &c));
    isb_codebook_info read = {.struct_size = sizeof read}, now = {.struct_size = sizeof now};
    isb_codebook_get_info(c, &read);
    isb_codebook_get_info(made, &now);
    CHECK(strcmp(read.identity, identity) == 0);
    CHECK(strcmp(now.identity, identity) == 0);
    CHECK(strcmp(read.card, now.card) == 0 && strcmp(read.name, now.name) == 0);
    uint32_t ids[sizeof TEXT];
    uint8_t back[sizeof TEXT];
    size_t n, nbytes;
    uint64_t sum = 0;
    CHECK_OK(ctx, isb_codebook_encode(c, (const uint8_t *)TEXT, sizeof TEXT, ids, sizeof TEXT, &n));
    for (size_t i = 0; i < n; ++i) sum = sum * 31 + ids[i];
    CHECK_EQ(sum, ids_sum);
    CHECK_OK(ctx, isb_codebook_decode(c, ids, n, back, sizeof back, &nbytes));
    CHECK(nbytes == sizeof TEXT && memcmp(back, TEXT, nbytes) == 0);
    isb_codebook_free(c);
    printf("%s: identity %s, ids %" PRIu64 "\n", name, read.identity, sum);
}

int main(int argc, char **argv) {
    const int write = argc > 1 && strcmp(argv[1], "write") == 0;
    check_begin(write ? 1 : argc, argv);
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    isb_codebook *words = create_words(), *windows = create_windows();
    if (write) {
        char path[1100];
        golden_path(path, sizeof path, "codebook-v1.isb-codebook");
        CHECK_OK(ctx, isb_codebook_save(ctx, words, path));
        golden_path(path, sizeof path, "windows-v1.isb-codebook");
        CHECK_OK(ctx, isb_codebook_save(ctx, windows, path));
    }
    check_file("codebook-v1.isb-codebook", words, "3ecef5a6296e3115347906b87cab4e6d",
               655587395280258286u);
    check_file("windows-v1.isb-codebook", windows, "f9dcad7ba9f828b63e1067c872bc60ae",
               1741945297087309670u);
    isb_codebook_free(words);
    isb_codebook_free(windows);
    isb_context_free(ctx);
    return check_end();
}
