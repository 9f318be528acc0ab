/* Matrix products over the ops table: blocking, packing, threads (Goto and van de Geijn 2008, as in BLIS).
 * An output element is computed by one thread over the whole of k, in blocks in order: results do not depend on the
 * thread count, nor (exact kernels) on M, N or the blocking. */
#ifndef ISB_NN_MATMUL_H
#define ISB_NN_MATMUL_H

#include "base/context.h"
#include "kernels/ops.h"

/* A strided view: element (i, j) is data[i*rs + j*cs]. */
typedef struct isb__view {
    const float *data;
    ptrdiff_t rs, cs;
} isb__view;
static inline isb__view isb__view_row_major(const float *data, size_t ld) {
    return (isb__view){data, (ptrdiff_t)ld, 1};
}
static inline isb__view isb__view_transposed(const float *data, size_t ld) {
    return (isb__view){data, 1, (ptrdiff_t)ld};
}

/* Scratch for packed operands, shared by all products of one owner; grows at set-up only. */
typedef struct isb__matmul_scratch isb__matmul_scratch;
/* Enough for any product with M <= max_m, N <= max_n, K <= max_k, on any kernel of ctx's tier. */
isb_status isb__matmul_scratch_create(isb_context *ctx, size_t max_m, size_t max_n, size_t max_k,
                                      isb__matmul_scratch **scratch);
void isb__matmul_scratch_free(isb__matmul_scratch *scratch);

/* C[M,N] (+)= A[M,K] * B[K,N] on all threads.  C row-major with ldc >= N.  K == 0 with accumulate == 0 zeroes C. */
void isb__matmul(isb_context *ctx, const isb__gemm_kernel *kernel, isb__matmul_scratch *scratch,
                 size_t M, size_t N, size_t K, isb__view a, isb__view b, float *c, size_t ldc,
                 int accumulate);

/* The same with B packed beforehand (weights: once per step, or once for ever). */
typedef struct isb__packed_b {
    const isb__gemm_kernel *kernel;
    size_t K, N;
    void *data;
} isb__packed_b;
size_t isb__packed_b_nbytes(const isb__gemm_kernel *kernel, size_t K, size_t N);
/* Packs on all threads into packed->data, which the caller provided with isb__packed_b_nbytes() bytes, 64-byte aligned. */
void isb__pack_b(isb_context *ctx, const isb__gemm_kernel *kernel, size_t K, size_t N, isb__view b,
                 isb__packed_b *packed);
void isb__matmul_packed(isb_context *ctx, isb__matmul_scratch *scratch, size_t M, isb__view a,
                        const isb__packed_b *b, float *c, size_t ldc, int accumulate);

/* On the calling thread only, with that thread's part of the scratch: for use inside a task (attention).
 * `thread` as given to the task. */
void isb__matmul_on_thread(const isb__gemm_kernel *kernel, isb__matmul_scratch *scratch, int thread,
                           size_t M, size_t N, size_t K, isb__view a, isb__view b, float *c,
                           size_t ldc, int accumulate);
/* The same with B packed beforehand. */
void isb__matmul_packed_on_thread(isb__matmul_scratch *scratch, int thread, size_t M, isb__view a,
                                  const isb__packed_b *b, float *c, size_t ldc, int accumulate);

/* ---- operands packed by parts ----
 *
 * A layer that makes a block of rows packs it at once, while it lies in cache, and multiplies it then or later; an
 * operand of several products is packed once.  An operand is `extent` rows of A, or columns of B, of k elements. */
typedef struct isb__packed {
    const isb__gemm_kernel *kernel;
    size_t width, extent, k; /* panels of `width`; extent padded to whole panels */
    char *data;              /* 64-byte aligned */
    int is_b;
} isb__packed;

isb__packed isb__packed_a_at(const isb__gemm_kernel *kernel, size_t M, size_t K, void *data);
isb__packed isb__packed_b_at(const isb__gemm_kernel *kernel, size_t K, size_t N, void *data);
static inline isb__packed isb__operand(const isb__packed_b *b) {
    return isb__packed_b_at(b->kernel, b->K, b->N, b->data);
}
size_t isb__packed_nbytes(const isb__packed *x);
/* Packs the part of `extent` rows (of A) or columns (of B) from `at`, a whole number of panels before it, and `n_k`
 * elements from k, a multiple of kr.  x is the view of the part alone, as rows of A or columns of B: element (i, k) lies at
 * data[i*rs + k*cs] for both.  Distinct parts may be packed by several threads. */
void isb__pack_part(const isb__packed *to, size_t at, size_t extent, size_t k, size_t n_k, isb__view x);

/* Where a product begins in an operand: a whole number of panels, a multiple of kr. */
typedef struct isb__part {
    const isb__packed *packed;
    size_t at, k;
} isb__part;
/* C[m, n] (+)= A part * B part over k elements, on the calling thread; m rows fit L2 with their k. */
void isb__multiply_part(isb__part a, isb__part b, size_t m, size_t n, size_t k, float *c, size_t ldc, int accumulate);
/* C[M, N] (+)= A * B over all of k, on all threads. */
void isb__multiply_packed(isb_context *ctx, const isb__packed *a, const isb__packed *b, size_t M, size_t N, float *c,
                          size_t ldc, int accumulate);

#endif
