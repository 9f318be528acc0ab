/* A sparse matrix times a dense one, for composed embeddings (nn/compose.h): a block of threads
 * makes one row of the result and adds its terms in order. */
#include "cuda/platform.h"

enum { THREADS = 128 };

__global__ static void sparse_product(size_t C, const uint32_t *begin, const uint32_t *index,
                                      const float *weight, const float *x, const float *plus,
                                      float *y, isb__bf16 *y_bf16) {
    const size_t row = blockIdx.x;
    for (size_t c = threadIdx.x * 4; c < C; c += THREADS * 4) {
        four sum = {};
        if (plus) sum = load4(plus + row * C + c);
        for (uint32_t i = begin[row]; i < begin[row + 1]; ++i) {
            const four v = load4(x + (size_t)index[i] * C + c);
            for (int j = 0; j < 4; ++j) sum.x[j] += weight[i] * v.x[j];
        }
        if (y) store4(sum, y + row * C + c);
        if (y_bf16) store4(sum, y_bf16 + row * C + c);
    }
}

extern "C" void isb__gpu_sparse_product(isb__gpu *gpu, const isb__gpu_sparse *W, size_t C,
                                        const float *d_x, const float *d_plus, float *d_y,
                                        isb__bf16 *d_y_bf16) {
    ISB_LAUNCH(sparse_product, (unsigned)W->n_rows, THREADS, 0, gpu->stream, C, W->d_begin,
               W->d_index, W->d_weight, d_x, d_plus, d_y, d_y_bf16);
    gpu_launched(gpu, "sparse_product");
}
