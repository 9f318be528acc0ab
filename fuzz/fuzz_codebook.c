/* Codebooks.  An odd first byte: the rest is a file, whose checksum is made right if it has a header, so that what is
 * behind it is read.  An even one: strings from the input (each a length byte and its bytes, up to a length of 0), and
 * the rest is text.  What opens must encode as the definition says, in any pieces, and decode to the text. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "codebook/codebook.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

enum { MAX_STRINGS = 256, CHECKSUM_AT = 8, CHECKED_FROM = 16 };

static void require(int condition) {
    if (!condition) abort();
}

static uint32_t *allocate_ids(size_t n) {
    uint32_t *ids = malloc((n + 1) * sizeof *ids);
    require(ids != NULL);
    return ids;
}

static void check_stream(const isb_codebook *codebook, const uint8_t *text, size_t nbytes,
                         const uint32_t *ids, size_t n_ids) {
    uint32_t *found = allocate_ids(nbytes + ISB_CODEBOOK_MAX_STRING_NBYTES);
    isb_codebook_encoder encoder;
    size_t n = 0, got;
    isb_codebook_encoder_init(&encoder, codebook);
    for (size_t i = 0, piece; i < nbytes; i += piece) {
        piece = 1 + text[i] % 37u;
        if (piece > nbytes - i) piece = nbytes - i;
        require(isb_codebook_encoder_push(&encoder, text + i, piece, found + n,
                                          piece + ISB_CODEBOOK_MAX_STRING_NBYTES, &got) == ISB_OK);
        n += got;
    }
    require(isb_codebook_encoder_finish(&encoder, found + n, ISB_CODEBOOK_MAX_STRING_NBYTES,
                                        &got) == ISB_OK);
    require(n + got == n_ids && memcmp(found, ids, n_ids * sizeof *ids) == 0);
    free(found);
}

static void check_text(const isb_codebook *codebook, const uint8_t *text, size_t nbytes) {
    uint32_t *ids = allocate_ids(nbytes), *naive = allocate_ids(nbytes);
    uint8_t *back = malloc(nbytes + 1);
    size_t n, got;
    require(back != NULL);
    require(isb_codebook_encode(codebook, text, nbytes, ids, nbytes, &n) == ISB_OK);
    require(isb__codebook_encode_naive(codebook, text, nbytes, naive) == n);
    require(memcmp(ids, naive, n * sizeof *ids) == 0);
    require(isb_codebook_decode(codebook, ids, n, back, nbytes, &got) == ISB_OK);
    require(got == nbytes && memcmp(back, text, nbytes) == 0);
    check_stream(codebook, text, nbytes, ids, n);
    free(ids);
    free(naive);
    free(back);
}

static void any_file(const uint8_t *data, size_t nbytes) {
    isb_codebook *codebook = NULL;
    uint8_t *file = malloc(nbytes + 1);
    require(file != NULL);
    memcpy(file, data, nbytes);
    if (nbytes >= CHECKED_FROM) {
        const uint64_t hash = isb__hash64(file + CHECKED_FROM, nbytes - CHECKED_FROM, 0);
        memcpy(file + CHECKSUM_AT, &hash, sizeof hash);
    }
    if (isb_codebook_open_memory(NULL, file, nbytes, &codebook) == ISB_OK)
        check_text(codebook, data, nbytes);
    isb_codebook_free(codebook);
    free(file);
}

static void any_strings(const uint8_t *data, size_t nbytes) {
    isb_codebook_text strings[MAX_STRINGS];
    size_t n = 0, at = 0;
    while (at < nbytes && n < MAX_STRINGS && data[at] > 0 && data[at] < nbytes - at) {
        strings[n++] = (isb_codebook_text){data + at + 1, data[at]};
        at += 1u + data[at];
    }
    isb_codebook *codebook = NULL;
    require(isb_codebook_create(NULL, strings, n, NULL, &codebook) == ISB_OK);
    check_text(codebook, data + at, nbytes - at);
    check_text(codebook, data, nbytes);
    isb_codebook_free(codebook);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes) {
    if (nbytes < 2 || nbytes > 1 << 16) return 0;
    if (data[0] & 1) {
        any_file(data + 1, nbytes - 1);
    } else {
        any_strings(data + 1, nbytes - 1);
    }
    return 0;
}
