/* Memory of a run from its shapes, and what would make it smaller. */
#include "train/estimate.h"

#include <stdio.h>
#include <string.h>

#include "base/available.h"
#include "kernels/ops.h"
#include "nn/graph.h"
#include "train/optimizer.h"

/* ---- what a run takes ---- */

/* Shapes of what the optimiser trains; with composed embeddings also the features. */
static isb_status list_params(isb_context *ctx, const isb_model *shape, const isb__compose_map *map,
                              isb__param **params, size_t *count) {
    *count = shape->n_tensors + (map ? 1 : 0);
    ISB_TRY(isb__alloc_array(ctx, *count, sizeof **params, params));
    for (size_t i = 0; i < shape->n_tensors; ++i) {
        const isb__tensor *t = &shape->tensors[i];
        (*params)[i] = (isb__param){.rows = t->rows, .cols = t->cols, .is_vector = t->is_vector};
    }
    if (map)
        (*params)[shape->n_tensors] = (isb__param){
            .rows = map->n_features, .cols = (size_t)shape->config.hidden_size};
    return ISB_OK;
}

static isb_status optimizer_nbytes(isb_context *ctx, const isb_train_options *s,
                                   const isb_model *shape, const isb__compose_map *map,
                                   uint64_t *nbytes) {
    const isb__optimizer_options options = {.kind = s->optimizer};
    isb__param *params = NULL;
    size_t n_params, n = 0;
    isb_status status = list_params(ctx, shape, map, &params, &n_params);
    if (status == ISB_OK)
        status = isb__optimizer_estimate_nbytes(ctx, n_params, params, &options, &n);
    isb__free(ctx, params);
    *nbytes = n;
    return status;
}

static isb_status graph_nbytes(isb_context *ctx, const isb_train_options *s, uint64_t *nbytes) {
    const isb__graph_options options = {.B = s->batch_rows,
                                        .T = (size_t)s->model.context_length,
                                        .training = 1,
                                        .recompute = s->recompute};
    *nbytes = isb__graph_estimate_nbytes(ctx, &s->model, &options);
    if (*nbytes > 0) return ISB_OK;
    return isb__fail(ctx, ISB_ERR_NO_MEMORY,
                     "a batch of %zu rows of %zu tokens is more than can be addressed", options.B,
                     options.T);
}

/* A region of a plan. */
static uint64_t region_nbytes(size_t nbytes) { return isb__round_up(nbytes, ISB__ALIGNMENT); }

/* The three arrays of ids of a step's micro-batches. */
static uint64_t batch_nbytes(const isb_train_options *s) {
    return 3 * region_nbytes((size_t)isb__settings_tokens_per_step(s) * sizeof(int32_t));
}

/* Composed embeddings have `own` and `shared` beside the table, and a gradient of `shared`. */
static void add_composed(const isb_model *shape, const isb__compose_map *map,
                         isb_train_estimate *e) {
    const size_t row_nbytes = (size_t)shape->config.hidden_size * sizeof(float);
    const uint64_t shared = region_nbytes(map->n_features * row_nbytes);
    e->parameters_nbytes += region_nbytes(map->n_rows * row_nbytes) + shared;
    e->gradients_nbytes += shared;
    e->activations_nbytes += isb__compose_map_nbytes(map);
}

isb_status isb__estimate_memory(isb_context *ctx, const isb_train_options *s,
                                const isb__compose_map *map, isb_train_estimate *e) {
    isb_model *shape = NULL;
    isb_status status = ISB_OK;
    ISB_TRY(isb__model_create_shape(ctx, &s->model, &shape));
    ISB_TRY_GOTO(optimizer_nbytes(ctx, s, shape, map, &e->optimizer_nbytes));
    ISB_TRY_GOTO(graph_nbytes(ctx, s, &e->activations_nbytes));
    e->activations_nbytes += batch_nbytes(s);
    e->parameters_nbytes = shape->n_floats * sizeof(float);
    e->gradients_nbytes = region_nbytes(shape->n_floats * sizeof(float));
    if (map) add_composed(shape, map, e);
    e->total_nbytes = e->parameters_nbytes + e->gradients_nbytes + e->optimizer_nbytes +
                      e->activations_nbytes;
    e->available_nbytes = isb__memory_available();
fail:
    isb_model_free(shape);
    return status;
}

/* ---- what would fit ---- */

static const double GB = 1e9;

typedef struct advice {
    isb_context *ctx;
    const isb_train_options *settings;
    const isb__compose_map *map;
    uint64_t limit;
    char text[600];
} advice;

static bool fits(const advice *a, const isb_train_options *s, double *gigabytes) {
    isb_train_estimate e;
    if (isb__estimate_memory(a->ctx, s, a->map, &e) != ISB_OK) return false;
    *gigabytes = (double)e.total_nbytes / GB;
    return e.total_nbytes <= a->limit;
}

static void add_advice(advice *a, const char *change, double gigabytes) {
    const size_t n = strlen(a->text);
    snprintf(a->text + n, sizeof a->text - n, "%s%s (%.3g GB)", n ? ", or " : "", change, gigabytes);
}

/* A smaller micro-batch, more of them: the same steps. */
static void try_batch(advice *a) {
    isb_train_options s = *a->settings;
    char change[64];
    double gigabytes;
    while (s.batch_rows % 2 == 0 && s.batch_rows > 1) {
        s.batch_rows /= 2;
        s.accumulate *= 2;
        if (!fits(a, &s, &gigabytes)) continue;
        snprintf(change, sizeof change, "--batch %zu --accumulate %zu", s.batch_rows, s.accumulate);
        add_advice(a, change, gigabytes);
        return;
    }
}

static void try_recompute(advice *a) {
    isb_train_options s = *a->settings;
    double gigabytes;
    s.recompute = 1;
    if (fits(a, &s, &gigabytes)) add_advice(a, "--recompute", gigabytes);
}

static void try_adafactor(advice *a) {
    isb_train_options s = *a->settings;
    double gigabytes;
    s.optimizer = ISB_OPTIMIZER_ADAFACTOR;
    if (fits(a, &s, &gigabytes)) add_advice(a, "--optimizer adafactor", gigabytes);
}

static void try_context(advice *a) {
    enum { SHORTEST = 64 };
    isb_train_options s = *a->settings;
    char change[64];
    double gigabytes;
    while (s.model.context_length / 2 >= SHORTEST) {
        s.model.context_length /= 2;
        if (!fits(a, &s, &gigabytes)) continue;
        snprintf(change, sizeof change, "--context %lld", (long long)s.model.context_length);
        add_advice(a, change, gigabytes);
        return;
    }
}

static void try_size(advice *a) {
    static const char *const sizes[] = {"403m", "113m", "25m", "3m", "tiny", "nano"};
    char change[64];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
        isb_train_options s = *a->settings;
        isb_model_config c;
        double gigabytes;
        if (isb_model_config_init(a->ctx, sizes[i], &c) != ISB_OK) return;
        if (c.hidden_size >= s.model.hidden_size) continue;
        s.model.hidden_size = c.hidden_size;
        s.model.n_layers = c.n_layers;
        s.model.n_heads = c.n_heads;
        s.model.intermediate_size = c.intermediate_size;
        if (!fits(a, &s, &gigabytes)) continue;
        snprintf(change, sizeof change, "--size %s", sizes[i]);
        add_advice(a, change, gigabytes);
        return;
    }
}

/* When no change alone is enough. */
static void try_together(advice *a) {
    isb_train_options s = *a->settings;
    char change[96];
    double gigabytes;
    s.accumulate *= s.batch_rows;
    s.batch_rows = 1;
    s.recompute = 1;
    s.optimizer = ISB_OPTIMIZER_ADAFACTOR;
    if (!fits(a, &s, &gigabytes)) return;
    snprintf(change, sizeof change,
             "--batch 1 --accumulate %zu --recompute --optimizer adafactor together", s.accumulate);
    add_advice(a, change, gigabytes);
}

static isb_status refuse(advice *a, const isb_train_estimate *e, const char *whose) {
    try_batch(a);
    if (!a->settings->recompute) try_recompute(a);
    if (a->settings->optimizer != ISB_OPTIMIZER_ADAFACTOR) try_adafactor(a);
    try_context(a);
    try_size(a);
    if (!*a->text) try_together(a);
    return isb__fail(a->ctx, ISB_ERR_NO_MEMORY,
                     "this run needs %.3g GB (weights %.3g, gradients %.3g, optimiser %.3g, "
                     "activations %.3g), but %s %.3g GB.  What would fit: %s",
                     (double)e->total_nbytes / GB, (double)e->parameters_nbytes / GB,
                     (double)e->gradients_nbytes / GB, (double)e->optimizer_nbytes / GB,
                     (double)e->activations_nbytes / GB, whose, (double)a->limit / GB,
                     *a->text ? a->text : "another size of model only");
}

isb_status isb__estimate_check(isb_context *ctx, const isb_train_options *s,
                               const isb__compose_map *map, uint64_t held_nbytes) {
    isb_train_estimate e;
    const bool given = s->max_memory_nbytes > 0;
    ISB_TRY(isb__estimate_memory(ctx, s, map, &e));
    const uint64_t free_nbytes = e.available_nbytes > UINT64_MAX - held_nbytes
                                     ? UINT64_MAX
                                     : e.available_nbytes + held_nbytes;
    advice a = {.ctx = ctx, .settings = s, .map = map,
                .limit = given ? s->max_memory_nbytes : free_nbytes};
    if (e.total_nbytes <= a.limit) return ISB_OK;
    return refuse(&a, &e, given ? "max_memory is" : "this machine has free");
}
