/* Composed embeddings on a GPU: table = own + W shared, d_shared = W^T d_table (nn/compose.h), with
 * W by rows and by columns. */
#ifndef ISB_CUDA_GPU_COMPOSE_H
#define ISB_CUDA_GPU_COMPOSE_H

#include "cuda/gpu_graph.h"
#include "nn/compose.h"

typedef struct isb__gpu_compose {
    const isb__compose_map *map; /* borrowed; NULL: embeddings are plain, and n_shared is 0 */
    size_t C, n_shared;          /* floats of `shared` */
    isb__gpu_sparse rows, columns;
} isb__gpu_compose;

void isb__gpu_compose_init(isb__gpu_compose *compose, const isb__compose_map *map, size_t C);
void isb__gpu_compose_plan(isb__gpu_compose *compose, isb__gpu_plan *plan);
/* Errors: NO_MEMORY. */
isb_status isb__gpu_compose_upload(isb_context *ctx, isb__gpu *gpu,
                                   const isb__gpu_compose *compose);
/* Nothing where embeddings are plain. */
void isb__gpu_compose_forward(isb__gpu *gpu, const isb__gpu_compose *compose, const float *d_own,
                              const float *d_shared, isb__bf16 *d_table);
void isb__gpu_compose_backward(isb__gpu *gpu, const isb__gpu_compose *compose,
                               const float *d_dtable, float *d_dshared);

#endif
