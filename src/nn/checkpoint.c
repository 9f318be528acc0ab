/* Saves and loads a model folder: config.json and model.safetensors. */
#include "nn/checkpoint.h"

#include <string.h>

#include "base/io.h"

static const char config_name[] = "config.json", weights_name[] = "model.safetensors";

/* One reference for each tensor; returns owned. */
static isb_status list_references(isb_context *ctx, const isb_model *model,
                                  isb__tensor_ref **references) {
    ISB_TRY(isb__alloc_array(ctx, model->n_tensors, sizeof **references, references));
    for (size_t i = 0; i < model->n_tensors; ++i) {
        const isb__tensor *t = &model->tensors[i];
        (*references)[i] = (isb__tensor_ref){t->name, t->rows, t->cols, model->data + t->offset};
    }
    return ISB_OK;
}

/* ---- saving ---- */

static isb_status save_config(isb_context *ctx, const isb_model *model, const char *path) {
    isb__config_file file = {.config = model->config,
                             .first_byte_id = model->first_byte_id,
                             .boundary = model->boundary};
    memcpy(file.tokenizer, model->tokenizer, sizeof file.tokenizer);
    memcpy(file.tokenizer_identity, model->tokenizer_identity, sizeof file.tokenizer_identity);
    const isb__id128 id = isb__model_identity(model);
    isb__id128_hex(&id, file.identity);
    return isb__config_json_write(ctx, path, &file);
}

isb_status isb__model_save(isb_context *ctx, const isb_model *model, const char *dir) {
    char *config_path = NULL, *weights_path = NULL;
    isb__tensor_ref *references = NULL;
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(isb__path_join(ctx, dir, config_name, &config_path));
    ISB_TRY_GOTO(isb__path_join(ctx, dir, weights_name, &weights_path));
    ISB_TRY_GOTO(list_references(ctx, model, &references));
    ISB_TRY_GOTO(isb__safetensors_write(ctx, weights_path, model->n_tensors, references));
    ISB_TRY_GOTO(save_config(ctx, model, config_path));
fail:
    isb__free(ctx, references);
    isb__free(ctx, weights_path);
    isb__free(ctx, config_path);
    return status;
}

/* ---- loading ---- */

static isb_status load_weights(isb_context *ctx, isb_model *model, const char *path, int *ours) {
    isb__tensor_ref *references = NULL;
    ISB_TRY(list_references(ctx, model, &references));
    const isb_status status =
        isb__safetensors_read_from(ctx, path, model->n_tensors, references, ours);
    isb__free(ctx, references);
    return status;
}

/* Our own weights are those that the configuration was written with.  Weights that another
 * program wrote carry no checksums, and the identity, if the section was kept, is of an older
 * state. */
static isb_status check_identity(isb_context *ctx, const isb_model *model,
                                 const isb__config_file *file, const char *dir) {
    if (!file->identity[0]) return ISB_OK;
    char hex[33];
    const isb__id128 id = isb__model_identity(model);
    isb__id128_hex(&id, hex);
    if (strcmp(hex, file->identity) == 0) return ISB_OK;
    return isb__fail(
        ctx, ISB_ERR_CORRUPT,
        "%s: config.json was written for the model %s, but with these weights it is %s; the "
        "two files do not belong together or config.json was changed",
        dir, file->identity, hex);
}

/* Before memory is asked for: a damaged configuration may describe a model of any size. */
static isb_status check_size(isb_context *ctx, const isb_model_config *config,
                             const char *weights_path) {
    isb__map map;
    ISB_TRY(isb_model_config_check(ctx, config));
    ISB_TRY(isb__map_open(ctx, weights_path, &map));
    const size_t nbytes = map.nbytes;
    isb__map_close(&map);
    const int64_t n = isb__model_count(config, 1);
    if ((uint64_t)n <= nbytes / 2) return ISB_OK; /* two bytes each at least */
    return isb__fail(ctx, ISB_ERR_CORRUPT,
                     "%s has %zu bytes, too few for the %lld parameters that config.json "
                     "describes: it is truncated, or of another model",
                     weights_path, nbytes, (long long)n);
}

static isb_status load_from(isb_context *ctx, const char *dir, const char *config_path,
                            const char *weights_path, isb_model **model) {
    isb__config_file file;
    isb_model *m = NULL;
    isb_status status = ISB_OK;
    int ours = 0;
    ISB_TRY(isb__config_json_read(ctx, config_path, &file));
    ISB_TRY(check_size(ctx, &file.config, weights_path));
    ISB_TRY(isb__model_create(ctx, &file.config, &m));
    memcpy(m->tokenizer, file.tokenizer, sizeof m->tokenizer);
    memcpy(m->tokenizer_identity, file.tokenizer_identity, sizeof m->tokenizer_identity);
    m->first_byte_id = file.first_byte_id;
    if (file.boundary >= 0) m->boundary = file.boundary;
    ISB_TRY_GOTO(load_weights(ctx, m, weights_path, &ours));
    if (ours) ISB_TRY_GOTO(check_identity(ctx, m, &file, dir));
    *model = m;
    return ISB_OK;
fail:
    isb_model_free(m);
    return status;
}

isb_status isb_model_load(isb_context *ctx, const char *dir, isb_model **model) {
    *model = NULL;
    if (!dir) return isb__fail(ctx, ISB_ERR_ARGUMENT, "no model folder given");
    if (!isb__path_is_dir(dir)) {
        const int exists = isb__path_exists(dir);
        return isb__fail(ctx, exists ? ISB_ERR_FORMAT : ISB_ERR_NOT_FOUND,
                         "%s %s; expected a model folder with %s and %s", dir,
                         exists ? "is not a folder" : "does not exist", config_name, weights_name);
    }
    char *config_path = NULL, *weights_path = NULL;
    isb_status status = ISB_OK;
    ISB_TRY_GOTO(isb__path_join(ctx, dir, config_name, &config_path));
    ISB_TRY_GOTO(isb__path_join(ctx, dir, weights_name, &weights_path));
    ISB_TRY_GOTO(load_from(ctx, dir, config_path, weights_path, model));
fail:
    isb__free(ctx, weights_path);
    isb__free(ctx, config_path);
    return status;
}
