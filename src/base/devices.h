/* What the optional backends say about themselves, for isb_build_info_json().  The CUDA part is
 * implemented beside the CUDA kernels and exists only in builds with ISB_HAVE_CUDA. */
#ifndef ISB_BASE_DEVICES_H
#define ISB_BASE_DEVICES_H

#include <stddef.h>
#include <stdint.h>

#include <isobit/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct isb__cuda_device {
    char name[256];
    uint64_t memory_nbytes;
    int compute_major, compute_minor;
} isb__cuda_device;

/* *count is 0 and the result ISB_OK where there is no device or no driver; UNSUPPORTED where the
 * driver is there and refuses, with its reason in `reason`. */
isb_status isb__cuda_device_count(int *count, char *reason, size_t reason_nbytes);
/* Errors: RANGE if there is no such device; UNSUPPORTED if the driver refuses. */
isb_status isb__cuda_device_query(int index, isb__cuda_device *device);

/* The MPI library that was there when this was built, or "". */
void isb__mpi_library_version(char *text, size_t nbytes);

#ifdef __cplusplus
}
#endif
#endif
