/* Measuring a codebook without memory: every allocation fails once. */
#include <isobit/codebook.h>

#include "base/context.h"
#include "fail_alloc.h"
#include "temp_dir.h"

static isb_status measure(isb_context *ctx, void *path) {
    static const char *const words[] = {"the", "cat"};
    const char *paths[] = {path};
    isb_codebook_measures m = {.struct_size = sizeof m};
    isb_codebook *codebook = NULL;
    ISB_TRY(isb_codebook_create(ctx, NULL, 0, NULL, &codebook));
    const isb_status status = isb_codebook_measure(ctx, codebook, paths, 1, NULL, words, 2, &m);
    CHECK(status != ISB_OK || m.n_words == 1);
    isb_codebook_free(codebook);
    return status;
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    temp_dir_begin();
    char path[1024], text[400] = "";
    snprintf(path, sizeof path, "%s", temp_path("text.txt"));
    for (int i = 0; i < 12; ++i) strcat(text, "the dog and the other ");
    temp_write(path, text, strlen(text));
    fail_alloc_sweep("codebook measure", measure, path);
    temp_dir_end();
    return check_end();
}
