/* What the processor can do, as named tiers.  A tier includes all below it. */
#ifndef ISB_BASE_CPU_H
#define ISB_BASE_CPU_H

#include <stdbool.h>

typedef enum isb__cpu_tier {
    ISB__CPU_REF = 0,     /* portable C */
    ISB__CPU_AVX2 = 1,    /* AVX2, FMA, F16C, BMI2 */
    ISB__CPU_AVX512 = 2,  /* + AVX-512 F, BW, DQ, VL */
    ISB__CPU_AVX512X = 3, /* + AVX-512 VNNI and BF16 */
    ISB__CPU_AMX = 4      /* + AMX tile, bf16, int8, and Linux's permission to use the tiles */
} isb__cpu_tier;

/* Asks CPUID, XGETBV and (for AMX) arch_prctl; the answer is computed once. */
isb__cpu_tier isb__cpu_detect(void);
/* True where vdpbf16ps does more multiply-adds a second than a float32 FMA (Zen 4 and later; not
 * Intel before Diamond Rapids, where it has half the rate). */
bool isb__cpu_bf16_dot_is_fast(void);
/* True with AVX-512 VNNI: always from avx512x on, and on the Intel servers before it (Cascade Lake, Ice Lake). */
bool isb__cpu_has_vnni(void);
const char *isb__cpu_tier_name(isb__cpu_tier tier);
/* Returns false for an unknown name. */
bool isb__cpu_tier_parse(const char *name, isb__cpu_tier *tier);
/* "AMD EPYC ..." from CPUID; static storage. */
const char *isb__cpu_model_name(void);

#endif
