/* Training on the processors: the graph of nn/graph.h and the optimiser, over one block of
 * parameters.
 *
 * With composed embeddings the model's table is made from `own` and `shared` after each step, and
 * what the optimiser trains are those two in place of the table:
 *
 *     backward      graph: d_table          reduce      d_own = d_table, d_shared = W^T d_table
 *     step          own, shared             after it    table = own + W shared */
#include <stdio.h>
#include <string.h>

#include "base/plan.h"
#include "train/trainer.h"

typedef struct trainer_cpu {
    isb__trainer base;
    isb__graph *graph;
    isb__optimizer *optimizer;
    isb__param *params; /* [n_params], what the optimiser trains */
    size_t n_params;
    const isb__compose_map *compose; /* borrowed; NULL: plain */
    float *grads;                    /* [model->n_floats] */
    float *own, *shared, *dshared;   /* composed: [V, C], [n_features, C] */
    void *block;                     /* the memory of the four */
    uint64_t nbytes;
} trainer_cpu;

static trainer_cpu *cpu_of(const isb__trainer *trainer) { return (trainer_cpu *)trainer; }

static size_t width(const trainer_cpu *t) { return (size_t)t->base.model->config.hidden_size; }

/* ---- one step ---- */

static isb_status cpu_begin(isb__trainer *trainer) {
    isb__optimizer_zero(cpu_of(trainer)->optimizer);
    return ISB_OK;
}

static isb_status cpu_backward(isb__trainer *trainer, const isb__batch *batch, float scale,
                               float z_weight, isb__loss *loss) {
    const trainer_cpu *t = cpu_of(trainer);
    return isb__graph_backward(t->graph, batch, scale, z_weight, t->grads, loss);
}

static isb_status cpu_reduce(isb__trainer *trainer, double *norm) {
    const trainer_cpu *t = cpu_of(trainer);
    if (t->compose) /* linear: the sum over ranks may follow */
        isb__compose_backward(t->compose, width(t), t->params[0].grad, t->dshared);
    return isb__optimizer_reduce(t->optimizer, norm);
}

/* The weights that the graph reads follow those that are trained. */
static void weights_changed(const trainer_cpu *t) {
    if (t->compose)
        isb__compose_forward(t->compose, width(t), t->own, t->shared, t->base.model->params.embed);
    isb__graph_weights_changed(t->graph);
}

static isb_status cpu_step(isb__trainer *trainer, double gscale, double lr, uint64_t step) {
    const trainer_cpu *t = cpu_of(trainer);
    ISB_TRY(isb__optimizer_step(t->optimizer, gscale, lr, step));
    weights_changed(t);
    return ISB_OK;
}

static isb_status cpu_forward(isb__trainer *trainer, const isb__batch *batch, float *token_nats,
                              isb__loss *loss) {
    return isb__graph_forward(cpu_of(trainer)->graph, batch, token_nats, loss);
}

/* ---- what is kept ---- */

static isb_status cpu_pull(isb__trainer *trainer) {
    return isb__optimizer_pull(cpu_of(trainer)->optimizer);
}

static isb_status cpu_push(isb__trainer *trainer) {
    ISB_TRY(isb__optimizer_push(cpu_of(trainer)->optimizer));
    weights_changed(cpu_of(trainer));
    return ISB_OK;
}

static size_t cpu_n_states(const isb__trainer *trainer) {
    const trainer_cpu *t = cpu_of(trainer);
    return isb__optimizer_n_tensors(t->optimizer) + (t->compose ? 2 : 0);
}

static void cpu_states(const isb__trainer *trainer, isb__tensor_ref *refs) {
    const trainer_cpu *t = cpu_of(trainer);
    isb__optimizer_tensors(t->optimizer, refs);
    if (!t->compose) return;
    refs += isb__optimizer_n_tensors(t->optimizer);
    refs[0] = (isb__tensor_ref){"embedding.own", t->compose->n_rows, width(t), t->own};
    refs[1] = (isb__tensor_ref){"embedding.shared", t->compose->n_features, width(t), t->shared};
}

static void cpu_memory(const isb__trainer *trainer, uint64_t *host_nbytes,
                       uint64_t *device_nbytes) {
    *host_nbytes = cpu_of(trainer)->nbytes;
    *device_nbytes = 0;
}

/* ---- set-up ---- */

static void cpu_free(isb__trainer *trainer) {
    trainer_cpu *t = cpu_of(trainer);
    isb__optimizer_free(t->optimizer);
    isb__graph_free(t->graph);
    isb__free(trainer->ctx, t->params);
    isb__free(trainer->ctx, t->block);
    isb__free(trainer->ctx, t);
}

static const isb__trainer_ops cpu_ops = {cpu_free,     cpu_begin,  cpu_backward, cpu_reduce,
                                         cpu_step,     cpu_forward, cpu_pull,    cpu_push,
                                         cpu_n_states, cpu_states, cpu_memory};

static isb_status check_compose(const trainer_cpu *t) {
    const isb_model_config *c = &t->base.model->config;
    if (!t->compose) return ISB_OK;
    if (!c->tie_embeddings) {
        return isb__fail(t->base.ctx, ISB_ERR_UNSUPPORTED,
                         "composed embeddings are for a model whose output matrix is the "
                         "embedding; leave untied out, or choose plain embeddings");
    }
    if (t->compose->n_rows == (size_t)c->vocab_size) return ISB_OK;
    return isb__fail(t->base.ctx, ISB_ERR_MISMATCH,
                     "the composed embeddings are for %zu ids, the model has %lld",
                     t->compose->n_rows, (long long)c->vocab_size);
}

static isb_status allocate(trainer_cpu *t) {
    isb_context *ctx = t->base.ctx;
    const isb_model *model = t->base.model;
    isb__plan plan;
    isb__plan_begin(&plan, ctx);
    isb__plan_add(&plan, "gradients", model->n_floats * sizeof(float), &t->grads);
    if (t->compose) {
        const size_t C = width(t), V = t->compose->n_rows, n = t->compose->n_features;
        isb__plan_add(&plan, "own embeddings", V * C * sizeof(float), &t->own);
        isb__plan_add(&plan, "shared embeddings", n * C * sizeof(float), &t->shared);
        isb__plan_add(&plan, "their gradients", n * C * sizeof(float), &t->dshared);
    }
    t->nbytes += isb__plan_nbytes(&plan);
    return isb__plan_commit(&plan, &t->block);
}

/* The model's tensors; the table (the model's first) gives way to what it is composed of. */
static isb_status list_params(trainer_cpu *t, double embedding_rate) {
    const isb_model *model = t->base.model;
    t->n_params = model->n_tensors + (t->compose ? 1 : 0);
    ISB_TRY(isb__alloc_array(t->base.ctx, t->n_params, sizeof *t->params, &t->params));
    isb__params_of_model(model, t->grads, t->params);
    t->params[0].rate = embedding_rate;
    if (!t->compose) return ISB_OK;
    t->params[0].data = t->own;
    isb__param *last = &t->params[t->n_params - 1];
    *last = (isb__param){.rows = t->compose->n_features,
                         .cols = width(t),
                         .decay = t->params[0].decay,
                         .rate = embedding_rate,
                         .data = t->shared,
                         .grad = t->dshared};
    snprintf(last->name, sizeof last->name, "embedding.shared");
    /* the table as it is, and nothing shared yet */
    memcpy(t->own, model->params.embed, t->compose->n_rows * width(t) * sizeof(float));
    return ISB_OK;
}

isb_status isb__trainer_cpu_create(isb_context *ctx, isb_model *model,
                                   const isb__trainer_options *options, isb__trainer **trainer) {
    const isb__graph_options graph = {
        .B = options->B, .T = options->T, .training = 1, .recompute = options->recompute};
    isb__optimizer_options optimizer = options->optimizer;
    trainer_cpu *t = NULL;
    isb_status status = ISB_OK;
    optimizer.comm = options->comm;
    *trainer = NULL;
    ISB_TRY(isb__alloc(ctx, sizeof *t, &t));
    t->base = (isb__trainer){&cpu_ops, ctx, model, options->B, options->T};
    t->compose = options->compose;
    ISB_TRY_GOTO(check_compose(t));
    ISB_TRY_GOTO(allocate(t));
    ISB_TRY_GOTO(list_params(t, options->optimizer.embedding_rate));
    ISB_TRY_GOTO(isb__graph_create(ctx, model, &graph, &t->graph));
    ISB_TRY_GOTO(
        isb__optimizer_create(ctx, t->n_params, t->params, &optimizer, &t->optimizer));
    t->nbytes += isb__graph_nbytes(t->graph) + isb__optimizer_nbytes(t->optimizer);
    *trainer = &t->base;
    return ISB_OK;
fail:
    cpu_free(&t->base);
    return status;
}
