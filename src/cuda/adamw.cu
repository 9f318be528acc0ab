/* The optimiser: the norm of the gradient, and AdamW as in kernels/ops.h, which writes the float32
 * weights and their bf16 copy in one pass. */
#include "cuda/platform.h"

enum { THREADS = 256 };

/* ---- norm: sums of slices, then their sum, both in a fixed order ---- */

__global__ static void sumsq_slice(size_t n, const float *x, double *parts) {
    __shared__ double partial[THREADS / WARP];
    const size_t begin = (size_t)blockIdx.x * ISB__GPU_SLICE,
                 end = begin + ISB__GPU_SLICE < n ? begin + ISB__GPU_SLICE : n;
    float sum = 0; /* of 64 squares */
    for (size_t i = begin + threadIdx.x; i < end; i += THREADS) sum += x[i] * x[i];
    const double total = block_sum<THREADS>((double)sum, partial);
    if (threadIdx.x == 0) parts[blockIdx.x] = total;
}

__global__ static void sum_parts(size_t n, const double *parts, double *total) {
    __shared__ double partial[THREADS / WARP];
    double sum = 0;
    for (size_t i = threadIdx.x; i < n; i += THREADS) sum += parts[i];
    sum = block_sum<THREADS>(sum, partial);
    if (threadIdx.x == 0) *total = sum;
}

extern "C" size_t isb__gpu_sumsq_parts(size_t n) { return blocks_for(n, ISB__GPU_SLICE); }

extern "C" void isb__gpu_sumsq(isb__gpu *gpu, size_t n, const float *d_x, double *d_parts,
                               double *d_sum) {
    const size_t n_parts = isb__gpu_sumsq_parts(n);
    ISB_LAUNCH(sumsq_slice, (unsigned)n_parts, THREADS, 0, gpu->stream, n, d_x, d_parts);
    gpu_launched(gpu, "sumsq_slice");
    ISB_LAUNCH(sum_parts, 1, THREADS, 0, gpu->stream, n_parts, d_parts, d_sum);
    gpu_launched(gpu, "sum_parts");
}

/* ---- step ---- */

__global__ static void adamw(isb__gpu_adamw a, const isb__gpu_slice *slices) {
    const isb__gpu_slice slice = slices[blockIdx.x];
    for (uint32_t j = threadIdx.x; j < slice.count; j += THREADS) {
        const size_t i = slice.begin + j, s = i - a.moments_begin;
        const float grad = a.d_grads[i] * a.gscale;
        const float m = a.beta1 * a.d_first[s] + (1.0f - a.beta1) * grad,
                    v = a.beta2 * a.d_second[s] + (1.0f - a.beta2) * grad * grad;
        float p = a.d_weights[i];
        p -= a.lr * slice.rate * (m * a.correct1 / (sqrtf(v * a.correct2) + a.eps) + slice.weight_decay * p);
        a.d_first[s] = m;
        a.d_second[s] = v;
        a.d_weights[i] = p;
        a.d_weights_bf16[i] = to_bf16(p);
    }
}

extern "C" void isb__gpu_adamw_step(isb__gpu *gpu, const isb__gpu_adamw *a, size_t n_slices,
                                    const isb__gpu_slice *d_slices) {
    if (n_slices == 0) return;
    ISB_LAUNCH(adamw, (unsigned)n_slices, THREADS, 0, gpu->stream, *a, d_slices);
    gpu_launched(gpu, "adamw");
}

__global__ static void round_to_bf16(size_t n, const float *from, isb__bf16 *to) {
    const size_t i = ((size_t)blockIdx.x * THREADS + threadIdx.x) * 4;
    if (i < n) store4(load4(from + i), to + i);
}

extern "C" void isb__gpu_round(isb__gpu *gpu, size_t n, const float *d_from, isb__bf16 *d_to) {
    ISB_LAUNCH(round_to_bf16, blocks_for(n / 4, THREADS), THREADS, 0, gpu->stream, n, d_from, d_to);
    gpu_launched(gpu, "round_to_bf16");
}
