/* Which device M1 is opened on; what runs there is in tests/cuda. */
#include <stdlib.h>

#include "m1/m1_device.h"
#include "small_models.h"
#include "temp_dir.h"

static isb_context *ctx;

static isb_status try_open(const char *device, const char *path, isb__id128 *identity) {
    isb__cdf_source source = {0};
    const isb_status status = isb__m1_open_on(ctx, device, path, 2, &source);
    if (status == ISB_OK) {
        *identity = source.identity;
        source.free(source.self);
    }
    return status;
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    char model[600], counted[600];
    isb__id128 a, b;
    uint64_t counts[ISB__N_SYMBOLS] = {3, 2, 1};
    ctx = small_context(NULL, 1);
    temp_dir_begin();
    snprintf(model, sizeof model, "%s/model", temp_dir_path);
    snprintf(counted, sizeof counted, "%s/counts", temp_dir_path);
    small_m1(ctx, seed, model);
    CHECK_OK(ctx, isb__m1_write_static(ctx, counted, counts));

    unsetenv("ISB_M1_DEVICE");
    CHECK_STATUS(try_open("cpu", model, &a), ISB_OK);
    CHECK_STATUS(try_open(NULL, model, &b), ISB_OK);
    CHECK(memcmp(&a, &b, sizeof a) == 0);
    CHECK_STATUS(try_open("cuda:9", counted, &a), ISB_OK); /* counts need no device */
    static const char *const wrong[] = {"gpu", "cud", "cuda1", "CUDA", "cpu "};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
        CHECK_STATUS(try_open(wrong[i], model, &a), ISB_ERR_ARGUMENT);
        CHECK_STATUS(try_open(wrong[i], counted, &a), ISB_ERR_ARGUMENT);
    }
    /* A build without CUDA, or a machine without a thousand GPUs. */
    CHECK_STATUS(try_open("cuda:1000", model, &a), ISB_ERR_UNSUPPORTED);
    setenv("ISB_M1_DEVICE", "cuda:1000", 1);
    CHECK_STATUS(try_open(NULL, model, &a), ISB_ERR_UNSUPPORTED);
    CHECK_STATUS(try_open("cpu", model, &a), ISB_OK);
    setenv("ISB_M1_DEVICE", "", 1);
    CHECK_STATUS(try_open(NULL, model, &a), ISB_OK);

    temp_dir_end();
    isb_context_free(ctx);
    return check_end();
}
