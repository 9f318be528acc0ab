/* The gate of the MLP, as in nn/layer_mlp.c: h = act(gate) * up, act = silu or relu.  Going back, h
 * is made again beside the gradient. */
#include "cuda/platform.h"

enum { THREADS = 256 };

struct activated {
    float value, slope;
};

template <bool RELU> __device__ __forceinline__ activated activate(float x) {
    if (RELU) return x > 0.0f ? activated{x, 1.0f} : activated{0.0f, 0.0f};
    const float s = 1.0f / (1.0f + __expf(-x)), silu = x * s;
    return {silu, s + silu * (1.0f - s)};
}

/* Four neighbours of a thread: their place in [M, F], and in [M, 2F]. */
struct place {
    bool there;
    size_t narrow, wide;
};
__device__ __forceinline__ place place_of(size_t M, size_t F) {
    const size_t i = ((size_t)blockIdx.x * THREADS + threadIdx.x) * 4, m = i / F;
    return {m < M, i, m * 2 * F + i % F};
}

template <bool RELU>
__global__ static void gate(size_t M, size_t F, const isb__bf16 *gate_up, isb__bf16 *h) {
    const place at = place_of(M, F);
    if (!at.there) return;
    const four a = load4(gate_up + at.wide), b = load4(gate_up + at.wide + F);
    four product;
    for (int j = 0; j < 4; ++j) product.x[j] = activate<RELU>(a.x[j]).value * b.x[j];
    store4(product, h + at.narrow);
}

template <bool RELU>
__global__ static void gate_backward(size_t M, size_t F, const isb__bf16 *gate_up,
                                     const isb__bf16 *dh, isb__bf16 *h, isb__bf16 *dgate_up) {
    const place at = place_of(M, F);
    if (!at.there) return;
    const four a = load4(gate_up + at.wide), b = load4(gate_up + at.wide + F),
               d = load4(dh + at.narrow);
    four product, da, db;
    for (int j = 0; j < 4; ++j) {
        const activated act = activate<RELU>(a.x[j]);
        product.x[j] = act.value * b.x[j];
        da.x[j] = d.x[j] * b.x[j] * act.slope;
        db.x[j] = d.x[j] * act.value;
    }
    store4(product, h + at.narrow);
    store4(da, dgate_up + at.wide);
    store4(db, dgate_up + at.wide + F);
}

extern "C" void isb__gpu_gate(isb__gpu *gpu, size_t M, size_t F, int relu,
                              const isb__bf16 *d_gate_up, isb__bf16 *d_h) {
    const unsigned n_blocks = blocks_for(M * F / 4, THREADS);
    if (relu)
        ISB_LAUNCH(gate<true>, n_blocks, THREADS, 0, gpu->stream, M, F, d_gate_up, d_h);
    else
        ISB_LAUNCH(gate<false>, n_blocks, THREADS, 0, gpu->stream, M, F, d_gate_up, d_h);
    gpu_launched(gpu, "gate");
}

extern "C" void isb__gpu_gate_backward(isb__gpu *gpu, size_t M, size_t F, int relu,
                                       const isb__bf16 *d_gate_up, const isb__bf16 *d_dh,
                                       isb__bf16 *d_h, isb__bf16 *d_dgate_up) {
    const unsigned n_blocks = blocks_for(M * F / 4, THREADS);
    if (relu)
        ISB_LAUNCH(gate_backward<true>, n_blocks, THREADS, 0, gpu->stream, M, F, d_gate_up, d_dh,
                   d_h, d_dgate_up);
    else
        ISB_LAUNCH(gate_backward<false>, n_blocks, THREADS, 0, gpu->stream, M, F, d_gate_up, d_dh,
                   d_h, d_dgate_up);
    gpu_launched(gpu, "gate_backward");
}
