/* Attention of M1 (docs/m1.md): rotation, the cache of keys and values, and for each position and
 * head two passes over what it attends to, one for the largest score, one for the weights.
 *
 * A block attends for a head of a few successive rows of one stream, one after another: they share
 * all but a few keys, which the later rows find in the cache of the multiprocessor.  Threads take
 * keys in turn for scores and weights, then channels for the sum of values.  Integers throughout,
 * but for the weights, each of which is one thread's; so nothing depends on who does what. */
#include "cuda/exact.h"

enum { LANES = 16, SIDE = 256 /* threads of the small kernels */, UNITS = SIDE / LANES };
enum { THREADS = 128, WARPS = THREADS / WARP };

/* ---- angles: nn/rope.c, whose operations they repeat ---- */

__device__ static void cosine_sine(uint64_t turns, double *cosine, double *sine) {
    const uint64_t quarter = (turns + (1ull << 61)) >> 62;
    const int64_t rest = (int64_t)(turns - (quarter << 62));
    const double x = __dmul_rn(__dmul_rn(__ll2double_rn(rest), 0x1p-64), 0x1.921fb54442d18p+2),
                 x2 = __dmul_rn(x, x);
    double s = 0, c = 0;
    for (int k = 16; k >= 2; k -= 2) {
        s = __ddiv_rn(__dmul_rn(__dsub_rn(1.0, s), x2), (double)(k * (k + 1)));
        c = __ddiv_rn(__dmul_rn(__dsub_rn(1.0, c), x2), (double)(k * (k - 1)));
    }
    s = __dmul_rn(x, __dsub_rn(1.0, s));
    c = __dsub_rn(1.0, c);
    *cosine = quarter == 0 ? c : quarter == 1 ? -s : quarter == 2 ? -c : s;
    *sine = quarter == 0 ? s : quarter == 1 ? c : quarter == 2 ? -s : -c;
}

__global__ static void angles(size_t M, size_t pairs, const isb__gpu_m1_row *rows,
                              const uint64_t *steps, float *cosines, float *sines) {
    const size_t i = (size_t)blockIdx.x * SIDE + threadIdx.x;
    if (i >= M * pairs) return;
    double cosine, sine;
    cosine_sine(rows[i / pairs].position * steps[i % pairs], &cosine, &sine);
    cosines[i] = __double2float_rn(cosine);
    sines[i] = __double2float_rn(sine);
}

extern "C" void isb__gpu_m1_angles(isb__gpu *gpu, size_t M, size_t D, const isb__gpu_m1_row *d_rows,
                                   const uint64_t *d_steps, float *d_cosines, float *d_sines) {
    const size_t pairs = D / 2;
    ISB_LAUNCH(angles, blocks_for(M * pairs, SIDE), SIDE, 0, gpu->stream, M, pairs, d_rows, d_steps,
               d_cosines, d_sines);
    gpu_launched(gpu, "angles");
}

/* ---- the cache ---- */

/* A head of a stream and layer. */
struct head_cache {
    uint32_t *keys, *values;
    float *key_scales, *value_scales;
};

__device__ __forceinline__ head_cache cache_of(const isb__gpu_m1_cache &c, size_t stream,
                                               size_t layer, size_t head) {
    const size_t i = (stream * c.L + layer) * c.H + head, words = c.ring * c.D / 4;
    float *scales = c.d_scales + i * 2 * c.ring;
    return {c.d_keys + i * words, c.d_values + i * words, scales, scales + c.ring};
}

enum { KEYS = ISB__GPU_M1_RING_STEP };
/* The word of channels 4c .. 4c + 3 of a key. */
__device__ __forceinline__ size_t key_word(size_t D, size_t slot, size_t c) {
    return (slot / KEYS * (D / 4) + c) * KEYS + slot % KEYS;
}

extern "C" size_t isb__gpu_m1_cache_words(const isb__gpu_m1_cache *c, size_t n_streams) {
    return n_streams * c->L * c->H * c->ring * c->D / 4;
}
extern "C" size_t isb__gpu_m1_cache_scales(const isb__gpu_m1_cache *c, size_t n_streams) {
    return n_streams * c->L * c->H * 2 * c->ring;
}

__global__ static void begin(isb__gpu_m1_cache c, const uint32_t *streams, uint32_t from) {
    const size_t layer = blockIdx.x / c.H, head = blockIdx.x % c.H;
    const head_cache of = cache_of(c, from, layer, head),
                     to = cache_of(c, streams[blockIdx.y], layer, head);
    for (size_t i = threadIdx.x; i < c.D / 4; i += WARP)
        to.keys[key_word(c.D, 0, i)] = of.keys[key_word(c.D, 0, i)];
    for (size_t d = threadIdx.x; d < c.D; d += WARP) to.values[d] = of.values[d];
    if (threadIdx.x == 0) {
        to.key_scales[0] = of.key_scales[0];
        to.value_scales[0] = of.value_scales[0];
    }
}

extern "C" void isb__gpu_m1_begin(isb__gpu *gpu, const isb__gpu_m1_cache *cache, size_t n,
                                  const uint32_t *d_streams, uint32_t from) {
    const dim3 grid((unsigned)(cache->L * cache->H), (unsigned)n);
    ISB_LAUNCH(begin, grid, WARP, 0, gpu->stream, *cache, d_streams, from);
    gpu_launched(gpu, "begin");
}

/* ---- queries, keys and values: half a warp does a head of one of them ---- */

enum { QUERY, KEY, VALUE };

struct heads_args {
    isb__gpu_m1_cache cache;
    size_t layer, M;
    const isb__gpu_m1_row *rows;
    const float *cosines, *sines, *qkv;
    int8_t *qq;
    float *qs;
};

/* Channel i of x [2 half], turned; cosines NULL: as it is. */
__device__ __forceinline__ float turned(const float *x, size_t half, const float *cosines,
                                        const float *sines, size_t i) {
    if (!cosines) return x[i];
    if (i < half) return __fsub_rn(__fmul_rn(x[i], cosines[i]), __fmul_rn(x[i + half], sines[i]));
    const size_t j = i - half;
    return __fadd_rn(__fmul_rn(x[i], cosines[j]), __fmul_rn(x[j], sines[j]));
}

__device__ __forceinline__ void store_head(const heads_args &a, const head_cache &to, size_t slot,
                                           int8_t *query, size_t i, uint32_t word) {
    const size_t D = a.cache.D;
    if (blockIdx.y == QUERY) *reinterpret_cast<uint32_t *>(query + i) = word;
    if (blockIdx.y == KEY) to.keys[key_word(D, slot, i / 4)] = word;
    if (blockIdx.y == VALUE) {
        int8_t *values = reinterpret_cast<int8_t *>(to.values + slot / 4 * D + i);
        for (size_t j = 0; j < 4; ++j) values[4 * j + slot % 4] = (int8_t)(word >> 8 * j);
    }
}

__global__ static void heads(heads_args a) {
    const size_t H = a.cache.H, D = a.cache.D, half = D / 2, which = blockIdx.y,
                 unit = (size_t)blockIdx.x * UNITS + threadIdx.x / LANES;
    const bool is_unit = unit < a.M * H; /* the others keep the warp whole */
    const size_t r = is_unit ? unit / H : 0, head = unit % H, slot = a.rows[r].slot;
    const float *x = a.qkv + (r * 3 + which) * H * D + head * D,
                *cosines = a.cosines && which != VALUE ? a.cosines + r * half : NULL,
                *sines = a.sines + r * half;
    const head_cache to = cache_of(a.cache, a.rows[r].stream, a.layer, head);
    int8_t *query = a.qq + (r * H + head) * D;
    const float s = quantise<LANES>(
        is_unit ? D : 0, [=](size_t i) { return turned(x, half, cosines, sines, i); },
        [=](size_t i, uint32_t word) { store_head(a, to, slot, query, i, word); });
    if (!is_unit || threadIdx.x % LANES != 0) return;
    if (which == QUERY) a.qs[r * H + head] = s;
    if (which == KEY) to.key_scales[slot] = s;
    if (which == VALUE) to.value_scales[slot] = s;
}

extern "C" void isb__gpu_m1_heads(isb__gpu *gpu, const isb__gpu_m1_cache *cache, size_t layer,
                                  size_t M, const isb__gpu_m1_row *d_rows, const float *d_cosines,
                                  const float *d_sines, const float *d_qkv, int8_t *d_qq,
                                  float *d_qs) {
    const heads_args a = {*cache, layer, M, d_rows, d_cosines, d_sines, d_qkv, d_qq, d_qs};
    const dim3 grid(blocks_for(M * cache->H, UNITS), 3);
    ISB_LAUNCH(heads, grid, SIDE, 0, gpu->stream, a);
    gpu_launched(gpu, "heads");
}

/* ---- attention ---- */

struct attention_args {
    isb__gpu_m1_cache cache;
    size_t layer;
    const isb__gpu_m1_tile *tiles;
    const isb__gpu_m1_row *rows;
    const int8_t *qq;
    const float *qs, *bias;
    float inverse_root, limit; /* 1 / sqrt(D), 2^B - 1 */
    float *o;
};

/* What a block has in shared memory.  Element e of t and b is of slot begin + e (a place below). */
struct attention_work {
    float *t;        /* [elements()] scores, then weights */
    uint32_t *b;     /* [elements() / 2] weights as integers of 16 bits, in pairs */
    uint32_t *query; /* [D / 4] */
    int *sums;       /* [D] */
};

__host__ __device__ static inline size_t elements(size_t T) { return (T + 3 + 3) / 4 * 4; }

/* Where a row's n keys lie in the ring: from slot begin + lead on, and around.  begin is a multiple
 * of 4, and so is `count`, which covers them. */
struct place {
    uint32_t begin, lead, n, count, ring;
    __device__ uint32_t slot(uint32_t e) const {
        return begin + e < ring ? begin + e : begin + e - ring;
    }
    __device__ bool has(uint32_t e) const { return e >= lead && e < lead + n; }
};

__device__ static place place_of(const isb__gpu_m1_cache &c, const isb__gpu_m1_row &row) {
    const uint32_t n = (uint32_t)(row.position + 1 < c.T ? row.position + 1 : c.T),
                   ring = (uint32_t)c.ring,
                   first = row.slot + 1 >= n ? row.slot + 1 - n : row.slot + 1 + ring - n,
                   lead = first % 4;
    return {first - lead, lead, n, (lead + n + 3) / 4 * 4, ring};
}

__device__ static float block_largest(float x) {
    __shared__ float partial[WARPS];
    x = lanes_largest<WARP>(x);
    __syncthreads();
    if (threadIdx.x % WARP == 0) partial[threadIdx.x / WARP] = x;
    __syncthreads();
    for (int i = 0; i < WARPS; ++i) x = larger(partial[i], x);
    return x;
}

/* Scores to t; the largest is returned. */
__device__ static float scores(const attention_args &a, const attention_work &work, const place &p,
                               const head_cache &cache, float scale, const float *bias) {
    const size_t D = a.cache.D;
    float most = negative_infinity();
    for (uint32_t e = p.lead + threadIdx.x; e < p.lead + p.n; e += THREADS) {
        const uint32_t slot = p.slot(e), *key = cache.keys + key_word(D, slot, 0);
        int sum = 0;
        for (size_t c = 0; c < D / 4; ++c)
            sum = __dp4a((int)work.query[c], (int)key[c * KEYS], sum);
        float t = __fmul_rn(__int2float_rn(sum), __fmul_rn(scale, cache.key_scales[slot]));
        if (bias) t = __fadd_rn(t, bias[p.lead + p.n - 1 - e]);
        work.t[e] = t;
        most = larger(t, most);
    }
    return block_largest(most);
}

/* t becomes w; *z is their sum, in units of 2^-19; the largest is returned. */
__device__ static float weights(const attention_work &work, const place &p, const head_cache &cache,
                                float most, uint32_t *z) {
    __shared__ uint32_t partial[WARPS];
    uint32_t sum = 0;
    float top = 0;
    for (uint32_t e = p.lead + threadIdx.x; e < p.lead + p.n; e += THREADS) {
        const float w = exact_exp(__fsub_rn(work.t[e], most));
        sum += (uint32_t)__float2int_rn(__fmul_rn(w, 0x1p19f));
        work.t[e] = __fmul_rn(w, cache.value_scales[p.slot(e)]);
        top = larger(work.t[e], top);
    }
    *z = block_sum<THREADS>(sum, partial);
    return block_largest(top);
}

/* sums[d] = sum over slots of b v[d].  Several threads share a channel where there are fewer
 * channels than threads. */
__device__ static void mix(const attention_args &a, const attention_work &work, const place &p,
                           const head_cache &cache) {
    const uint32_t D = (uint32_t)a.cache.D, wide = D < THREADS ? D : (uint32_t)THREADS,
                   n_parts = THREADS / wide, part = threadIdx.x / wide;
    if (part >= n_parts) return;
    for (uint32_t d = threadIdx.x % wide; d < D; d += wide) {
        int sum = 0;
        for (uint32_t e = 4 * part; e < p.count; e += 4 * n_parts) {
            const int four = (int)cache.values[(size_t)p.slot(e) / 4 * D + d];
            sum = __dp2a_lo((int)work.b[e / 2], four, sum);
            sum = __dp2a_hi((int)work.b[e / 2 + 1], four, sum);
        }
        atomicAdd(&work.sums[d], sum);
    }
}

__device__ static uint32_t weight_integer(const attention_work &work, const place &p, uint32_t e,
                                          float c) {
    return p.has(e) ? (uint32_t)__float2int_rn(__fmul_rn(work.t[e], c)) & 0xffff : 0;
}

__device__ static void attend(const attention_args &a, const attention_work &work, size_t r,
                              size_t head) {
    const size_t D = a.cache.D, H = a.cache.H, at = r * H + head;
    const isb__gpu_m1_row row = a.rows[r];
    const head_cache cache = cache_of(a.cache, row.stream, a.layer, head);
    const place p = place_of(a.cache, row);
    const uint32_t *query = reinterpret_cast<const uint32_t *>(a.qq + at * D);
    for (size_t i = threadIdx.x; i < D / 4; i += THREADS) work.query[i] = query[i];
    for (size_t i = threadIdx.x; i < D; i += THREADS) work.sums[i] = 0;
    __syncthreads();
    const float most = scores(a, work, p, cache, __fmul_rn(a.qs[at], a.inverse_root),
                              a.bias ? a.bias + head * a.cache.T : NULL);
    uint32_t z;
    const float top = weights(work, p, cache, most, &z);
    const bool is_zero = !(top >= 0x1p-100f && top < -negative_infinity());
    const float c = is_zero ? 0.0f : __fdiv_rn(a.limit, top);
    for (uint32_t e = 2 * threadIdx.x; e < p.count; e += 2 * THREADS)
        work.b[e / 2] = weight_integer(work, p, e, c) | weight_integer(work, p, e + 1, c) << 16;
    __syncthreads();
    mix(a, work, p, cache);
    __syncthreads();
    const float scale =
        is_zero ? 0.0f : __fdiv_rn(1.0f, __fmul_rn(c, __fmul_rn(__uint2float_rn(z), 0x1p-19f)));
    for (size_t d = threadIdx.x; d < D; d += THREADS)
        a.o[at * D + d] = is_zero ? 0.0f : __fmul_rn(__int2float_rn(work.sums[d]), scale);
}

__global__ static void __launch_bounds__(THREADS) attention(attention_args a) {
    ISB_DYNAMIC_SHARED(float, shared);
    const size_t n = elements(a.cache.T);
    attention_work work;
    work.t = shared;
    work.b = reinterpret_cast<uint32_t *>(work.t + n);
    work.query = work.b + n / 2;
    work.sums = reinterpret_cast<int *>(work.query + a.cache.D / 4);
    const isb__gpu_m1_tile tile = a.tiles[blockIdx.x];
    for (uint32_t i = 0; i < tile.count; ++i) {
        attend(a, work, tile.first + i, blockIdx.y);
        __syncthreads();
    }
}

extern "C" void isb__gpu_m1_attention(isb__gpu *gpu, const isb__gpu_m1_cache *cache, size_t layer,
                                      size_t n_tiles, const isb__gpu_m1_tile *d_tiles,
                                      const isb__gpu_m1_row *d_rows, const int8_t *d_qq,
                                      const float *d_qs, const float *d_bias, int32_t limit,
                                      float *d_o) {
    const size_t n = elements(cache->T),
                 nbytes = n * sizeof(float) + n * 2 + cache->D + cache->D * sizeof(int);
    const attention_args a = {*cache,       layer, d_tiles, d_rows,
                              d_qq,         d_qs,  d_bias,  1.0f / sqrtf((float)cache->D),
                              (float)limit, d_o};
    const dim3 grid((unsigned)n_tiles, (unsigned)cache->H);
    ISB_LAUNCH(attention, grid, THREADS, nbytes, gpu->stream, a);
    gpu_launched(gpu, "attention");
}
