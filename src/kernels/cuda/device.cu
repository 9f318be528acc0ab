/* The CUDA devices of this machine.  A build with CUDA runs on machines without: no driver means no
 * devices. */
#include <stdio.h>
#include <string.h>

#include <cuda_runtime_api.h>

#include "base/devices.h"

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
