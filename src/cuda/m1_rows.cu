/* What M1 does row by row (docs/m1.md): embedding, norm, quantisation, and the CDF at the end. */
#include "cuda/exact.h"

/* ---- embedding ---- */

enum { THREADS = 256, LANES = 16, ROWS = THREADS / LANES, WARPS = THREADS / WARP };

__global__ static void embed(size_t C, const isb__gpu_m1_row *rows, const int8_t *q, const float *s,
                             float *x) {
    const size_t r = blockIdx.x, id = rows[r].id;
    for (size_t i = threadIdx.x; i < C; i += THREADS)
        x[r * C + i] = __fmul_rn(__int2float_rn(q[id * C + i]), s[id]);
}

extern "C" void isb__gpu_m1_embed(isb__gpu *gpu, size_t M, const isb__gpu_m1_row *d_rows,
                                  const isb__gpu_m1_matrix *table, float *d_x) {
    ISB_LAUNCH(embed, (unsigned)M, THREADS, 0, gpu->stream, table->k, d_rows, table->d_q,
               table->d_s, d_x);
    gpu_launched(gpu, "embed");
}

/* ---- norm: half a warp does a row, its lanes are the sixteen sums ---- */

/* The definition adds a[l + h] to a[l] for l < h; exchanged both ways, all lanes get a[0]. */
__device__ static float sum_of_squares(size_t C, const float *x) {
    float a = 0;
    for (size_t i = threadIdx.x % LANES; i < C; i += LANES) a = __fadd_rn(a, __fmul_rn(x[i], x[i]));
    for (int h = LANES / 2; h > 0; h /= 2) a = __fadd_rn(a, __shfl_xor_sync(0xffffffffu, a, h));
    return a;
}

__global__ static void norm(size_t M, size_t C, float eps, const float *x, const uint32_t *which,
                            const float *gain, int8_t *y, float *sy) {
    const size_t m = (size_t)blockIdx.x * ROWS + threadIdx.x / LANES;
    const bool is_row = m < M; /* the others keep the warp whole */
    const float *row = x + (is_row ? which ? which[m] : m : 0) * C;
    const float mean = __fdiv_rn(sum_of_squares(is_row ? C : 0, row), (float)C),
                r = __fdiv_rn(1.0f, __fsqrt_rn(__fadd_rn(mean, eps)));
    const float s = quantise<LANES>(
        is_row ? C : 0, [=](size_t i) { return __fmul_rn(row[i], gain[i]); },
        [=](size_t i, uint32_t word) { *reinterpret_cast<uint32_t *>(y + m * C + i) = word; });
    if (is_row && threadIdx.x % LANES == 0) sy[m] = __fmul_rn(s, r);
}

extern "C" void isb__gpu_m1_norm(isb__gpu *gpu, size_t M, size_t C, float eps, const float *d_x,
                                 const uint32_t *d_which, const float *d_gain, int8_t *d_y,
                                 float *d_sy) {
    ISB_LAUNCH(norm, blocks_for(M, ROWS), THREADS, 0, gpu->stream, M, C, eps, d_x, d_which, d_gain,
               d_y, d_sy);
    gpu_launched(gpu, "norm");
}

/* ---- quantisation: a warp does a row ---- */

__global__ static void quantise_rows(size_t M, size_t n, const float *x, int8_t *y, float *sy) {
    const size_t m = (size_t)blockIdx.x * WARPS + threadIdx.x / WARP;
    if (m >= M) return;
    const float *row = x + m * n;
    const float s = quantise<WARP>(
        n, [=](size_t i) { return row[i]; },
        [=](size_t i, uint32_t word) { *reinterpret_cast<uint32_t *>(y + m * n + i) = word; });
    if (threadIdx.x % WARP == 0) sy[m] = s;
}

extern "C" void isb__gpu_m1_quantise(isb__gpu *gpu, size_t M, size_t n, const float *d_x,
                                     int8_t *d_y, float *d_sy) {
    ISB_LAUNCH(quantise_rows, blocks_for(M, WARPS), THREADS, 0, gpu->stream, M, n, d_x, d_y, d_sy);
    gpu_launched(gpu, "quantise_rows");
}

/* ---- from logits to integers: a warp does a row, a lane 9 neighbouring symbols ---- */

enum { SYMBOLS = ISB__GPU_M1_SYMBOLS, OF_LANE = (SYMBOLS + WARP - 1) / WARP, SPARE = 65536 - 257 };

__device__ static uint32_t warp_most(uint32_t x) {
    for (int lane = WARP / 2; lane > 0; lane /= 2) {
        const uint32_t other = __shfl_xor_sync(0xffffffffu, x, lane);
        x = other > x ? other : x;
    }
    return x;
}

/* Sum of x over the lanes before this one. */
__device__ static uint32_t sum_before(uint32_t x) {
    const unsigned lane = threadIdx.x % WARP;
    uint32_t sum = x;
    for (unsigned step = 1; step < WARP; step *= 2) {
        const uint32_t other = __shfl_up_sync(0xffffffffu, sum, step);
        if (lane >= step) sum += other;
    }
    return sum - x;
}

/* w[x] of this lane's symbols (0 beyond the last) from their logits. */
__device__ static void symbol_weights(const float *z, uint32_t first, uint32_t (&w)[OF_LANE]) {
    float most = negative_infinity();
    for (uint32_t x = first; x < first + OF_LANE && x < SYMBOLS; ++x) most = larger(z[x], most);
    most = lanes_largest<WARP>(most);
    for (uint32_t i = 0; i < OF_LANE; ++i) {
        const bool is_symbol = first + i < SYMBOLS;
        const float e = is_symbol ? exact_exp(__fsub_rn(z[first + i], most)) : 0.0f;
        w[i] = (uint32_t)__float2int_rz(__fmul_rn(e, 0x1p22f));
    }
}

__global__ static void cdf(size_t M, const float *logits, size_t stride, uint16_t *cdfs) {
    const size_t m = (size_t)blockIdx.x * WARPS + threadIdx.x / WARP;
    if (m >= M) return;
    const uint32_t first = threadIdx.x % WARP * OF_LANE;
    uint32_t w[OF_LANE], sum = 0, best = 0, count = 0;
    symbol_weights(logits + m * stride, first, w);
    for (uint32_t i = 0; i < OF_LANE; ++i) sum += w[i];
    sum = warp_sum(sum);
    if (sum == 0) { /* all logits are NaN */
        sum = 1;
        if (first == 0) w[0] = 1;
    }
    /* The first symbol of the largest weight, as the largest of numbers that have both. */
    for (uint32_t i = 0; i < OF_LANE && first + i < SYMBOLS; ++i) {
        const uint32_t key = w[i] << 9 | (511 - (first + i));
        best = key > best ? key : best;
    }
    best = 511 - (warp_most(best) & 511);
    const double ratio = __ddiv_rn((double)SPARE, (double)sum);
    for (uint32_t i = 0; i < OF_LANE; ++i) {
        const bool is_symbol = first + i < SYMBOLS;
        w[i] = is_symbol ? 1 + (uint32_t)__double2int_rz(__dmul_rn((double)w[i], ratio)) : 0;
        count += w[i];
    }
    const uint32_t left = 65536 - warp_sum(count);
    const bool has_best = best >= first && best < first + OF_LANE;
    uint32_t at = sum_before(count + (has_best ? left : 0));
    uint16_t *row = cdfs + m * ISB__GPU_M1_CDF_STRIDE;
    for (uint32_t i = 0; i < OF_LANE && first + i < SYMBOLS; ++i) {
        row[first + i] = (uint16_t)at;
        at += w[i] + (first + i == best ? left : 0);
    }
}

extern "C" void isb__gpu_m1_cdf(isb__gpu *gpu, size_t M, const float *d_z, size_t stride,
                                uint16_t *d_cdfs) {
    ISB_LAUNCH(cdf, blocks_for(M, WARPS), THREADS, 0, gpu->stream, M, d_z, stride, d_cdfs);
    gpu_launched(gpu, "cdf");
}
