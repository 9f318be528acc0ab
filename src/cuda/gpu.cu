/* One GPU: opening it, its memory, its two streams, and the devices of this machine.  A build with
 * CUDA runs on machines without: no driver means no devices. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/devices.h"
#include "cuda/platform.h"

/* ---- which there are ---- */

extern "C" isb_status isb__cuda_device_count(int *count, char *reason, size_t reason_nbytes) {
    *count = 0;
    if (reason_nbytes > 0) reason[0] = '\0';
    const cudaError_t error = cudaGetDeviceCount(count);
    if (error == cudaSuccess) return ISB_OK;
    *count = 0;
    snprintf(reason, reason_nbytes, "%s", cudaGetErrorString(error));
    const bool none = error == cudaErrorNoDevice || error == cudaErrorInsufficientDriver;
    return none ? ISB_OK : ISB_ERR_UNSUPPORTED;
}

extern "C" isb_status isb__cuda_device_query(int index, isb__cuda_device *device) {
    memset(device, 0, sizeof *device);
    cudaDeviceProp properties;
    const cudaError_t error = cudaGetDeviceProperties(&properties, index);
    if (error == cudaErrorInvalidDevice) return ISB_ERR_RANGE;
    if (error != cudaSuccess) return ISB_ERR_UNSUPPORTED;
    snprintf(device->name, sizeof device->name, "%s", properties.name);
    device->memory_nbytes = properties.totalGlobalMem;
    device->compute_major = properties.major;
    device->compute_minor = properties.minor;
    return ISB_OK;
}

/* ---- opening ---- */

/* bf16 on tensor cores came with compute capability 8.0. */
static isb_status check_device(int index, isb__gpu *gpu, char *reason) {
    int count;
    char why[256];
    isb__cuda_device device;
    (void)isb__cuda_device_count(&count, why, sizeof why);
    if (index < 0 || index >= count) {
        snprintf(reason, ISB__GPU_TEXT_NBYTES, "this machine has %d usable GPUs%s%s", count,
                 *why ? ": " : "", why);
        return ISB_ERR_UNSUPPORTED;
    }
    if (isb__cuda_device_query(index, &device) != ISB_OK) {
        snprintf(reason, ISB__GPU_TEXT_NBYTES, "the driver does not describe it");
        return ISB_ERR_UNSUPPORTED;
    }
    memcpy(gpu->name, device.name, sizeof gpu->name);
    if (device.compute_major >= 8) return ISB_OK;
    snprintf(reason, ISB__GPU_TEXT_NBYTES, "%s has compute capability %d.%d, needed is 8.0",
             device.name, device.compute_major, device.compute_minor);
    return ISB_ERR_UNSUPPORTED;
}

static void open_streams(isb__gpu *gpu) {
    gpu_check(gpu, cudaSetDevice(gpu->index), "choosing the device");
    gpu_check(gpu, cudaStreamCreateWithFlags(&gpu->stream, cudaStreamNonBlocking), "a stream");
    gpu_check(gpu, cudaStreamCreateWithFlags(&gpu->copy_stream, cudaStreamNonBlocking), "a stream");
    for (int i = 0; i < ISB__N_GPU_EVENTS; ++i)
        gpu_check(gpu, cudaEventCreateWithFlags(&gpu->events[i], cudaEventDisableTiming),
                  "an event");
}

extern "C" isb_status isb__gpu_open(int index, isb__gpu **out, char *reason) {
    *out = NULL;
    isb__gpu *gpu = (isb__gpu *)calloc(1, sizeof *gpu);
    if (!gpu) {
        snprintf(reason, ISB__GPU_TEXT_NBYTES, "no memory for %zu bytes", sizeof *gpu);
        return ISB_ERR_NO_MEMORY;
    }
    gpu->index = index;
    isb_status status = check_device(index, gpu, reason);
    if (status == ISB_OK) {
        open_streams(gpu);
        status = gpu->status;
        if (status != ISB_OK) snprintf(reason, ISB__GPU_TEXT_NBYTES, "%s", gpu->error);
    }
    if (status != ISB_OK) {
        isb__gpu_close(gpu);
        return status;
    }
    *out = gpu;
    return ISB_OK;
}

extern "C" void isb__gpu_close(isb__gpu *gpu) {
    if (!gpu) return;
    isb__gpu_products_close(gpu);
    for (int i = 0; i < ISB__N_GPU_EVENTS; ++i) {
        if (gpu->events[i]) cudaEventDestroy(gpu->events[i]);
    }
    if (gpu->copy_stream) cudaStreamDestroy(gpu->copy_stream);
    if (gpu->stream) cudaStreamDestroy(gpu->stream);
    free(gpu);
}

extern "C" void isb__gpu_use(isb__gpu *gpu) {
    gpu_check(gpu, cudaSetDevice(gpu->index), "choosing the device");
}

extern "C" const char *isb__gpu_name(const isb__gpu *gpu) { return gpu->name; }

void isb__gpu_failed(isb__gpu *gpu, const char *what, const char *reason) {
    if (gpu->status != ISB_OK) return;
    gpu->status = ISB_ERR_DEVICE;
    snprintf(gpu->error, sizeof gpu->error, "%s: %s", what, reason);
}

extern "C" isb_status isb__gpu_status(const isb__gpu *gpu, const char **text) {
    *text = gpu->error;
    return gpu->status;
}

/* ---- memory ---- */

extern "C" void isb__gpu_memory(isb__gpu *gpu, uint64_t *free_nbytes, uint64_t *total_nbytes) {
    size_t unused = 0, total = 0;
    gpu_check(gpu, cudaMemGetInfo(&unused, &total), "asking for free memory");
    *free_nbytes = unused;
    *total_nbytes = total;
}

extern "C" void *isb__gpu_alloc(isb__gpu *gpu, size_t nbytes) {
    void *memory = NULL;
    const cudaError_t error = cudaMalloc(&memory, nbytes);
    (void)cudaGetLastError(); /* too little memory is no lasting failure */
    if (error != cudaSuccess && error != cudaErrorMemoryAllocation)
        gpu_check(gpu, error, "allocating memory");
    return error == cudaSuccess ? memory : NULL;
}

extern "C" void isb__gpu_free(isb__gpu *gpu, void *d_memory) {
    gpu_check(gpu, cudaFree(d_memory), "freeing memory");
}

extern "C" void *isb__gpu_alloc_pinned(isb__gpu *gpu, size_t nbytes) {
    void *memory = NULL;
    (void)gpu;
    if (cudaMallocHost(&memory, nbytes) == cudaSuccess) return memory;
    (void)cudaGetLastError();
    return NULL;
}

extern "C" void isb__gpu_free_pinned(isb__gpu *gpu, void *memory) {
    gpu_check(gpu, cudaFreeHost(memory), "freeing host memory");
}

extern "C" void isb__gpu_zero(isb__gpu *gpu, void *d_to, size_t nbytes) {
    gpu_check(gpu, cudaMemsetAsync(d_to, 0, nbytes, gpu->stream), "zeroing memory");
}

extern "C" void isb__gpu_upload(isb__gpu *gpu, void *d_to, const void *from, size_t nbytes) {
    gpu_check(gpu, cudaMemcpyAsync(d_to, from, nbytes, cudaMemcpyHostToDevice, gpu->stream),
              "copying to the device");
}

extern "C" void isb__gpu_download(isb__gpu *gpu, void *to, const void *d_from, size_t nbytes) {
    gpu_check(gpu, cudaMemcpyAsync(to, d_from, nbytes, cudaMemcpyDeviceToHost, gpu->stream),
              "copying from the device");
}

extern "C" void isb__gpu_feed(isb__gpu *gpu, void *d_to, const void *from, size_t nbytes) {
    gpu_check(gpu, cudaMemcpyAsync(d_to, from, nbytes, cudaMemcpyHostToDevice, gpu->copy_stream),
              "copying to the device");
}

/* ---- order ---- */

static cudaStream_t stream_of(const isb__gpu *gpu, int on_feed) {
    return on_feed ? gpu->copy_stream : gpu->stream;
}

extern "C" void isb__gpu_mark(isb__gpu *gpu, int event, int on_feed) {
    gpu_check(gpu, cudaEventRecord(gpu->events[event], stream_of(gpu, on_feed)), "an event");
}

extern "C" void isb__gpu_after(isb__gpu *gpu, int event, int on_feed) {
    gpu_check(gpu, cudaStreamWaitEvent(stream_of(gpu, on_feed), gpu->events[event], 0), "an event");
}

extern "C" void isb__gpu_wait(isb__gpu *gpu, int event) {
    gpu_check(gpu, cudaEventSynchronize(gpu->events[event]), "waiting for the device");
}

extern "C" void isb__gpu_finish(isb__gpu *gpu) {
    gpu_check(gpu, cudaStreamSynchronize(gpu->copy_stream), "waiting for the device");
    gpu_check(gpu, cudaStreamSynchronize(gpu->stream), "waiting for the device");
}
