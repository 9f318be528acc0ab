/* Chooses where M1 runs by the device's name, as train/trainer.c does for training. */
#include "m1/m1_device.h"

#include <stdlib.h>
#include <string.h>

#include "m1/m1_state.h"

static isb_status open_cuda(isb_context *ctx, const char *device, const char *path,
                            size_t n_streams, isb__cdf_source *source) {
#ifdef ISB_HAVE_CUDA
    isb__m1 *m1 = NULL;
    ISB_TRY(isb__m1_load(ctx, path, &m1));
    const isb_status status = isb__m1_cuda_source(ctx, m1, 1, device, n_streams, source);
    if (status != ISB_OK) isb__m1_free(m1);
    return status;
#else
    (void)path, (void)n_streams, (void)source;
    return isb__fail(ctx, ISB_ERR_UNSUPPORTED,
                     "device is %s, but this build has no CUDA: build with nvcc in PATH, or use "
                     "the cpu, which gives the same",
                     device);
#endif
}

isb_status isb__m1_open_on(isb_context *ctx, const char *device, const char *path, size_t n_streams,
                           isb__cdf_source *source) {
    uint64_t counts[ISB__N_SYMBOLS];
    bool is_static;
    if (!device) device = getenv("ISB_M1_DEVICE");
    const bool is_cpu = !device || !*device || strcmp(device, "cpu") == 0;
    if (!is_cpu && strcmp(device, "cuda") != 0 && strncmp(device, "cuda:", 5) != 0) {
        return isb__fail(ctx, ISB_ERR_ARGUMENT, "device is '%s'; allowed are cpu, cuda and cuda:N",
                         device);
    }
    if (is_cpu) return isb__m1_open(ctx, path, n_streams, source);
    ISB_TRY(isb__m1_read_static(ctx, path, &is_static, counts));
    if (is_static) return isb__cdf_source_static(ctx, counts, source);
    return open_cuda(ctx, device, path, n_streams, source);
}
