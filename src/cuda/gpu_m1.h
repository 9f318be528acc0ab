/* M1's steps on a GPU as calls, by docs/m1.md: the seam between the engine (m1_cuda.c) and its
 * kernels.  As in gpu.h: calls put work in line, d_ pointers are device memory, matrices row-major.
 *
 * M counts rows.  A row is one position of a stream; the rows of a stream lie together and in
 * order. */
#ifndef ISB_CUDA_GPU_M1_H
#define ISB_CUDA_GPU_M1_H

#include "cuda/gpu.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    ISB__GPU_M1_SYMBOLS = 257,
    ISB__GPU_M1_CDF_STRIDE = 258, /* uint16 of a row: cdf[0 .. 256], and one unused */
    ISB__GPU_M1_TILE = 8,         /* most rows of one stream that a block attends for */
    ISB__GPU_M1_RING_STEP = 32    /* rings are a multiple of it */
};

typedef struct isb__gpu_m1_row {
    uint64_t position;
    uint32_t stream, slot; /* slot: position modulo the ring */
    uint32_t id, unused;
} isb__gpu_m1_row;

/* Rows first .. first + count of the group, of one stream. */
typedef struct isb__gpu_m1_tile {
    uint32_t first, count;
} isb__gpu_m1_tile;

/* q [n, k] int8 and s [n]; k is a multiple of 16. */
typedef struct isb__gpu_m1_matrix {
    size_t n, k;
    const int8_t *d_q;
    const float *d_s;
} isb__gpu_m1_matrix;

/* ---- m1_product.cu: y [M, k] int8 with scales sy [M] times a matrix ---- */

/* u [M, n], rows of u_stride floats = f32(sum) * (sy * s);  or u adds that. */
void isb__gpu_m1_product(isb__gpu *gpu, size_t M, const int8_t *d_y, const float *d_sy,
                         const isb__gpu_m1_matrix *W, float *d_u, size_t u_stride);
void isb__gpu_m1_product_add(isb__gpu *gpu, size_t M, const int8_t *d_y, const float *d_sy,
                             const isb__gpu_m1_matrix *W, float *d_u, size_t u_stride);
/* h [M, n / 2] = act(g) * u: row i of W is the gate's, row n / 2 + i up's. */
void isb__gpu_m1_product_gate(isb__gpu *gpu, size_t M, int relu, const int8_t *d_y,
                              const float *d_sy, const isb__gpu_m1_matrix *W, float *d_h);

/* ---- m1_rows.cu ---- */

/* x [M, C] = f32(q[id]) * s[id] */
void isb__gpu_m1_embed(isb__gpu *gpu, size_t M, const isb__gpu_m1_row *d_rows,
                       const isb__gpu_m1_matrix *embed, float *d_x);
/* y, sy = norm(x, gain).  d_which [M]: the rows of x to take; NULL: all in order. */
void isb__gpu_m1_norm(isb__gpu *gpu, size_t M, size_t C, float eps, const float *d_x,
                      const uint32_t *d_which, const float *d_gain, int8_t *d_y, float *d_sy);
/* y, sy = quantise(x [M, n]), n a multiple of 4. */
void isb__gpu_m1_quantise(isb__gpu *gpu, size_t M, size_t n, const float *d_x, int8_t *d_y,
                          float *d_sy);
/* z [M, stride] to cdfs [M, ISB__GPU_M1_CDF_STRIDE]. */
void isb__gpu_m1_cdf(isb__gpu *gpu, size_t M, const float *d_z, size_t stride, uint16_t *d_cdfs);

/* ---- m1_attention.cu ---- */

/* Keys and values of all streams, layers and heads.  Where they lie, for one of each:
 *
 *     keys     [ring / 32][D / 4][32] words    four channels of a key; 32 keys side by side
 *     values   [ring / 4][D] words             four slots of a channel
 *     scales   [2][ring]                       of keys, of values
 *
 * so that threads with neighbouring keys, or channels, read neighbouring words. */
typedef struct isb__gpu_m1_cache {
    size_t ring, L, H, D, T;
    uint32_t *d_keys, *d_values;
    float *d_scales;
} isb__gpu_m1_cache;

size_t isb__gpu_m1_cache_words(const isb__gpu_m1_cache *cache, size_t n_streams);  /* of each */
size_t isb__gpu_m1_cache_scales(const isb__gpu_m1_cache *cache, size_t n_streams); /* floats */
/* Slot 0 of each stream listed becomes that of `from`, in all layers. */
void isb__gpu_m1_begin(isb__gpu *gpu, const isb__gpu_m1_cache *cache, size_t n,
                       const uint32_t *d_streams, uint32_t from);
/* cosines, sines [M, D / 2] of the rows' positions. */
void isb__gpu_m1_angles(isb__gpu *gpu, size_t M, size_t D, const isb__gpu_m1_row *d_rows,
                        const uint64_t *d_steps, float *d_cosines, float *d_sines);
/* Of qkv [M, 3C]: queries to qq [M, C] int8 and qs [M, H], keys and values to the cache.
 * d_cosines NULL: not rotated. */
void isb__gpu_m1_heads(isb__gpu *gpu, const isb__gpu_m1_cache *cache, size_t layer, size_t M,
                       const isb__gpu_m1_row *d_rows, const float *d_cosines, const float *d_sines,
                       const float *d_qkv, int8_t *d_qq, float *d_qs);
/* o [M, C].  d_bias [H, T] by distance, or NULL.  limit: 2^B - 1. */
void isb__gpu_m1_attention(isb__gpu *gpu, const isb__gpu_m1_cache *cache, size_t layer,
                           size_t n_tiles, const isb__gpu_m1_tile *d_tiles,
                           const isb__gpu_m1_row *d_rows, const int8_t *d_qq, const float *d_qs,
                           const float *d_bias, int32_t limit, float *d_o);

#ifdef __cplusplus
}
#endif
#endif
