/* The layers in order, as nn/graph.c has them, put in line on the device:
 *
 *     embed -> x0 -norm1-> qkv -rotate, attention-> y -o-> mid (+ x0)
 *              -norm2-> gate,up -act-> h -down-> x1 (+ mid)
 *              -norm1-> ...                   ... x_L (+ mid) -norm-> logits in chunks -> loss
 *
 * Activations are bf16.  Kept for each layer are x, y, mid and two normalised rows (5 C), qkv
 * (3 C), gate and up (2 F), and H + 2 float32; with `recompute` only x, from which the backward
 * pass makes the rest again, layer by layer, in one set of buffers.  The gradient of the residual
 * stream is float32, with a bf16 copy for products. */
#include "cuda/gpu_graph.h"

#include "nn/layers.h"

enum { LOGITS_NBYTES = 256 << 20, ROWS_STEP = 32 };

typedef struct gpu_acts {
    isb__bf16 *x, *normed1, *qkv, *y, *mid, *normed2, *gate_up;
    float *inv_rms1, *inv_rms2, *lse;
} gpu_acts;

struct isb__gpu_graph {
    isb_context *ctx;
    isb__gpu *gpu;
    const isb_model *model; /* its pointers name places in blocks; its weights are not read */
    size_t B, T, M, C, F, V, L;
    int recompute;
    const float *d_weights;
    const isb__bf16 *d_bf16;
    float *d_grads;
    gpu_acts *acts; /* [L + 1]; the last has x, normed1 and inv_rms1 */
    isb__gpu_attention attention;
    float *tables[4]; /* [T, D/2] on the device: cosines of queries and keys, sines */
    isb__bf16 *h, *dh, *dnormed, *dwide, *dx_bf16;
    float *dx, *delta, *norm_work;
    size_t chunk, stride; /* tokens whose logits exist at one time; floats of a row of them */
    float *logits, *nats, *lse;
    double *sums;
};

/* ---- memory ---- */

void *isb__gpu_plan_take(isb__gpu_plan *plan, size_t rows, size_t cols, size_t element_nbytes) {
    void *here = plan->base ? plan->base + plan->nbytes : NULL;
    plan->nbytes += (rows * cols * element_nbytes + 255) / 256 * 256;
    return here;
}

static float *take_f32(isb__gpu_plan *plan, size_t rows, size_t cols) {
    return isb__gpu_plan_take(plan, rows, cols, sizeof(float));
}
static isb__bf16 *take_bf16(isb__gpu_plan *plan, size_t rows, size_t cols) {
    return isb__gpu_plan_take(plan, rows, cols, sizeof(isb__bf16));
}

static void plan_norm1(const isb__gpu_graph *g, isb__gpu_plan *plan, gpu_acts *a) {
    a->normed1 = take_bf16(plan, g->M, g->C);
    a->inv_rms1 = take_f32(plan, g->M, 1);
}

static void plan_layer(const isb__gpu_graph *g, isb__gpu_plan *plan, gpu_acts *a) {
    const size_t M = g->M, C = g->C;
    plan_norm1(g, plan, a);
    a->qkv = take_bf16(plan, M, 3 * C);
    a->y = take_bf16(plan, M, C);
    a->lse = take_f32(plan, M, g->attention.H);
    a->mid = take_bf16(plan, M, C);
    a->normed2 = take_bf16(plan, M, C);
    a->inv_rms2 = take_f32(plan, M, 1);
    a->gate_up = take_bf16(plan, M, 2 * g->F);
}

static void plan_acts(isb__gpu_graph *g, isb__gpu_plan *plan) {
    for (size_t l = 0; l < g->L; ++l) {
        if (g->recompute && l > 0)
            g->acts[l] = g->acts[0];
        else
            plan_layer(g, plan, &g->acts[l]);
    }
    plan_norm1(g, plan, &g->acts[g->L]);
    for (size_t l = 0; l <= g->L; ++l) g->acts[l].x = take_bf16(plan, g->M, g->C);
}

static void plan_gradients(isb__gpu_graph *g, isb__gpu_plan *plan) {
    const size_t M = g->M, C = g->C;
    g->dx = take_f32(plan, M, C);
    g->dx_bf16 = take_bf16(plan, M, C);
    g->dnormed = take_bf16(plan, M, C);
    g->dwide = take_bf16(plan, M, 3 * C > 2 * g->F ? 3 * C : 2 * g->F);
    g->dh = take_bf16(plan, M, g->F);
    g->delta = take_f32(plan, M, g->attention.H);
    g->norm_work = take_f32(plan, 1, isb__gpu_norm_work_nfloats(M, C));
}

void isb__gpu_graph_plan(isb__gpu_graph *g, isb__gpu_plan *plan) {
    plan_acts(g, plan);
    plan_gradients(g, plan);
    g->h = take_bf16(plan, g->M, g->F);
    g->logits = take_f32(plan, g->chunk, g->stride);
    g->nats = take_f32(plan, g->M, 1);
    g->lse = take_f32(plan, g->M, 1);
    g->sums = isb__gpu_plan_take(plan, 2, 1, sizeof(double));
    for (int i = 0; i < 4; ++i) g->tables[i] = take_f32(plan, g->T, g->attention.D / 2);
}

/* ---- set-up ---- */

static isb_status check_model(isb_context *ctx, const isb_model_config *c, size_t B, size_t T) {
    const int64_t head_size = c->hidden_size / c->n_heads;
    if (B == 0 || T == 0 || T > (size_t)c->context_length || B > ((size_t)1 << 31) / T) {
        return isb__fail(
            ctx, ISB_ERR_SHAPE,
            "a batch of %zu rows of %zu tokens; rows have 1 to %lld tokens (the model's "
            "context_length), a batch at most 2^31",
            B, T, (long long)c->context_length);
    }
    if (B * (size_t)c->n_heads > 65535) {
        return isb__fail(ctx, ISB_ERR_SHAPE,
                         "%zu rows of %lld heads; a GPU takes 65535 at a time: use a smaller batch",
                         B, (long long)c->n_heads);
    }
    if (c->position == ISB_POSITION_T5) {
        return isb__fail(ctx, ISB_ERR_UNSUPPORTED,
                         "T5 position biases are not trained on GPUs; choose rope, or the cpu");
    }
    if (head_size <= 128) return ISB_OK;
    return isb__fail(ctx, ISB_ERR_UNSUPPORTED,
                     "heads of %lld channels; on GPUs they have at most 128: use more heads",
                     (long long)head_size);
}

static size_t chunk_of(size_t M, size_t stride) {
    const size_t fit = LOGITS_NBYTES / sizeof(float) / stride / ROWS_STEP * ROWS_STEP,
                 chunk = fit > ROWS_STEP ? fit : ROWS_STEP;
    return chunk < M ? chunk : M;
}

isb_status isb__gpu_graph_create(isb_context *ctx, isb__gpu *gpu, const isb_model *model, size_t B,
                                 size_t T, int recompute, isb__gpu_graph **graph) {
    const isb_model_config *c = &model->config;
    isb__gpu_graph *g = NULL;
    *graph = NULL;
    ISB_TRY(check_model(ctx, c, B, T));
    ISB_TRY(isb__alloc(ctx, sizeof *g, &g));
    *g = (isb__gpu_graph){.ctx = ctx,
                          .gpu = gpu,
                          .model = model,
                          .B = B,
                          .T = T,
                          .M = B * T,
                          .C = (size_t)c->hidden_size,
                          .F = (size_t)c->intermediate_size,
                          .V = (size_t)c->vocab_size,
                          .L = (size_t)c->n_layers,
                          .recompute = recompute};
    g->attention = (isb__gpu_attention){
        .B = B, .T = T, .H = (size_t)c->n_heads, .D = (size_t)(c->hidden_size / c->n_heads)};
    g->stride = (g->V + 7) / 8 * 8;
    g->chunk = chunk_of(g->M, g->stride);
    const isb_status status = isb__alloc_array(ctx, g->L + 1, sizeof *g->acts, &g->acts);
    if (status != ISB_OK) {
        isb__gpu_graph_free(g);
        return status;
    }
    *graph = g;
    return ISB_OK;
}

void isb__gpu_graph_free(isb__gpu_graph *g) {
    if (!g) return;
    isb__free(g->ctx, g->acts);
    isb__free(g->ctx, g);
}

/* The angles are those of the CPU's attention, to the bit. */
static isb_status upload_tables(isb__gpu_graph *g) {
    const size_t n = g->T * (g->attention.D / 2);
    float *host = NULL;
    ISB_TRY(isb__alloc_array(g->ctx, 6 * n, sizeof *host, &host));
    float *const cosines[2] = {host, host + n}, *const sines[2] = {host + 2 * n, host + 3 * n},
                 *const inverse[2] = {host + 4 * n, host + 5 * n};
    isb__attention_tables(g->T, g->attention.D, g->model->config.rope_theta, cosines, sines,
                          inverse);
    for (size_t i = 0; i < 4; ++i)
        isb__gpu_upload(g->gpu, g->tables[i], host + i * n, n * sizeof *host);
    isb__gpu_finish(g->gpu);
    isb__free(g->ctx, host);
    for (int i = 0; i < 2; ++i) {
        g->attention.d_cosines[i] = g->tables[i];
        g->attention.d_sines[i] = g->tables[2 + i];
    }
    return ISB_OK;
}

isb_status isb__gpu_graph_set_weights(isb__gpu_graph *g, const float *d_weights,
                                      const isb__bf16 *d_weights_bf16, float *d_grads) {
    g->d_weights = d_weights;
    g->d_bf16 = d_weights_bf16;
    g->d_grads = d_grads;
    return upload_tables(g);
}

const float *isb__gpu_graph_nats(const isb__gpu_graph *g) { return g->nats; }
const double *isb__gpu_graph_sums(const isb__gpu_graph *g) { return g->sums; }

/* ---- places: the host model's tensors name them ---- */

static const isb__bf16 *weight(const isb__gpu_graph *g, const float *tensor) {
    return g->d_bf16 + (tensor - g->model->data);
}
static const float *gain(const isb__gpu_graph *g, const float *tensor) {
    return g->d_weights + (tensor - g->model->data);
}
static float *grad(const isb__gpu_graph *g, const float *tensor) {
    return g->d_grads + (tensor - g->model->data);
}

/* ---- forward ---- */

static void norm(const isb__gpu_graph *g, isb__bf16 *x, const isb__bf16 *residual,
                 const float *tensor, isb__bf16 *y, float *inv_rms) {
    isb__gpu_norm(g->gpu, g->M, g->C, (float)g->model->config.norm_eps, x, residual,
                  gain(g, tensor), y, inv_rms);
}

/* As far as gate_up.  residual: what x still lacks. */
static void layer_front(isb__gpu_graph *g, size_t l, const isb__bf16 *residual) {
    const gpu_acts *a = &g->acts[l];
    const isb__layer_params *p = &g->model->params.layers[l];
    norm(g, a->x, residual, p->norm1, a->normed1, a->inv_rms1);
    isb__gpu_linear(g->gpu, g->M, 3 * g->C, g->C, a->normed1, weight(g, p->q), a->qkv);
    isb__gpu_rotate(g->gpu, &g->attention, 0, a->qkv);
    isb__gpu_attention_forward(g->gpu, &g->attention, a->qkv, a->y, a->lse);
    isb__gpu_linear(g->gpu, g->M, g->C, g->C, a->y, weight(g, p->o), a->mid);
    norm(g, a->mid, a->x, p->norm2, a->normed2, a->inv_rms2);
    isb__gpu_linear(g->gpu, g->M, 2 * g->F, g->C, a->normed2, weight(g, p->gate), a->gate_up);
}

static int is_relu(const isb__gpu_graph *g) {
    return g->model->config.activation == ISB_ACTIVATION_RELU;
}

static void layer_mlp(isb__gpu_graph *g, size_t l) {
    const float *down = g->model->params.layers[l].down;
    isb__gpu_gate(g->gpu, g->M, g->F, is_relu(g), g->acts[l].gate_up, g->h);
    isb__gpu_linear(g->gpu, g->M, g->C, g->F, g->h, weight(g, down), g->acts[l + 1].x);
}

static void use_batch(isb__gpu_graph *g, const isb__gpu_batch *batch) {
    g->attention.d_starts = batch->d_starts;
    g->attention.d_first_keys = batch->d_first_keys;
}

static isb_status body_forward(isb__gpu_graph *g, const isb__gpu_batch *batch) {
    const isb__params *p = &g->model->params;
    const gpu_acts *last = &g->acts[g->L];
    use_batch(g, batch);
    isb__gpu_embed(g->gpu, g->M, g->C, batch->d_inputs, weight(g, p->embed), g->acts[0].x);
    for (size_t l = 0; l < g->L; ++l) {
        ISB_TRY(isb__check_cancel(g->ctx));
        layer_front(g, l, l > 0 ? g->acts[l - 1].mid : NULL);
        layer_mlp(g, l);
    }
    norm(g, last->x, g->acts[g->L - 1].mid, p->norm, last->normed1, last->inv_rms1);
    return ISB_OK;
}

/* Logits in chunks.  backward: they become their gradient, which goes to dnormed and the output
 * matrix's. */
static isb_status head(isb__gpu_graph *g, const isb__gpu_batch *batch, int backward, float scale,
                       float z_weight) {
    const float *tensor = g->model->params.head;
    const size_t V = g->V, C = g->C;
    for (size_t at = 0; at < g->M; at += g->chunk) {
        const size_t n = g->M - at < g->chunk ? g->M - at : g->chunk;
        const isb__bf16 *x = g->acts[g->L].normed1 + at * C;
        const isb__bf16 *dlogits = (const isb__bf16 *)g->logits;
        ISB_TRY(isb__check_cancel(g->ctx));
        isb__gpu_linear_f32(g->gpu, n, V, C, x, weight(g, tensor), g->logits, g->stride);
        isb__gpu_loss(g->gpu, n, V, g->stride, g->logits, batch->d_targets + at, scale, z_weight,
                      backward, g->nats + at, g->lse + at);
        if (!backward) continue;
        isb__gpu_linear_dx(g->gpu, n, V, C, dlogits, 2 * g->stride, weight(g, tensor),
                           g->dnormed + at * C);
        isb__gpu_linear_dw(g->gpu, n, V, C, dlogits, 2 * g->stride, x, grad(g, tensor));
    }
    isb__gpu_loss_sums(g->gpu, g->M, g->nats, g->lse, g->sums);
    return ISB_OK;
}

isb_status isb__gpu_graph_forward(isb__gpu_graph *g, const isb__gpu_batch *batch) {
    ISB_TRY(body_forward(g, batch));
    return head(g, batch, 0, 0, 0);
}

/* ---- backward ---- */

static void norm_backward(const isb__gpu_graph *g, const isb__bf16 *x, const float *inv_rms,
                          const float *tensor) {
    isb__gpu_norm_backward(g->gpu, g->M, g->C, x, inv_rms, gain(g, tensor), g->dnormed, g->dx,
                           g->dx_bf16, grad(g, tensor), g->norm_work);
}

/* dx: in, the gradient of the layer's output; out, of its input. */
static void mlp_backward(isb__gpu_graph *g, const gpu_acts *a, const isb__layer_params *p) {
    const size_t M = g->M, C = g->C, F = g->F;
    isb__gpu_linear_dx(g->gpu, M, C, F, g->dx_bf16, C, weight(g, p->down), g->dh);
    isb__gpu_gate_backward(g->gpu, M, F, is_relu(g), a->gate_up, g->dh, g->h, g->dwide);
    isb__gpu_linear_dw(g->gpu, M, C, F, g->dx_bf16, C, g->h, grad(g, p->down));
    isb__gpu_linear_dw(g->gpu, M, 2 * F, C, g->dwide, 2 * F, a->normed2, grad(g, p->gate));
    isb__gpu_linear_dx(g->gpu, M, 2 * F, C, g->dwide, 2 * F, weight(g, p->gate), g->dnormed);
    norm_backward(g, a->mid, a->inv_rms2, p->norm2);
}

static void attention_backward(isb__gpu_graph *g, const gpu_acts *a, const isb__layer_params *p) {
    const size_t M = g->M, C = g->C;
    isb__gpu_linear_dw(g->gpu, M, C, C, g->dx_bf16, C, a->y, grad(g, p->o));
    isb__gpu_linear_dx(g->gpu, M, C, C, g->dx_bf16, C, weight(g, p->o), g->dnormed); /* dy */
    isb__gpu_attention_backward(g->gpu, &g->attention, a->qkv, a->y, a->lse, g->dnormed, g->delta,
                                g->dwide);
    isb__gpu_rotate(g->gpu, &g->attention, 1, g->dwide);
    isb__gpu_linear_dw(g->gpu, M, 3 * C, C, g->dwide, 3 * C, a->normed1, grad(g, p->q));
    isb__gpu_linear_dx(g->gpu, M, 3 * C, C, g->dwide, 3 * C, weight(g, p->q), g->dnormed);
    norm_backward(g, a->x, a->inv_rms1, p->norm1);
}

isb_status isb__gpu_graph_begin_backward(isb__gpu_graph *g, const isb__gpu_batch *batch,
                                         float scale, float z_weight) {
    ISB_TRY(body_forward(g, batch));
    return head(g, batch, 1, scale, z_weight);
}

isb_status isb__gpu_graph_end_backward(isb__gpu_graph *g, const isb__gpu_batch *batch) {
    const isb__params *p = &g->model->params;
    const gpu_acts *last = &g->acts[g->L];
    isb__gpu_zero(g->gpu, g->dx, g->M * g->C * sizeof *g->dx);
    norm_backward(g, last->x, last->inv_rms1, p->norm);
    for (size_t l = g->L; l-- > 0;) {
        ISB_TRY(isb__check_cancel(g->ctx));
        if (g->recompute && l + 1 < g->L) layer_front(g, l, NULL); /* the last is still there */
        mlp_backward(g, &g->acts[l], &p->layers[l]);
        attention_backward(g, &g->acts[l], &p->layers[l]);
    }
    isb__gpu_embed_backward(g->gpu, batch->n_runs, g->C, batch->d_begin, batch->d_order,
                            batch->d_inputs, g->dx, grad(g, p->embed));
    return ISB_OK;
}
