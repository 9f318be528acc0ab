/* 01: a text to ids and back.
 *
 *     01_encode_decode [CODEBOOK.isb-codebook]
 *
 * Without a file the codebook inside the library is used.  Nothing here needs a context: NULL
 * means the C library's memory and no error texts. */
#include <isobit/codebook.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    isb_codebook *codebook = NULL;
    isb_status status = isb_codebook_open(NULL, argc > 1 ? argv[1] : NULL, &codebook);
    if (status != ISB_OK) {
        fprintf(stderr, "no codebook: %s\n", isb_status_sentence(status));
        return 1;
    }
    /* Any bytes have ids, valid UTF-8 or not. */
    const char text[] = "The three currently living species are African and Asian elephants.\xff";
    enum { NBYTES = sizeof text - 1 };
    uint32_t ids[NBYTES]; /* isb_codebook_encode_bound(): at most an id for each byte */
    size_t n_ids = 0;
    status = isb_codebook_encode(codebook, (const uint8_t *)text, NBYTES, ids, NBYTES, &n_ids);
    for (size_t i = 0; status == ISB_OK && i < n_ids; ++i) {
        const uint8_t *bytes = NULL;
        size_t nbytes = 0;
        isb_codebook_string(codebook, ids[i], &bytes, &nbytes);
        printf("%6u  \"%.*s\"\n", ids[i], (int)nbytes, (const char *)bytes);
    }
    uint8_t back[NBYTES];
    size_t nbytes = 0;
    if (status == ISB_OK) {
        status = isb_codebook_decode(codebook, ids, n_ids, back, sizeof back, &nbytes);
    }
    const int same = status == ISB_OK && nbytes == NBYTES && memcmp(back, text, NBYTES) == 0;
    printf("%d bytes, %zu ids, %s\n", NBYTES, n_ids, same ? "and back" : "but not back");
    isb_codebook_free(codebook);
    return same ? 0 : 1;
}
