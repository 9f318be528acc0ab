/* The training graph: layers in order, activations planned once.
 *
 * The residual stream is a chain of additions, each made by the norm that reads the sum:
 *
 *     embed -> x0 -norm1-> qkv -attention-> y -o-> mid (+ x0)
 *              -norm2-> gate,up -act-> h -down-> x1 (+ mid)
 *              -norm1-> ...                  ... x_L (+ mid) -norm-> logits in chunks -> loss
 *
 * Kept for each layer when training, in floats per token: x, y, mid and two normalised rows (5
 * C), qkv (3 C), gate and up (2 F), and H + 2 small numbers.  h is made again.  A forward-only
 * graph has one set for all layers.  Gradients of activations need one set of buffers: the
 * backward pass walks the layers once, from last to first. */
#include "nn/graph.h"

#include <assert.h>
#include <string.h>

#include "base/plan.h"
#include "nn/layers.h"
#include "nn/position.h"

typedef struct layer_acts {
    float *x, *normed1, *inv_rms1; /* [M, C], [M, C], [M] */
    float *qkv, *y, *lse;          /* [M, 3C], [M, C], [M, H] */
    float *mid, *normed2, *inv_rms2;
    float *gate_up; /* [M, 2F] */
} layer_acts;

typedef struct layer_weights {
    isb__weight qkv, o, gate_up, down;
} layer_weights;

struct isb__graph {
    isb_context *ctx;
    isb_model *model;
    isb__nn nn;
    size_t B, T, M, C, F, V, L;
    int training, packed;
    size_t nbytes; /* of block */
    void *block;
    layer_acts *acts;       /* [L + 1]; the last has x, normed1 and inv_rms1 for the final norm */
    layer_weights *weights; /* [L] */
    isb__layer_params *dlayers; /* [L] pointers into the caller's gradients */
    isb__weight head_weight;
    isb__attention attention;
    isb__head head;
    float *h;            /* [M, F] */
    float *dx, *dnormed; /* [M, C]; dnormed also holds dy */
    float *dwide, *dh;   /* [M, max(3C, 2F)]: dqkv or dgate_up; [M, F] */
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

static void plan_layer_acts(isb__graph *g, isb__plan *plan, layer_acts *a, int is_last) {
    const size_t M = g->M, C = g->C;
    plan_floats(plan, "x", M, C, &a->x);
    plan_floats(plan, "normed1", M, C, &a->normed1);
    plan_floats(plan, "inv_rms1", M, 1, &a->inv_rms1);
    if (is_last) return;
    plan_floats(plan, "qkv", M, 3 * C, &a->qkv);
    plan_floats(plan, "y", M, C, &a->y);
    plan_floats(plan, "lse", M, g->attention.H, &a->lse);
    plan_floats(plan, "mid", M, C, &a->mid);
    plan_floats(plan, "normed2", M, C, &a->normed2);
    plan_floats(plan, "inv_rms2", M, 1, &a->inv_rms2);
    plan_floats(plan, "gate_up", M, 2 * g->F, &a->gate_up);
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
        plan_weight(g, plan, 2 * g->F, g->C, &g->weights[l].gate_up);
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
                isb__attention_work_nfloats(g->T), &a->work);
}

static void plan_gradients(isb__graph *g, isb__plan *plan) {
    plan_floats(plan, "dx", g->M, g->C, &g->dx);
    plan_floats(plan, "dnormed", g->M, g->C, &g->dnormed);
    plan_floats(plan, "dqkv or dgate_up", g->M, 3 * g->C > 2 * g->F ? 3 * g->C : 2 * g->F,
                &g->dwide);
    plan_floats(plan, "dh", g->M, g->F, &g->dh);
    plan_floats(plan, "norm partial sums", 1, isb__norm_work_nfloats(g->M, g->C), &g->norm_work);
    plan_floats(plan, "bias partial sums", g->B * g->attention.H, ISB__N_BUCKETS, &g->dbias_work);
}

static void plan_all(isb__graph *g, isb__plan *plan, float *tables[6]) {
    const size_t n_sets = g->training ? g->L : 1;
    for (size_t l = 0; l < n_sets; ++l) plan_layer_acts(g, plan, &g->acts[l], 0);
    if (g->training) plan_layer_acts(g, plan, &g->acts[g->L], 1);
    plan_weights(g, plan);
    plan_attention(g, plan, tables);
    plan_floats(plan, "h", g->M, g->F, &g->h);
    plan_floats(plan, "logits", g->head.chunk, g->V, &g->head.logits);
    plan_floats(plan, "token losses", g->M, 1, &g->head.nats);
    plan_floats(plan, "token lse", g->M, 1, &g->head.lse);
    if (g->training) plan_gradients(g, plan);
}

/* ---- set-up ---- */

static void set_sizes(isb__graph *g, isb_context *ctx, const isb_model_config *c, size_t B,
                      size_t T, int training, int exact) {
    g->ctx = ctx;
    g->nn = (isb__nn){.ctx = ctx, .ops = isb__ops_for(ctx->cpu)};
    g->nn.gemm = exact ? g->nn.ops->gemm_exact : g->nn.ops->gemm_close;
    g->B = B;
    g->T = T;
    g->M = B * T;
    g->C = (size_t)c->hidden_size;
    g->F = (size_t)c->intermediate_size;
    g->V = (size_t)c->vocab_size;
    g->L = (size_t)c->n_layers;
    g->training = training;
    g->attention = (isb__attention){.B = B,
                                    .T = T,
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
    return isb__alloc_array(g->ctx, g->L, sizeof *g->weights, &g->weights);
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

/* Without training all layers use one set of activations: each is spent when the next is made. */
static void share_acts(isb__graph *g) {
    for (size_t l = 1; l <= g->L; ++l) g->acts[l] = g->acts[0];
}

isb_status isb__graph_create(isb_context *ctx, isb_model *model, size_t B, size_t T, int training,
                             int use_exact, isb__graph **graph) {
    *graph = NULL;
    if (B == 0 || T == 0 || T > (size_t)model->config.context_length || B > ((size_t)1 << 31) / T) {
        return isb__fail(
            ctx, ISB_ERR_SHAPE,
            "a batch of %zu rows of %zu tokens; rows have 1 to %lld tokens (the model's "
            "context_length), a batch at most 2^31",
            B, T, (long long)model->config.context_length);
    }
    isb__graph *g = NULL;
    isb_status status = ISB_OK;
    isb__plan plan;
    float *tables[6] = {0};
    ISB_TRY(isb__alloc(ctx, sizeof *g, &g));
    set_sizes(g, ctx, &model->config, B, T, training, use_exact);
    g->model = model;
    ISB_TRY_GOTO(alloc_lists(g));
    ISB_TRY_GOTO(alloc_scratch(g));
    isb__plan_begin(&plan, ctx);
    plan_all(g, &plan, tables);
    g->nbytes = isb__plan_nbytes(&plan);
    ISB_TRY_GOTO(isb__plan_commit(&plan, &g->block));
    fill_tables(g, tables);
    if (!training) share_acts(g);
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
    isb__free(g->ctx, g->weights);
    isb__free(g->ctx, g->dlayers);
    isb__free(g->ctx, g->acts);
    isb__free(g->ctx, g);
}

size_t isb__graph_nbytes(const isb__graph *graph) { return graph->nbytes; }

size_t isb__graph_estimate_nbytes(isb_context *ctx, const isb_model_config *config, size_t B,
                                  size_t T, int training) {
    isb__graph *g = NULL;
    size_t nbytes = 0;
    if (B == 0 || T == 0 || B > ((size_t)1 << 31) / T || isb__alloc(ctx, sizeof *g, &g) != ISB_OK)
        return 0;
    set_sizes(g, ctx, config, B, T, training, 0);
    if (alloc_lists(g) == ISB_OK) {
        isb__plan plan;
        float *tables[6];
        isb__plan_begin(&plan, ctx);
        plan_all(g, &plan, tables);
        nbytes = isb__plan_nbytes(&plan);
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
        assert(layer->up == layer->gate + g->F * g->C);
        pack_weight(g, 3 * g->C, g->C, layer->q, &g->weights[l].qkv);
        pack_weight(g, g->C, g->C, layer->o, &g->weights[l].o);
        pack_weight(g, 2 * g->F, g->C, layer->gate, &g->weights[l].gate_up);
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

static isb__mlp mlp_of(const isb__graph *g, size_t l) {
    return (isb__mlp){g->M,
                      g->C,
                      g->F,
                      g->model->config.activation == ISB_ACTIVATION_RELU,
                      &g->weights[l].gate_up,
                      &g->weights[l].down};
}

/* `residual`: what x has not had added yet (NULL in the first layer).  The layer's output, less
 * its `mid`, goes to `out`. */
static void layer_forward(isb__graph *g, size_t l, const float *residual, const int32_t *starts,
                          float *out) {
    const layer_acts *a = &g->acts[l];
    const isb__layer_params *p = &g->model->params.layers[l];
    const isb__norm norm1 = norm_of(g, a->x, p->norm1, a->inv_rms1),
                    norm2 = norm_of(g, a->mid, p->norm2, a->inv_rms2);
    const isb__mlp mlp = mlp_of(g, l);
    isb__norm_forward(&g->nn, &norm1, residual, a->normed1);
    isb__linear(&g->nn, g->M, &g->weights[l].qkv, a->normed1, a->qkv);
    isb__attention_forward(&g->nn, &g->attention, a->qkv, starts, p->bias, a->y, a->lse);
    isb__linear(&g->nn, g->M, &g->weights[l].o, a->y, a->mid);
    isb__norm_forward(&g->nn, &norm2, a->x, a->normed2);
    isb__mlp_forward(&g->nn, &mlp, a->normed2, a->gate_up, g->h, out);
}

/* Everything below the output matrix. */
static isb_status body_forward(isb__graph *g, const isb__batch *batch) {
    ISB_TRY(check_batch(g, batch));
    if (!g->packed) pack_weights(g);
    isb__embed_forward(&g->nn, g->M, g->C, batch->inputs, g->model->params.embed, g->acts[0].x);
    for (size_t l = 0; l < g->L; ++l) {
        ISB_TRY(isb__check_cancel(g->ctx));
        layer_forward(g, l, l > 0 ? g->acts[l - 1].mid : NULL, batch->starts, g->acts[l + 1].x);
    }
    const layer_acts *last = &g->acts[g->L];
    const isb__norm norm = norm_of(g, last->x, g->model->params.norm, last->inv_rms1);
    isb__norm_forward(&g->nn, &norm, g->acts[g->L - 1].mid, last->normed1);
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
    ISB_TRY(body_forward(g, batch));
    ISB_TRY(isb__head_forward(&g->nn, &g->head, g->acts[g->L].normed1, batch->targets));
    if (token_nats) memcpy(token_nats, g->head.nats, g->M * sizeof *token_nats);
    sum_losses(g, batch->targets, loss);
    return ISB_OK;
}

/* ---- backward ---- */

/* g->dx: in, the gradient of the layer's output; out, of its input. */
static void layer_backward(isb__graph *g, size_t l, const int32_t *starts,
                           const isb__layer_params *d) {
    const layer_acts *a = &g->acts[l];
    const isb__layer_params *p = &g->model->params.layers[l];
    const isb__norm norm1 = norm_of(g, a->x, p->norm1, a->inv_rms1),
                    norm2 = norm_of(g, a->mid, p->norm2, a->inv_rms2);
    const isb__mlp mlp = mlp_of(g, l);
    isb__mlp_backward(&g->nn, &mlp, a->normed2, a->gate_up, g->dx, g->h, g->dh, g->dwide,
                      g->dnormed, d->gate, d->down);
    isb__norm_backward(&g->nn, &norm2, g->dnormed, g->dx, d->norm2, g->norm_work);

    float *dy = g->dnormed, *dqkv = g->dwide;
    isb__linear_dw(&g->nn, g->M, g->C, g->C, g->dx, a->y, d->o);
    isb__linear_dx(&g->nn, g->M, &g->weights[l].o, g->dx, dy);
    isb__attention_backward(&g->nn, &g->attention, a->qkv, starts, p->bias, a->y, a->lse, dy, dqkv,
                            d->bias, g->dbias_work);
    isb__linear_dw(&g->nn, g->M, 3 * g->C, g->C, dqkv, a->normed1, d->q);
    isb__linear_dx(&g->nn, g->M, &g->weights[l].qkv, dqkv, g->dnormed);
    isb__norm_backward(&g->nn, &norm1, g->dnormed, g->dx, d->norm1, g->norm_work);
}

isb_status isb__graph_backward(isb__graph *g, const isb__batch *batch, float scale, float z_weight,
                               float *grads, isb__loss *loss) {
    assert(g->training);
    const layer_acts *last = &g->acts[g->L];
    isb__params d;
    isb__model_point(g->model, grads, g->dlayers, &d);
    ISB_TRY(body_forward(g, batch));
    ISB_TRY(isb__head_backward(&g->nn, &g->head, last->normed1, batch->targets, scale, z_weight,
                               g->dnormed, d.head));
    sum_losses(g, batch->targets, loss);

    const isb__norm norm = norm_of(g, last->x, g->model->params.norm, last->inv_rms1);
    memset(g->dx, 0, g->M * g->C * sizeof *g->dx);
    isb__norm_backward(&g->nn, &norm, g->dnormed, g->dx, d.norm, g->norm_work);
    for (size_t l = g->L; l-- > 0;) {
        ISB_TRY(isb__check_cancel(g->ctx));
        layer_backward(g, l, batch->starts, &d.layers[l]);
    }
    isb__embed_backward(&g->nn, g->M, g->C, batch->inputs, g->dx, d.embed);
    return ISB_OK;
}
