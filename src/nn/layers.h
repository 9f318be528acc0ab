/* The layers of the training graph, each with its forward beside its backward.  All work on M =
 * B*T tokens, rows of row-major float32 matrices; gradients named d* are of the same shape.
 * "adds" means +=, else the output is written.
 *
 * Results do not depend on the number of threads: every loop writes disjoint outputs, and sums
 * over tokens are made in blocks of ISB__TOKEN_BLOCK, which are then added in order. */
#ifndef ISB_NN_LAYERS_H
#define ISB_NN_LAYERS_H

#include "base/context.h"
#include "kernels/ops.h"
#include "nn/matmul.h"

enum { ISB__TOKEN_BLOCK = 32 };

/* What every layer is given. */
typedef struct isb__nn {
    isb_context *ctx;
    const isb__ops *ops;
    const isb__gemm_kernel *gemm;
    isb__matmul_scratch *scratch;
} isb__nn;

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

/* x adds residual [M, C] (NULL: nothing); y = x / rms(x) * g. */
void isb__norm_forward(const isb__nn *nn, const isb__norm *norm, const float *residual, float *y);
/* dx adds the gradient through the norm; dg [C] adds.  dy is destroyed.  work:
 * isb__norm_work_nfloats(). */
void isb__norm_backward(const isb__nn *nn, const isb__norm *norm, float *dy, float *dx, float *dg,
                        float *work);
static inline size_t isb__norm_work_nfloats(size_t M, size_t C) {
    return isb__token_blocks(M) * 2 * C;
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
size_t isb__attention_work_nfloats(size_t T);

/* qkv [M, 3C] rows q | k | v; queries and keys are rotated in place.  starts [M]: see
 * isb__batch; NULL: 0. bias [H, 32] or NULL.  y [M, C]; lse [M, H]: ln sum exp of each row of
 * scores. */
void isb__attention_forward(const isb__nn *nn, const isb__attention *a, float *qkv,
                            const int32_t *starts, const float *bias, float *y, float *lse);
/* dqkv is written; dbias [H, 32] adds; dbias_work [B*H, 32].  qkv as the forward pass left it. */
void isb__attention_backward(const isb__nn *nn, const isb__attention *a, const float *qkv,
                             const int32_t *starts, const float *bias, const float *y,
                             const float *lse, const float *dy, float *dqkv, float *dbias,
                             float *dbias_work);

/* ---- layer_mlp.c ---- */

typedef struct isb__mlp {
    size_t M, C, F;
    int relu;                          /* else silu */
    const isb__weight *gate_up, *down; /* [2F, C], [C, F] */
} isb__mlp;

/* gate_up [M, 2F] = x * W^T; h [M, F] = act(gate) * up; out [M, C] = h * Wdown^T. */
void isb__mlp_forward(const isb__nn *nn, const isb__mlp *mlp, const float *x, float *gate_up,
                      float *h, float *out);
/* From dout: dx is written, dW_gate_up [2F, C] and dW_down [C, F] add.  h, dh [M, F] and
 * dgate_up [M, 2F] are scratch. */
void isb__mlp_backward(const isb__nn *nn, const isb__mlp *mlp, const float *x, const float *gate_up,
                       const float *dout, float *h, float *dh, float *dgate_up, float *dx,
                       float *dW_gate_up, float *dW_down);

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
/* Forward, and the gradient of scale * sum (nats + z_weight * lse^2): dx is written, dW [V, C]
 * adds. */
isb_status isb__head_backward(const isb__nn *nn, const isb__head *head, const float *x,
                              const int32_t *targets, float scale, float z_weight, float *dx,
                              float *dW);

/* ---- shared by layers ---- */

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
