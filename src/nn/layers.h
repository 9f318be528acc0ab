/* The layers of the training graph, each with its forward beside its backward.  All work on M =
 * B*T tokens, rows of row-major float32 matrices; gradients named d* are of the same shape.
 * "adds" means +=, else the output is written.
 *
 * Functions named *_rows do their work for a block of tokens, isb__rows, on the calling thread: the
 * graph strings several together in one task, so that what one makes the next finds in L2, and
 * nothing but what another task needs goes to memory.  Their scratch is the thread's isb__work.
 *
 * Results do not depend on the number of threads: every loop writes disjoint outputs, blocks are
 * cut by shape alone, and sums over tokens are made by block and then added in order. */
#ifndef ISB_NN_LAYERS_H
#define ISB_NN_LAYERS_H

#include "base/context.h"
#include "kernels/ops.h"
#include "nn/matmul.h"

enum { ISB__TOKEN_BLOCK = 32 };

/* A thread's scratch for one block of tokens. */
typedef struct isb__work {
    float *narrow;   /* [rows, C] */
    float *tiles[4]; /* [rows, tile]: some columns of the MLP's hidden rows */
    char *narrow_a;  /* packed A of [rows, C] */
    char *wide_a[2]; /* packed A of [rows, F]; the first also of [rows, 3C] */
} isb__work;

/* What every layer is given. */
typedef struct isb__nn {
    isb_context *ctx;
    const isb__ops *ops;
    const isb__gemm_kernel *gemm;
    isb__matmul_scratch *scratch;
    size_t rows, tile; /* tokens of a block, columns of a tile: whole panels of the kernel */
    isb__work *work;   /* one for each thread */
} isb__nn;

/* Tokens [begin, begin + n), in work on a thread. */
typedef struct isb__rows {
    size_t begin, n;
    int thread;
} isb__rows;

static inline size_t isb__row_blocks(const isb__nn *nn, size_t M) {
    return (M + nn->rows - 1) / nn->rows;
}
static inline isb__rows isb__rows_at(const isb__nn *nn, size_t M, size_t block, int thread) {
    const size_t begin = block * nn->rows;
    return (isb__rows){begin, M - begin < nn->rows ? M - begin : nn->rows, thread};
}

static inline size_t isb__token_blocks(size_t M) {
    return (M + ISB__TOKEN_BLOCK - 1) / ISB__TOKEN_BLOCK;
}

/* A weight [out, in] packed for x * W^T and, when training, for dy * W. */
typedef struct isb__weight {
    isb__packed_b forward, backward;
} isb__weight;

/* ---- layer_embed.c ---- */

/* x[m] = table[ids[m]].  ids are in range. */
void isb__embed_forward(const isb__nn *nn, size_t M, size_t C, const int32_t *ids,
                        const float *table, float *x);
/* dtable[ids[m]] adds dx[m]. */
void isb__embed_backward(const isb__nn *nn, size_t M, size_t C, const int32_t *ids, const float *dx,
                         float *dtable);

/* ---- layer_norm.c ---- */

typedef struct isb__norm {
    size_t M, C;
    float eps;
    float *x;       /* [M, C] */
    const float *g; /* [C] */
    float *inv_rms; /* [M], kept for the backward pass */
} isb__norm;

/* x adds residual [M, C] (NULL: nothing); y [rows.n, C] = x / rms(x) * g. */
void isb__norm_forward_rows(const isb__nn *nn, const isb__norm *norm, isb__rows rows,
                            const float *residual, float *y);
/* dx [M, C] adds the gradient through the norm of dy [rows.n, C], which is destroyed.  The block's
 * part of dg goes to `work` of isb__norm_work_nfloats(); isb__norm_add_dg() adds it to dg [C]. */
void isb__norm_backward_rows(const isb__nn *nn, const isb__norm *norm, isb__rows rows, float *dy,
                             float *dx, float *work);
void isb__norm_add_dg(const isb__nn *nn, const isb__norm *norm, const float *work, float *dg);
static inline size_t isb__norm_work_nfloats(const isb__nn *nn, size_t M, size_t C) {
    return isb__row_blocks(nn, M) * 2 * C;
}

/* ---- layer_attention.c ---- */

typedef struct isb__attention {
    size_t B, T, H, D; /* D: head size; C = H * D */
    /* [T, D/2] for queries (with 1/sqrt(D) in them) and for keys */
    const float *cosines[2], *sines[2], *inverse_sines[2];
    const float *ones; /* [T or D, whichever is more] */
    float *work;       /* n_threads times isb__attention_work_nfloats() */
    int rotate_keys;   /* 0 with T5: the tables of keys are not there */
} isb__attention;

/* Fills tables of [T, D/2] floats: of queries, and of keys unless theta is 0 (T5: queries are
 * scaled, not turned). */
void isb__attention_tables(size_t T, size_t D, double theta, float *const cosines[2],
                           float *const sines[2], float *const inverse_sines[2]);
size_t isb__attention_work_nfloats(const isb__gemm_kernel *kernel, size_t T, size_t D);

/* qkv [M, 3C] rows q | k | v; queries and keys are rotated in place.  starts [M]: see
 * isb__batch; NULL: 0. bias [H, 32] or NULL.  y [M, C]; lse [M, H]: ln sum exp of each row of
 * scores. */
void isb__attention_forward(const isb__nn *nn, const isb__attention *a, float *qkv,
                            const int32_t *starts, const float *bias, float *y, float *lse);
/* dqkv is written; dbias [H, 32] adds; dbias_work [B*H, 32].  qkv as the forward pass left it. */
void isb__attention_backward(const isb__nn *nn, const isb__attention *a, const float *qkv,
                             const int32_t *starts, const float *bias, const float *lse,
                             const float *dy, float *dqkv, float *dbias, float *dbias_work);

/* ---- layer_mlp.c ---- */

typedef struct isb__mlp {
    size_t C, F;
    int relu;                             /* else silu */
    const isb__weight *gate, *up, *down; /* [F, C], [F, C], [C, F] */
} isb__mlp;

/* gate_up [M, 2F] = x * W^T (NULL: not kept); out [M, C] = (act(gate) * up) * Wdown^T (NULL: not
 * made).  x: packed A of the block. */
void isb__mlp_forward_rows(const isb__nn *nn, const isb__mlp *mlp, isb__rows rows,
                           const isb__packed *x, float *gate_up, float *out);

/* What the products over tokens need of a backward pass: dgate^T, dup^T [F, M] as A, h [M, F] as B. */
typedef struct isb__mlp_sums {
    isb__packed dgate, dup, h;
} isb__mlp_sums;

/* From dout, the packed A of the block: dx [rows.n, C], and the block's part of sums. */
void isb__mlp_backward_rows(const isb__nn *nn, const isb__mlp *mlp, isb__rows rows,
                            const isb__packed *dout, const float *gate_up,
                            const isb__mlp_sums *sums, float *dx);

/* ---- layer_loss.c ---- */

typedef struct isb__head {
    size_t M, C, V;
    const isb__weight *weight; /* [V, C] */
    size_t chunk;              /* tokens whose logits exist at one time */
    float *logits;             /* [chunk, V] */
    /* [M]: -ln p of each target, ln sum exp of the logits; 0 where there is no target */
    float *nats, *lse;
} isb__head;

/* Tokens of a chunk: about 64 MiB of logits. */
size_t isb__head_chunk(size_t M, size_t V);
/* x [M, C].  Errors: CANCELLED. */
isb_status isb__head_forward(const isb__nn *nn, const isb__head *head, const float *x,
                             const int32_t *targets);
/* Forward, and the gradient of scale * sum (nats + z_weight * lse^2): dx is written and may be x,
 * dW [V, C] adds. */
isb_status isb__head_backward(const isb__nn *nn, const isb__head *head, const float *x,
                              const int32_t *targets, float scale, float z_weight, float *dx,
                              float *dW);

/* ---- shared by layers ---- */

/* A block of rows x [rows.n, k] as a packed A, in `data`. */
static inline isb__packed isb__pack_rows(const isb__nn *nn, isb__rows rows, size_t k,
                                         const float *x, void *data) {
    const isb__packed a = isb__packed_a_at(nn->gemm, rows.n, k, data);
    isb__pack_part(&a, 0, rows.n, 0, k, isb__view_row_major(x, k));
    return a;
}
/* Columns [at, at + n) of the same block as part of an operand over tokens: x^T, or x as a B.  x is
 * the first of these columns, ldx apart. */
static inline void isb__pack_tokens(const isb__packed *to, isb__rows rows, size_t at, size_t n,
                                    const float *x, size_t ldx) {
    isb__pack_part(to, at, n, rows.begin, rows.n, isb__view_transposed(x, ldx));
}
/* y [rows.n, n] = x * W, columns from `at` of W. */
static inline void isb__linear_rows(isb__rows rows, const isb__packed *x, const isb__packed_b *w,
                                    size_t at, size_t n, float *y, size_t ldy, int accumulate) {
    const isb__packed b = isb__operand(w);
    isb__multiply_part((isb__part){x, 0, 0}, (isb__part){&b, at, 0}, rows.n, n, w->K, y, ldy,
                       accumulate);
}

/* y [M, n] = x [M, k] * W^T, dx [M, k] = dy [M, n] * W. */
static inline void isb__linear(const isb__nn *nn, size_t M, const isb__weight *w, const float *x,
                               float *y) {
    isb__matmul_packed(nn->ctx, nn->scratch, M, isb__view_row_major(x, w->forward.K), &w->forward,
                       y, w->forward.N, 0);
}
static inline void isb__linear_dx(const isb__nn *nn, size_t M, const isb__weight *w,
                                  const float *dy, float *dx) {
    isb__matmul_packed(nn->ctx, nn->scratch, M, isb__view_row_major(dy, w->backward.K),
                       &w->backward, dx, w->backward.N, 0);
}
/* dW [n, k] adds dy^T * x, summed over the M tokens in order. */
static inline void isb__linear_dw(const isb__nn *nn, size_t M, size_t n, size_t k, const float *dy,
                                  const float *x, float *dW) {
    isb__matmul(nn->ctx, nn->gemm, nn->scratch, n, k, M, isb__view_transposed(dy, n),
                isb__view_row_major(x, k), dW, k, 1);
}

#endif
