/* One GPU: its memory, what is done on it in order, and the steps of training as calls.
 *
 * Everything on the device is asynchronous: a call puts work in line on one stream and returns.
 * Failures are sticky, like the device's own: the first is remembered and isb__gpu_status() tells
 * it.  Calls come from one thread at a time, which has opened the GPU or called isb__gpu_use().  Pointers named d_ are device memory;
 * matrices are row-major; M counts tokens.
 *
 * This header is the seam between the C of the trainer and the CUDA C++ of the kernels. */
#ifndef ISB_CUDA_GPU_H
#define ISB_CUDA_GPU_H

#include <stddef.h>
#include <stdint.h>

#include <isobit/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint16_t isb__bf16; /* the upper half of a float32 */
typedef struct isb__gpu isb__gpu;

enum { ISB__N_GPU_EVENTS = 8, ISB__GPU_TEXT_NBYTES = 512, ISB__GPU_ID_NBYTES = 128 };

/* ---- gpu.cu ---- */

/* reason [ISB__GPU_TEXT_NBYTES] says why not.  Errors: UNSUPPORTED (no such device, too old), DEVICE. */
isb_status isb__gpu_open(int index, isb__gpu **gpu, char *reason);
void isb__gpu_close(isb__gpu *gpu);
/* The calling thread goes on with the GPU: for one that did not open it. */
void isb__gpu_use(isb__gpu *gpu);
const char *isb__gpu_name(const isb__gpu *gpu);
void isb__gpu_memory(isb__gpu *gpu, uint64_t *free_nbytes, uint64_t *total_nbytes);
/* NULL: there is not that much. */
void *isb__gpu_alloc(isb__gpu *gpu, size_t nbytes);
void isb__gpu_free(isb__gpu *gpu, void *d_memory);
/* Host memory that the device copies to and from on its own. */
void *isb__gpu_alloc_pinned(isb__gpu *gpu, size_t nbytes);
void isb__gpu_free_pinned(isb__gpu *gpu, void *memory);

void isb__gpu_zero(isb__gpu *gpu, void *d_to, size_t nbytes);
void isb__gpu_upload(isb__gpu *gpu, void *d_to, const void *from, size_t nbytes);
void isb__gpu_download(isb__gpu *gpu, void *to, const void *d_from, size_t nbytes);
/* The same on the second stream, beside the computation. */
void isb__gpu_feed(isb__gpu *gpu, void *d_to, const void *from, size_t nbytes);

/* Events, numbered by the caller: marks in the order of work.  on_feed: in the second stream's. */
void isb__gpu_mark(isb__gpu *gpu, int event, int on_feed);
/* That stream goes on only after the event; then this thread does. */
void isb__gpu_after(isb__gpu *gpu, int event, int on_feed);
void isb__gpu_wait(isb__gpu *gpu, int event);
/* Waits for everything. */
void isb__gpu_finish(isb__gpu *gpu);
/* The first failure so far: OK or DEVICE, with *text set. */
isb_status isb__gpu_status(const isb__gpu *gpu, const char **text);

/* ---- product.cu: tensor cores, by cuBLASLt ---- */

/* Before the first product.  Errors: UNSUPPORTED (no cuBLASLt), NO_MEMORY, DEVICE. */
isb_status isb__gpu_products_open(isb__gpu *gpu, char *reason);
void isb__gpu_products_close(isb__gpu *gpu); /* isb__gpu_close() calls it */
/* y [M, n] = x [M, k] W [n, k]^T */
void isb__gpu_linear(isb__gpu *gpu, size_t M, size_t n, size_t k, const isb__bf16 *d_x,
                     const isb__bf16 *d_W, isb__bf16 *d_y);
/* The same into float32 rows of y_stride. */
void isb__gpu_linear_f32(isb__gpu *gpu, size_t M, size_t n, size_t k, const isb__bf16 *d_x,
                         const isb__bf16 *d_W, float *d_y, size_t y_stride);
/* dx [M, k] = dy [M, n] W, dW [n, k] adds dy^T x; rows of dy are dy_stride apart. */
void isb__gpu_linear_dx(isb__gpu *gpu, size_t M, size_t n, size_t k, const isb__bf16 *d_dy,
                        size_t dy_stride, const isb__bf16 *d_W, isb__bf16 *d_dx);
void isb__gpu_linear_dw(isb__gpu *gpu, size_t M, size_t n, size_t k, const isb__bf16 *d_dy,
                        size_t dy_stride, const isb__bf16 *d_x, float *d_dW);

/* ---- embed.cu ---- */

/* x [M, C] = table [ids] */
void isb__gpu_embed(isb__gpu *gpu, size_t M, size_t C, const int32_t *d_ids,
                    const isb__bf16 *d_table, isb__bf16 *d_x);
/* The tokens sorted by id: order [M] lists them; run r, of one id, is order[begin[r] ..
 * begin[r+1]).  dtable [ids] adds dx. */
void isb__gpu_embed_backward(isb__gpu *gpu, size_t n_runs, size_t C, const int32_t *d_begin,
                             const int32_t *d_order, const int32_t *d_ids, const float *d_dx,
                             float *d_dtable);

/* ---- norm.cu ---- */

/* x adds residual (NULL: nothing); y = x / rms(x) * g; inv_rms [M] is kept. */
void isb__gpu_norm(isb__gpu *gpu, size_t M, size_t C, float eps, isb__bf16 *d_x,
                   const isb__bf16 *d_residual, const float *d_g, isb__bf16 *d_y, float *d_inv_rms);
/* dx [M, C] adds the gradient through the norm and is copied to dx_bf16; dg [C] adds.  work:
 * isb__gpu_norm_work_nfloats(). */
void isb__gpu_norm_backward(isb__gpu *gpu, size_t M, size_t C, const isb__bf16 *d_x,
                            const float *d_inv_rms, const float *d_g, const isb__bf16 *d_dy,
                            float *d_dx, isb__bf16 *d_dx_bf16, float *d_dg, float *d_work);
size_t isb__gpu_norm_work_nfloats(size_t M, size_t C);

/* ---- attention.cu ---- */

enum { ISB__GPU_TILE = 64 /* queries, or keys, of a block of threads */ };

typedef struct isb__gpu_attention {
    size_t B, T, H, D;                      /* D: head size, at most 128 */
    const float *d_cosines[2], *d_sines[2]; /* nn/layers.h, of queries and keys; [T, D/2] */
    const int32_t *d_starts;                /* [B, T] first position that a query sees */
    const int32_t *d_first_keys;            /* [B, tiles of T] least start of each tile */
} isb__gpu_attention;

/* Rotates the queries and keys of qkv [M, 3C] (q | k | v); back: by the opposite angles. */
void isb__gpu_rotate(isb__gpu *gpu, const isb__gpu_attention *a, int back, isb__bf16 *d_qkv);
/* y [M, C]; lse [M, H]: ln sum exp of each row of scores. */
void isb__gpu_attention_forward(isb__gpu *gpu, const isb__gpu_attention *a, const isb__bf16 *d_qkv,
                                isb__bf16 *d_y, float *d_lse);
/* dqkv [M, 3C] is written; delta [M, H] is scratch. */
void isb__gpu_attention_backward(isb__gpu *gpu, const isb__gpu_attention *a, const isb__bf16 *d_qkv,
                                 const isb__bf16 *d_y, const float *d_lse, const isb__bf16 *d_dy,
                                 float *d_delta, isb__bf16 *d_dqkv);

/* ---- gate.cu ---- */

/* h [M, F] = act(gate) * up, of gate_up [M, 2F] (gate | up). */
void isb__gpu_gate(isb__gpu *gpu, size_t M, size_t F, int relu, const isb__bf16 *d_gate_up,
                   isb__bf16 *d_h);
/* h again, and dgate_up from dh [M, F]. */
void isb__gpu_gate_backward(isb__gpu *gpu, size_t M, size_t F, int relu, const isb__bf16 *d_gate_up,
                            const isb__bf16 *d_dh, isb__bf16 *d_h, isb__bf16 *d_dgate_up);

/* ---- loss.cu ---- */

/* logits [n, V], rows of stride floats (a multiple of 4).  nats, lse [n]: 0 where the target is
 * -1.  With gradient, each row becomes scale * d(nats + z_weight lse^2) as bf16 at its beginning:
 * a matrix of stride 2 * stride. */
void isb__gpu_loss(isb__gpu *gpu, size_t n, size_t V, size_t stride, float *d_logits,
                   const int32_t *d_targets, float scale, float z_weight, int with_gradient,
                   float *d_nats, float *d_lse);
/* sums [2]: of nats, of lse^2. */
void isb__gpu_loss_sums(isb__gpu *gpu, size_t M, const float *d_nats, const float *d_lse,
                        double *d_sums);

/* ---- adamw.cu ---- */

enum { ISB__GPU_SLICE = 1 << 14 };

/* A piece of a tensor, of at most ISB__GPU_SLICE elements. */
typedef struct isb__gpu_slice {
    uint64_t begin; /* in the block of parameters */
    uint32_t count;
    float rate, weight_decay; /* rate: times lr; weight_decay: divided by it */
} isb__gpu_slice;

typedef struct isb__gpu_adamw {
    float *d_weights; /* the whole block, as are: */
    const float *d_grads;
    isb__bf16 *d_weights_bf16;
    float *d_first, *d_second; /* from element `moments_begin` on */
    uint64_t moments_begin;
    float gscale, lr, beta1, beta2, correct1, correct2, eps;
} isb__gpu_adamw;

void isb__gpu_adamw_step(isb__gpu *gpu, const isb__gpu_adamw *adamw, size_t n_slices,
                         const isb__gpu_slice *d_slices);
/* *sum of squares of x [n]; parts: isb__gpu_sumsq_parts(n). */
void isb__gpu_sumsq(isb__gpu *gpu, size_t n, const float *d_x, double *d_parts, double *d_sum);
size_t isb__gpu_sumsq_parts(size_t n);
/* n is a multiple of 4. */
void isb__gpu_round(isb__gpu *gpu, size_t n, const float *d_from, isb__bf16 *d_to);

/* ---- sparse.cu ---- */

/* A sparse matrix by rows: row r has weight[i] in column index[i], i in begin[r] .. begin[r+1]. */
typedef struct isb__gpu_sparse {
    size_t n_rows;
    uint32_t *d_begin, *d_index;
    float *d_weight;
} isb__gpu_sparse;

/* y [n_rows, C] = W x + plus (NULL: nothing), to y and y_bf16 as far as they are not NULL. */
void isb__gpu_sparse_product(isb__gpu *gpu, const isb__gpu_sparse *W, size_t C, const float *d_x,
                             const float *d_plus, float *d_y, isb__bf16 *d_y_bf16);

/* ---- collective.cu: several ranks, by NCCL ---- */

/* On rank 0; the others are given it.  Errors, with reason: UNSUPPORTED (no NCCL), DEVICE. */
isb_status isb__gpu_make_id(isb__gpu *gpu, unsigned char id[ISB__GPU_ID_NBYTES], char *reason);
isb_status isb__gpu_join(isb__gpu *gpu, int rank, int size,
                         const unsigned char id[ISB__GPU_ID_NBYTES], char *reason);
void isb__gpu_leave(isb__gpu *gpu);
/* x [size * part]: part r becomes the sum over ranks on rank r; part r of rank r goes to all. */
void isb__gpu_reduce_scatter(isb__gpu *gpu, size_t part, float *d_x);
void isb__gpu_all_gather(isb__gpu *gpu, size_t part, float *d_x);

#ifdef __cplusplus
}
#endif
#endif
