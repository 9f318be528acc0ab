/* Causal self-attention with documents kept apart, on tensor cores, without a matrix of scores in
 * memory (Dao et al. 2022, Dao 2023).
 *
 *     S = Q K^T,  P = softmax of each row over the keys it may see,  Y = P V
 *
 * Forward, a block of threads owns a tile of 64 queries of one head and walks over the keys in
 * tiles of 64, keeping for each query the largest score so far, the sum of exponentials and the
 * weighted sum of values, all rescaled when the largest grows; what stays is lse = ln sum exp.
 *
 * Backward makes P = exp(S - lse) again:
 *
 *     dV = P^T dY,  dP = dY V^T,  dS = P (dP - delta), delta = sum(dY Y) of each row,
 *     dQ = dS K,  dK = dS^T Q
 *
 * twice: one kernel owns a tile of keys and walks over the queries that see it (dK, dV; it makes
 * S^T, so that P^T is at once an operand of the next product), another owns a tile of queries and
 * walks over keys (dQ).  That is two products of seven more than one pass with atomic additions
 * would need, and every sum has a fixed order.
 *
 * A warp owns 16 rows of its block's tile.  A tile in shared memory has rows of WIDTH + 8 elements,
 * so that the eight rows that ldmatrix reads at a time lie in different banks; columns from the
 * head size to WIDTH, and rows beyond the text, are zero.  The factor 1/sqrt(D) is part of the
 * queries' rotation (nn/layers.h). */
#include "cuda/tensor_core.h"

enum { TILE = ISB__GPU_TILE, WARPS = TILE / 16, THREADS = WARPS * WARP, KEYS = TILE / 8 };
enum { NEVER = 0x7fffffff };

struct view {
    int T, H, D;
    const int32_t *starts, *first_keys;
    const isb__bf16 *qkv, *dy;
    isb__bf16 *y, *dqkv;
    float *lse, *delta;
};

/* The head of a row of the batch that this block works on. */
struct head {
    const isb__bf16 *q, *k, *v, *dy;
    isb__bf16 *y, *dq, *dk, *dv;
    float *lse, *delta;
    const int32_t *starts, *first_keys;
    int stride, C, n_tiles;
};

__device__ static head head_of(const view &a) {
    const int b = (int)blockIdx.y / a.H, h = (int)blockIdx.y % a.H, C = a.H * a.D;
    const size_t token = (size_t)b * a.T, wide = token * 3 * C + h * a.D,
                 narrow = token * C + h * a.D;
    head v = {};
    v.stride = 3 * C;
    v.C = C;
    v.n_tiles = (a.T + TILE - 1) / TILE;
    v.q = a.qkv + wide;
    v.k = v.q + C;
    v.v = v.k + C;
    v.y = a.y + narrow;
    v.dy = a.dy + narrow;
    v.dq = a.dqkv + wide;
    v.dk = v.dq + C;
    v.dv = v.dk + C;
    v.lse = a.lse + token * a.H + h;
    v.delta = a.delta + token * a.H + h;
    v.starts = a.starts + token;
    v.first_keys = a.first_keys + (size_t)b * v.n_tiles;
    return v;
}

/* ---- tiles ---- */

template <int WIDTH> __device__ constexpr int tile_stride() { return WIDTH + 8; }
template <int WIDTH> constexpr size_t tile_nbytes() {
    return (size_t)TILE * (WIDTH + 8) * sizeof(isb__bf16);
}

/* Rows [first, first + TILE) of x into a tile, by the whole block.  Unit: 8 elements where heads
 * are so aligned, else 2. */
template <int WIDTH, typename UNIT>
__device__ static void copy_tile(isb__bf16 *tile, const isb__bf16 *x, int stride, int first, int T,
                                 int D) {
    enum { EACH = sizeof(UNIT) / sizeof(isb__bf16), PER_ROW = WIDTH / EACH };
    for (int i = threadIdx.x; i < TILE * PER_ROW; i += THREADS) {
        const int row = i / PER_ROW, column = i % PER_ROW * EACH;
        UNIT value = {};
        if (first + row < T && column < D)
            value = *reinterpret_cast<const UNIT *>(x + (size_t)(first + row) * stride + column);
        *reinterpret_cast<UNIT *>(tile + row * tile_stride<WIDTH>() + column) = value;
    }
}

template <int WIDTH>
__device__ static void load_tile(isb__bf16 *tile, const isb__bf16 *x, int stride, int first, int T,
                                 int D) {
    if (D % 8 == 0)
        copy_tile<WIDTH, uint4>(tile, x, stride, first, T, D);
    else
        copy_tile<WIDTH, uint32_t>(tile, x, stride, first, T, D);
}

/* ---- products of a warp: 16 rows ---- */

/* s [16, TILE] = rows x columns^T, over WIDTH. */
template <int WIDTH>
__device__ __forceinline__ void scores(float (&s)[KEYS][4], const isb__bf16 *rows,
                                       const isb__bf16 *columns) {
    constexpr int stride = tile_stride<WIDTH>();
    for (int j = 0; j < KEYS; ++j)
        for (int e = 0; e < 4; ++e) s[j][e] = 0;
#pragma unroll
    for (int k = 0; k < WIDTH; k += 16) {
        uint32_t a[4], b[4];
        load_a(a, rows + k, stride);
#pragma unroll
        for (int j = 0; j < KEYS; j += 2) {
            load_b_of_rows(b, columns + j * 8 * stride + k, stride);
            mma(s[j], a, b);
            mma(s[j + 1], a, b + 2);
        }
    }
}

/* out [16, WIDTH] += bf16(p) [16, TILE] x [TILE, WIDTH] */
template <int WIDTH>
__device__ __forceinline__ void add_product(float (&out)[WIDTH / 8][4], const float (&p)[KEYS][4],
                                            const isb__bf16 *x) {
    constexpr int stride = tile_stride<WIDTH>();
#pragma unroll
    for (int k = 0; k < KEYS; k += 2) {
        const uint32_t a[4] = {pack_bf16(p[k][0], p[k][1]), pack_bf16(p[k][2], p[k][3]),
                               pack_bf16(p[k + 1][0], p[k + 1][1]),
                               pack_bf16(p[k + 1][2], p[k + 1][3])};
        uint32_t b[4];
#pragma unroll
        for (int j = 0; j < WIDTH / 8; j += 2) {
            load_b_of_columns(b, x + k * 8 * stride + j * 8, stride);
            mma(out[j], a, b);
            mma(out[j + 1], a, b + 2);
        }
    }
}

/* Element e of fragment j: which of the lane's two rows, and the column. */
__device__ __forceinline__ int row_of(int e) { return e / 2; }
__device__ __forceinline__ int column_of(int j, int e) {
    return j * 8 + (int)threadIdx.x % 4 * 2 + e % 2;
}
/* The first of the lane's rows in the tile; the second is 8 further. */
__device__ __forceinline__ int lane_row() {
    return (int)threadIdx.x / WARP * 16 + (int)threadIdx.x % WARP / 4;
}

/* The lane's rows, first and first + 8, times scale. */
template <int WIDTH>
__device__ __forceinline__ void store_rows(const float (&out)[WIDTH / 8][4],
                                           const float (&scale)[2], int first, int T, int D,
                                           isb__bf16 *y, int stride) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const int row = first + 8 * r;
        if (row >= T) continue;
#pragma unroll
        for (int j = 0; j < WIDTH / 8; ++j) {
            const int column = column_of(j, 0);
            if (column < D)
                *reinterpret_cast<uint32_t *>(y + (size_t)row * stride + column) =
                    pack_bf16(out[j][2 * r] * scale[r], out[j][2 * r + 1] * scale[r]);
        }
    }
}

/* Over the four lanes that share a row. */
__device__ __forceinline__ float row_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
__device__ __forceinline__ float row_sum(float x) {
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

/* ---- forward ---- */

/* What a lane keeps of its two queries. */
template <int WIDTH> struct running { float most[2], sum[2], out[WIDTH / 8][4]; };

/* s: scores of the two queries against keys k0 .. k0 + 63; becomes exp(s - most). */
template <int WIDTH>
__device__ __forceinline__ void soften(float (&s)[KEYS][4], running<WIDTH> &run, int k0,
                                       const int (&query)[2], const int (&start)[2]) {
    float most[2] = {run.most[0], run.most[1]}, base[2], scale[2];
#pragma unroll
    for (int j = 0; j < KEYS; ++j) {
        for (int e = 0; e < 4; ++e) {
            const int key = k0 + column_of(j, e), r = row_of(e);
            if (key > query[r] || key < start[r]) s[j][e] = -INFINITY;
            most[r] = fmaxf(most[r], s[j][e]);
        }
    }
    for (int r = 0; r < 2; ++r) {
        most[r] = row_max(most[r]);
        base[r] = most[r] == -INFINITY ? 0.0f : most[r]; /* nothing seen so far */
        scale[r] = __expf(run.most[r] - base[r]);
        run.most[r] = most[r];
        run.sum[r] *= scale[r];
    }
#pragma unroll
    for (int j = 0; j < KEYS; ++j) {
        for (int e = 0; e < 4; ++e) {
            s[j][e] = __expf(s[j][e] - base[row_of(e)]);
            run.sum[row_of(e)] += s[j][e];
        }
    }
#pragma unroll
    for (int j = 0; j < WIDTH / 8; ++j)
        for (int e = 0; e < 4; ++e) run.out[j][e] *= scale[row_of(e)];
}

template <int WIDTH> __global__ static void __launch_bounds__(THREADS) attention_forward(view a) {
    ISB_DYNAMIC_SHARED(isb__bf16, queries);
    constexpr int n = TILE * tile_stride<WIDTH>();
    isb__bf16 *const keys = queries + n, *const values = keys + n;
    const head v = head_of(a);
    const int tile = v.n_tiles - 1 - (int)blockIdx.x; /* long ones first */
    const int q0 = tile * TILE, own = lane_row();
    const int query[2] = {q0 + own, q0 + own + 8};
    int start[2];
    running<WIDTH> run = {};
    for (int r = 0; r < 2; ++r) {
        start[r] = query[r] < a.T ? v.starts[query[r]] : 0;
        run.most[r] = -INFINITY;
    }
    load_tile<WIDTH>(queries, v.q, v.stride, q0, a.T, a.D);
    for (int k0 = v.first_keys[tile] / TILE * TILE; k0 <= q0; k0 += TILE) {
        float s[KEYS][4];
        __syncthreads();
        load_tile<WIDTH>(keys, v.k, v.stride, k0, a.T, a.D);
        load_tile<WIDTH>(values, v.v, v.stride, k0, a.T, a.D);
        __syncthreads();
        scores<WIDTH>(s, queries + (own / 16 * 16) * tile_stride<WIDTH>(), keys);
        soften<WIDTH>(s, run, k0, query, start);
        add_product<WIDTH>(run.out, s, values);
    }
    float inverse[2];
    for (int r = 0; r < 2; ++r) {
        const float sum = row_sum(run.sum[r]);
        inverse[r] = 1.0f / sum;
        if (query[r] < a.T && threadIdx.x % 4 == 0)
            v.lse[(size_t)query[r] * a.H] = run.most[r] + logf(sum);
    }
    store_rows<WIDTH>(run.out, inverse, q0 + own, a.T, a.D, v.y, v.C);
}

/* ---- backward ---- */

/* One warp per token and head. */
__global__ static void row_deltas(size_t n, int D, const isb__bf16 *y, const isb__bf16 *dy,
                                  float *delta) {
    const size_t i = (size_t)blockIdx.x * WARPS + threadIdx.x / WARP;
    if (i >= n) return;
    float sum = 0;
    for (int c = threadIdx.x % WARP; c < D; c += WARP)
        sum += to_f32(y[i * D + c]) * to_f32(dy[i * D + c]);
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0) delta[i] = sum;
}

/* p: scores, dp: of P; they become P and dS of one pair. */
__device__ __forceinline__ void weigh(float &p, float &dp, bool sees, float lse, float delta) {
    p = sees ? __expf(p - lse) : 0.0f;
    dp = p * (dp - delta);
}

template <int WIDTH>
__global__ static void __launch_bounds__(THREADS) attention_backward_keys(view a) {
    ISB_DYNAMIC_SHARED(isb__bf16, keys);
    __shared__ float lse[TILE], delta[TILE];
    __shared__ int start[TILE];
    constexpr int n = TILE * tile_stride<WIDTH>();
    isb__bf16 *const values = keys + n, *const queries = values + n, *const dys = queries + n;
    const head v = head_of(a);
    const int k0 = (int)blockIdx.x * TILE, own = lane_row(),
              band = own / 16 * 16 * tile_stride<WIDTH>();
    float dk[WIDTH / 8][4] = {}, dv[WIDTH / 8][4] = {};
    load_tile<WIDTH>(keys, v.k, v.stride, k0, a.T, a.D);
    load_tile<WIDTH>(values, v.v, v.stride, k0, a.T, a.D);
    for (int tile = (int)blockIdx.x; tile < v.n_tiles; ++tile) {
        const int q0 = tile * TILE;
        float p[KEYS][4], ds[KEYS][4];
        if (v.first_keys[tile] >= k0 + TILE) continue;
        __syncthreads();
        load_tile<WIDTH>(queries, v.q, v.stride, q0, a.T, a.D);
        load_tile<WIDTH>(dys, v.dy, v.C, q0, a.T, a.D);
        for (int i = threadIdx.x; i < TILE; i += THREADS) {
            const bool there = q0 + i < a.T;
            lse[i] = there ? v.lse[(size_t)(q0 + i) * a.H] : 0.0f;
            delta[i] = there ? v.delta[(size_t)(q0 + i) * a.H] : 0.0f;
            start[i] = there ? v.starts[q0 + i] : (int)NEVER;
        }
        __syncthreads();
        scores<WIDTH>(p, keys + band, queries);
        scores<WIDTH>(ds, values + band, dys);
#pragma unroll
        for (int j = 0; j < KEYS; ++j) {
            for (int e = 0; e < 4; ++e) {
                const int i = column_of(j, e), key = k0 + own + 8 * row_of(e);
                weigh(p[j][e], ds[j][e], key <= q0 + i && key >= start[i], lse[i], delta[i]);
            }
        }
        add_product<WIDTH>(dv, p, dys);
        add_product<WIDTH>(dk, ds, queries);
    }
    const float one[2] = {1, 1};
    store_rows<WIDTH>(dk, one, k0 + own, a.T, a.D, v.dk, v.stride);
    store_rows<WIDTH>(dv, one, k0 + own, a.T, a.D, v.dv, v.stride);
}

template <int WIDTH>
__global__ static void __launch_bounds__(THREADS) attention_backward_queries(view a) {
    ISB_DYNAMIC_SHARED(isb__bf16, queries);
    constexpr int n = TILE * tile_stride<WIDTH>();
    isb__bf16 *const dys = queries + n, *const keys = dys + n, *const values = keys + n;
    const head v = head_of(a);
    const int tile = v.n_tiles - 1 - (int)blockIdx.x, q0 = tile * TILE, own = lane_row(),
              band = own / 16 * 16 * tile_stride<WIDTH>();
    float dq[WIDTH / 8][4] = {}, lse[2], delta[2];
    int query[2], start[2];
    for (int r = 0; r < 2; ++r) {
        query[r] = q0 + own + 8 * r;
        const bool there = query[r] < a.T;
        lse[r] = there ? v.lse[(size_t)query[r] * a.H] : 0.0f;
        delta[r] = there ? v.delta[(size_t)query[r] * a.H] : 0.0f;
        start[r] = there ? v.starts[query[r]] : (int)NEVER;
    }
    load_tile<WIDTH>(queries, v.q, v.stride, q0, a.T, a.D);
    load_tile<WIDTH>(dys, v.dy, v.C, q0, a.T, a.D);
    for (int k0 = v.first_keys[tile] / TILE * TILE; k0 <= q0; k0 += TILE) {
        float p[KEYS][4], ds[KEYS][4];
        __syncthreads();
        load_tile<WIDTH>(keys, v.k, v.stride, k0, a.T, a.D);
        load_tile<WIDTH>(values, v.v, v.stride, k0, a.T, a.D);
        __syncthreads();
        scores<WIDTH>(p, queries + band, keys);
        scores<WIDTH>(ds, dys + band, values);
#pragma unroll
        for (int j = 0; j < KEYS; ++j) {
            for (int e = 0; e < 4; ++e) {
                const int key = k0 + column_of(j, e), r = row_of(e);
                weigh(p[j][e], ds[j][e], key <= query[r] && key >= start[r], lse[r], delta[r]);
            }
        }
        add_product<WIDTH>(dq, ds, keys);
    }
    const float one[2] = {1, 1};
    store_rows<WIDTH>(dq, one, q0 + own, a.T, a.D, v.dq, v.stride);
}

/* ---- rotation ---- */

/* One warp per token and head, queries (z 0) or keys (z 1); pairs (i, i + D/2), as in nn/rope.h. */
__global__ static void rotate(int T, int H, int D, float sign, const float *query_cosines,
                              const float *query_sines, const float *key_cosines,
                              const float *key_sines, size_t n, isb__bf16 *qkv) {
    const size_t i = (size_t)blockIdx.x * WARPS + threadIdx.x / WARP;
    if (i >= n) return;
    const size_t m = i / H, h = i % H, angle = m % T * (D / 2);
    const float *cosines = (blockIdx.z == 0 ? query_cosines : key_cosines) + angle,
                *sines = (blockIdx.z == 0 ? query_sines : key_sines) + angle;
    isb__bf16 *x = qkv + (m * 3 + blockIdx.z) * H * D + h * D;
    for (int c = threadIdx.x % WARP; c < D / 2; c += WARP) {
        const float a = to_f32(x[c]), b = to_f32(x[c + D / 2]), cosine = cosines[c],
                    sine = sign * sines[c];
        x[c] = to_bf16(a * cosine - b * sine);
        x[c + D / 2] = to_bf16(b * cosine + a * sine);
    }
}

extern "C" void isb__gpu_rotate(isb__gpu *gpu, const isb__gpu_attention *a, int back,
                                isb__bf16 *d_qkv) {
    const size_t n = a->B * a->T * a->H;
    ISB_LAUNCH(rotate, dim3(blocks_for(n, WARPS), 1, 2), THREADS, 0, gpu->stream, (int)a->T,
               (int)a->H, (int)a->D, back ? -1.0f : 1.0f, a->d_cosines[0], a->d_sines[0],
               a->d_cosines[1], a->d_sines[1], n, d_qkv);
    gpu_launched(gpu, "rotate");
}

/* ---- launching ---- */

static view view_of(const isb__gpu_attention *a) {
    view v = {};
    v.T = (int)a->T;
    v.H = (int)a->H;
    v.D = (int)a->D;
    v.starts = a->d_starts;
    v.first_keys = a->d_first_keys;
    return v;
}

/* Blocks are asked for more shared memory than 48 KiB by name. */
template <typename KERNEL>
static void launch(isb__gpu *gpu, const char *name, KERNEL *kernel, size_t shared_nbytes,
                   const isb__gpu_attention *a, const view &v) {
    const dim3 grid(blocks_for(a->T, TILE), (unsigned)(a->B * a->H));
    gpu_check(gpu,
              cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   (int)shared_nbytes),
              name);
    ISB_LAUNCH(kernel, grid, THREADS, shared_nbytes, gpu->stream, v);
    gpu_launched(gpu, name);
}

template <int WIDTH>
static void forward(isb__gpu *gpu, const isb__gpu_attention *a, const view &v) {
    launch(gpu, "attention_forward", attention_forward<WIDTH>, 3 * tile_nbytes<WIDTH>(), a, v);
}

template <int WIDTH>
static void backward(isb__gpu *gpu, const isb__gpu_attention *a, const view &v) {
    launch(gpu, "attention_backward_keys", attention_backward_keys<WIDTH>, 4 * tile_nbytes<WIDTH>(),
           a, v);
    launch(gpu, "attention_backward_queries", attention_backward_queries<WIDTH>,
           4 * tile_nbytes<WIDTH>(), a, v);
}

/* By head size, rounded up. */
static void by_width(isb__gpu *gpu, const isb__gpu_attention *a, const view &v, bool back) {
    if (a->D <= 32)
        back ? backward<32>(gpu, a, v) : forward<32>(gpu, a, v);
    else if (a->D <= 64)
        back ? backward<64>(gpu, a, v) : forward<64>(gpu, a, v);
    else
        back ? backward<128>(gpu, a, v) : forward<128>(gpu, a, v);
}

extern "C" void isb__gpu_attention_forward(isb__gpu *gpu, const isb__gpu_attention *a,
                                           const isb__bf16 *d_qkv, isb__bf16 *d_y, float *d_lse) {
    view v = view_of(a);
    v.qkv = d_qkv;
    v.y = d_y;
    v.lse = d_lse;
    by_width(gpu, a, v, false);
}

extern "C" void isb__gpu_attention_backward(isb__gpu *gpu, const isb__gpu_attention *a,
                                            const isb__bf16 *d_qkv, const isb__bf16 *d_y,
                                            const float *d_lse, const isb__bf16 *d_dy,
                                            float *d_delta, isb__bf16 *d_dqkv) {
    const size_t n = a->B * a->T * a->H;
    ISB_LAUNCH(row_deltas, blocks_for(n, WARPS), THREADS, 0, gpu->stream, n, (int)a->D, d_y, d_dy,
               d_delta);
    gpu_launched(gpu, "row_deltas");
    view v = view_of(a);
    v.qkv = d_qkv;
    v.lse = const_cast<float *>(d_lse);
    v.dy = d_dy;
    v.delta = d_delta;
    v.dqkv = d_dqkv;
    by_width(gpu, a, v, true);
}
