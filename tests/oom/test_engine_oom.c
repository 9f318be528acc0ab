/* The engine, M1, tokenizers and generation when any one allocation fails: the status is
 * NO_MEMORY, nothing leaks. */
#include <isobit/generate.h>

#include "data/tokenizer.h"
#include "fail_alloc.h"
#include "m1/m1.h"
#include "small_models.h"
#include "temp_dir.h"

static const char window[] = "window:b=8,variant=exact,token=8,reset=1,precision=16";

static isb_status open_m1(isb_context *ctx, void *dir) {
    isb__cdf_source source;
    const isb_status status = isb__m1_open(ctx, dir, 2, &source);
    if (status == ISB_OK) source.free(source.self);
    return status;
}

static isb_status write_static(isb_context *ctx, void *dir) {
    uint64_t counts[257] = {1, 2, 3};
    return isb__m1_write_static(ctx, dir, counts);
}

static isb_status open_tokenizer(isb_context *ctx, void *dir) {
    isb__tokenizer *tokenizer = NULL;
    const isb_status status = isb__tokenizer_open(ctx, window, dir, &tokenizer);
    isb__tokenizer_free(tokenizer);
    return status;
}

static isb_status generate(isb_context *ctx, void *dir) {
    isb_generate_options options;
    isb_generate_options_init(&options);
    options.model_dir = dir;
    options.max_tokens = 3;
    options.prompt = (const uint8_t *)"text";
    options.prompt_nbytes = 4;
    return isb_generate(ctx, &options, NULL);
}

static void make_folders(void) {
    isb_context *ctx = small_context(NULL, 1);
    isb__tokenizer *tokenizer = NULL;
    small_m1(ctx, 1, temp_path("m1"));
    small_m1(ctx, 1, temp_path("m2/m1"));
    CHECK_OK(ctx, isb__tokenizer_open(ctx, window, temp_path("m1"), &tokenizer));
    isb_model *model = small_model(ctx, 257, 16, 2);
    small_save(ctx, model, window, tokenizer->identity, temp_path("m2"));
    isb_model_free(model);
    isb__tokenizer_free(tokenizer);
    isb_context_free(ctx);
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    temp_dir_begin();
    make_folders();
    fail_alloc_sweep("M1", open_m1, (void *)temp_path("m1"));
    fail_alloc_sweep("static M1", write_static, (void *)temp_path("static"));
    fail_alloc_sweep("tokenizer", open_tokenizer, (void *)temp_path("m1"));
    fail_alloc_sweep("generate", generate, (void *)temp_path("m2"));
    temp_dir_end();
    return check_end();
}
