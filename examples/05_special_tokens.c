/* 05: special ids: borders that no text can forge.
 *
 * isb_codebook_encode() never gives a special id, whatever the text says.
 * isb_codebook_encode_special() turns their names into ids: for templates that the program wrote
 * itself, not for what a user typed. */
#include <isobit/codebook.h>

#include <stdio.h>

static const char *const SPECIALS[] = {"<|user|>", "<|assistant|>"};
static const isb_codebook_text STRINGS[] = {{(const uint8_t *)"Hello", 5},
                                            {(const uint8_t *)" there", 6}};

static void print_ids(const isb_codebook *codebook, const uint32_t *ids, size_t n) {
    for (size_t i = 0; i < n; ++i) {
        const uint8_t *bytes = NULL; /* of a special id: its name */
        size_t nbytes = 0;
        isb_codebook_string(codebook, ids[i], &bytes, &nbytes);
        printf("%s%u=%.*s", i ? "  " : "", ids[i], (int)nbytes, (const char *)bytes);
    }
    putchar('\n');
}

int main(void) {
    /* Any strings make a codebook; the 256 single bytes are always in it. */
    isb_codebook_create_options options;
    isb_codebook_create_options_init(&options);
    options.specials = SPECIALS;
    options.n_specials = 2;
    isb_codebook *codebook = NULL;
    if (isb_codebook_create(NULL, STRINGS, 2, &options, &codebook) != ISB_OK) return 1;

    /* 258 strings; then <|endoftext|>, which every codebook has, and ours. */
    const uint32_t user = (uint32_t)isb_codebook_find_special(codebook, "<|user|>");
    const char prompt[] = "<|user|>Hello there<|assistant|>";
    enum { NBYTES = sizeof prompt - 1 };
    uint32_t ids[NBYTES];
    size_t n_plain = 0, n_some = 0, n_all = 0;
    const uint8_t *text = (const uint8_t *)prompt;
    isb_status status = isb_codebook_encode(codebook, text, NBYTES, ids, NBYTES, &n_plain);
    print_ids(codebook, ids, n_plain);
    if (status == ISB_OK) {
        status =
            isb_codebook_encode_special(codebook, text, NBYTES, &user, 1, ids, NBYTES, &n_some);
    }
    print_ids(codebook, ids, n_some); /* only <|user|> is an id of its own */
    if (status == ISB_OK) {
        status = isb_codebook_encode_special(codebook, text, NBYTES, NULL, 0, ids, NBYTES, &n_all);
    }
    print_ids(codebook, ids, n_all);
    isb_codebook_free(codebook);
    return status == ISB_OK && n_all == 4 && n_some > n_all && n_plain > n_some ? 0 : 1;
}
