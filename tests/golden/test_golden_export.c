/* Exports of a tiny codebook, byte for byte: other programs read these files.  Where a change of format is meant, give
 * a folder as argument, and the new files are written there. */
#include "base/context.h"
#include "base/io.h"
#include "check.h"
#include "temp_dir.h"

#include <isobit/codebook.h>

static isb_context *ctx;

static isb_codebook *tiny(void) {
    static const char *const strings[] = {
        " the",         " th",  "he",   "ab",  "abcd",  "\n\n",
        "\xe6\xbc\xa2", "\xc3", "it's", "\\n", "<EOT>", "$1.(",
    };
    enum { N = sizeof strings / sizeof *strings };
    isb_codebook_text texts[N];
    for (int i = 0; i < N; ++i)
        texts[i] = (isb_codebook_text){(const uint8_t *)strings[i], strlen(strings[i])};
    isb_codebook_create_options options;
    isb_codebook_create_options_init(&options);
    options.name = "tiny";
    options.specials = (const char *const[]){"<|user|>"};
    options.n_specials = 1;
    isb_codebook *codebook = NULL;
    CHECK_OK(ctx, isb_codebook_create(ctx, texts, N, &options, &codebook));
    return codebook;
}

static void check_golden(const char *path, const char *name) {
    const char *folder = getenv("ISB_GOLDEN");
    char golden[1100];
    snprintf(golden, sizeof golden, "%s/%s", folder ? folder : "tests/golden", name);
    uint8_t *data = NULL;
    size_t nbytes;
    CHECK_OK(ctx, isb__file_read(ctx, golden, 1 << 20, &data, &nbytes));
    check_report(temp_holds(path, data, nbytes), __FILE__, __LINE__, "same as", golden);
    isb__free(ctx, data);
}

int main(int argc, char **argv) {
    static const char *const formats[] = {"tokenizer.json", "rwkv", "gguf", "text"};
    const char *folder = argc > 1 ? argv[1] : NULL;
    check_begin(1, argv);
    CHECK_FATAL(isb_context_create(NULL, &ctx) == ISB_OK);
    temp_dir_begin();
    isb_codebook *codebook = tiny();
    for (int i = 0; i < 4; ++i) {
        char name[64], path[1100];
        snprintf(name, sizeof name, "codebook-export.%s", formats[i]);
        snprintf(path, sizeof path, "%s/%s", folder ? folder : temp_dir_path, name);
        CHECK_OK(ctx, isb_codebook_export(ctx, codebook, formats[i], path));
        if (!folder) check_golden(path, name);
    }
    isb_codebook_free(codebook);
    temp_dir_end();
    isb_context_free(ctx);
    return check_end();
}
