/* 03: many documents at once, on all processors.
 *
 *     03_batch_threads [DOCUMENTS]
 *
 * A context brings threads, error texts, progress and memory hooks.  The ids do not depend on the
 * number of threads. */
#include <isobit/codebook.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char LINE[] = "It was the best of times, it was the worst of times. ";

static int encode_all(isb_context *context, const isb_codebook *codebook, isb_codebook_text *texts,
                      size_t n) {
    size_t capacity = 0; /* at most an id for each byte of all */
    for (size_t i = 0; i < n; ++i) capacity += texts[i].nbytes;
    uint32_t *ids = malloc((capacity + 1) * sizeof *ids);
    uint64_t *offsets = malloc((n + 1) * sizeof *offsets);
    isb_status status = ISB_ERR_NO_MEMORY;
    if (ids && offsets) {
        status = isb_codebook_encode_batch(context, codebook, texts, n, ids, capacity, offsets);
    }
    if (status == ISB_OK) {
        /* The ids of document i are ids[offsets[i]] to ids[offsets[i + 1] - 1]. */
        printf("%zu documents, %zu bytes, %llu ids, on %d threads\n", n, capacity,
               (unsigned long long)offsets[n], isb_context_threads(context));
    } else {
        fprintf(stderr, "%s: %s\n", isb_status_sentence(status), isb_context_error(context));
    }
    free(offsets);
    free(ids);
    return status != ISB_OK;
}

int main(int argc, char **argv) {
    const size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    isb_context *context = NULL;
    isb_codebook *codebook = NULL;
    if (isb_context_create(NULL, &context) != ISB_OK) return 1;
    isb_codebook_text *texts = calloc(n + 1, sizeof *texts);
    int failed = !texts || isb_codebook_open(context, NULL, &codebook) != ISB_OK;
    for (size_t i = 0; !failed && i < n; ++i) {
        texts[i] = (isb_codebook_text){(const uint8_t *)LINE, strlen(LINE) - i % 20};
    }
    failed = failed || encode_all(context, codebook, texts, n);
    isb_codebook_free(codebook); /* objects go before their context */
    free(texts);
    isb_context_free(context);
    return failed;
}
