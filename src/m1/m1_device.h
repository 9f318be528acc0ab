/* M1 as a source of CDFs on the processor or on a GPU: the same integers. */
#ifndef ISB_M1_M1_DEVICE_H
#define ISB_M1_M1_DEVICE_H

#include "m1/m1.h"

/* isb__m1_open() on a device: "cpu", "cuda" (the first GPU), "cuda:1"; NULL: what ISB_M1_DEVICE
 * says, else cpu.  Counts of bytes are on the processor whatever the device.  Errors: also ARGUMENT
 * (the device's name), UNSUPPORTED (this build has no CUDA, or the machine no such GPU), DEVICE. */
isb_status isb__m1_open_on(isb_context *ctx, const char *device, const char *path, size_t n_streams,
                           isb__cdf_source *source);
/* Of src/cuda, in builds with ISB_HAVE_CUDA.  As isb__m1_source(); one worker. */
isb_status isb__m1_cuda_source(isb_context *ctx, isb__m1 *m1, int take, const char *device,
                               size_t n_streams, isb__cdf_source *source);

#endif
