/* The sparse products of composed embeddings.
 *
 * Both pass over W by rows, as it lies.  Forward, a row of the table gathers rows of `shared`, and
 * tasks take rows.  Backward, a row of the gradient is added to rows of dshared, which two rows may
 * have in common: there tasks take channels.  Sums are made in the order of rows either way, and the
 * rows at random places are those of the smaller matrix, which a cache can hold: the other order,
 * W^T by its own rows, took four times as long for 65,536 ids. */
#include <string.h>

#include "kernels/ops.h"
#include "nn/compose.h"

enum { ROWS = 64, CHANNELS = 64 /* least of a task: 4 cache lines */ };

typedef struct compose_job {
    const isb__compose_map *map;
    const isb__ops *ops;
    size_t C, n_channels; /* backward: of a task */
    const float *own;     /* forward only */
    const float *from;
    float *to;
} compose_job;

static void forward_task(void *arg, size_t task, int thread) {
    (void)thread;
    const compose_job *job = arg;
    const isb__compose_map *map = job->map;
    const size_t C = job->C, first = task * ROWS;
    const size_t end = first + ROWS < map->n_rows ? first + ROWS : map->n_rows;
    for (size_t r = first; r < end; ++r) {
        float *to = job->to + r * C;
        memcpy(to, job->own + r * C, C * sizeof *to);
        for (uint32_t i = map->row_begin[r]; i < map->row_begin[r + 1]; ++i)
            job->ops->axpy(C, map->weight[i], job->from + (size_t)map->feature[i] * C, to);
    }
}

void isb__compose_forward(const isb__compose_map *map, size_t C, const float *own,
                          const float *shared, float *table) {
    compose_job job = {map, isb__ops_for(map->ctx->cpu), C, C, own, shared, table};
    isb__parallel(map->ctx, (map->n_rows + ROWS - 1) / ROWS, forward_task, &job);
}

static void backward_task(void *arg, size_t task, int thread) {
    (void)thread;
    const compose_job *job = arg;
    const isb__compose_map *map = job->map;
    const size_t C = job->C, first = task * job->n_channels;
    const size_t n = first + job->n_channels < C ? job->n_channels : C - first;
    const float *from = job->from + first;
    float *to = job->to + first;
    for (size_t f = 0; f < map->n_features; ++f) memset(to + f * C, 0, n * sizeof *to);
    for (size_t r = 0; r < map->n_rows; ++r) {
        for (uint32_t i = map->row_begin[r]; i < map->row_begin[r + 1]; ++i)
            job->ops->axpy(n, map->weight[i], from + r * C, to + (size_t)map->feature[i] * C);
    }
}

/* Long pieces of rows are faster, so there are as many tasks as threads, if C allows. */
void isb__compose_backward(const isb__compose_map *map, size_t C, const float *dtable,
                           float *dshared) {
    const size_t n_threads = (size_t)isb__thread_count(map->ctx);
    const size_t share = (C + n_threads - 1) / n_threads;
    const size_t n = (share + CHANNELS - 1) / CHANNELS * CHANNELS;
    compose_job job = {map, isb__ops_for(map->ctx->cpu), C, n, NULL, dtable, dshared};
    isb__parallel(map->ctx, (C + n - 1) / n, backward_task, &job);
}

void isb__compose_map_free(isb__compose_map *map) {
    if (!map) return;
    isb__free(map->ctx, map->weight);
    isb__free(map->ctx, map->feature);
    isb__free(map->ctx, map->row_begin);
    isb__free(map->ctx, map);
}

size_t isb__compose_map_nbytes(const isb__compose_map *map) {
    return (map->n_rows + 1) * sizeof *map->row_begin +
           map->n_weights * (sizeof *map->feature + sizeof *map->weight);
}
