/* Where an M1 comes from: a trained model's folder, a file, or the library itself; and the public calls about one. */
#include <isobit/m1.h>

#include <string.h>

#include "base/io.h"
#include "m1/m1_state.h"
#include "nn/checkpoint.h"

static isb_status load_folder(isb_context *ctx, const char *dir, const char *name, isb__m1 **m1) {
    isb_model *model = NULL;
    ISB_TRY(isb_model_load(ctx, dir, &model));
    const isb_status status = isb__m1_from_model(ctx, model, name, m1);
    isb_model_free(model);
    return status;
}

static isb_status load_file(isb_context *ctx, const char *path, isb__m1 **m1) {
    uint8_t *data = NULL;
    size_t nbytes;
    ISB_TRY(isb__file_read(ctx, path, UINT32_MAX, &data, &nbytes));
    const isb_status status = isb__m1_from_bytes(ctx, path, data, nbytes, m1);
    isb__free(ctx, data);
    return status;
}

isb_status isb__m1_load(isb_context *ctx, const char *path, isb__m1 **m1) {
    size_t nbytes;
    const uint8_t *released = isb__m1_released(&nbytes);
    *m1 = NULL;
    if (isb__path_is_dir(path)) return load_folder(ctx, path, "", m1);
    if (isb__path_exists(path)) return load_file(ctx, path, m1);
    if (released && strcmp(path, ISB__RELEASED_M1_NAME) == 0)
        return isb__m1_from_bytes(ctx, path, released, nbytes, m1);
    return isb__fail(ctx, ISB_ERR_NOT_FOUND,
                     "there is no folder or file %s, and no M1 of that name in the library, which "
                     "has %s",
                     path, released ? "only " ISB__RELEASED_M1_NAME : "none in this build");
}

isb_status isb__m1_flops_per_byte(isb_context *ctx, const char *path, double *flops) {
    isb_m1_info info;
    ISB_TRY(isb_m1_get_info(ctx, path, &info));
    *flops = 2.0 * (double)info.n_parameters_no_embed;
    return ISB_OK;
}

/* ---- public ---- */

static isb_status static_info(isb_context *ctx, const uint64_t *counts, isb_m1_info *info) {
    isb__cdf_source source;
    ISB_TRY(isb__cdf_source_static(ctx, counts, &source));
    *info = (isb_m1_info){.is_static = 1};
    isb__id128_hex(&source.identity, info->identity);
    source.free(source.self);
    return ISB_OK;
}

isb_status isb_m1_get_info(isb_context *ctx, const char *path, isb_m1_info *info) {
    uint64_t counts[ISB__N_SYMBOLS];
    bool is_static;
    isb__m1 *m1 = NULL;
    if (!path || !info)
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "expected an M1 and room for what it is, found NULL");
    ISB_TRY(isb__m1_read_static(ctx, path, &is_static, counts));
    if (is_static) return static_info(ctx, counts, info);
    ISB_TRY(isb__m1_load(ctx, path, &m1));
    *info = (isb_m1_info){
        .config = m1->config,
        .n_parameters = isb__model_count(&m1->config, 1),
        .n_parameters_no_embed = isb__model_count(&m1->config, 0),
        .nbytes = isb__m1_file_nbytes(&m1->config),
        .is_file = isb__path_exists(path) && !isb__path_is_dir(path),
    };
    memcpy(info->name, m1->name, sizeof info->name);
    isb__id128_hex(&m1->identity, info->identity);
    isb__m1_free(m1);
    return ISB_OK;
}

isb_status isb_m1_identity(isb_context *ctx, const char *path, char identity[33]) {
    isb_m1_info info;
    if (!identity) return isb__fail(ctx, ISB_ERR_ARGUMENT, "expected room for an identity");
    ISB_TRY(isb_m1_get_info(ctx, path, &info));
    memcpy(identity, info.identity, sizeof info.identity);
    return ISB_OK;
}

/* The file's own name: "out/english.isb-m1" is "english". */
static size_t own_name(const char *path, const char **name) {
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    const size_t n = strlen(*name), suffix = strlen(ISB__M1_SUFFIX);
    return n > suffix && strcmp(*name + n - suffix, ISB__M1_SUFFIX) == 0 ? n - suffix : n;
}

static isb_status choose_name(isb_context *ctx, const char *out_path, const char *name,
                              char *chosen) {
    size_t n = name ? strlen(name) : 0;
    if (!name && strcmp(out_path, "-") != 0) n = own_name(out_path, &name);
    bool shown = n < ISB__M1_NAME_NBYTES;
    for (size_t i = 0; shown && i < n; ++i) shown = (uint8_t)name[i] >= ' ' && name[i] != 0x7f;
    if (!shown) {
        return isb__fail(
            ctx, ISB_ERR_ARGUMENT,
            "the name of an M1 has at most %d bytes, and no control characters: \"%s\"",
            ISB__M1_NAME_NBYTES - 1, name);
    }
    memset(chosen, 0, ISB__M1_NAME_NBYTES + 1);
    if (n > 0) memcpy(chosen, name, n);
    return ISB_OK;
}

static isb_status write_file(isb_context *ctx, const isb__m1 *m1, const char *path) {
    uint8_t *data = NULL;
    size_t nbytes;
    ISB_TRY(isb__m1_to_bytes(m1, &data, &nbytes));
    const isb_status status = isb__file_write(ctx, path, data, nbytes);
    isb__free(ctx, data);
    return status;
}

isb_status isb_m1_quantise_file(isb_context *ctx, const char *model_dir, const char *out_path,
                                const char *name, int force) {
    char chosen[ISB__M1_NAME_NBYTES + 1];
    isb__m1 *m1 = NULL;
    if (!model_dir || !out_path) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT,
                         "expected a model's folder and a name for the file, found NULL");
    }
    ISB_TRY(choose_name(ctx, out_path, name, chosen));
    if (!force && strcmp(out_path, "-") != 0 && isb__path_exists(out_path)) {
        return isb__fail(ctx, ISB_ERR_EXISTS, "%s exists; force replaces it", out_path);
    }
    ISB_TRY(load_folder(ctx, model_dir, chosen, &m1));
    const isb_status status = write_file(ctx, m1, out_path);
    isb__m1_free(m1);
    return status;
}
