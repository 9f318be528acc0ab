/* Out of memory in training and evaluation: allocation 1, 2, 3, ... fails until nothing fails
 * any more.  No call leaves a half-made checkpoint or a model that does not load. */
#include <isobit/isobit.h>

#include "fail_alloc.h"
#include "temp_dir.h"

static const char *text_path, *out_path;

static isb_train_options tiny_run(void) {
    isb_train_options o;
    isb_train_options_init(&o);
    o.text_paths = &text_path;
    o.n_text_paths = 1;
    o.prepare.tokenizer = "bytes";
    o.prepare.corpus.valid_permille = 300;
    o.out_dir = out_path;
    o.model = (isb_model_config){
        .struct_size = sizeof o.model, .hidden_size = 8, .n_layers = 1, .n_heads = 1};
    o.model.intermediate_size = 8;
    o.model.context_length = 8;
    o.model.rope_theta = 10000;
    o.model.norm_eps = 1e-6;
    o.batch_rows = 2;
    o.max_steps = 2;
    return o;
}

static isb_status train(isb_context *ctx, void *arg) {
    (void)arg;
    isb_train_options o = tiny_run();
    isb_train_result r;
    o.overwrite = 1;
    return isb_train(ctx, &o, &r);
}

static isb_status resume(isb_context *ctx, void *arg) {
    isb_train_options o = tiny_run();
    isb_train_result r;
    o.resume = 1;
    o.max_steps = *(uint64_t *)arg;
    return isb_train(ctx, &o, &r);
}

static isb_status evaluate(isb_context *ctx, void *arg) {
    (void)arg;
    isb_evaluate_options o;
    isb_evaluate_result r;
    isb_evaluate_options_init(&o);
    o.model_dir = out_path;
    return isb_evaluate(ctx, &text_path, 1, &o, &r);
}

/* A run in the folder after a failure is a whole one: it resumes. */
static isb_status train_then_check(isb_context *ctx, void *arg) {
    const isb_status status = train(ctx, arg);
    isb_context *other = NULL;
    isb_model *model = NULL;
    isb_train_options o = tiny_run();
    isb_train_result r;
    o.resume = 1;
    CHECK_FATAL(isb_context_create(NULL, &other) == ISB_OK);
    const isb_status resumed = isb_train(other, &o, &r);
    CHECK(resumed == ISB_OK || resumed == ISB_ERR_NOT_FOUND);
    if (resumed == ISB_OK) CHECK_OK(other, isb_model_load(other, out_path, &model));
    isb_model_free(model);
    isb_context_free(other);
    return status;
}

static isb_status start_fresh(isb_context *ctx, void *tokenizer) {
    isb_train_options o = tiny_run();
    isb_train_result r;
    char fresh[600];
    snprintf(fresh, sizeof fresh, "%s/fresh", temp_dir_path);
    o.out_dir = fresh;
    o.prepare.tokenizer = tokenizer;
    const isb_status status = isb_train(ctx, &o, &r);
    nftw(fresh, temp_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return status;
}

/* Returns its file. */
static char *make_codebook(void) {
    static char path[600];
    const isb_codebook_text strings[] = {{(const uint8_t *)"een", 3}, {(const uint8_t *)" t", 2}};
    isb_codebook *codebook = NULL;
    snprintf(path, sizeof path, "%s/small.isb-codebook", temp_dir_path);
    CHECK_FATAL(isb_codebook_create(NULL, strings, 2, NULL, &codebook) == ISB_OK);
    CHECK_FATAL(isb_codebook_save(NULL, codebook, path) == ISB_OK);
    isb_codebook_free(codebook);
    return path;
}

int main(int argc, char **argv) {
    static const char text[] =
        "{\"text\": \"one two three\"}\n{\"text\": \"four five\"}\n{\"text\": \"six seven eight "
        "nine\"}\n"
        "{\"text\": \"ten\"}\n{\"text\": \"eleven twelve\"}\n{\"text\": \"thirteen\"}\n";
    char text_name[600], out_name[600];
    uint64_t steps = 3;
    check_begin(argc, argv);
    setenv("TMPDIR", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp",
           1); /* checkpoints are synced */
    temp_dir_begin();
    snprintf(text_name, sizeof text_name, "%s/text.jsonl", temp_dir_path);
    snprintf(out_name, sizeof out_name, "%s/out", temp_dir_path);
    temp_write(text_name, text, sizeof text - 1);
    text_path = text_name;
    out_path = out_name;
    fail_alloc_sweep("train from text", start_fresh, "bytes");
    fail_alloc_sweep("train on a codebook's ids", start_fresh, make_codebook());
    fail_alloc_sweep("train over an older run", train_then_check, NULL);
    fail_alloc_sweep("resume", resume, &steps);
    fail_alloc_sweep("evaluate", evaluate, NULL);
    temp_dir_end();
    return check_end();
}
