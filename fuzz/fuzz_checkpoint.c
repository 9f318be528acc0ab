/* Any bytes as a model folder: config.json and model.safetensors.  What loads must be whole: it
 * runs, and saved and loaded again it is the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/context.h"
#include "nn/checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

static char folder[] = "/tmp/isobit-fuzz-XXXXXX";
static isb_context *ctx;

static void require(int condition) {
    if (!condition) abort();
}

static void clean_up(void) {
    unlink("config.json");
    unlink("model.safetensors");
    if (chdir("/") == 0) rmdir(folder);
    isb_context_free(ctx);
}

static void set_up(void) {
    if (ctx) return;
    isb_context_options options;
    isb_context_options_init(&options);
    options.n_threads = 1;
    require(isb_context_create(&options, &ctx) == ISB_OK && mkdtemp(folder) && chdir(folder) == 0);
    atexit(clean_up);
}

static void write_file(const char *name, const void *data, size_t nbytes) {
    FILE *file = fopen(name, "wb");
    require(file && fwrite(data, 1, nbytes, file) == nbytes && fclose(file) == 0);
}

static void save_and_load(isb_model *model) {
    isb_model *again = NULL;
    isb_model_info before, after;
    require(isb__model_save(ctx, model, ".") == ISB_OK);
    require(isb_model_load(ctx, ".", &again) == ISB_OK);
    isb_model_get_info(model, &before);
    isb_model_get_info(again, &after);
    require(strcmp(before.identity, after.identity) == 0);
    require(strcmp(before.tokenizer, after.tokenizer) == 0);
    isb_model_free(again);
}

/* Length of config.json (16 bits), config.json, model.safetensors. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes) {
    if (nbytes < 2) return 0;
    set_up();
    size_t first = (size_t)(data[0] | data[1] << 8);
    data += 2;
    nbytes -= 2;
    if (first > nbytes) first = nbytes;
    write_file("config.json", data, first);
    write_file("model.safetensors", data + first, nbytes - first);
    isb_model *model = NULL;
    if (isb_model_load(ctx, ".", &model) == ISB_OK) {
        save_and_load(model);
    } else {
        require(isb_context_error(ctx)[0] != '\0');
    }
    isb_model_free(model);
    return 0;
}
