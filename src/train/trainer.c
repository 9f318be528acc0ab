/* Chooses the trainer by the device's name. */
#include "train/trainer.h"

#include <string.h>

static isb_status create_cuda(isb_context *ctx, isb_model *model,
                              const isb__trainer_options *options, isb__trainer **trainer) {
#ifdef ISB_HAVE_CUDA_TRAINER
    return isb__trainer_cuda_create(ctx, model, options, trainer);
#else
    (void)model;
    (void)trainer;
    return isb__fail(ctx, ISB_ERR_UNSUPPORTED,
                     "device is %s, but this build has no CUDA: build with nvcc in PATH, or train "
                     "on the cpu",
                     options->device);
#endif
}

isb_status isb__trainer_create(isb_context *ctx, isb_model *model,
                               const isb__trainer_options *options, isb__trainer **trainer) {
    const char *device = options->device ? options->device : "cpu";
    *trainer = NULL;
    if (strcmp(device, "cpu") == 0) return isb__trainer_cpu_create(ctx, model, options, trainer);
    if (strcmp(device, "cuda") == 0 || strncmp(device, "cuda:", 5) == 0)
        return create_cuda(ctx, model, options, trainer);
    return isb__fail(ctx, ISB_ERR_ARGUMENT, "device is '%s'; allowed are cpu, cuda and cuda:N",
                     device);
}

void isb__trainer_free(isb__trainer *trainer) {
    if (trainer) trainer->ops->free(trainer);
}
