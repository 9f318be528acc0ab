/* Products of M1: int8 by int8 on tensor cores, sums in int32, which are exact in any order.
 *
 * A block makes a tile of 64 rows by 64 outputs, in steps of 64 bytes of k: both sides go through
 * shared memory, the next step's bytes wait in registers meanwhile.  Its four warps take a quarter
 * each, 32 x 32.  Sums become floats, by the scales of row and output, before they leave the
 * block.
 *
 * For gate and up an output is needed twice: row n and row F + n of the matrix.  There a tile is
 * 32 outputs, and each warp's 32 rows of the matrix are 16 of gate followed by the same 16 of up,
 * so a thread that holds a gate's sum holds its up's, too. */
#include "cuda/exact.h"
#include "cuda/tensor_core.h"

enum { TILE = 64, QUARTER = TILE / 2, WARPS = 4, THREADS = WARPS * WARP };
/* In pieces of 16 bytes.  A row in shared memory has one more than it needs, so that the eight rows
 * that ldmatrix reads at once lie in different banks. */
enum { PIECE = 16, STEP = TILE / PIECE, STRIDE = STEP + 1, PER_THREAD = TILE * STEP / THREADS };

enum kind { STORE, ADD, GATE_SILU, GATE_RELU };

struct product_args {
    size_t M, n, k, stride; /* n: outputs; of GATE, h's.  stride: of out */
    const int8_t *y, *q;
    const float *sy, *s;
    float *out;
};

/* Of a row of the matrix' tile in shared memory: which output it is of, and which row it is. */
template <bool GATE> __device__ __forceinline__ size_t output_of(size_t tile, size_t i) {
    return GATE ? tile * QUARTER + i / QUARTER * 16 + i % 16 : tile * TILE + i;
}
template <bool GATE> __device__ __forceinline__ size_t row_of(size_t n, size_t output, size_t i) {
    return GATE && i % QUARTER >= 16 ? n + output : output;
}

/* One step's bytes of 64 rows of both sides, zeros where there is nothing. */
struct staged {
    uint4 y[PER_THREAD], q[PER_THREAD];
};

__device__ __forceinline__ uint4 load_piece(bool is_there, const int8_t *from) {
    return is_there ? *reinterpret_cast<const uint4 *>(from) : make_uint4(0, 0, 0, 0);
}

template <bool GATE>
__device__ __forceinline__ void stage(const product_args &a, size_t k, staged &to) {
    for (size_t j = 0; j < PER_THREAD; ++j) {
        const size_t piece = threadIdx.x + j * THREADS, i = piece / STEP,
                     at = k + piece % STEP * PIECE, m = blockIdx.y * (size_t)TILE + i,
                     output = output_of<GATE>(blockIdx.x, i);
        to.y[j] = load_piece(m < a.M && at < a.k, a.y + m * a.k + at);
        to.q[j] =
            load_piece(output < a.n && at < a.k, a.q + row_of<GATE>(a.n, output, i) * a.k + at);
    }
}

__device__ __forceinline__ void put(const staged &from, uint4 *y, uint4 *q) {
    for (size_t j = 0; j < PER_THREAD; ++j) {
        const size_t piece = threadIdx.x + j * THREADS, at = piece / STEP * STRIDE + piece % STEP;
        y[at] = from.y[j];
        q[at] = from.q[j];
    }
}

/* c += what this warp's 32 rows of either side give over the step. */
__device__ __forceinline__ void multiply(const uint4 *y, const uint4 *q, int32_t (&c)[2][4][4]) {
    const int warp = threadIdx.x / WARP;
    const int8_t *a = reinterpret_cast<const int8_t *>(y + warp / 2 * QUARTER * STRIDE),
                 *b = reinterpret_cast<const int8_t *>(q + warp % 2 * QUARTER * STRIDE);
    const int stride = STRIDE * PIECE;
    for (int k = 0; k < STEP * PIECE; k += 32) {
        uint32_t of_a[2][4], of_b[2][4];
        for (int i = 0; i < 2; ++i) {
            load_a(of_a[i], a + i * 16 * stride + k, stride);
            load_b_of_rows(of_b[i], b + i * 16 * stride + k, stride);
        }
        for (int i = 0; i < 2; ++i) {
            for (int j = 0; j < 4; ++j) mma(c[i][j], of_a[i], of_b[j / 2] + j % 2 * 2);
        }
    }
}

__device__ __forceinline__ float scaled(int32_t sum, float sy, float s) {
    return __fmul_rn(__int2float_rn(sum), __fmul_rn(sy, s));
}

template <bool RELU> __device__ __forceinline__ float act(float g) {
    return RELU ? larger(g, 0.0f) : __fdiv_rn(g, __fadd_rn(1.0f, exact_exp(-g)));
}

/* Element e of c[i][j] is of row g + 8 (e / 2), output 2t + e % 2 of its tile: tensor_core.h. */
template <int KIND>
__device__ __forceinline__ void finish(const product_args &a, const int32_t (&c)[2][4][4]) {
    constexpr bool GATE = KIND == GATE_SILU || KIND == GATE_RELU;
    const size_t warp = threadIdx.x / WARP, g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    for (int i = 0; i < 2; ++i) {
        for (int j = 0; j < (GATE ? 2 : 4); ++j) {
            for (int e = 0; e < 4; ++e) {
                const size_t m = blockIdx.y * (size_t)TILE + warp / 2 * QUARTER + i * 16 + g +
                                 e / 2 * 8,
                             n = output_of<GATE>(blockIdx.x,
                                                 warp % 2 * QUARTER + j * 8 + 2 * t + e % 2);
                if (m >= a.M || n >= a.n) continue;
                const float u = scaled(c[i][j][e], a.sy[m], a.s[n]);
                float *out = a.out + m * a.stride + n;
                if (KIND == STORE) *out = u;
                if (KIND == ADD) *out = __fadd_rn(*out, u);
                if (GATE)
                    *out = __fmul_rn(act<KIND == GATE_RELU>(u),
                                     scaled(c[i][(j + 2) % 4][e], a.sy[m], a.s[a.n + n]));
            }
        }
    }
}

template <int KIND> __global__ static void __launch_bounds__(THREADS) product(product_args a) {
    constexpr bool GATE = KIND == GATE_SILU || KIND == GATE_RELU;
    __shared__ uint4 y[TILE * STRIDE], q[TILE * STRIDE];
    int32_t c[2][4][4] = {};
    staged next;
    stage<GATE>(a, 0, next);
    for (size_t k = 0; k < a.k; k += STEP * PIECE) {
        put(next, y, q);
        __syncthreads();
        if (k + STEP * PIECE < a.k) stage<GATE>(a, k + STEP * PIECE, next);
        multiply(y, q, c);
        __syncthreads();
    }
    finish<KIND>(a, c);
}

/* ---- host ---- */

template <int KIND>
static void launch(isb__gpu *gpu, const product_args &a, size_t outputs_of_tile) {
    const dim3 grid(blocks_for(a.n, outputs_of_tile), blocks_for(a.M, TILE));
    ISB_LAUNCH(product<KIND>, grid, THREADS, 0, gpu->stream, a);
    gpu_launched(gpu, "product");
}

extern "C" void isb__gpu_m1_product(isb__gpu *gpu, size_t M, const int8_t *d_y, const float *d_sy,
                                    const isb__gpu_m1_matrix *W, float *d_u, size_t u_stride) {
    launch<STORE>(gpu, {M, W->n, W->k, u_stride, d_y, W->d_q, d_sy, W->d_s, d_u}, TILE);
}

extern "C" void isb__gpu_m1_product_add(isb__gpu *gpu, size_t M, const int8_t *d_y,
                                        const float *d_sy, const isb__gpu_m1_matrix *W, float *d_u,
                                        size_t u_stride) {
    launch<ADD>(gpu, {M, W->n, W->k, u_stride, d_y, W->d_q, d_sy, W->d_s, d_u}, TILE);
}

extern "C" void isb__gpu_m1_product_gate(isb__gpu *gpu, size_t M, int relu, const int8_t *d_y,
                                         const float *d_sy, const isb__gpu_m1_matrix *W,
                                         float *d_h) {
    const size_t F = W->n / 2;
    const product_args a = {M, F, W->k, F, d_y, W->d_q, d_sy, W->d_s, d_h};
    if (relu)
        launch<GATE_RELU>(gpu, a, QUARTER);
    else
        launch<GATE_SILU>(gpu, a, QUARTER);
}
