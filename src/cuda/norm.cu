/* RMS norm, as in nn/layer_norm.c, with the addition of the residual stream before it.
 *
 * A warp does a row.  The gradient of the gain is a sum over tokens: blocks of 32 rows leave their
 * parts, which a second kernel adds in order. */
#include "cuda/platform.h"

enum { WARPS = 8, THREADS = WARPS * WARP, ROWS = 32 /* of a block, going back */ };

__global__ static void norm(size_t M, size_t C, float eps, isb__bf16 *x, const isb__bf16 *residual,
                            const float *g, isb__bf16 *y, float *inv_rms) {
    const size_t m = (size_t)blockIdx.x * WARPS + threadIdx.x / WARP;
    if (m >= M) return;
    const size_t first = threadIdx.x % WARP * 4, step = WARP * 4;
    isb__bf16 *row = x + m * C;
    float squares = 0;
    for (size_t c = first; c < C; c += step) {
        four v = load4(row + c);
        if (residual) {
            const four r = load4(residual + m * C + c);
            for (int j = 0; j < 4; ++j) v.x[j] += r.x[j];
            store4(v, row + c);
            v = load4(row + c); /* as the backward pass will read it */
        }
        for (int j = 0; j < 4; ++j) squares += v.x[j] * v.x[j];
    }
    const float r = 1.0f / sqrtf(warp_sum(squares) / (float)C + eps);
    if (first == 0) inv_rms[m] = r;
    for (size_t c = first; c < C; c += step) {
        four v = load4(row + c);
        const four gain = load4(g + c);
        for (int j = 0; j < 4; ++j) v.x[j] *= r * gain.x[j];
        store4(v, y + m * C + c);
    }
}

extern "C" void isb__gpu_norm(isb__gpu *gpu, size_t M, size_t C, float eps, isb__bf16 *d_x,
                              const isb__bf16 *d_residual, const float *d_g, isb__bf16 *d_y,
                              float *d_inv_rms) {
    ISB_LAUNCH(norm, blocks_for(M, WARPS), THREADS, 0, gpu->stream, M, C, eps, d_x, d_residual, d_g,
               d_y, d_inv_rms);
    gpu_launched(gpu, "norm");
}

/* dx adds r (dy g) - x r^3 mean(dy g x). */
__device__ static void row_backward(size_t C, const isb__bf16 *x, float r, const float *g,
                                    const isb__bf16 *dy, float *dx, isb__bf16 *dx_bf16) {
    const size_t first = threadIdx.x % WARP * 4, step = WARP * 4;
    float dot = 0;
    for (size_t c = first; c < C; c += step) {
        const four v = load4(x + c), d = load4(dy + c), gain = load4(g + c);
        for (int j = 0; j < 4; ++j) dot += d.x[j] * gain.x[j] * v.x[j];
    }
    const float back = warp_sum(dot) * r * r * r / (float)C;
    for (size_t c = first; c < C; c += step) {
        const four v = load4(x + c), d = load4(dy + c), gain = load4(g + c);
        four sum = load4(dx + c);
        for (int j = 0; j < 4; ++j) sum.x[j] += r * d.x[j] * gain.x[j] - back * v.x[j];
        store4(sum, dx + c);
        store4(sum, dx_bf16 + c);
    }
}

__global__ static void norm_backward(size_t M, size_t C, const isb__bf16 *x, const float *inv_rms,
                                     const float *g, const isb__bf16 *dy, float *dx,
                                     isb__bf16 *dx_bf16, float *parts) {
    const size_t begin = (size_t)blockIdx.x * ROWS, end = begin + ROWS < M ? begin + ROWS : M;
    for (size_t m = begin + threadIdx.x / WARP; m < end; m += WARPS)
        row_backward(C, x + m * C, inv_rms[m], g, dy + m * C, dx + m * C, dx_bf16 + m * C);
    for (size_t c = threadIdx.x * 4; c < C; c += THREADS * 4) {
        four sum = {};
        for (size_t m = begin; m < end; ++m) {
            const four v = load4(x + m * C + c), d = load4(dy + m * C + c);
            for (int j = 0; j < 4; ++j) sum.x[j] += d.x[j] * v.x[j] * inv_rms[m];
        }
        store4(sum, parts + (size_t)blockIdx.x * C + c);
    }
}

__global__ static void add_parts(size_t n_parts, size_t C, const float *parts, float *dg) {
    const size_t c = (size_t)blockIdx.x * WARP + threadIdx.x;
    if (c >= C) return;
    float sum = 0;
    for (size_t i = 0; i < n_parts; ++i) sum += parts[i * C + c];
    dg[c] += sum;
}

extern "C" size_t isb__gpu_norm_work_nfloats(size_t M, size_t C) {
    return (size_t)blocks_for(M, ROWS) * C;
}

extern "C" void isb__gpu_norm_backward(isb__gpu *gpu, size_t M, size_t C, const isb__bf16 *d_x,
                                       const float *d_inv_rms, const float *d_g,
                                       const isb__bf16 *d_dy, float *d_dx, isb__bf16 *d_dx_bf16,
                                       float *d_dg, float *d_work) {
    const unsigned n_parts = blocks_for(M, ROWS);
    ISB_LAUNCH(norm_backward, n_parts, THREADS, 0, gpu->stream, M, C, d_x, d_inv_rms, d_g, d_dy,
               d_dx, d_dx_bf16, d_work);
    gpu_launched(gpu, "norm_backward");
    ISB_LAUNCH(add_parts, blocks_for(C, WARP), WARP, 0, gpu->stream, (size_t)n_parts, C, d_work,
               d_dg);
    gpu_launched(gpu, "add_parts");
}
