/* Fills the tables of M1's kernels, one per tier: each starts as the tier below and is overlaid with what is better. */
#include "kernels/int8.h"

#include <pthread.h>

#include "kernels/tiers.h"

enum { N_TIERS = ISB__CPU_AMX + 1 };

static isb__int8_ops tables[N_TIERS];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

/* VNNI came before the bf16 instructions that define the tier avx512x: processors that have it use it from avx512 on. */
static void overlay(isb__int8_ops *ops, isb__cpu_tier tier) {
    switch (tier) {
    case ISB__CPU_REF: isb__int8_overlay_ref(ops); break;
#if ISB__X86
    case ISB__CPU_AVX2: isb__int8_overlay_avx2(ops); break;
    case ISB__CPU_AVX512:
        isb__int8_overlay_avx512(ops);
        if (isb__cpu_has_vnni()) isb__int8_overlay_vnni(ops);
        break;
    case ISB__CPU_AVX512X: isb__int8_overlay_vnni(ops); break;
    case ISB__CPU_AMX: isb__int8_overlay_amx(ops); break;
#endif
    default: break;
    }
    ops->tier = isb__cpu_tier_name(tier);
}

static void fill_tables(void) {
    overlay(&tables[0], ISB__CPU_REF);
    for (int tier = 1; tier < N_TIERS; ++tier) {
        tables[tier] = tables[tier - 1];
        overlay(&tables[tier], (isb__cpu_tier)tier);
    }
}

const isb__int8_ops *isb__int8_ops_for(isb__cpu_tier tier) {
    pthread_once(&tables_once, fill_tables);
    return &tables[tier];
}
