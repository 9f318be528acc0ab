/* 04: a codebook from one's own text.
 *
 *     04_build_codebook TEXT_FILE OUT.isb-codebook [V]
 *
 * No model is needed: strings are counted, counted again where tokens start, and those are kept
 * that cutting the text uses most.  See docs/codebooks.md. */
#include <isobit/codebook.h>

#include <stdio.h>
#include <stdlib.h>

static void report(void *user, const isb_codebook_round *round) {
    (void)user;
    printf("%s %d: %lld strings, %.3f bytes/token\n", round->phase, round->round,
           (long long)round->n_strings, round->bytes_per_token);
}

static isb_status build(isb_context *context, const char *path, const char *out, int64_t n_ids) {
    isb_codebook_build_options options;
    isb_codebook_build_options_init(&options);
    options.n_ids = n_ids;
    options.name = "example";
    options.report = report;
    isb_codebook *codebook = NULL;
    isb_status status = isb_codebook_build(context, &path, 1, &options, &codebook);
    if (status == ISB_OK) status = isb_codebook_save(context, codebook, out);
    if (status == ISB_OK) {
        isb_codebook_info info = {.struct_size = sizeof info};
        isb_codebook_get_info(codebook, &info);
        printf("%s: %lld ids, longest string %zu bytes, identity %s\n", out, (long long)info.n_ids,
               info.max_string_nbytes, info.identity);
    }
    isb_codebook_free(codebook);
    return status;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: %s TEXT_FILE OUT.isb-codebook [V]\n", argv[0]);
        return 2;
    }
    isb_context *context = NULL;
    if (isb_context_create(NULL, &context) != ISB_OK) return 1;
    const isb_status status = build(context, argv[1], argv[2], argc > 3 ? atol(argv[3]) : 4096);
    if (status != ISB_OK) {
        fprintf(stderr, "%s: %s\n", isb_status_sentence(status), isb_context_error(context));
    }
    isb_context_free(context);
    return status != ISB_OK;
}
