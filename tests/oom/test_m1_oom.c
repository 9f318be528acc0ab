/* Quantising, reading, running and measuring an M1 when any one allocation fails: the status is NO_MEMORY, nothing
 * leaks, and no file appears. */
#include <isobit/m1.h>

#include "fail_alloc.h"
#include "m1/m1.h"
#include "small_models.h"
#include "temp_dir.h"

static char folder[1024], file[1024], documents[1024];

static isb_status quantise(isb_context *ctx, void *out) {
    remove(out);
    const isb_status status = isb_m1_quantise_file(ctx, folder, out, "small", 0);
    CHECK(temp_exists(out) == (status == ISB_OK));
    return status;
}

static isb_status look(isb_context *ctx, void *path) {
    isb_m1_info info;
    return isb_m1_get_info(ctx, path, &info);
}

static isb_status run(isb_context *ctx, void *path) {
    uint32_t cdfs[3][ISB__N_SYMBOLS + 1];
    isb__cdf_source source;
    ISB_TRY(isb__m1_open(ctx, path, 3, &source));
    const isb__cdf_request request = {2, 1, (const uint8_t *)"text", 4, 3, cdfs[0]};
    const isb_status status = source.evaluate(source.self, 1, 1, &request);
    source.free(source.self);
    return status;
}

static isb_status measure(isb_context *ctx, void *path) {
    const char *paths[] = {documents};
    isb_m1_measure_options options;
    isb_m1_measurement found;
    isb_m1_measure_options_init(&options);
    options.model_dir = folder;
    options.m1 = path;
    return isb_m1_measure(ctx, paths, 1, &options, &found);
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    temp_dir_begin();
    snprintf(folder, sizeof folder, "%s", temp_path("m1"));
    snprintf(file, sizeof file, "%s", temp_path("small.isb-m1"));
    snprintf(documents, sizeof documents, "%s", temp_path("text"));
    temp_write(documents, "a text to be measured on\n", 25);
    isb_context *ctx = small_context(NULL, 1);
    small_m1(ctx, 1, folder);
    CHECK_OK(ctx, isb_m1_quantise_file(ctx, folder, file, "small", 0));
    isb_context_free(ctx);
    fail_alloc_sweep("quantise", quantise, (void *)temp_path("out.isb-m1"));
    fail_alloc_sweep("folder", look, folder);
    fail_alloc_sweep("file", look, file);
    fail_alloc_sweep("run", run, file);
    fail_alloc_sweep("measure", measure, file);
    fail_alloc_sweep("quantise and measure", measure, NULL);
    temp_dir_end();
    return check_end();
}
