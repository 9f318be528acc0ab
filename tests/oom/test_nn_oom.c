/* Models and graphs when memory runs out at any allocation. */
#include "base/io.h"
#include "fail_alloc.h"
#include "nn/checkpoint.h"
#include "nn/graph.h"
#include "temp_dir.h"

static isb_status make_model(isb_context *ctx, isb_model **model) {
    isb_model_config config;
    ISB_TRY(isb_model_config_init(ctx, "nano", &config));
    config.hidden_size = 32;
    config.n_heads = 2;
    config.intermediate_size = 48;
    config.position = ISB_POSITION_T5;
    config.tie_embeddings = 0;
    ISB_TRY(isb__model_create(ctx, &config, model));
    isb__model_init_weights(*model, 1);
    return ISB_OK;
}

static isb_status save(isb_context *ctx, void *dir) {
    isb_model *model = NULL;
    isb_status status = make_model(ctx, &model);
    if (status == ISB_OK) status = isb__model_save(ctx, model, dir);
    isb_model_free(model);
    return status;
}

static isb_status load(isb_context *ctx, void *dir) {
    isb_model *model = NULL;
    const isb_status status = isb_model_load(ctx, dir, &model);
    CHECK((model != NULL) == (status == ISB_OK));
    isb_model_free(model);
    return status;
}

/* Once made, a graph allocates nothing: the sweep ends with the set-up's allocations. */
static isb_status train(isb_context *ctx, void *arg) {
    (void)arg;
    enum { B = 2, T = 5 };
    int32_t ids[B * T] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    const isb__batch batch = {ids, ids, NULL};
    isb_model *model = NULL;
    isb__graph *graph = NULL;
    isb__loss loss;
    float *grads = NULL;
    isb_status status = make_model(ctx, &model);
    const isb__graph_options options = {.B = B, .T = T, .training = 1};
    if (status == ISB_OK) status = isb__graph_create(ctx, model, &options, &graph);
    CHECK((graph != NULL) == (status == ISB_OK));
    if (status == ISB_OK) status = isb__alloc_array(ctx, model->n_floats, sizeof *grads, &grads);
    if (status == ISB_OK) status = isb__graph_backward(graph, &batch, 1, 0, grads, &loss);
    isb__free(ctx, grads);
    isb__graph_free(graph);
    isb_model_free(model);
    return status;
}

int main(int argc, char **argv) {
    (void)check_begin(argc, argv);
    char dir[600];
    snprintf(dir, sizeof dir, "%s", temp_dir_begin());
    fail_alloc_sweep("save", save, dir);
    fail_alloc_sweep("load", load, dir);
    fail_alloc_sweep("train", train, NULL);
    temp_dir_end();
    return check_end();
}
