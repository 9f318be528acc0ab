/* Causal self-attention over rows of T tokens, with rotary positions or T5's biases, and
 * documents kept apart.
 *
 *     S = Q K^T + bias,  P = softmax of each row over the keys it may see,  Y = P V
 *
 * A task is one head of one row of the batch.  It goes through the queries in blocks; the scores
 * of a block against all keys that any of its queries sees are made in scratch, [QUERIES, T] at
 * most, used and forgotten.  Kept is only ln sum exp of each row, from which the backward pass
 * makes P again (Dao et al. 2022 do this with keys in blocks as well; here a block of scores
 * fits L2):
 *
 *     dV += P^T dY,  dP = dY V^T,  dS = P (dP - delta) with delta = sum(P dP) of each row,
 *     dQ = dS K,  dK += dS^T Q
 *
 * Keys and values are packed once per head, as the right-hand sides of the products with all its
 * blocks: K^T and V forward, K^T, V^T and K backward.  Keys after the block and, with several
 * documents in a row, those before its first document, to a whole panel, are never touched.  The
 * factor 1/sqrt(D) is part of the queries' rotation. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "nn/layers.h"
#include "nn/position.h"
#include "nn/rope.h"

enum { QUERIES = 56 /* four panels of AVX-512 */ };

typedef struct attention_job {
    const isb__nn *nn;
    const isb__attention *a;
    float *qkv;
    const int32_t *starts;
    const float *bias;
    float *y, *lse;
    const float *dy;
    float *dqkv, *dbias_work;
} attention_job;

/* One head of one row: pointers to its first token; tokens are `stride` (and `C` in y) floats
 * apart. */
typedef struct head_view {
    float *q, *k, *v, *y, *lse;
    const float *dy;
    float *dq, *dk, *dv;
    const int32_t *starts;
    size_t stride, C;
    int thread;
    float *s, *dp;                 /* [QUERIES, ld] */
    float *bias_back, *dbias_back; /* [T]: element T-1-d belongs to distance d */
    size_t ld;
    void *left;                              /* packed A of a block: [QUERIES, T or D] */
    isb__packed keys_across, values_across;  /* B of [D, T] */
    isb__packed keys_along, values_along;    /* B of [T, D] */
} head_view;

/* A block of queries [q0, q1) and the keys [k0, q1) that they see; k0 is a whole number of panels
 * of keys. */
typedef struct block {
    size_t q0, q1, k0, m, n;
} block;

static size_t score_stride(size_t T) { return (T + 15) / 16 * 16; }

/* Packed operands in the scratch: the left-hand side of a block, and three of a head at a time. */
typedef struct packed_sizes {
    size_t left, across, along; /* bytes */
} packed_sizes;

static packed_sizes sizes_of_packed(const isb__gemm_kernel *kernel, size_t T, size_t D) {
    const isb__packed left = isb__packed_a_at(kernel, QUERIES, T > D ? T : D, NULL),
                      across = isb__packed_b_at(kernel, D, T, NULL),
                      along = isb__packed_b_at(kernel, T, D, NULL);
    return (packed_sizes){isb__round_up(isb__packed_nbytes(&left), ISB__ALIGNMENT),
                          isb__round_up(isb__packed_nbytes(&across), ISB__ALIGNMENT),
                          isb__round_up(isb__packed_nbytes(&along), ISB__ALIGNMENT)};
}

size_t isb__attention_work_nfloats(const isb__gemm_kernel *kernel, size_t T, size_t D) {
    const packed_sizes size = sizes_of_packed(kernel, T, D);
    return (2 * QUERIES + 2) * score_stride(T) +
           (size.left + 2 * size.across + size.along) / sizeof(float);
}

/* ---- set-up ---- */

static void scale_table(size_t n, float scale, float *table) {
    for (size_t i = 0; i < n; ++i) table[i] *= scale;
}

void isb__attention_tables(size_t T, size_t D, double theta, float *const cosines[2],
                           float *const sines[2], float *const inverse_sines[2]) {
    const size_t n = T * (D / 2);
    const int n_tables = theta > 0 ? 2 : 1;
    for (int i = 0; i < n_tables; ++i) {
        if (theta > 0) {
            isb__rope rope;
            isb__rope_init(&rope, D, theta);
            isb__rope_table(&rope, 0, T, cosines[i], sines[i]);
        } else {
            for (size_t j = 0; j < n; ++j) cosines[i][j] = 1, sines[i][j] = 0;
        }
        if (i == 0) {
            scale_table(n, 1.0f / sqrtf((float)D), cosines[i]);
            scale_table(n, 1.0f / sqrtf((float)D), sines[i]);
        }
        for (size_t j = 0; j < n; ++j) inverse_sines[i][j] = -sines[i][j];
    }
}

/* Forward needs K^T and V, backward K^T, V^T and K. */
static void place_packed(const attention_job *job, head_view *v, char *to) {
    const isb__gemm_kernel *kernel = job->nn->gemm;
    const size_t T = job->a->T, D = job->a->D;
    const packed_sizes size = sizes_of_packed(kernel, T, D);
    v->left = to;
    v->keys_across = isb__packed_b_at(kernel, D, T, to + size.left);
    v->values_across = isb__packed_b_at(kernel, D, T, to + size.left + size.across);
    v->keys_along = isb__packed_b_at(kernel, T, D, to + size.left + 2 * size.across);
    v->values_along = v->keys_along;
}

static head_view view_head(const attention_job *job, size_t task, int thread) {
    const isb__attention *a = job->a;
    const size_t C = a->H * a->D, b = task / a->H, h = task % a->H,
                 at = b * a->T * 3 * C + h * a->D;
    const size_t ld = score_stride(a->T);
    float *work = a->work + (size_t)thread * isb__attention_work_nfloats(job->nn->gemm, a->T, a->D);
    head_view v = {.stride = 3 * C, .C = C, .thread = thread, .ld = ld};
    v.q = job->qkv + at;
    v.k = v.q + C;
    v.v = v.k + C;
    v.y = job->y ? job->y + b * a->T * C + h * a->D : NULL;
    v.lse = job->lse + b * a->T * a->H + h;
    v.starts = job->starts ? job->starts + b * a->T : NULL;
    if (job->dqkv) {
        v.dy = job->dy + b * a->T * C + h * a->D;
        v.dq = job->dqkv + at;
        v.dk = v.dq + C;
        v.dv = v.dk + C;
    }
    v.s = work;
    v.dp = v.s + QUERIES * ld;
    v.bias_back = v.dp + QUERIES * ld;
    v.dbias_back = v.bias_back + ld;
    place_packed(job, &v, (char *)(v.dbias_back + ld));
    if (job->bias) {
        const float *bias = job->bias + h * ISB__N_BUCKETS;
        for (size_t d = 0; d < a->T; ++d) v.bias_back[a->T - 1 - d] = bias[isb__position_bucket(d)];
        memset(v.dbias_back, 0, a->T * sizeof(float));
    }
    return v;
}

static size_t first_key(const head_view *v, size_t t) {
    return v->starts ? (size_t)v->starts[t] : 0;
}

static block query_block(const head_view *v, size_t T, size_t q0) {
    const isb__gemm_kernel *kernel = v->keys_across.kernel;
    block b = {.q0 = q0, .q1 = q0 + QUERIES < T ? q0 + QUERIES : T, .k0 = q0};
    for (size_t t = b.q0; t < b.q1; ++t) b.k0 = first_key(v, t) < b.k0 ? first_key(v, t) : b.k0;
    assert(kernel->nr % kernel->kr == 0); /* so that k0 begins a step of k too */
    b.k0 -= b.k0 % kernel->nr;
    b.m = b.q1 - b.q0;
    b.n = b.q1 - b.k0;
    return b;
}

/* Tokens [begin, end) of x. */
static void rotate(const isb__attention *a, const float *cosines, const float *sines, float *x,
                   size_t stride, size_t begin, size_t end) {
    for (size_t t = begin; t < end; ++t)
        isb__rope_rotate(1, a->D, cosines + t * (a->D / 2), sines + t * (a->D / 2), x + t * stride);
}

/* ---- products of a block ---- */

static void multiply(const isb__nn *nn, const head_view *v, size_t M, size_t N, size_t K,
                     isb__view a, isb__view b, float *c, size_t ldc, int accumulate) {
    isb__matmul_on_thread(nn->gemm, nn->scratch, v->thread, M, N, K, a, b, c, ldc, accumulate);
}

static void pack_across(const attention_job *job, const isb__packed *to, const float *x,
                        size_t stride) {
    isb__pack_part(to, 0, job->a->T, 0, job->a->D, isb__view_row_major(x, stride));
}

static void pack_along(const attention_job *job, const isb__packed *to, const float *x,
                       size_t stride) {
    isb__pack_part(to, 0, job->a->D, 0, job->a->T, isb__view_transposed(x, stride));
}

/* c [m, T from k0] = x [m, D] * B across */
static void multiply_across(const head_view *v, const block *b, size_t D, const float *x,
                            size_t ldx, const isb__packed *across, float *c) {
    const isb__packed left = isb__packed_a_at(across->kernel, b->m, D, v->left);
    isb__pack_part(&left, 0, b->m, 0, D, isb__view_row_major(x, ldx));
    isb__multiply_part((isb__part){&left, 0, 0}, (isb__part){across, b->k0, 0}, b->m, b->n, D, c,
                       v->ld, 0);
}

/* c [m, D] = s [m, T from k0] * B along */
static void multiply_along(const head_view *v, const block *b, size_t D, const float *s,
                           const isb__packed *along, float *c, size_t ldc) {
    const isb__packed left = isb__packed_a_at(along->kernel, b->m, b->n, v->left);
    isb__pack_part(&left, 0, b->m, 0, b->n, isb__view_row_major(s, v->ld));
    isb__multiply_part((isb__part){&left, 0, 0}, (isb__part){along, 0, b->k0}, b->m, D, b->n, c,
                       ldc, 0);
}

/* s = queries * keys^T, without the mask; bias where there is one. */
static void scores(const attention_job *job, const head_view *v, const block *b) {
    const isb__attention *a = job->a;
    multiply_across(v, b, a->D, v->q + b->q0 * v->stride, v->stride, &v->keys_across, v->s);
    if (!job->bias) return;
    for (size_t i = 0; i < b->m; ++i) {
        job->nn->ops->axpy(b->q0 + i + 1 - b->k0, 1, v->bias_back + a->T - 1 - (b->q0 + i) + b->k0,
                           v->s + i * v->ld);
    }
}

/* What row i of a block sees: n columns from `begin`. */
typedef struct visible {
    size_t begin, n;
} visible;

static visible visible_keys(const head_view *v, const block *b, size_t i) {
    const size_t t = b->q0 + i, begin = first_key(v, t);
    return (visible){begin - b->k0, t + 1 - begin};
}

static void zero_rest(float *row, visible see, size_t n) {
    memset(row, 0, see.begin * sizeof *row);
    memset(row + see.begin + see.n, 0, (n - see.begin - see.n) * sizeof *row);
}

/* ---- forward ---- */

/* Scores become exp(s - max), zero where masked; returns their sum. */
static float exponentials(const isb__ops *ops, const float *ones, float *row, visible see, size_t n,
                          float *most) {
    float *s = row + see.begin;
    *most = ops->max(see.n, s);
    ops->axpy(see.n, -*most, ones, s);
    ops->exp(see.n, s, s);
    zero_rest(row, see, n);
    return ops->sum(see.n, s);
}

static void forward_block(const attention_job *job, const head_view *v, const block *b) {
    const isb__attention *a = job->a;
    const isb__ops *ops = job->nn->ops;
    float inverse[QUERIES];
    scores(job, v, b);
    for (size_t i = 0; i < b->m; ++i) {
        float most;
        const float sum =
            exponentials(ops, a->ones, v->s + i * v->ld, visible_keys(v, b, i), b->n, &most);
        inverse[i] = 1 / sum;
        v->lse[(b->q0 + i) * a->H] = most + logf(sum);
    }
    float *y = v->y + b->q0 * v->C;
    multiply_along(v, b, a->D, v->s, &v->values_along, y, v->C);
    for (size_t i = 0; i < b->m; ++i)
        ops->scale_mul(a->D, y + i * v->C, inverse[i], a->ones, y + i * v->C);
}

static void forward_task(void *arg, size_t task, int thread) {
    const attention_job *job = arg;
    const isb__attention *a = job->a;
    const head_view v = view_head(job, task, thread);
    if (a->rotate_keys) rotate(a, a->cosines[1], a->sines[1], v.k, v.stride, 0, a->T);
    pack_across(job, &v.keys_across, v.k, v.stride);
    pack_along(job, &v.values_along, v.v, v.stride);
    for (size_t q0 = 0; q0 < a->T; q0 += QUERIES) {
        const block b = query_block(&v, a->T, q0);
        rotate(a, a->cosines[0], a->sines[0], v.q, v.stride, b.q0, b.q1);
        forward_block(job, &v, &b);
    }
}

void isb__attention_forward(const isb__nn *nn, const isb__attention *a, float *qkv,
                            const int32_t *starts, const float *bias, float *y, float *lse) {
    attention_job job = {
        .nn = nn, .a = a, .qkv = qkv, .starts = starts, .bias = bias, .y = y, .lse = lse};
    isb__parallel(nn->ctx, a->B * a->H, forward_task, &job);
}

/* ---- backward ---- */

/* s becomes P, dp becomes dS. */
static void softmax_backward(const attention_job *job, const head_view *v, const block *b) {
    const isb__attention *a = job->a;
    const isb__ops *ops = job->nn->ops;
    for (size_t i = 0; i < b->m; ++i) {
        const size_t t = b->q0 + i;
        const visible see = visible_keys(v, b, i);
        float *s = v->s + i * v->ld, *dp = v->dp + i * v->ld, *p = s + see.begin,
              *ds = dp + see.begin;
        ops->axpy(see.n, -v->lse[t * a->H], a->ones, p);
        ops->exp(see.n, p, p);
        ops->axpy(see.n, -ops->dot(see.n, p, ds), a->ones, ds);
        ops->scale_mul(see.n, ds, 1, p, ds);
        zero_rest(s, see, b->n);
        zero_rest(dp, see, b->n);
        if (job->bias) ops->axpy(see.n, 1, ds, v->dbias_back + a->T - 1 - t + b->k0 + see.begin);
    }
}

static void backward_block(const attention_job *job, const head_view *v, const block *b) {
    const isb__attention *a = job->a;
    const isb__nn *nn = job->nn;
    const float *dy = v->dy + b->q0 * v->C;
    const size_t keys = b->k0 * v->stride, queries = b->q0 * v->stride;
    scores(job, v, b);
    multiply_across(v, b, a->D, dy, v->C, &v->values_across, v->dp);
    softmax_backward(job, v, b);
    multiply(nn, v, b->n, a->D, b->m, isb__view_transposed(v->s, v->ld),
             isb__view_row_major(dy, v->C), v->dv + keys, v->stride, 1);
    multiply_along(v, b, a->D, v->dp, &v->keys_along, v->dq + queries, v->stride);
    multiply(nn, v, b->n, a->D, b->m, isb__view_transposed(v->dp, v->ld),
             isb__view_row_major(v->q + queries, v->stride), v->dk + keys, v->stride, 1);
}

static void backward_task(void *arg, size_t task, int thread) {
    const attention_job *job = arg;
    const isb__attention *a = job->a;
    const head_view v = view_head(job, task, thread);
    for (size_t t = 0; t < a->T; ++t) {
        memset(v.dk + t * v.stride, 0, a->D * sizeof(float));
        memset(v.dv + t * v.stride, 0, a->D * sizeof(float));
    }
    pack_across(job, &v.keys_across, v.k, v.stride);
    pack_across(job, &v.values_across, v.v, v.stride);
    pack_along(job, &v.keys_along, v.k, v.stride);
    for (size_t q0 = 0; q0 < a->T; q0 += QUERIES) {
        const block b = query_block(&v, a->T, q0);
        backward_block(job, &v, &b);
        rotate(a, a->cosines[0], a->inverse_sines[0], v.dq, v.stride, b.q0, b.q1);
    }
    if (a->rotate_keys) rotate(a, a->cosines[1], a->inverse_sines[1], v.dk, v.stride, 0, a->T);
    if (!job->bias) return;
    float *dbias = job->dbias_work + task * ISB__N_BUCKETS;
    memset(dbias, 0, ISB__N_BUCKETS * sizeof *dbias);
    for (size_t d = 0; d < a->T; ++d) dbias[isb__position_bucket(d)] += v.dbias_back[a->T - 1 - d];
}

void isb__attention_backward(const isb__nn *nn, const isb__attention *a, const float *qkv,
                             const int32_t *starts, const float *bias, const float *lse,
                             const float *dy, float *dqkv, float *dbias, float *dbias_work) {
    /* the job's members are shared with the forward pass, which writes them; here qkv and lse
     * are only read */
    attention_job job = {.nn = nn,
                         .a = a,
                         .qkv = (float *)qkv,
                         .starts = starts,
                         .bias = bias,
                         .lse = (float *)lse,
                         .dy = dy,
                         .dqkv = dqkv,
                         .dbias_work = dbias_work};
    isb__parallel(nn->ctx, a->B * a->H, backward_task, &job);
    if (!bias) return;
    for (size_t b = 0; b < a->B; ++b) {
        nn->ops->axpy(a->H * ISB__N_BUCKETS, 1, dbias_work + b * a->H * ISB__N_BUCKETS, dbias);
    }
}
