/* Token embedding: a gather, and its transpose.  For the transpose the host has sorted the tokens
 * by id (trainer_cuda.c), so a block of threads owns one row of the table and adds its tokens in
 * order: no atomics, the same bits every time. */
#include "cuda/platform.h"

enum { THREADS = 128 };

__global__ static void embed(size_t C, const int32_t *ids, const isb__bf16 *table, isb__bf16 *x) {
    const isb__bf16 *from = table + (size_t)ids[blockIdx.x] * C;
    isb__bf16 *to = x + (size_t)blockIdx.x * C;
    for (size_t c = threadIdx.x * 4; c < C; c += THREADS * 4)
        *reinterpret_cast<uint2 *>(to + c) = *reinterpret_cast<const uint2 *>(from + c);
}

extern "C" void isb__gpu_embed(isb__gpu *gpu, size_t M, size_t C, const int32_t *d_ids,
                               const isb__bf16 *d_table, isb__bf16 *d_x) {
    ISB_LAUNCH(embed, (unsigned)M, THREADS, 0, gpu->stream, C, d_ids, d_table, d_x);
    gpu_launched(gpu, "embed");
}

__global__ static void embed_backward(size_t C, const int32_t *begin, const int32_t *order,
                                      const int32_t *ids, const float *dx, float *dtable) {
    const int first = begin[blockIdx.x], end = begin[blockIdx.x + 1];
    float *to = dtable + (size_t)ids[order[first]] * C;
    for (size_t c = threadIdx.x * 4; c < C; c += THREADS * 4) {
        four sum = load4(to + c);
        for (int i = first; i < end; ++i) {
            const four d = load4(dx + (size_t)order[i] * C + c);
            for (int j = 0; j < 4; ++j) sum.x[j] += d.x[j];
        }
        store4(sum, to + c);
    }
}

extern "C" void isb__gpu_embed_backward(isb__gpu *gpu, size_t n_runs, size_t C,
                                        const int32_t *d_begin, const int32_t *d_order,
                                        const int32_t *d_ids, const float *d_dx, float *d_dtable) {
    ISB_LAUNCH(embed_backward, (unsigned)n_runs, THREADS, 0, gpu->stream, C, d_begin, d_order,
               d_ids, d_dx, d_dtable);
    gpu_launched(gpu, "embed_backward");
}
