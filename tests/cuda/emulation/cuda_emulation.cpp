/* See cuda_emulation.h. */
#include "cuda_emulation.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <map>
#include <string>

#include "emulation_control.h"

dim3 threadIdx, blockIdx, blockDim, gridDim;

static struct {
    bool reverse, broken;
    size_t memory_nbytes, allocated_nbytes, pinned_nbytes;
    cudaError_t last_error;
    std::map<const void *, size_t> sizes;   /* of allocations */
    std::map<const void *, size_t> allowed; /* dynamic shared memory, by kernel */
} device = {false, false, (size_t)1 << 30, 0, 0, cudaSuccess, {}, {}};

void emulation_reverse(int on) { device.reverse = on != 0; }
void emulation_set_memory(size_t nbytes) { device.memory_nbytes = nbytes; }
size_t emulation_allocated() { return device.allocated_nbytes + device.pinned_nbytes; }
void emulation_break(int on) { device.broken = on != 0; }

[[noreturn]] static void die(const char *what) {
    fprintf(stderr, "CUDA emulation: block (%u, %u, %u), thread %u: %s\n", blockIdx.x, blockIdx.y,
            blockIdx.z, threadIdx.x, what);
    abort();
}

/* ---- threads of a block ---- */

enum { MAX_THREADS = 1024, STACK_NBYTES = 1 << 18, LANES = 32 };

struct barrier {
    unsigned n, arrived, generation;
};
/* A context starts a fiber; after that, to jump is to switch, which costs no call of the system. */
struct fiber {
    ucontext_t context;
    jmp_buf here;
    bool made, started, done;
    barrier *waits;
    unsigned generation; /* of `waits`, when it began to wait */
    unsigned exchanges;
};
static fiber fibers[MAX_THREADS];
static jmp_buf scheduler;
static unsigned current;
static const std::function<void()> *body;
static barrier block_barrier, warp_barriers[MAX_THREADS / LANES];
/* Two sets of slots: a lane may be one exchange ahead of the others. */
static char slots[MAX_THREADS / LANES][2][LANES * ISB_LANE_NBYTES];
static void *shared_memory;

void *emulation_shared() { return shared_memory; }

static void back_to_scheduler() {
    if (_setjmp(fibers[current].here) == 0) _longjmp(scheduler, 1);
}

static void fiber_main() {
    for (;;) {
        (*body)();
        fibers[current].done = true;
        back_to_scheduler();
    }
}

static void make_fiber(fiber *f) {
    void *stack =
        mmap(NULL, STACK_NBYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED) die("no memory for a stack");
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = stack;
    f->context.uc_stack.ss_size = STACK_NBYTES;
    f->context.uc_link = NULL;
    makecontext(&f->context, fiber_main, 0);
    f->made = true;
}

static void arrive(barrier *b) {
    fiber *self = &fibers[current];
    if (++b->arrived == b->n) {
        b->arrived = 0;
        ++b->generation;
        return;
    }
    self->waits = b;
    self->generation = b->generation;
    back_to_scheduler();
    self->waits = NULL;
}

void __syncthreads() { arrive(&block_barrier); }

const char *emulation_exchange(const void *mine, size_t nbytes) {
    const unsigned warp = current / LANES, lane = current % LANES;
    char *set = slots[warp][fibers[current].exchanges++ % 2];
    if (nbytes > ISB_LANE_NBYTES) die("an exchange of too many bytes");
    memcpy(set + lane * ISB_LANE_NBYTES, mine, nbytes);
    arrive(&warp_barriers[warp]);
    return set;
}

static bool can_run(const fiber *f) {
    return !f->done && (!f->waits || f->waits->generation != f->generation);
}

static void run_thread(unsigned i) {
    current = i;
    threadIdx = dim3(i, 0, 0);
    if (_setjmp(scheduler) != 0) return;
    if (fibers[i].started) _longjmp(fibers[i].here, 1);
    fibers[i].started = true;
    setcontext(&fibers[i].context);
}

static void begin_block(unsigned n) {
    block_barrier = {n, 0, 0};
    for (unsigned w = 0; w < n / LANES; ++w) warp_barriers[w] = {LANES, 0, 0};
    for (unsigned i = 0; i < n; ++i) {
        if (!fibers[i].made) make_fiber(&fibers[i]);
        fibers[i].done = false;
        fibers[i].waits = NULL;
        fibers[i].exchanges = 0;
    }
}

static void run_block(unsigned n) {
    begin_block(n);
    for (unsigned left = n; left > 0;) {
        bool moved = false;
        for (unsigned k = 0; k < n; ++k) {
            const unsigned i = device.reverse ? n - 1 - k : k;
            if (!can_run(&fibers[i])) continue;
            moved = true;
            run_thread(i);
            left -= fibers[i].done;
        }
        if (!moved) die("waits at a barrier that not all threads reach");
    }
}

static cudaError_t check_launch(const void *kernel, dim3 grid, dim3 block, size_t shared_nbytes) {
    const auto allowed = device.allowed.find(kernel);
    const size_t limit = allowed == device.allowed.end() ? 48 << 10 : allowed->second;
    if (device.broken || block.x % LANES != 0 || block.x > MAX_THREADS || block.y * block.z != 1 ||
        grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535 ||
        shared_nbytes > limit)
        return cudaErrorInvalidValue;
    return cudaSuccess;
}

void emulation_launch(const void *kernel, dim3 grid, dim3 block, size_t shared_nbytes,
                      const std::function<void()> &thread) {
    const cudaError_t error = check_launch(kernel, grid, block, shared_nbytes);
    if (error != cudaSuccess) {
        device.last_error = error;
        return;
    }
    gridDim = grid;
    blockDim = block;
    body = &thread;
    const size_t n_blocks = (size_t)grid.x * grid.y * grid.z;
    for (size_t k = 0; k < n_blocks; ++k) {
        const size_t i = device.reverse ? n_blocks - 1 - k : k;
        blockIdx = dim3((unsigned)(i % grid.x), (unsigned)(i / grid.x % grid.y),
                        (unsigned)(i / grid.x / grid.y));
        shared_memory = aligned_alloc(16, (shared_nbytes + 15) / 16 * 16 + 16);
        memset(shared_memory, 0xff, shared_nbytes);
        run_block(block.x);
        free(shared_memory);
    }
}

/* ---- arithmetic ---- */

float bits_to_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

uint16_t float_to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x) return 0x7fff;
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

template <typename F> static int to_int(F rounded) {
    if (rounded != rounded) return 0;
    if (rounded >= (F)0x1p31) return INT32_MAX;
    return rounded <= (F)-0x1p31 ? INT32_MIN : (int)rounded;
}
int __float2int_rn(float x) { return to_int(rintf(x)); }
int __float2int_rz(float x) { return to_int(truncf(x)); }
int __double2int_rz(double x) { return to_int(trunc(x)); }

uint32_t __float_as_uint(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
float __uint_as_float(uint32_t bits) { return bits_to_float(bits); }

static int byte_of(int word, unsigned i) { return (int8_t)((uint32_t)word >> 8 * i); }
static int half_word_of(int word, unsigned i) { return (int16_t)((uint32_t)word >> 16 * i); }

int __dp4a(int a, int b, int sum) {
    for (unsigned i = 0; i < 4; ++i) sum += byte_of(a, i) * byte_of(b, i);
    return sum;
}
int __dp2a_lo(int a, int b, int sum) {
    return sum + half_word_of(a, 0) * byte_of(b, 0) + half_word_of(a, 1) * byte_of(b, 1);
}
int __dp2a_hi(int a, int b, int sum) {
    return sum + half_word_of(a, 0) * byte_of(b, 2) + half_word_of(a, 1) * byte_of(b, 3);
}

static float half_of(uint32_t pair, unsigned which) {
    return bits_to_float(which ? pair & 0xffff0000u : pair << 16);
}

/* Word `i` of what a lane gave: 0 .. 3 of A, 4 and 5 of B. */
static uint32_t word_of(const char *all, unsigned lane, unsigned i) {
    uint32_t word;
    memcpy(&word, all + lane * ISB_LANE_NBYTES + i * 4, sizeof word);
    return word;
}

/* A(row, k) is in lane (row % 8) * 4 + k % 8 / 2, B(k, column) in lane column * 4 + k % 8 / 2. */
void emulated_mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t *b) {
    const uint32_t mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    const char *all = emulation_exchange(mine, sizeof mine);
    const unsigned lane = current % LANES, g = lane / 4, t = lane % 4;
    for (unsigned i = 0; i < 4; ++i) {
        const unsigned row = g + i / 2 * 8, column = 2 * t + i % 2;
        float sum = 0;
        for (unsigned k = 0; k < 16; ++k) {
            const uint32_t x = word_of(all, row % 8 * 4 + k % 8 / 2, row / 8 + k / 8 * 2),
                           y = word_of(all, column * 4 + k % 8 / 2, 4 + k / 8);
            sum += half_of(x, k % 2) * half_of(y, k % 2);
        }
        c[i] += sum;
    }
}

/* A(row, k) is in lane (row % 8) * 4 + k % 16 / 4, B(k, column) in lane column * 4 + k % 16 / 4. */
void emulated_mma_int8(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t *b) {
    const uint32_t mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    const char *all = emulation_exchange(mine, sizeof mine);
    const unsigned lane = current % LANES, g = lane / 4, t = lane % 4;
    for (unsigned i = 0; i < 4; ++i) {
        const unsigned row = g + i / 2 * 8, column = 2 * t + i % 2;
        for (unsigned k = 0; k < 32; k += 4) {
            const uint32_t x = word_of(all, row % 8 * 4 + k % 16 / 4, row / 8 + k / 16 * 2),
                           y = word_of(all, column * 4 + k % 16 / 4, 4 + k / 16);
            c[i] = __dp4a((int)x, (int)y, c[i]);
        }
    }
}

void emulated_ldmatrix(uint32_t (&r)[4], const uint16_t *row, bool transposed) {
    if ((uintptr_t)row % 16 != 0) die("ldmatrix of a row that is not aligned to 16 bytes");
    uint16_t mine[8];
    memcpy(mine, row, sizeof mine);
    const char *all = emulation_exchange(mine, sizeof mine);
    const unsigned lane = current % LANES, g = lane / 4, t = lane % 4;
    for (unsigned tile = 0; tile < 4; ++tile) {
        uint16_t pair[2];
        for (unsigned e = 0; e < 2; ++e) {
            const unsigned i = transposed ? 2 * t + e : g, j = transposed ? g : 2 * t + e;
            memcpy(&pair[e], all + (tile * 8 + i) * ISB_LANE_NBYTES + j * 2, 2);
        }
        r[tile] = (uint32_t)pair[0] | (uint32_t)pair[1] << 16;
    }
}

/* ---- the runtime ---- */

enum { N_DEVICES = 8 }; /* all of them this one */

cudaError_t cudaGetDeviceCount(int *count) {
    *count = N_DEVICES;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int index) {
    if (index < 0 || index >= N_DEVICES) return cudaErrorInvalidDevice;
    memset(properties, 0, sizeof *properties);
    snprintf(properties->name, sizeof properties->name, "emulated GPU");
    properties->totalGlobalMem = device.memory_nbytes;
    properties->major = 8;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int index) {
    return index >= 0 && index < N_DEVICES ? cudaSuccess : cudaErrorInvalidDevice;
}

const char *cudaGetErrorString(cudaError_t error) {
    switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    default: return "invalid argument";
    }
}

cudaError_t cudaGetLastError() {
    const cudaError_t error = device.last_error;
    device.last_error = cudaSuccess;
    return error;
}

cudaError_t cudaMemGetInfo(size_t *free_nbytes, size_t *total_nbytes) {
    *total_nbytes = device.memory_nbytes;
    *free_nbytes = device.memory_nbytes > device.allocated_nbytes
                       ? device.memory_nbytes - device.allocated_nbytes
                       : 0;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **memory, size_t nbytes) {
    *memory = NULL;
    if (device.allocated_nbytes + nbytes > device.memory_nbytes) return cudaErrorMemoryAllocation;
    *memory = aligned_alloc(256, (nbytes + 255) / 256 * 256 + 256);
    if (!*memory) return cudaErrorMemoryAllocation;
    memset(*memory, 0xff, nbytes);
    device.sizes[*memory] = nbytes;
    device.allocated_nbytes += nbytes;
    return cudaSuccess;
}

cudaError_t cudaFree(void *memory) {
    if (!memory) return cudaSuccess;
    device.allocated_nbytes -= device.sizes[memory];
    device.sizes.erase(memory);
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **memory, size_t nbytes) {
    *memory = malloc(nbytes + 1);
    if (!*memory) return cudaErrorMemoryAllocation;
    device.sizes[*memory] = nbytes;
    device.pinned_nbytes += nbytes;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *memory) {
    if (!memory) return cudaSuccess;
    device.pinned_nbytes -= device.sizes[memory];
    device.sizes.erase(memory);
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t nbytes, cudaMemcpyKind,
                            cudaStream_t) {
    memcpy(to, from, nbytes);
    return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void *to, int value, size_t nbytes, cudaStream_t) {
    memset(to, value, nbytes);
    return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned) {
    *stream = NULL;
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned) {
    *event = NULL;
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t emulation_allow_shared(const void *kernel, int nbytes) {
    if (nbytes > 99 << 10) return cudaErrorInvalidValue; /* the least that sm_80 .. sm_90 have */
    device.allowed[kernel] = (size_t)nbytes;
    return cudaSuccess;
}

/* ---- cuBLASLt: column-major, as it is ---- */

struct emulated_desc {
    cublasOperation_t a, b;
};
struct emulated_layout {
    cudaDataType type;
    uint64_t rows, cols;
    int64_t ld;
};

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
    *handle = NULL;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t,
                                        cudaDataType_t) {
    *desc = new emulated_desc{CUBLAS_OP_N, CUBLAS_OP_N};
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
    delete desc;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void *value, size_t nbytes) {
    if (nbytes != sizeof(int32_t)) return CUBLAS_STATUS_NOT_SUPPORTED;
    int32_t op;
    memcpy(&op, value, sizeof op);
    (attribute == CUBLASLT_MATMUL_DESC_TRANSA ? desc->a : desc->b) = (cublasOperation_t)op;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld) {
    *layout = new emulated_layout{type, rows, cols, ld};
    return (int64_t)rows <= ld ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference) {
    *preference = NULL;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t) {
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t,
                                                    cublasLtMatmulPreferenceAttributes_t,
                                                    const void *, size_t) {
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t, int requested,
                                              cublasLtMatmulHeuristicResult_t *results,
                                              int *n_results) {
    *n_results = requested > 0 ? 1 : 0;
    if (requested > 0) memset(results, 0, sizeof *results);
    return CUBLAS_STATUS_SUCCESS;
}

static float element(const void *data, const emulated_layout *l, uint64_t i, uint64_t j) {
    const size_t at = (size_t)(i + j * (uint64_t)l->ld);
    if (l->type == CUDA_R_32F) return ((const float *)data)[at];
    return bits_to_float((uint32_t)((const uint16_t *)data)[at] << 16);
}

static bool shapes_agree(const emulated_desc *desc, const emulated_layout *a,
                         const emulated_layout *b, const emulated_layout *d) {
    const uint64_t m = desc->a == CUBLAS_OP_N ? a->rows : a->cols,
                   ka = desc->a == CUBLAS_OP_N ? a->cols : a->rows,
                   kb = desc->b == CUBLAS_OP_N ? b->rows : b->cols,
                   n = desc->b == CUBLAS_OP_N ? b->cols : b->rows;
    return ka == kb && m == d->rows && n == d->cols;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *A, cublasLtMatrixLayout_t a, const void *B,
                              cublasLtMatrixLayout_t b, const void *beta, const void *C,
                              cublasLtMatrixLayout_t c, void *D, cublasLtMatrixLayout_t d,
                              const cublasLtMatmulAlgo_t *, void *, size_t, cudaStream_t) {
    const float by = *(const float *)alpha, keep = *(const float *)beta;
    if (!shapes_agree(desc, a, b, d)) return CUBLAS_STATUS_NOT_SUPPORTED;
    const uint64_t K = desc->a == CUBLAS_OP_N ? a->cols : a->rows;
    for (uint64_t j = 0; j < d->cols; ++j) {
        for (uint64_t i = 0; i < d->rows; ++i) {
            float sum = 0;
            for (uint64_t k = 0; k < K; ++k) {
                sum += (desc->a == CUBLAS_OP_N ? element(A, a, i, k) : element(A, a, k, i)) *
                       (desc->b == CUBLAS_OP_N ? element(B, b, k, j) : element(B, b, j, k));
            }
            const float value = by * sum + (keep != 0 ? keep * element(C, c, i, j) : 0.0f);
            const size_t at = (size_t)(i + j * (uint64_t)d->ld);
            if (d->type == CUDA_R_32F)
                ((float *)D)[at] = value;
            else
                ((uint16_t *)D)[at] = float_to_bf16(value);
        }
    }
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- NCCL: what the test has set; the communicator is the rank ---- */

static struct {
    int rank, size;
    int (*reduce_scatter)(size_t, float *);
    int (*all_gather)(size_t, float *);
} ranks;

void emulation_set_collectives(int (*reduce_scatter)(size_t part, float *x),
                               int (*all_gather)(size_t part, float *x)) {
    ranks.reduce_scatter = reduce_scatter;
    ranks.all_gather = all_gather;
}

struct emulated_id {
    char bytes[128];
};
static int ncclGetUniqueId(emulated_id *id) {
    memset(id, 0x5a, sizeof *id);
    return ranks.all_gather ? 0 : 1;
}
/* 0 if the id is rank 0's. */
static int ncclCommInitRank(void **comm, int size, emulated_id id, int rank) {
    ranks.rank = rank;
    ranks.size = size;
    *comm = &ranks;
    for (char byte : id.bytes)
        if (byte != 0x5a) return 1;
    return 0;
}
static int ncclCommDestroy(void *) { return 0; }
static int ncclReduceScatter(const void *from, void *to, size_t part, int type, int op, void *,
                             cudaStream_t) {
    float *x = (float *)const_cast<void *>(from);
    if (type != 7 || op != 0 || to != x + (size_t)ranks.rank * part) return 1;
    return ranks.reduce_scatter(part, x);
}
static int ncclAllGather(const void *from, void *to, size_t part, int type, void *, cudaStream_t) {
    float *x = (float *)to;
    if (type != 7 || from != x + (size_t)ranks.rank * part) return 1;
    return ranks.all_gather(part, x);
}

/* ---- symbols ---- */

void *emulation_symbol(const char *name) {
    static const std::map<std::string, void *> symbols = {
#define SYMBOL(function) {#function, (void *)(function)}
        SYMBOL(cublasLtCreate),
        SYMBOL(cublasLtDestroy),
        SYMBOL(cublasLtMatmulDescCreate),
        SYMBOL(cublasLtMatmulDescDestroy),
        SYMBOL(cublasLtMatmulDescSetAttribute),
        SYMBOL(cublasLtMatrixLayoutCreate),
        SYMBOL(cublasLtMatrixLayoutDestroy),
        SYMBOL(cublasLtMatmulPreferenceCreate),
        SYMBOL(cublasLtMatmulPreferenceDestroy),
        SYMBOL(cublasLtMatmulPreferenceSetAttribute),
        SYMBOL(cublasLtMatmulAlgoGetHeuristic),
        SYMBOL(cublasLtMatmul),
        SYMBOL(ncclGetUniqueId),
        SYMBOL(ncclCommInitRank),
        SYMBOL(ncclCommDestroy),
        SYMBOL(ncclReduceScatter),
        SYMBOL(ncclAllGather),
    };
    const auto found = symbols.find(name);
    return found == symbols.end() ? NULL : found->second;
}
