/* Exports without memory: every allocation fails once; the status says so, nothing leaks, and no file is left. */
#include "fail_alloc.h"
#include "temp_dir.h"

#include <isobit/codebook.h>

#include "base/context.h"

static isb_codebook *codebook;

static isb_status export_one(isb_context *ctx, void *arg) {
    const char *path = temp_path("export");
    const isb_status status = isb_codebook_export(ctx, codebook, arg, path);
    CHECK_EQ(temp_count(temp_dir_path), status == ISB_OK);
    if (status == ISB_OK) unlink(path);
    return status;
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    temp_dir_begin();
    CHECK_FATAL(isb_codebook_create(NULL, NULL, 0, NULL, &codebook) == ISB_OK);
    char formats[][16] = {"tokenizer.json", "rwkv", "gguf", "text"};
    for (int i = 0; i < 4; ++i) fail_alloc_sweep(formats[i], export_one, formats[i]);
    isb_codebook_free(codebook);
    temp_dir_end();
    return check_end();
}
