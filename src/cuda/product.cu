/* Matrix products by cuBLASLt: bf16 in, float32 sums, bf16 or float32 out.
 *
 * The library (hundreds of megabytes) is opened when the first GPU is, not linked, so that programs
 * which train nothing do not load it.  Which of its algorithms suits a shape is asked once and
 * kept; only those that sum in a fixed order are allowed, so that runs repeat bit for bit.
 *
 * cuBLASLt is column-major: our row-major [r, c] is its [c, r], and y = x W^T becomes
 * y^T = W x^T. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/platform.h"

enum { WORKSPACE_NBYTES = 64 << 20, MAX_SHAPES = 64, ALIGNMENT = 16 };

/* The functions, found by name. */
#define LT_FUNCTIONS(X)             \
    X(Create)                       \
    X(Destroy)                      \
    X(MatmulDescCreate)             \
    X(MatmulDescDestroy)            \
    X(MatmulDescSetAttribute)       \
    X(MatrixLayoutCreate)           \
    X(MatrixLayoutDestroy)          \
    X(MatmulPreferenceCreate)       \
    X(MatmulPreferenceDestroy)      \
    X(MatmulPreferenceSetAttribute) \
    X(MatmulAlgoGetHeuristic)       \
    X(Matmul)

struct lt_table {
#define LT_MEMBER(name) decltype(&cublasLt##name) name;
    LT_FUNCTIONS(LT_MEMBER)
#undef LT_MEMBER
};

/* D [m, n] = op(A) op(B) + beta D, all column-major. */
struct shape {
    cublasOperation_t op_a, op_b;
    size_t m, n, k, lda, ldb, ldd;
    int out_f32, accumulate;
};

struct planned {
    shape of;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulAlgo_t algo;
};

struct products {
    void *library;
    lt_table lt;
    cublasLtHandle_t handle;
    cublasLtMatmulPreference_t preference;
    void *d_workspace;
    size_t n_planned, next; /* the oldest is replaced when all are taken */
    planned plans[MAX_SHAPES];
};

/* ---- opening ---- */

static bool find_functions(products *p) {
#define LT_FIND(name) \
    p->lt.name = reinterpret_cast<decltype(p->lt.name)>(dlsym(p->library, "cublasLt" #name));
    LT_FUNCTIONS(LT_FIND)
#undef LT_FIND
#define LT_MISSING(name) || !p->lt.name
    return !(false LT_FUNCTIONS(LT_MISSING));
#undef LT_MISSING
}

static bool open_library(products *p) {
#ifdef CUBLAS_VER_MAJOR
    char versioned[64];
    snprintf(versioned, sizeof versioned, "libcublasLt.so.%d", CUBLAS_VER_MAJOR);
    const char *const names[] = {versioned, "libcublasLt.so"};
#else
    const char *const names[] = {"libcublasLt.so"};
#endif
    for (const char *name : names) {
        if (!p->library) p->library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    }
    return p->library && find_functions(p);
}

static bool set_preferences(products *p) {
    const uint64_t workspace = WORKSPACE_NBYTES;
    const uint32_t reductions =
        CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const uint32_t alignment = ALIGNMENT;
    const cublasLtMatmulPreferenceAttributes_t alignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    int failed = p->lt.MatmulPreferenceCreate(&p->preference);
    failed |= p->lt.MatmulPreferenceSetAttribute(
        p->preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    failed |= p->lt.MatmulPreferenceSetAttribute(
        p->preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions, sizeof reductions);
    for (const auto attribute : alignments)
        failed |= p->lt.MatmulPreferenceSetAttribute(p->preference, attribute, &alignment,
                                                     sizeof alignment);
    return failed == 0;
}

extern "C" isb_status isb__gpu_products_open(isb__gpu *gpu, char *reason) {
    products *p = (products *)calloc(1, sizeof *p);
    gpu->products = p;
    if (!p) {
        snprintf(reason, ISB__GPU_TEXT_NBYTES, "no memory for %zu bytes", sizeof *p);
        return ISB_ERR_NO_MEMORY;
    }
    if (!open_library(p)) {
        snprintf(reason, ISB__GPU_TEXT_NBYTES,
                 "libcublasLt, of the CUDA toolkit that built this, cannot be opened; add its "
                 "folder to LD_LIBRARY_PATH");
        return ISB_ERR_UNSUPPORTED;
    }
    if (p->lt.Create(&p->handle) != CUBLAS_STATUS_SUCCESS || !set_preferences(p)) {
        snprintf(reason, ISB__GPU_TEXT_NBYTES, "cuBLASLt does not start");
        return ISB_ERR_DEVICE;
    }
    p->d_workspace = isb__gpu_alloc(gpu, WORKSPACE_NBYTES);
    if (p->d_workspace) return ISB_OK;
    snprintf(reason, ISB__GPU_TEXT_NBYTES, "it has no %d MiB free for a workspace",
             WORKSPACE_NBYTES >> 20);
    return ISB_ERR_NO_MEMORY;
}

static void forget(products *p, planned *s) {
    if (s->desc) p->lt.MatmulDescDestroy(s->desc);
    if (s->a) p->lt.MatrixLayoutDestroy(s->a);
    if (s->b) p->lt.MatrixLayoutDestroy(s->b);
    if (s->d) p->lt.MatrixLayoutDestroy(s->d);
    memset(s, 0, sizeof *s);
}

extern "C" void isb__gpu_products_close(isb__gpu *gpu) {
    products *p = (products *)gpu->products;
    if (!p) return;
    for (size_t i = 0; i < p->n_planned; ++i) forget(p, &p->plans[i]);
    isb__gpu_free(gpu, p->d_workspace);
    if (p->preference) p->lt.MatmulPreferenceDestroy(p->preference);
    if (p->handle) p->lt.Destroy(p->handle);
    if (p->library) dlclose(p->library);
    free(p);
    gpu->products = NULL;
}

/* ---- shapes ---- */

static bool same(const shape &x, const shape &y) {
    return x.op_a == y.op_a && x.op_b == y.op_b && x.m == y.m && x.n == y.n && x.k == y.k &&
           x.lda == y.lda && x.ldb == y.ldb && x.ldd == y.ldd && x.out_f32 == y.out_f32 &&
           x.accumulate == y.accumulate;
}

static bool describe(products *p, const shape &of, planned *s) {
    const int32_t op_a = of.op_a, op_b = of.op_b;
    const bool turn_a = of.op_a == CUBLAS_OP_T, turn_b = of.op_b == CUBLAS_OP_T;
    int failed = p->lt.MatmulDescCreate(&s->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    failed |=
        p->lt.MatmulDescSetAttribute(s->desc, CUBLASLT_MATMUL_DESC_TRANSA, &op_a, sizeof op_a);
    failed |=
        p->lt.MatmulDescSetAttribute(s->desc, CUBLASLT_MATMUL_DESC_TRANSB, &op_b, sizeof op_b);
    failed |= p->lt.MatrixLayoutCreate(&s->a, CUDA_R_16BF, turn_a ? of.k : of.m,
                                       turn_a ? of.m : of.k, (int64_t)of.lda);
    failed |= p->lt.MatrixLayoutCreate(&s->b, CUDA_R_16BF, turn_b ? of.n : of.k,
                                       turn_b ? of.k : of.n, (int64_t)of.ldb);
    failed |= p->lt.MatrixLayoutCreate(&s->d, of.out_f32 ? CUDA_R_32F : CUDA_R_16BF, of.m, of.n,
                                       (int64_t)of.ldd);
    return failed == 0;
}

/* NULL: cuBLASLt has no way to do it. */
static planned *plan_of(products *p, const shape &of) {
    for (size_t i = 0; i < p->n_planned; ++i) {
        if (same(p->plans[i].of, of)) return &p->plans[i];
    }
    planned *s = &p->plans[p->next];
    p->next = (p->next + 1) % MAX_SHAPES;
    if (p->n_planned < MAX_SHAPES) ++p->n_planned;
    forget(p, s);
    cublasLtMatmulHeuristicResult_t best;
    int n_found = 0;
    if (!describe(p, of, s)) return NULL;
    if (p->lt.MatmulAlgoGetHeuristic(p->handle, s->desc, s->a, s->b, s->d, s->d, p->preference, 1,
                                     &best, &n_found) != CUBLAS_STATUS_SUCCESS ||
        n_found == 0)
        return NULL;
    s->of = of;
    s->algo = best.algo;
    return s;
}

static void multiply(isb__gpu *gpu, const shape &of, const isb__bf16 *d_A, const isb__bf16 *d_B,
                     void *d_D) {
    products *p = (products *)gpu->products;
    const float one = 1, beta = of.accumulate ? 1 : 0;
    const planned *s = plan_of(p, of);
    if (s && p->lt.Matmul(p->handle, s->desc, &one, d_A, s->a, d_B, s->b, &beta, d_D, s->d, d_D,
                          s->d, &s->algo, p->d_workspace, WORKSPACE_NBYTES,
                          gpu->stream) == CUBLAS_STATUS_SUCCESS)
        return;
    char text[160];
    snprintf(text, sizeof text, "cuBLASLt refuses [%zu, %zu] += [%zu, %zu] [%zu, %zu]", of.m, of.n,
             of.m, of.k, of.k, of.n);
    isb__gpu_failed(gpu, "a matrix product", text);
}

/* ---- the four that training needs ---- */

extern "C" void isb__gpu_linear(isb__gpu *gpu, size_t M, size_t n, size_t k, const isb__bf16 *d_x,
                                const isb__bf16 *d_W, isb__bf16 *d_y) {
    multiply(gpu, {CUBLAS_OP_T, CUBLAS_OP_N, n, M, k, k, k, n, 0, 0}, d_W, d_x, d_y);
}

extern "C" void isb__gpu_linear_f32(isb__gpu *gpu, size_t M, size_t n, size_t k,
                                    const isb__bf16 *d_x, const isb__bf16 *d_W, float *d_y,
                                    size_t y_stride) {
    multiply(gpu, {CUBLAS_OP_T, CUBLAS_OP_N, n, M, k, k, k, y_stride, 1, 0}, d_W, d_x, d_y);
}

extern "C" void isb__gpu_linear_dx(isb__gpu *gpu, size_t M, size_t n, size_t k,
                                   const isb__bf16 *d_dy, size_t dy_stride, const isb__bf16 *d_W,
                                   isb__bf16 *d_dx) {
    multiply(gpu, {CUBLAS_OP_N, CUBLAS_OP_N, k, M, n, k, dy_stride, k, 0, 0}, d_W, d_dy, d_dx);
}

extern "C" void isb__gpu_linear_dw(isb__gpu *gpu, size_t M, size_t n, size_t k,
                                   const isb__bf16 *d_dy, size_t dy_stride, const isb__bf16 *d_x,
                                   float *d_dW) {
    multiply(gpu, {CUBLAS_OP_N, CUBLAS_OP_T, k, n, M, k, dy_stride, k, 1, 1}, d_x, d_dy, d_dW);
}
