/* Static M1: a folder whose config.json has "model_type": "isobit-static" and the byte counts of a corpus, 257 of them,
 * under "counts".  The simplest model that a code can stand on. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/path.h"
#include "m1/m1_state.h"

enum { CONFIG_LIMIT_NBYTES = 1 << 20 };
static const char STATIC_TYPE[] = "isobit-static";

/* [257] whole numbers whose sum a CDF can be made of. */
static isb_status read_counts(isb_context *ctx, const char *path, const json_t *root,
                              uint64_t *counts) {
    const json_t *array = json_object_get(root, "counts");
    uint64_t sum = 0;
    if (!json_is_array(array) || json_array_size(array) != ISB__N_SYMBOLS) {
        return isb__fail(ctx, ISB_ERR_FORMAT, "%s: \"counts\" must be an array of %d whole numbers",
                         path, ISB__N_SYMBOLS);
    }
    for (size_t x = 0; x < ISB__N_SYMBOLS; ++x) {
        const json_t *value = json_array_get(array, x);
        const json_int_t count = json_integer_value(value);
        if (!json_is_integer(value) || count < 0 || (uint64_t)count >= (UINT64_C(1) << 48) - sum) {
            return isb__fail(
                ctx, ISB_ERR_FORMAT,
                "%s: count %zu must be a whole number from 0, and all together below 2^48", path,
                x);
        }
        counts[x] = (uint64_t)count;
        sum += counts[x];
    }
    if (sum == 0) return isb__fail(ctx, ISB_ERR_EMPTY, "%s: all counts are 0", path);
    return ISB_OK;
}

isb_status isb__m1_read_static(isb_context *ctx, const char *dir, bool *is_static,
                               uint64_t *counts) {
    char *path = NULL;
    uint8_t *text = NULL;
    size_t nbytes = 0;
    *is_static = false;
    ISB_TRY(isb__path_join(ctx, dir, "config.json", &path));
    isb_status status = ISB_OK;
    if (isb__path_exists(path))
        status = isb__file_read(ctx, path, CONFIG_LIMIT_NBYTES, &text, &nbytes);
    json_t *root = text ? json_loadb((const char *)text, nbytes, 0, NULL) : NULL;
    const char *type = json_string_value(json_object_get(root, "model_type"));
    if (type && strcmp(type, STATIC_TYPE) == 0) {
        *is_static = true;
        status = read_counts(ctx, path, root, counts);
    }
    json_decref(root);
    isb__free(ctx, text);
    isb__free(ctx, path);
    return status;
}

static char *static_text(const uint64_t *counts) {
    json_t *array = json_array();
    for (size_t x = 0; x < ISB__N_SYMBOLS; ++x)
        json_array_append_new(array, json_integer((json_int_t)counts[x]));
    json_t *root = json_pack("{s:s, s:i, s:o}", "model_type", STATIC_TYPE, "vocab_size",
                             ISB__N_SYMBOLS, "counts", array);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

static isb_status write_static_config(isb_context *ctx, const char *dir, const uint64_t *counts) {
    char *path = NULL, *text = static_text(counts);
    isb_status status =
        text ? ISB_OK
             : isb__fail(ctx, ISB_ERR_NO_MEMORY, "no memory to write the static M1 %s", dir);
    if (status == ISB_OK) status = isb__dir_create(ctx, dir);
    if (status == ISB_OK) status = isb__path_join(ctx, dir, "config.json", &path);
    if (status == ISB_OK) status = isb__file_write(ctx, path, text, strlen(text));
    isb__free(ctx, path);
    free(text);
    return status;
}

isb_status isb__m1_write_static(isb_context *ctx, const char *dir, const uint64_t *counts) {
    uint64_t sum = 0;
    for (size_t x = 0; x < ISB__N_SYMBOLS; ++x) sum += counts[x];
    if (sum == 0)
        return isb__fail(ctx, ISB_ERR_EMPTY, "a static M1 needs a corpus with at least one byte");
    char *temporary = NULL;
    ISB_TRY(isb__path_temporary(ctx, dir, &temporary));
    isb_status status = isb__dir_remove(ctx, temporary);
    if (status == ISB_OK) status = write_static_config(ctx, temporary, counts);
    if (status == ISB_OK) status = isb__dir_commit(ctx, temporary, dir);
    isb__free(ctx, temporary);
    return status;
}
