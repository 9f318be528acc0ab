/* The CUDA that the kernels of this folder see: the real one under nvcc, and in the tests an
 * emulation on the processor (tests/cuda/emulation), which runs the same sources.  What differs
 * between the two is here and in tensor_core.h, nowhere else. */
#ifndef ISB_CUDA_PLATFORM_H
#define ISB_CUDA_PLATFORM_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#ifdef ISB_CUDA_EMULATION
#include <cuda_emulation.h> /* has ISB_LAUNCH and ISB_DYNAMIC_SHARED too */
#else
#include <cublasLt.h>
#include <cuda_runtime.h>
#include <dlfcn.h>

/* The kernel's block has `nbytes` of dynamic shared memory. */
#define ISB_LAUNCH(kernel, grid, block, nbytes, stream, ...) \
    kernel<<<(grid), (block), (nbytes), (stream)>>>(__VA_ARGS__)
#define ISB_DYNAMIC_SHARED(type, name)                          \
    extern __shared__ __align__(16) unsigned char isb_shared[]; \
    type *const name = reinterpret_cast<type *>(isb_shared)
#endif

#include "cuda/gpu.h"

/* ---- bf16: the upper half of a float32, rounded to nearest even ---- */

__device__ __forceinline__ float to_f32(isb__bf16 x) {
#ifdef ISB_CUDA_EMULATION
    return bits_to_float((uint32_t)x << 16);
#else
    return __uint_as_float((uint32_t)x << 16);
#endif
}

/* Two at a time, as registers and shared memory hold them: `low` at the lower address. */
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
#ifdef ISB_CUDA_EMULATION
    return (uint32_t)float_to_bf16(low) | (uint32_t)float_to_bf16(high) << 16;
#else
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
#endif
}

__device__ __forceinline__ isb__bf16 to_bf16(float x) { return (isb__bf16)pack_bf16(x, 0.0f); }

/* Four neighbours, in one access of 8 bytes.  Widths are multiples of 4 (isobit/model.h). */
struct four {
    float x[4];
};

__device__ __forceinline__ four load4(const isb__bf16 *from) {
    const uint2 pairs = *reinterpret_cast<const uint2 *>(from);
    return {{to_f32((isb__bf16)pairs.x), to_f32((isb__bf16)(pairs.x >> 16)),
             to_f32((isb__bf16)pairs.y), to_f32((isb__bf16)(pairs.y >> 16))}};
}
__device__ __forceinline__ void store4(const four &v, isb__bf16 *to) {
    *reinterpret_cast<uint2 *>(to) =
        make_uint2(pack_bf16(v.x[0], v.x[1]), pack_bf16(v.x[2], v.x[3]));
}
__device__ __forceinline__ four load4(const float *from) {
    const float4 v = *reinterpret_cast<const float4 *>(from);
    return {{v.x, v.y, v.z, v.w}};
}
__device__ __forceinline__ void store4(const four &v, float *to) {
    *reinterpret_cast<float4 *>(to) = make_float4(v.x[0], v.x[1], v.x[2], v.x[3]);
}

/* ---- sums in a fixed order ---- */

enum { WARP = 32 };

template <typename T> __device__ __forceinline__ T warp_sum(T x) {
    for (int lane = WARP / 2; lane > 0; lane /= 2) x += __shfl_xor_sync(0xffffffffu, x, lane);
    return x;
}

/* All threads get the sum.  partial: [THREADS / WARP] in shared memory, free for other use after
 * the next barrier. */
template <int THREADS, typename T> __device__ __forceinline__ T block_sum(T x, T *partial) {
    x = warp_sum(x);
    if (threadIdx.x % WARP == 0) partial[threadIdx.x / WARP] = x;
    __syncthreads();
    T sum = 0;
    for (int i = 0; i < THREADS / WARP; ++i) sum += partial[i];
    return sum;
}

/* ---- host ---- */

/* What an isb__gpu is, for the launchers. */
struct isb__gpu {
    int index;
    char name[256];
    cudaStream_t stream, copy_stream;
    cudaEvent_t events[ISB__N_GPU_EVENTS];
    void *products;    /* product.cu */
    void *collectives; /* collective.cu */
    isb_status status; /* the first failure since the device was opened, and its text: */
    char error[512];
};

/* Records a failure; what the device is asked to do afterwards does not matter. */
void isb__gpu_failed(isb__gpu *gpu, const char *what, const char *reason);
static inline void gpu_check(isb__gpu *gpu, cudaError_t error, const char *what) {
    if (error != cudaSuccess) isb__gpu_failed(gpu, what, cudaGetErrorString(error));
}
/* After a launch. */
static inline void gpu_launched(isb__gpu *gpu, const char *kernel) {
    gpu_check(gpu, cudaGetLastError(), kernel);
}

static inline unsigned blocks_for(size_t n, size_t of) { return (unsigned)((n + of - 1) / of); }

#endif
