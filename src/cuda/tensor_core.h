/* The tensor cores as three functions of a warp: a product of small tiles, and loads of a tile from
 * shared memory into the fragments that the product wants.
 *
 * A fragment spreads a tile over the 32 lanes (PTX ISA, "Matrix fragments for mma.m16n8k16").
 * With g = lane / 4 and t = lane % 4, lane by lane:
 *
 *     A [16, 16]   a[0]: (g, 2t), (g, 2t+1)      a[1]: row g + 8
 *                  a[2]: columns 8 further       a[3]: both
 *     B [16, 8]    b[0]: (2t, g), (2t+1, g)      b[1]: rows 8 further
 *     C [16, 8]    c[0], c[1]: (g, 2t), (g, 2t+1)    c[2], c[3]: row g + 8
 *
 * So C of one product, rounded to bf16 in pairs, is half of an A of the next: a chain of products
 * stays in registers (Dao 2023).
 *
 * With int8 (m16n8k32) a register holds four numbers in place of two: tiles are as many bytes, A
 * [16, 32] and B [32, 8], and the loads are the same.  Sums are int32, exact. */
#ifndef ISB_CUDA_TENSOR_CORE_H
#define ISB_CUDA_TENSOR_CORE_H

#include "cuda/platform.h"

/* c += a b */
__device__ __forceinline__ void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t *b) {
#ifdef ISB_CUDA_EMULATION
    emulated_mma(c, a, b);
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

__device__ __forceinline__ void mma(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t *b) {
#ifdef ISB_CUDA_EMULATION
    emulated_mma_int8(c, a, b);
#else
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/* Four 8 x 8 tiles: lanes 8i .. 8i+7 name the rows of tile i, 16 bytes each, aligned. */
template <bool TRANSPOSED>
__device__ __forceinline__ void load_tiles(uint32_t (&r)[4], const isb__bf16 *row) {
#ifdef ISB_CUDA_EMULATION
    emulated_ldmatrix(r, row, TRANSPOSED);
#else
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    if (TRANSPOSED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(at)
                     : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(at)
                     : "memory");
#endif
}

/* A [16, 16] = x, whose rows are `stride` apart. */
__device__ __forceinline__ void load_a(uint32_t (&a)[4], const isb__bf16 *x, int stride) {
    const int lane = threadIdx.x % WARP;
    load_tiles<false>(a, x + lane % 16 * stride + lane / 16 * 8);
}
/* Two neighbouring B [16, 8] of the transpose of x [16, 16]: rows of x are columns of B. */
__device__ __forceinline__ void load_b_of_rows(uint32_t (&b)[4], const isb__bf16 *x, int stride) {
    const int lane = threadIdx.x % WARP, tile = lane / 8;
    load_tiles<false>(b, x + (lane % 8 + tile / 2 * 8) * stride + tile % 2 * 8);
}
/* The same of int8: A [16, 32] = x, and two B [32, 8] of the transpose of x [16, 32].  stride is in
 * bytes, a multiple of 16. */
__device__ __forceinline__ void load_a(uint32_t (&a)[4], const int8_t *x, int stride) {
    load_a(a, reinterpret_cast<const isb__bf16 *>(x), stride / 2);
}
__device__ __forceinline__ void load_b_of_rows(uint32_t (&b)[4], const int8_t *x, int stride) {
    load_b_of_rows(b, reinterpret_cast<const isb__bf16 *>(x), stride / 2);
}
/* Two neighbouring B [16, 8] of x [16, 16]. */
__device__ __forceinline__ void load_b_of_columns(uint32_t (&b)[4], const isb__bf16 *x,
                                                  int stride) {
    const int lane = threadIdx.x % WARP, tile = lane / 8;
    load_tiles<true>(b, x + (lane % 8 + tile % 2 * 8) * stride + tile / 2 * 8);
}

#endif
