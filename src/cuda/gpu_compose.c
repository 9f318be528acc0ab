/* The map's rows as they are, and its columns, which are made here: a counting sort of the weights
 * by feature, which keeps the order of rows within one. */
#include "cuda/gpu_compose.h"

#include <string.h>

void isb__gpu_compose_init(isb__gpu_compose *c, const isb__compose_map *map, size_t C) {
    *c = (isb__gpu_compose){.map = map, .C = C};
    if (!map) return;
    c->n_shared = map->n_features * C;
    c->rows.n_rows = map->n_rows;
    c->columns.n_rows = map->n_features;
}

static void plan_sparse(isb__gpu_sparse *W, size_t n_weights, isb__gpu_plan *plan) {
    W->d_begin = isb__gpu_plan_take(plan, W->n_rows + 1, 1, sizeof *W->d_begin);
    W->d_index = isb__gpu_plan_take(plan, n_weights, 1, sizeof *W->d_index);
    W->d_weight = isb__gpu_plan_take(plan, n_weights, 1, sizeof *W->d_weight);
}

void isb__gpu_compose_plan(isb__gpu_compose *c, isb__gpu_plan *plan) {
    if (!c->map) return;
    plan_sparse(&c->rows, c->map->n_weights, plan);
    plan_sparse(&c->columns, c->map->n_weights, plan);
}

static void upload_sparse(isb__gpu *gpu, const isb__gpu_sparse *W, const uint32_t *begin,
                          const uint32_t *index, const float *weight) {
    const size_t n_weights = begin[W->n_rows];
    isb__gpu_upload(gpu, W->d_begin, begin, (W->n_rows + 1) * sizeof *begin);
    isb__gpu_upload(gpu, W->d_index, index, n_weights * sizeof *index);
    isb__gpu_upload(gpu, W->d_weight, weight, n_weights * sizeof *weight);
    isb__gpu_finish(gpu);
}

/* begin [n_features + 2]: one more than it ends with, shifted by one while it counts. */
static void transpose(const isb__compose_map *map, uint32_t *begin, uint32_t *row, float *weight) {
    for (size_t i = 0; i < map->n_weights; ++i) ++begin[map->feature[i] + 2];
    for (size_t f = 0; f < map->n_features; ++f) begin[f + 2] += begin[f + 1];
    for (size_t v = 0; v < map->n_rows; ++v) {
        for (uint32_t i = map->row_begin[v]; i < map->row_begin[v + 1]; ++i) {
            const uint32_t at = begin[map->feature[i] + 1]++;
            row[at] = (uint32_t)v;
            weight[at] = map->weight[i];
        }
    }
}

isb_status isb__gpu_compose_upload(isb_context *ctx, isb__gpu *gpu, const isb__gpu_compose *c) {
    const isb__compose_map *map = c->map;
    uint32_t *begin = NULL, *row = NULL;
    float *weight = NULL;
    isb_status status = ISB_OK;
    if (!map) return ISB_OK;
    upload_sparse(gpu, &c->rows, map->row_begin, map->feature, map->weight);
    ISB_TRY_GOTO(isb__alloc_array(ctx, map->n_features + 2, sizeof *begin, &begin));
    ISB_TRY_GOTO(isb__alloc_array(ctx, map->n_weights, sizeof *row, &row));
    ISB_TRY_GOTO(isb__alloc_array(ctx, map->n_weights, sizeof *weight, &weight));
    transpose(map, begin, row, weight);
    upload_sparse(gpu, &c->columns, begin, row, weight);
fail:
    isb__free(ctx, begin);
    isb__free(ctx, row);
    isb__free(ctx, weight);
    return status;
}

void isb__gpu_compose_forward(isb__gpu *gpu, const isb__gpu_compose *c, const float *d_own,
                              const float *d_shared, isb__bf16 *d_table) {
    if (c->map) isb__gpu_sparse_product(gpu, &c->rows, c->C, d_shared, d_own, NULL, d_table);
}

void isb__gpu_compose_backward(isb__gpu *gpu, const isb__gpu_compose *c, const float *d_dtable,
                               float *d_dshared) {
    if (c->map) isb__gpu_sparse_product(gpu, &c->columns, c->C, d_dtable, NULL, d_dshared, NULL);
}
