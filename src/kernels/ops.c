/* Fills the tables of kernels, one per tier: each starts as the tier below and is overlaid with what is better. */
#include "kernels/ops.h"

#include <pthread.h>

#include "kernels/tiers.h"

enum { N_TIERS = ISB__CPU_AMX + 1 };

static isb__ops tables[N_TIERS];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void overlay(isb__ops *ops, isb__cpu_tier tier) {
#if ISB__X86
    switch (tier) {
    case ISB__CPU_AVX2:
        isb__ops_overlay_vector_avx2(ops);
        ops->gemm_exact = ops->gemm_close = &isb__gemm_f32_avx2;
        break;
    case ISB__CPU_AVX512:
        isb__ops_overlay_vector_avx512(ops);
        ops->gemm_exact = ops->gemm_close = &isb__gemm_f32_avx512;
        break;
    case ISB__CPU_AVX512X:
        if (isb__cpu_bf16_dot_is_fast()) ops->gemm_close = &isb__gemm_bf16_avx512x;
        break;
    case ISB__CPU_AMX: ops->gemm_close = &isb__gemm_bf16_amx; break;
    case ISB__CPU_REF: break;
    }
#endif
    ops->tier = isb__cpu_tier_name(tier);
}

static void fill_tables(void) {
    isb__ops_overlay_vector_ref(&tables[0]);
    tables[0].gemm_exact = tables[0].gemm_close = &isb__gemm_f32_ref;
    overlay(&tables[0], ISB__CPU_REF);
    for (int tier = 1; tier < N_TIERS; ++tier) {
        tables[tier] = tables[tier - 1];
        overlay(&tables[tier], (isb__cpu_tier)tier);
    }
}

const isb__ops *isb__ops_for(isb__cpu_tier tier) {
    pthread_once(&tables_once, fill_tables);
    return &tables[tier];
}

const isb__gemm_kernel *isb__gemm_kernel_at(size_t index, isb__cpu_tier *needed) {
    static const struct {
        const isb__gemm_kernel *kernel;
        isb__cpu_tier needed;
    } kernels[] = {
        {&isb__gemm_f32_ref, ISB__CPU_REF},
#if ISB__X86
        {&isb__gemm_f32_avx2, ISB__CPU_AVX2},
        {&isb__gemm_f32_avx512, ISB__CPU_AVX512},
        {&isb__gemm_bf16_avx512x, ISB__CPU_AVX512X},
        {&isb__gemm_bf16_amx, ISB__CPU_AMX},
#endif
    };
    if (index >= sizeof kernels / sizeof *kernels) return NULL;
    *needed = kernels[index].needed;
    return kernels[index].kernel;
}
