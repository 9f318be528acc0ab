/* What the tiers offer to the tables: each overlay replaces the entries that its tier improves.
 * Functions of an absent architecture are not declared: ops.c and int8.c ask ISB__X86. */
#ifndef ISB_KERNELS_TIERS_H
#define ISB_KERNELS_TIERS_H

#include "kernels/int8.h"
#include "kernels/ops.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define ISB__X86 1
#else
#define ISB__X86 0
#endif

void isb__ops_overlay_vector_ref(isb__ops *ops);
extern const isb__gemm_kernel isb__gemm_f32_ref;
void isb__int8_overlay_ref(isb__int8_ops *ops);

#if ISB__X86
void isb__ops_overlay_vector_avx2(isb__ops *ops);
void isb__ops_overlay_vector_avx512(isb__ops *ops);
extern const isb__gemm_kernel isb__gemm_f32_avx2;
extern const isb__gemm_kernel isb__gemm_f32_avx512;
extern const isb__gemm_kernel isb__gemm_bf16_avx512x;
extern const isb__gemm_kernel isb__gemm_bf16_amx;
void isb__int8_overlay_avx2(isb__int8_ops *ops);
void isb__int8_overlay_avx512(isb__int8_ops *ops);
void isb__int8_overlay_vnni(isb__int8_ops *ops);
void isb__int8_overlay_amx(isb__int8_ops *ops);
#endif

#endif
