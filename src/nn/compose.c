/* The sparse products of composed embeddings: by rows for the table, by columns for the gradient,
 * so that each task writes its own rows and adds in a fixed order. */
#include <string.h>

#include "kernels/ops.h"
#include "nn/compose.h"

enum { ROWS = 64 }; /* of a task */

typedef struct compose_job {
    const isb__compose_map *map;
    const isb__ops *ops;
    size_t C, n_rows;
    const uint32_t *begin, *index;
    const float *weight;
    const float *start; /* rows begin as these; NULL: as zeros */
    const float *from;
    float *to;
} compose_job;

static void rows_task(void *arg, size_t task, int thread) {
    (void)thread;
    const compose_job *job = arg;
    const size_t C = job->C, first = task * ROWS;
    const size_t end = first + ROWS < job->n_rows ? first + ROWS : job->n_rows;
    for (size_t r = first; r < end; ++r) {
        float *to = job->to + r * C;
        if (job->start) {
            memcpy(to, job->start + r * C, C * sizeof *to);
        } else {
            memset(to, 0, C * sizeof *to);
        }
        for (uint32_t i = job->begin[r]; i < job->begin[r + 1]; ++i)
            job->ops->axpy(C, job->weight[i], job->from + (size_t)job->index[i] * C, to);
    }
}

static void multiply(const compose_job *job) {
    isb__parallel(job->map->ctx, (job->n_rows + ROWS - 1) / ROWS, rows_task, (void *)job);
}

void isb__compose_forward(const isb__compose_map *map, size_t C, const float *own,
                          const float *shared, float *table) {
    const compose_job job = {map, isb__ops_for(map->ctx->cpu), C, map->n_rows, map->row_begin,
                             map->row_feature, map->row_weight, own, shared, table};
    multiply(&job);
}

void isb__compose_backward(const isb__compose_map *map, size_t C, const float *dtable,
                           float *dshared) {
    const compose_job job = {map, isb__ops_for(map->ctx->cpu), C, map->n_features,
                             map->column_begin, map->column_row, map->column_weight, NULL, dtable,
                             dshared};
    multiply(&job);
}

void isb__compose_map_free(isb__compose_map *map) {
    if (!map) return;
    isb__free(map->ctx, map->column_weight);
    isb__free(map->ctx, map->column_row);
    isb__free(map->ctx, map->column_begin);
    isb__free(map->ctx, map->row_weight);
    isb__free(map->ctx, map->row_feature);
    isb__free(map->ctx, map->row_begin);
    isb__free(map->ctx, map);
}

size_t isb__compose_map_nbytes(const isb__compose_map *map) {
    return (map->n_rows + map->n_features + 2) * sizeof *map->row_begin +
           2 * map->n_weights * (sizeof *map->row_feature + sizeof *map->row_weight);
}
