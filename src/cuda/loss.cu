/* Softmax cross-entropy with z-loss over rows of logits, which become their own gradient in place.
 *
 * A block does a row, in two passes over it: the largest logit and the sum of exponentials
 * together (Milakov and Gimelshein 2018), then the gradient.  Logits are float32, since a
 * logit of 20 in bf16 is off by up to 0.06; their gradient is bf16, for the tensor cores, and takes
 * the first half of the row's memory.  Each step of the second pass reads before any thread writes,
 * and writes only over what was read. */
#include "cuda/platform.h"

enum { THREADS = 512 };

/* sum of exp(x - most) */
struct exponentials {
    float most, sum;
};

__device__ __forceinline__ exponentials merged(exponentials a, exponentials b) {
    const float most = fmaxf(a.most, b.most);
    if (most == -INFINITY) return a;
    return {most, a.sum * __expf(a.most - most) + b.sum * __expf(b.most - most)};
}

/* Over the block, in a fixed order; all threads get it. */
__device__ static exponentials block_merged(exponentials e) {
    __shared__ exponentials partial[THREADS / WARP];
    for (int lane = WARP / 2; lane > 0; lane /= 2) {
        const exponentials other = {__shfl_xor_sync(0xffffffffu, e.most, lane),
                                    __shfl_xor_sync(0xffffffffu, e.sum, lane)};
        e = threadIdx.x % WARP & lane ? merged(other, e) : merged(e, other);
    }
    if (threadIdx.x % WARP == 0) partial[threadIdx.x / WARP] = e;
    __syncthreads();
    e = partial[0];
    for (int i = 1; i < THREADS / WARP; ++i) e = merged(e, partial[i]);
    return e;
}

__device__ static exponentials row_exponentials(size_t V, const float *logits) {
    exponentials e = {-INFINITY, 0};
    for (size_t i = threadIdx.x; i < V; i += THREADS) {
        const float x = logits[i], most = fmaxf(e.most, x);
        e.sum = e.sum * __expf(e.most - most) + __expf(x - most);
        e.most = most;
    }
    return block_merged(e);
}

/* factor * exp(logit - lse), less scale at the target. */
__device__ static void write_gradient(size_t V, float *row, float lse, int target, float scale,
                                      float factor) {
    isb__bf16 *out = reinterpret_cast<isb__bf16 *>(row);
    for (size_t begin = 0; begin < V; begin += THREADS * 4) {
        const size_t i = begin + threadIdx.x * 4;
        four v = {};
        if (i < V) v = load4(row + i); /* the last may read into the row's padding */
        __syncthreads();
        for (size_t j = 0; j < 4; ++j) {
            v.x[j] = i + j < V ? factor * __expf(v.x[j] - lse) : 0.0f;
            if (i + j == (size_t)target) v.x[j] -= scale;
        }
        if (i < V) store4(v, out + i);
    }
}

__global__ static void loss(size_t V, size_t stride, float *logits, const int32_t *targets,
                            float scale, float z_weight, int with_gradient, float *nats,
                            float *lses) {
    const size_t m = blockIdx.x;
    const int target = targets[m];
    float *row = logits + m * stride;
    if (target < 0) {
        if (threadIdx.x == 0) nats[m] = lses[m] = 0;
        isb__bf16 *out = reinterpret_cast<isb__bf16 *>(row);
        if (with_gradient)
            for (size_t i = threadIdx.x; i < V; i += THREADS) out[i] = 0;
        return;
    }
    const exponentials e = row_exponentials(V, row);
    const float lse = e.most + logf(e.sum);
    if (threadIdx.x == 0) {
        nats[m] = lse - row[target];
        lses[m] = lse;
    }
    if (!with_gradient) return;
    __syncthreads(); /* row[target] is read */
    write_gradient(V, row, lse, target, scale, scale * (1.0f + 2.0f * z_weight * lse));
}

extern "C" void isb__gpu_loss(isb__gpu *gpu, size_t n, size_t V, size_t stride, float *d_logits,
                              const int32_t *d_targets, float scale, float z_weight,
                              int with_gradient, float *d_nats, float *d_lse) {
    ISB_LAUNCH(loss, (unsigned)n, THREADS, 0, gpu->stream, V, stride, d_logits, d_targets, scale,
               z_weight, with_gradient, d_nats, d_lse);
    gpu_launched(gpu, "loss");
}

__global__ static void loss_sums(size_t M, const float *nats, const float *lses, double *sums) {
    __shared__ double partial[2][THREADS / WARP];
    double a = 0, b = 0;
    for (size_t m = threadIdx.x; m < M; m += THREADS) {
        a += (double)nats[m];
        b += (double)lses[m] * (double)lses[m];
    }
    a = block_sum<THREADS>(a, partial[0]);
    b = block_sum<THREADS>(b, partial[1]);
    if (threadIdx.x != 0) return;
    sums[0] = a;
    sums[1] = b;
}

extern "C" void isb__gpu_loss_sums(isb__gpu *gpu, size_t M, const float *d_nats, const float *d_lse,
                                   double *d_sums) {
    ISB_LAUNCH(loss_sums, 1, THREADS, 0, gpu->stream, M, d_nats, d_lse, d_sums);
    gpu_launched(gpu, "loss_sums");
}
