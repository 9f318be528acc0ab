/* The float32 steps of docs/m1.md on a GPU: the same bits as everywhere.
 *
 * The _rn intrinsics are single IEEE operations, which no compiler contracts into a fused
 * multiply-add; denormals are kept (nvcc's default).  Largest values and sums of integers have no
 * order, so they are taken as warps like best; only `norm` (m1_rows.cu) has sums of floats. */
#ifndef ISB_CUDA_EXACT_H
#define ISB_CUDA_EXACT_H

#include "cuda/gpu_m1.h"
#include "cuda/platform.h"

/* max(a, b) of docs/m1.md, b where a is a NaN; likewise min. */
__device__ __forceinline__ float larger(float a, float b) { return a > b ? a : b; }
__device__ __forceinline__ float smaller(float a, float b) { return a < b ? a : b; }

__device__ __forceinline__ float negative_infinity() { return __uint_as_float(0xff800000u); }

/* e(x) */
__device__ __forceinline__ float exact_exp(float x) {
    const float magic = 0x1.8p+23f;
    x = smaller(larger(x, -87.0f), 88.0f);
    const float t = __fadd_rn(__fmul_rn(x, 0x1.715476p+0f), magic), n = __fsub_rn(t, magic),
                r = __fsub_rn(__fsub_rn(x, __fmul_rn(n, 0x1.62e400p-1f)),
                              __fmul_rn(n, 0x1.7f7d1cp-20f));
    float p = 0x1.6a21acp-10f;
    p = __fadd_rn(__fmul_rn(p, r), 0x1.123b6ap-7f);
    p = __fadd_rn(__fmul_rn(p, r), 0x1.5558fap-5f);
    p = __fadd_rn(__fmul_rn(p, r), 0x1.555490p-3f);
    p = __fadd_rn(__fmul_rn(p, r), 0x1.fffffcp-2f);
    p = __fadd_rn(__fmul_rn(p, r), 1.0f);
    p = __fadd_rn(__fmul_rn(p, r), 1.0f);
    /* n stands in the lowest bits of t. */
    return __uint_as_float(__float_as_uint(p) + (__float_as_uint(t) << 23));
}

/* ---- a few lanes of a warp together: LANES is 16 or 32 ---- */

template <int LANES> __device__ __forceinline__ float lanes_largest(float x) {
    for (int lane = LANES / 2; lane > 0; lane /= 2)
        x = larger(__shfl_xor_sync(0xffffffffu, x, lane), x);
    return x;
}

__device__ __forceinline__ uint32_t quantised(float x, float inverse) {
    const float y = smaller(larger(__fmul_rn(x, inverse), -127.0f), 127.0f);
    return (uint32_t)__float2int_rn(y) & 255;
}

/* quantise(v [n]), n a multiple of 4: store(i, word) gets q[i .. i + 3], lowest byte first, from
 * the lane that has them; all lanes get s.  value(i) is v[i], asked for twice.  All lanes of the
 * warp must come here, those with n == 0 too. */
template <int LANES, typename Value, typename Store>
__device__ __forceinline__ float quantise(size_t n, Value value, Store store) {
    const size_t first = threadIdx.x % LANES * 4;
    float most = 0;
    for (size_t i = first; i < n; i += LANES * 4) {
        for (size_t j = i; j < i + 4; ++j) most = larger(fabsf(value(j)), most);
    }
    most = lanes_largest<LANES>(most);
    const bool is_zero = !(most >= 0x1p-100f);
    const float inverse = is_zero ? 0.0f : __fdiv_rn(127.0f, most);
    for (size_t i = first; i < n; i += LANES * 4) {
        uint32_t word = 0;
        for (size_t j = 0; j < 4 && !is_zero; ++j)
            word |= quantised(value(i + j), inverse) << 8 * j;
        store(i, word);
    }
    return is_zero ? 0.0f : __fdiv_rn(most, 127.0f);
}

#endif
