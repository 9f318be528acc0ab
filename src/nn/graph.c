/* The training graph: layers in order, activations planned once.
 *
 * The residual stream is a chain of additions, each made by the norm that reads the sum:
 *
 *     embed -> x0 -norm1-> qkv -attention-> y -o-> mid (+ x0)
 *              -norm2-> gate,up -act-> h -down-> x1 (+ mid)
 *              -norm1-> ...                  ... x_L (+ mid) -norm-> logits in chunks -> loss
 *
 * Attention works on heads, all else on tokens, so a layer is three loops: blocks of tokens up to
 * qkv, heads, blocks of tokens from y on.  A block stays in L2 from one product to the next.  The
 * backward pass has the same three loops in reverse, and between them the products that sum over
 * tokens: dW = dy^T x.  Their operands are packed (in bf16, where the kernel takes that) by the
 * loop that makes them, and what only they read is kept in that form alone.
 *
 * Kept for each layer when training: x, mid (C floats per token each), qkv (3 C), gate and up
 * (2 F), H + 2 small numbers, and packed the two normalised rows and y.  h is made again.  With
 * `recompute` only x is kept for each layer; the rest is one set, which the backward pass makes
 * again.  A forward-only graph has one set for all layers, and no gate and up. */
#include "nn/graph.h"

#include <assert.h>
#include <string.h>

#include "base/plan.h"
#include "nn/layers.h"
#include "nn/position.h"

enum {
    BLOCK_ROWS = 56, /* tokens of a block, about: their hidden rows fit L2, packed */
    TILE_COLS = 224  /* about */
};

typedef struct layer_acts {
    float *x, *inv_rms1; /* [M, C], [M] */
    float *qkv, *lse;    /* [M, 3C], [M, H] */
    float *mid, *inv_rms2;
    float *gate_up;                  /* [M, 2F] */
    isb__packed normed1, normed2, y; /* [M, C] as B */
} layer_acts;

typedef struct layer_weights {
    isb__weight qkv, o, gate, up, down;
} layer_weights;

struct isb__graph {
    isb_context *ctx;
    isb_model *model;
    isb__nn nn;
    size_t B, T, M, C, F, V, L;
    int training, recompute, packed;
    size_t nbytes; /* of block */
    void *block;
    layer_acts *acts;           /* [L + 1]; the last has x and inv_rms1 for the final norm */
    layer_weights *weights;     /* [L] */
    isb__layer_params *dlayers; /* [L] pointers into the caller's gradients */
    isb__weight head_weight;
    isb__attention attention;
    isb__head head;
    float *y;    /* [M, C]: of attention and dy; the last normalised rows and their gradient */
    float *dx;   /* [M, C] */
    float *dqkv; /* [M, 3C] */
    isb__mlp_sums sums;
    isb__packed dout, dmid; /* dx^T [C, M] as A: of a layer's output, and of mid */
    isb__packed dqkv_sum;   /* dqkv^T [3C, M] as A, over sums' dgate and dup */
    char *dwide;            /* for dgate, dup; dqkv_sum */
    float *norm_work, *dbias_work;
};

/* ---- plan ---- */

static void plan_floats(isb__plan *plan, const char *name, size_t rows, size_t cols,
                        float **pointer) {
    const int too_large = rows != 0 && cols > PTRDIFF_MAX / sizeof(float) / rows;
    const size_t nbytes =
        too_large ? SIZE_MAX : rows * cols * sizeof(float); /* the plan refuses it */
    isb__plan_add(plan, name, nbytes, pointer);
}

static void plan_packed(isb__plan *plan, const char *name, isb__packed shape, isb__packed *packed) {
    *packed = shape;
    isb__plan_add(plan, name, isb__packed_nbytes(packed), &packed->data);
}

static void plan_input(isb__graph *g, isb__plan *plan, layer_acts *a) {
    plan_floats(plan, "x", g->M, g->C, &a->x);
    plan_floats(plan, "inv_rms1", g->M, 1, &a->inv_rms1);
}

/* All of a layer but its input. */
static void plan_layer_acts(isb__graph *g, isb__plan *plan, layer_acts *a) {
    const size_t M = g->M, C = g->C;
    plan_floats(plan, "qkv", M, 3 * C, &a->qkv);
    plan_floats(plan, "lse", M, g->attention.H, &a->lse);
    plan_floats(plan, "mid", M, C, &a->mid);
    plan_floats(plan, "inv_rms2", M, 1, &a->inv_rms2);
    if (!g->training) return;
    plan_floats(plan, "gate_up", M, 2 * g->F, &a->gate_up);
    const isb__packed tokens = isb__packed_b_at(g->nn.gemm, M, C, NULL);
    plan_packed(plan, "normed1", tokens, &a->normed1);
    plan_packed(plan, "normed2", tokens, &a->normed2);
    plan_packed(plan, "y", tokens, &a->y);
}

static void plan_acts(isb__graph *g, isb__plan *plan) {
    const size_t n_inputs = g->training ? g->L + 1 : 1;
    const size_t n_sets = g->training && !g->recompute ? g->L : 1;
    for (size_t l = 0; l < n_inputs; ++l) plan_input(g, plan, &g->acts[l]);
    for (size_t l = 0; l < n_sets; ++l) plan_layer_acts(g, plan, &g->acts[l]);
}

/* Layers without regions of their own use the first layer's: each is spent when the next is made. */
static void share_acts(isb__graph *g) {
    for (size_t l = 1; l <= g->L; ++l) {
        layer_acts *a = &g->acts[l];
        float *const x = a->x, *const inv_rms1 = a->inv_rms1;
        *a = g->acts[0];
        if (g->training) a->x = x, a->inv_rms1 = inv_rms1;
    }
}

/* A weight [n, k]: B of y = x W^T is [k, n], B of dx = dy W is [n, k]. */
static void plan_weight(isb__graph *g, isb__plan *plan, size_t n, size_t k, isb__weight *w) {
    isb__plan_add(plan, "packed weight", isb__packed_b_nbytes(g->nn.gemm, k, n), &w->forward.data);
    if (g->training)
        isb__plan_add(plan, "packed weight, backward", isb__packed_b_nbytes(g->nn.gemm, n, k),
                      &w->backward.data);
}

static void plan_weights(isb__graph *g, isb__plan *plan) {
    for (size_t l = 0; l < g->L; ++l) {
        plan_weight(g, plan, 3 * g->C, g->C, &g->weights[l].qkv);
        plan_weight(g, plan, g->C, g->C, &g->weights[l].o);
        plan_weight(g, plan, g->F, g->C, &g->weights[l].gate);
        plan_weight(g, plan, g->F, g->C, &g->weights[l].up);
        plan_weight(g, plan, g->C, g->F, &g->weights[l].down);
    }
    plan_weight(g, plan, g->V, g->C, &g->head_weight);
}

static void plan_attention(isb__graph *g, isb__plan *plan, float *tables[6]) {
    isb__attention *a = &g->attention;
    for (int i = 0; i < 6; ++i) {
        plan_floats(plan, "rotary table", i % 2 == 0 || a->rotate_keys ? g->T : 0, a->D / 2,
                    &tables[i]);
    }
    plan_floats(plan, "ones", 1, g->T > a->D ? g->T : a->D, (float **)&a->ones);
    plan_floats(plan, "scores", (size_t)isb__thread_count(g->ctx),
                isb__attention_work_nfloats(g->nn.gemm, g->T, a->D), &a->work);
}

static void plan_gradients(isb__graph *g, isb__plan *plan) {
    const isb__gemm_kernel *kernel = g->nn.gemm;
    const isb__packed narrow = isb__packed_a_at(kernel, g->C, g->M, NULL),
                      half = isb__packed_a_at(kernel, g->F, g->M, NULL);
    plan_floats(plan, "dx", g->M, g->C, &g->dx);
    plan_floats(plan, "dqkv", g->M, 3 * g->C, &g->dqkv);
    plan_packed(plan, "h", isb__packed_b_at(kernel, g->M, g->F, NULL), &g->sums.h);
    plan_packed(plan, "dx of a layer's output", narrow, &g->dout);
    plan_packed(plan, "dx of mid", narrow, &g->dmid);
    g->sums.dgate = g->sums.dup = half;
    g->dqkv_sum = isb__packed_a_at(kernel, 3 * g->C, g->M, NULL);
    const size_t hidden = 2 * isb__packed_nbytes(&half), qkv = isb__packed_nbytes(&g->dqkv_sum);
    isb__plan_add(plan, "dqkv, or dgate and dup", hidden > qkv ? hidden : qkv, &g->dwide);
    plan_floats(plan, "norm partial sums", 1, isb__norm_work_nfloats(&g->nn, g->M, g->C),
                &g->norm_work);
    plan_floats(plan, "bias partial sums", g->B * g->attention.H, ISB__N_BUCKETS, &g->dbias_work);
}

static void plan_work(isb__graph *g, isb__plan *plan, isb__work *work) {
    const isb__gemm_kernel *kernel = g->nn.gemm;
    const isb__packed narrow = isb__packed_a_at(kernel, g->nn.rows, g->C, NULL),
                      hidden = isb__packed_a_at(kernel, g->nn.rows, g->F, NULL),
                      qkv = isb__packed_a_at(kernel, g->nn.rows, 3 * g->C, NULL);
    const size_t wide[2] = {isb__packed_nbytes(&hidden), isb__packed_nbytes(&qkv)};
    plan_floats(plan, "block of rows", g->nn.rows, g->C, &work->narrow);
    for (int i = 0; i < 4; ++i)
        plan_floats(plan, "tile of hidden rows", g->nn.rows, g->nn.tile, &work->tiles[i]);
    isb__plan_add(plan, "packed block", isb__packed_nbytes(&narrow), &work->narrow_a);
    isb__plan_add(plan, "packed wide block", wide[wide[1] > wide[0]], &work->wide_a[0]);
    isb__plan_add(plan, "packed hidden block", wide[0], &work->wide_a[1]);
}

static void plan_all(isb__graph *g, isb__plan *plan, float *tables[6]) {
    plan_acts(g, plan);
    plan_weights(g, plan);
    plan_attention(g, plan, tables);
    for (int i = 0; i < isb__thread_count(g->ctx); ++i) plan_work(g, plan, &g->nn.work[i]);
    plan_floats(plan, "y", g->M, g->C, &g->y);
    plan_floats(plan, "logits", g->head.chunk, g->V, &g->head.logits);
    plan_floats(plan, "token losses", g->M, 1, &g->head.nats);
    plan_floats(plan, "token lse", g->M, 1, &g->head.lse);
    if (g->training) plan_gradients(g, plan);
}

/* ---- set-up ---- */

static size_t common_multiple(size_t a, size_t b) {
    size_t x = a, y = b;
    while (y != 0) {
        const size_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

/* Blocks and tiles are whole panels of A and B, whichever way they are packed. */
static void set_blocks(isb__nn *nn) {
    const size_t rows = common_multiple(nn->gemm->mr, nn->gemm->kr),
                 cols = common_multiple(rows, nn->gemm->nr);
    nn->rows = isb__round_up(BLOCK_ROWS - rows / 2, rows);
    nn->tile = isb__round_up(TILE_COLS - cols / 2, cols);
}

static void set_sizes(isb__graph *g, isb_context *ctx, const isb_model_config *c,
                      const isb__graph_options *options) {
    g->ctx = ctx;
    g->nn = (isb__nn){.ctx = ctx, .ops = isb__ops_for(ctx->cpu)};
    g->nn.gemm = options->use_exact ? g->nn.ops->gemm_exact : g->nn.ops->gemm_close;
    set_blocks(&g->nn);
    g->B = options->B;
    g->T = options->T;
    g->M = g->B * g->T;
    g->C = (size_t)c->hidden_size;
    g->F = (size_t)c->intermediate_size;
    g->V = (size_t)c->vocab_size;
    g->L = (size_t)c->n_layers;
    g->training = options->training;
    g->recompute = options->recompute;
    g->attention = (isb__attention){.B = g->B,
                                    .T = g->T,
                                    .H = (size_t)c->n_heads,
                                    .D = (size_t)(c->hidden_size / c->n_heads),
                                    .rotate_keys = c->position == ISB_POSITION_ROPE};
    g->head = (isb__head){.M = g->M,
                          .C = g->C,
                          .V = g->V,
                          .weight = &g->head_weight,
                          .chunk = isb__head_chunk(g->M, g->V)};
}

static isb_status alloc_lists(isb__graph *g) {
    ISB_TRY(isb__alloc_array(g->ctx, g->L + 1, sizeof *g->acts, &g->acts));
    ISB_TRY(isb__alloc_array(g->ctx, g->L, sizeof *g->dlayers, &g->dlayers));
    ISB_TRY(isb__alloc_array(g->ctx, g->L, sizeof *g->weights, &g->weights));
    return isb__alloc_array(g->ctx, (size_t)isb__thread_count(g->ctx), sizeof *g->nn.work,
                            &g->nn.work);
}

static isb_status alloc_scratch(isb__graph *g) {
    const size_t widest = 3 * g->C > 2 * g->F ? 3 * g->C : 2 * g->F,
                 most = widest > g->V ? widest : g->V;
    const size_t extent = most > g->M ? most : g->M;
    return isb__matmul_scratch_create(g->ctx, extent, extent, extent, &g->nn.scratch);
}

static void fill_tables(isb__graph *g, float *tables[6]) {
    const isb_model_config *c = &g->model->config;
    for (int i = 0; i < 2; ++i) {
        g->attention.cosines[i] = tables[i];
        g->attention.sines[i] = tables[2 + i];
        g->attention.inverse_sines[i] = tables[4 + i];
    }
    isb__attention_tables(g->T, g->attention.D,
                          c->position == ISB_POSITION_ROPE ? c->rope_theta : 0, tables, tables + 2,
                          tables + 4);
    float *ones = (float *)g->attention.ones;
    for (size_t i = 0; i < (g->T > g->attention.D ? g->T : g->attention.D); ++i) ones[i] = 1;
}

/* Views of memory that several have in turn. */
static void share(isb__graph *g) {
    if (!g->training || g->recompute) share_acts(g);
    if (!g->training) return;
    g->sums.dgate.data = g->dqkv_sum.data = g->dwide;
    g->sums.dup.data = g->dwide + isb__packed_nbytes(&g->sums.dgate);
}

static int is_batch(const isb__graph_options *o) {
    return o->B > 0 && o->T > 0 && o->B <= ((size_t)1 << 31) / o->T;
}

isb_status isb__graph_create(isb_context *ctx, isb_model *model, const isb__graph_options *options,
                             isb__graph **graph) {
    *graph = NULL;
    if (!is_batch(options) || options->T > (size_t)model->config.context_length) {
        return isb__fail(
            ctx, ISB_ERR_SHAPE,
            "a batch of %zu rows of %zu tokens; rows have 1 to %lld tokens (the model's "
            "context_length), a batch at most 2^31",
            options->B, options->T, (long long)model->config.context_length);
    }
    isb__graph *g = NULL;
    isb_status status = ISB_OK;
    isb__plan plan;
    float *tables[6] = {0};
    ISB_TRY(isb__alloc(ctx, sizeof *g, &g));
    set_sizes(g, ctx, &model->config, options);
    g->model = model;
    ISB_TRY_GOTO(alloc_lists(g));
    ISB_TRY_GOTO(alloc_scratch(g));
    isb__plan_begin(&plan, ctx);
    plan_all(g, &plan, tables);
    g->nbytes = isb__plan_nbytes(&plan);
    ISB_TRY_GOTO(isb__plan_commit(&plan, &g->block));
    fill_tables(g, tables);
    share(g);
    *graph = g;
    return ISB_OK;
fail:
    isb__graph_free(g);
    return status;
}

void isb__graph_free(isb__graph *g) {
    if (!g) return;
    isb__matmul_scratch_free(g->nn.scratch);
    isb__free(g->ctx, g->block);
    isb__free(g->ctx, g->nn.work);
    isb__free(g->ctx, g->weights);
    isb__free(g->ctx, g->dlayers);
    isb__free(g->ctx, g->acts);
    isb__free(g->ctx, g);
}

size_t isb__graph_nbytes(const isb__graph *graph) { return graph->nbytes; }

size_t isb__graph_estimate_nbytes(isb_context *ctx, const isb_model_config *config,
                                  const isb__graph_options *options) {
    isb__graph *g = NULL;
    size_t nbytes = 0;
    if (!is_batch(options) || isb__alloc(ctx, sizeof *g, &g) != ISB_OK) return 0;
    set_sizes(g, ctx, config, options);
    if (alloc_lists(g) == ISB_OK) {
        isb__plan plan;
        float *tables[6];
        isb__plan_begin(&plan, ctx);
        plan_all(g, &plan, tables);
        nbytes = plan.status == ISB_OK ? isb__plan_nbytes(&plan) : 0;
        isb__plan_cancel(&plan);
    }
    isb__graph_free(g);
    return nbytes;
}

/* ---- weights ---- */

void isb__graph_weights_changed(isb__graph *graph) { graph->packed = 0; }

static void pack_weight(const isb__graph *g, size_t n, size_t k, const float *data,
                        isb__weight *w) {
    isb__pack_b(g->ctx, g->nn.gemm, k, n, isb__view_transposed(data, k), &w->forward);
    if (g->training)
        isb__pack_b(g->ctx, g->nn.gemm, n, k, isb__view_row_major(data, k), &w->backward);
}

static void pack_weights(isb__graph *g) {
    const isb__params *p = &g->model->params;
    for (size_t l = 0; l < g->L; ++l) {
        const isb__layer_params *layer = &p->layers[l];
        assert(layer->k == layer->q + g->C * g->C && layer->v == layer->k + g->C * g->C);
        pack_weight(g, 3 * g->C, g->C, layer->q, &g->weights[l].qkv);
        pack_weight(g, g->C, g->C, layer->o, &g->weights[l].o);
        pack_weight(g, g->F, g->C, layer->gate, &g->weights[l].gate);
        pack_weight(g, g->F, g->C, layer->up, &g->weights[l].up);
        pack_weight(g, g->C, g->F, layer->down, &g->weights[l].down);
    }
    pack_weight(g, g->V, g->C, p->head, &g->head_weight);
    g->packed = 1;
}

/* ---- forward ---- */

static isb_status check_batch(const isb__graph *g, const isb__batch *batch) {
    for (size_t i = 0; i < g->M; ++i) {
        const int64_t V = (int64_t)g->V, input = batch->inputs[i], target = batch->targets[i];
        const int32_t start = batch->starts ? batch->starts[i] : 0;
        if (input < 0 || input >= V || target < -1 || target >= V) {
            return isb__fail(
                g->ctx, ISB_ERR_RANGE,
                "row %zu, token %zu: input %lld, target %lld; the model knows ids 0 to %lld",
                i / g->T, i % g->T, (long long)input, (long long)target, (long long)V - 1);
        }
        if (start < 0 || (size_t)start > i % g->T) {
            return isb__fail(g->ctx, ISB_ERR_RANGE,
                             "row %zu, token %zu: its document starts at %d, after it", i / g->T,
                             i % g->T, (int)start);
        }
    }
    return ISB_OK;
}

static isb__norm norm_of(const isb__graph *g, float *x, const float *weight, float *inv_rms) {
    return (isb__norm){g->M, g->C, (float)g->model->config.norm_eps, x, weight, inv_rms};
}

static isb__norm norm1_of(const isb__graph *g, size_t l) {
    const float *weight = l < g->L ? g->model->params.layers[l].norm1 : g->model->params.norm;
    return norm_of(g, g->acts[l].x, weight, g->acts[l].inv_rms1);
}
static isb__norm norm2_of(const isb__graph *g, size_t l) {
    return norm_of(g, g->acts[l].mid, g->model->params.layers[l].norm2, g->acts[l].inv_rms2);
}

static isb__mlp mlp_of(const isb__graph *g, size_t l) {
    const layer_weights *w = &g->weights[l];
    return (isb__mlp){.C = g->C,
                      .F = g->F,
                      .relu = g->model->config.activation == ISB_ACTIVATION_RELU,
                      .gate = &w->gate,
                      .up = &w->up,
                      .down = &w->down};
}

/* A loop over blocks of tokens, in layer l. */
typedef struct rows_job {
    isb__graph *g;
    size_t l;
    const float *residual; /* forward: what x has not had added yet, or NULL */
    float *out;            /* forward: the layer's output less its mid, or NULL */
    int keep;              /* forward: for the backward pass */
} rows_job;

static void for_rows(isb__graph *g, isb__task_fn fn, rows_job *job) {
    isb__parallel(g->ctx, isb__row_blocks(&g->nn, g->M), fn, job);
}

/* x -norm1-> qkv */
static void in_forward_task(void *arg, size_t task, int thread) {
    const rows_job *job = arg;
    isb__graph *g = job->g;
    const layer_acts *a = &g->acts[job->l];
    const isb__work *work = &g->nn.work[thread];
    const isb__rows rows = isb__rows_at(&g->nn, g->M, task, thread);
    const isb__norm norm = norm1_of(g, job->l);
    isb__norm_forward_rows(&g->nn, &norm, rows, job->residual, work->narrow);
    if (job->keep) isb__pack_tokens(&a->normed1, rows, 0, g->C, work->narrow, g->C);
    const isb__packed normed = isb__pack_rows(&g->nn, rows, g->C, work->narrow, work->narrow_a);
    isb__linear_rows(rows, &normed, &g->weights[job->l].qkv.forward, 0, 3 * g->C,
                     a->qkv + rows.begin * 3 * g->C, 3 * g->C, 0);
}

/* y -o-> mid -norm2-> gate, up -act, down-> out */
static void out_forward_task(void *arg, size_t task, int thread) {
    const rows_job *job = arg;
    isb__graph *g = job->g;
    const size_t l = job->l, C = g->C;
    const layer_acts *a = &g->acts[l];
    const isb__work *work = &g->nn.work[thread];
    const isb__rows rows = isb__rows_at(&g->nn, g->M, task, thread);
    const isb__norm norm = norm2_of(g, l);
    const isb__mlp mlp = mlp_of(g, l);
    const float *y = g->y + rows.begin * C;
    if (job->keep) isb__pack_tokens(&a->y, rows, 0, C, y, C);
    const isb__packed packed_y = isb__pack_rows(&g->nn, rows, C, y, work->narrow_a);
    isb__linear_rows(rows, &packed_y, &g->weights[l].o.forward, 0, C, a->mid + rows.begin * C, C,
                     0);
    isb__norm_forward_rows(&g->nn, &norm, rows, a->x, work->narrow);
    if (job->keep) isb__pack_tokens(&a->normed2, rows, 0, C, work->narrow, C);
    const isb__packed normed = isb__pack_rows(&g->nn, rows, C, work->narrow, work->narrow_a);
    isb__mlp_forward_rows(&g->nn, &mlp, rows, &normed, job->keep ? a->gate_up : NULL, job->out);
}

static void layer_forward(isb__graph *g, const isb__batch *batch, rows_job job) {
    const layer_acts *a = &g->acts[job.l];
    for_rows(g, in_forward_task, &job);
    isb__attention_forward(&g->nn, &g->attention, a->qkv, batch->starts,
                           g->model->params.layers[job.l].bias, g->y, a->lse);
    for_rows(g, out_forward_task, &job);
}

static void final_norm_task(void *arg, size_t task, int thread) {
    const rows_job *job = arg;
    isb__graph *g = job->g;
    const isb__rows rows = isb__rows_at(&g->nn, g->M, task, thread);
    const isb__norm norm = norm1_of(g, job->l);
    isb__norm_forward_rows(&g->nn, &norm, rows, job->residual, g->y + rows.begin * g->C);
}

/* Everything below the output matrix; its input is g->y. */
static isb_status body_forward(isb__graph *g, const isb__batch *batch, int keep) {
    ISB_TRY(check_batch(g, batch));
    if (!g->packed) pack_weights(g);
    isb__embed_forward(&g->nn, g->M, g->C, batch->inputs, g->model->params.embed, g->acts[0].x);
    for (size_t l = 0; l <= g->L; ++l) {
        rows_job job = {.g = g, .l = l, .residual = l > 0 ? g->acts[l - 1].mid : NULL};
        ISB_TRY(isb__check_cancel(g->ctx));
        if (l == g->L) {
            for_rows(g, final_norm_task, &job);
            break;
        }
        job.out = g->acts[l + 1].x;
        job.keep = keep && (!g->recompute || l == g->L - 1);
        layer_forward(g, batch, job);
    }
    return ISB_OK;
}

static void sum_losses(const isb__graph *g, const int32_t *targets, isb__loss *loss) {
    *loss = (isb__loss){0};
    for (size_t m = 0; m < g->M; ++m) {
        loss->nats += (double)g->head.nats[m];
        loss->z += (double)g->head.lse[m] * (double)g->head.lse[m];
        loss->n_targets += targets[m] >= 0;
    }
}

isb_status isb__graph_forward(isb__graph *g, const isb__batch *batch, float *token_nats,
                              isb__loss *loss) {
    ISB_TRY(body_forward(g, batch, 0));
    ISB_TRY(isb__head_forward(&g->nn, &g->head, g->y, batch->targets));
    if (token_nats) memcpy(token_nats, g->head.nats, g->M * sizeof *token_nats);
    sum_losses(g, batch->targets, loss);
    return ISB_OK;
}

/* ---- backward ---- */

/* dx of this block as A, and as part of a sum over tokens. */
static isb__packed pack_dx(const isb__graph *g, isb__rows rows, const isb__packed *sum) {
    const float *dx = g->dx + rows.begin * g->C;
    isb__pack_tokens(sum, rows, 0, g->C, dx, g->C);
    return isb__pack_rows(&g->nn, rows, g->C, dx, g->nn.work[rows.thread].narrow_a);
}

/* dx of the layer's output becomes dx of mid, and g->y becomes dy. */
static void out_backward_task(void *arg, size_t task, int thread) {
    const rows_job *job = arg;
    isb__graph *g = job->g;
    const size_t l = job->l, C = g->C;
    const isb__rows rows = isb__rows_at(&g->nn, g->M, task, thread);
    const isb__norm norm = norm2_of(g, l);
    const isb__mlp mlp = mlp_of(g, l);
    float *dnormed = g->nn.work[thread].narrow;
    const isb__packed dout = pack_dx(g, rows, &g->dout);
    isb__mlp_backward_rows(&g->nn, &mlp, rows, &dout, g->acts[l].gate_up, &g->sums, dnormed);
    isb__norm_backward_rows(&g->nn, &norm, rows, dnormed, g->dx, g->norm_work);
    const isb__packed dmid = pack_dx(g, rows, &g->dmid);
    isb__linear_rows(rows, &dmid, &g->weights[l].o.backward, 0, C, g->y + rows.begin * C, C, 0);
}

/* dqkv, and dx of mid, become dx of the layer's input. */
static void in_backward_task(void *arg, size_t task, int thread) {
    const rows_job *job = arg;
    isb__graph *g = job->g;
    const size_t C = g->C;
    const isb__work *work = &g->nn.work[thread];
    const isb__rows rows = isb__rows_at(&g->nn, g->M, task, thread);
    const isb__norm norm = norm1_of(g, job->l);
    const float *dqkv = g->dqkv + rows.begin * 3 * C;
    isb__pack_tokens(&g->dqkv_sum, rows, 0, 3 * C, dqkv, 3 * C);
    const isb__packed packed = isb__pack_rows(&g->nn, rows, 3 * C, dqkv, work->wide_a[0]);
    isb__linear_rows(rows, &packed, &g->weights[job->l].qkv.backward, 0, C, work->narrow, C, 0);
    isb__norm_backward_rows(&g->nn, &norm, rows, work->narrow, g->dx, g->norm_work);
}

static void final_norm_backward_task(void *arg, size_t task, int thread) {
    const rows_job *job = arg;
    isb__graph *g = job->g;
    const isb__rows rows = isb__rows_at(&g->nn, g->M, task, thread);
    const isb__norm norm = norm1_of(g, job->l);
    memset(g->dx + rows.begin * g->C, 0, rows.n * g->C * sizeof *g->dx);
    isb__norm_backward_rows(&g->nn, &norm, rows, g->y + rows.begin * g->C, g->dx, g->norm_work);
}

/* dW [n, k] adds dy^T x. */
static void add_dw(const isb__graph *g, const isb__packed *dy, const isb__packed *x, size_t n,
                   size_t k, float *dW) {
    isb__multiply_packed(g->ctx, dy, x, n, k, dW, k, 1);
}

/* g->dx: in, the gradient of the layer's output; out, of its input. */
static void layer_backward(isb__graph *g, size_t l, const isb__batch *batch,
                           const isb__layer_params *d) {
    const layer_acts *a = &g->acts[l];
    const isb__norm norm1 = norm1_of(g, l), norm2 = norm2_of(g, l);
    rows_job job = {.g = g, .l = l, .keep = 1};
    if (g->recompute && l < g->L - 1) layer_forward(g, batch, job);
    for_rows(g, out_backward_task, &job);
    isb__norm_add_dg(&g->nn, &norm2, g->norm_work, d->norm2);
    add_dw(g, &g->sums.dgate, &a->normed2, g->F, g->C, d->gate);
    add_dw(g, &g->sums.dup, &a->normed2, g->F, g->C, d->up);
    add_dw(g, &g->dout, &g->sums.h, g->C, g->F, d->down);
    add_dw(g, &g->dmid, &a->y, g->C, g->C, d->o);
    isb__attention_backward(&g->nn, &g->attention, a->qkv, batch->starts,
                            g->model->params.layers[l].bias, a->lse, g->y, g->dqkv, d->bias,
                            g->dbias_work);
    for_rows(g, in_backward_task, &job);
    isb__norm_add_dg(&g->nn, &norm1, g->norm_work, d->norm1);
    add_dw(g, &g->dqkv_sum, &a->normed1, 3 * g->C, g->C, d->q);
}

isb_status isb__graph_backward(isb__graph *g, const isb__batch *batch, float scale, float z_weight,
                               float *grads, isb__loss *loss) {
    assert(g->training);
    isb__params d;
    isb__model_point(g->model, grads, g->dlayers, &d);
    ISB_TRY(body_forward(g, batch, 1));
    ISB_TRY(isb__head_backward(&g->nn, &g->head, g->y, batch->targets, scale, z_weight, g->y,
                               d.head));
    sum_losses(g, batch->targets, loss);

    const isb__norm norm = norm1_of(g, g->L);
    rows_job job = {.g = g, .l = g->L};
    for_rows(g, final_norm_backward_task, &job);
    isb__norm_add_dg(&g->nn, &norm, g->norm_work, d.norm);
    for (size_t l = g->L; l-- > 0;) {
        ISB_TRY(isb__check_cancel(g->ctx));
        layer_backward(g, l, batch, &d.layers[l]);
    }
    isb__embed_backward(&g->nn, g->M, g->C, batch->inputs, g->dx, d.embed);
    return ISB_OK;
}
