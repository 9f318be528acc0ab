/* Building a codebook without memory: every allocation fails once.  (The suffix sorting library's own are not seen.) */
#include <isobit/codebook.h>

#include "base/context.h"
#include "fail_alloc.h"
#include "temp_dir.h"

static isb_status build(isb_context *ctx, void *path) {
    const char *paths[] = {path};
    isb_codebook_build_options options;
    isb_codebook_build_options_init(&options);
    options.n_ids = 280;
    options.n_rounds = 2;
    isb_codebook *codebook = NULL;
    const isb_status status = isb_codebook_build(ctx, paths, 1, &options, &codebook);
    CHECK((status == ISB_OK) == (codebook != NULL));
    static const char sample[] = " the dog and the other cat, the other cat";
    const size_t nbytes = sizeof sample - 1;
    if (codebook) CHECK(isb_codebook_count(codebook, (const uint8_t *)sample, nbytes) < nbytes / 2);
    isb_codebook_free(codebook);
    return status;
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    temp_dir_begin();
    char path[1024], text[600] = "";
    snprintf(path, sizeof path, "%s", temp_path("text.txt"));
    for (int i = 0; i < 16; ++i) strcat(text, "the dog and the other cat, ");
    temp_write(path, text, strlen(text));
    fail_alloc_sweep("codebook build", build, path);
    temp_dir_end();
    return check_end();
}
