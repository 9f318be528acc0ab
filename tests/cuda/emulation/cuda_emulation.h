/* The part of CUDA that src/cuda uses, on one processor, so that its sources can be compiled with a
 * plain C++ compiler and tested without a GPU.
 *
 * A kernel runs block after block; the threads of a block are fibers that run in turn, each until
 * it ends or waits at a barrier or a warp's exchange.  Barriers are strict: a block in which some
 * threads wait at one and the others have ended or wait elsewhere is an error, as is shared memory
 * beyond what was asked for.  Fresh device memory is all NaN.  Copies are made at once, so missing
 * waits between streams are not found.  emulation_reverse(1) runs blocks and threads from last to
 * first: results that then differ come from a race.
 *
 * Tensor core operations follow the fragment layouts of the PTX ISA; cuBLASLt is a loop with
 * float32 sums of bf16 products. */
#ifndef ISB_TESTS_CUDA_EMULATION_H
#define ISB_TESTS_CUDA_EMULATION_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>

/* ---- the language ---- */

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint2 {
    uint32_t x, y;
};
struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
static inline uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
static inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) {
    return {x, y, z, w};
}
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

extern dim3 threadIdx, blockIdx, blockDim, gridDim;
void __syncthreads();
/* Gives `nbytes` of every lane to all; slot of lane i: i * ISB_LANE_NBYTES further. */
enum { ISB_LANE_NBYTES = 64 };
const char *emulation_exchange(const void *mine, size_t nbytes);

template <typename T> T __shfl_xor_sync(unsigned mask, T value, int lane_mask) {
    (void)mask;
    const char *all = emulation_exchange(&value, sizeof value);
    T other;
    memcpy(&other, all + ((threadIdx.x % 32) ^ (unsigned)lane_mask) * ISB_LANE_NBYTES,
           sizeof other);
    return other;
}

template <typename T> T __shfl_up_sync(unsigned mask, T value, unsigned step) {
    (void)mask;
    const char *all = emulation_exchange(&value, sizeof value);
    const unsigned lane = threadIdx.x % 32;
    T other;
    memcpy(&other, all + (lane < step ? lane : lane - step) * ISB_LANE_NBYTES, sizeof other);
    return other;
}
/* Threads run in turn. */
static inline int atomicAdd(int *sum, int x) {
    const int before = *sum;
    *sum += x;
    return before;
}

/* ---- arithmetic; compile with -ffp-contract=off ---- */

static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dsub_rn(double a, double b) { return a - b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
static inline float __int2float_rn(int x) { return (float)x; }
static inline float __uint2float_rn(unsigned x) { return (float)x; }
static inline double __ll2double_rn(long long x) { return (double)x; }
static inline float __double2float_rn(double x) { return (float)x; }
/* Numbers beyond int become its limits, and NaN 0. */
int __float2int_rn(float x);
int __float2int_rz(float x);
int __double2int_rz(double x);
uint32_t __float_as_uint(float x);
float __uint_as_float(uint32_t bits);
int __dp4a(int a, int b, int sum);
/* The 16-bit halves of a times bytes 0 and 1, or 2 and 3, of b. */
int __dp2a_lo(int a, int b, int sum);
int __dp2a_hi(int a, int b, int sum);

#define __expf(x) expf(x) /* glibc has the name, for itself */
float bits_to_float(uint32_t bits);
uint16_t float_to_bf16(float x);
void emulated_mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t *b);
void emulated_mma_int8(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t *b);
void emulated_ldmatrix(uint32_t (&r)[4], const uint16_t *row, bool transposed);

void emulation_launch(const void *kernel, dim3 grid, dim3 block, size_t shared_nbytes,
                      const std::function<void()> &thread);
void *emulation_shared();
#define ISB_LAUNCH(kernel, grid, block, nbytes, stream, ...)                             \
    ((void)(stream), emulation_launch((const void *)(kernel), (grid), (block), (nbytes), \
                                      [=]() { kernel(__VA_ARGS__); }))
#define ISB_DYNAMIC_SHARED(type, name) type *const name = static_cast<type *>(emulation_shared())

/* ---- the runtime ---- */

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
typedef struct emulated_stream *cudaStream_t;
typedef struct emulated_event *cudaEvent_t;
struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem;
    int major, minor;
};

cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device);
cudaError_t cudaSetDevice(int device);
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaMemGetInfo(size_t *free_nbytes, size_t *total_nbytes);
cudaError_t cudaMalloc(void **memory, size_t nbytes);
cudaError_t cudaFree(void *memory);
cudaError_t cudaMallocHost(void **memory, size_t nbytes);
cudaError_t cudaFreeHost(void *memory);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t nbytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *to, int value, size_t nbytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t emulation_allow_shared(const void *kernel, int nbytes);
template <typename F> cudaError_t cudaFuncSetAttribute(F *kernel, cudaFuncAttribute, int nbytes) {
    return emulation_allow_shared((const void *)kernel, nbytes);
}

/* ---- cuBLASLt ---- */

typedef struct emulated_lt *cublasLtHandle_t;
typedef struct emulated_desc *cublasLtMatmulDesc_t;
typedef struct emulated_layout *cublasLtMatrixLayout_t;
typedef struct emulated_preference *cublasLtMatmulPreference_t;
enum cublasStatus_t { CUBLAS_STATUS_SUCCESS = 0, CUBLAS_STATUS_NOT_SUPPORTED = 15 };
enum cudaDataType_t { CUDA_R_32F = 0, CUDA_R_16BF = 14 };
typedef cudaDataType_t cudaDataType;
enum cublasComputeType_t { CUBLAS_COMPUTE_32F = 68 };
enum cublasOperation_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum cublasLtMatmulDescAttributes_t {
    CUBLASLT_MATMUL_DESC_TRANSA = 3,
    CUBLASLT_MATMUL_DESC_TRANSB = 4
};
enum cublasLtMatmulPreferenceAttributes_t {
    CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1,
    CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK = 3,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES = 5,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES = 6,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES = 7,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES = 8
};
enum { CUBLASLT_REDUCTION_SCHEME_NONE = 0, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE = 2 };
struct cublasLtMatmulAlgo_t {
    uint64_t data[8];
};
struct cublasLtMatmulHeuristicResult_t {
    cublasLtMatmulAlgo_t algo;
    size_t workspaceSize;
    cublasStatus_t state;
    float wavesCount;
};
cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle);
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle);
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute,
                                        cudaDataType_t scale);
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc);
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t nbytes);
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld);
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout);
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference);
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference);
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void *value, size_t nbytes);
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t *results,
                                              int *n_results);
cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *A, cublasLtMatrixLayout_t a, const void *B,
                              cublasLtMatrixLayout_t b, const void *beta, const void *C,
                              cublasLtMatrixLayout_t c, void *D, cublasLtMatrixLayout_t d,
                              const cublasLtMatmulAlgo_t *algo, void *workspace,
                              size_t workspace_nbytes, cudaStream_t stream);

/* ---- libraries that are opened at run time ---- */

void *emulation_symbol(const char *name);
enum { RTLD_NOW = 2, RTLD_LOCAL = 0 };
static inline void *dlopen(const char *name, int) { return const_cast<char *>(name); }
static inline void *dlsym(void *, const char *name) { return emulation_symbol(name); }
static inline int dlclose(void *) { return 0; }

#endif
