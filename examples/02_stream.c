/* 02: standard input as it comes, in pieces of any size; the ids are those of the whole text.
 *
 *     02_stream [CODEBOOK.isb-codebook] <book.txt
 *
 * The encoder's state is a small struct without memory of its own.  The decoder gives only whole
 * UTF-8 characters, as text that is shown while it is written must be. */
#include <isobit/codebook.h>

#include <stdio.h>

enum { PIECE = 1000, IDS = PIECE + ISB_CODEBOOK_MAX_STRING_NBYTES };

/* Shows ids as text, as a program that gets them one by one would. */
static int show(isb_codebook_decoder *decoder, const uint32_t *ids, size_t n) {
    uint8_t text[3 * ISB_CODEBOOK_MAX_STRING_NBYTES + 12];
    for (size_t i = 0; i < n; ++i) {
        size_t nbytes = 0;
        if (isb_codebook_decoder_push(decoder, ids[i], text, sizeof text, &nbytes) != ISB_OK) {
            return 1;
        }
        fwrite(text, 1, nbytes, stdout);
    }
    return 0;
}

int main(int argc, char **argv) {
    isb_codebook *codebook = NULL;
    if (isb_codebook_open(NULL, argc > 1 ? argv[1] : NULL, &codebook) != ISB_OK) return 1;
    isb_codebook_encoder encoder;
    isb_codebook_decoder decoder;
    isb_codebook_encoder_init(&encoder, codebook);
    isb_codebook_decoder_init(&decoder, codebook, 0);
    uint8_t piece[PIECE], rest[12];
    uint32_t ids[IDS];
    size_t got = 0, n = 0, n_bytes = 0, n_ids = 0, n_rest = 0;
    int failed = 0;
    while (!failed && (got = fread(piece, 1, PIECE, stdin)) > 0) {
        failed = isb_codebook_encoder_push(&encoder, piece, got, ids, IDS, &n) != ISB_OK ||
                 show(&decoder, ids, n);
        n_bytes += got;
        n_ids += n;
    }
    failed = failed || isb_codebook_encoder_finish(&encoder, ids, IDS, &n) != ISB_OK ||
             show(&decoder, ids, n) ||
             isb_codebook_decoder_finish(&decoder, rest, sizeof rest, &n_rest) != ISB_OK;
    fwrite(rest, 1, n_rest, stdout);
    fprintf(stderr, "%zu bytes, %zu ids\n", n_bytes, n_ids + n);
    isb_codebook_free(codebook);
    return failed;
}
