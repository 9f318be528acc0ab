/* Twelve independent chains of multiply-adds, as many as hide the latency of two units, and nothing
 * else.  AMX: four accumulators of tiles. */
#include "kernels/peak.h"

#include <string.h>

#include "kernels/tiers.h"

enum { ROUNDS = 20000, AMX_ROUNDS = ROUNDS / 16 };

#if ISB__X86
#include "kernels/x86/target.h"

/* The empty assembly hides what x is, and keeps the sums alive without storing them. */
#define PEAK_LOOP(TARGET, name, vector, zero, STEP)                                              \
    TARGET static void name(void) {                                                              \
        vector x = zero;                                                                         \
        __asm__ volatile("" : "+x"(x));                                                          \
        vector s0 = x, s1 = x, s2 = x, s3 = x, s4 = x, s5 = x;                                   \
        vector s6 = x, s7 = x, s8 = x, s9 = x, s10 = x, s11 = x;                                 \
        for (int i = 0; i < ROUNDS; ++i) {                                                       \
            STEP(s0) STEP(s1) STEP(s2) STEP(s3) STEP(s4) STEP(s5)                                \
            STEP(s6) STEP(s7) STEP(s8) STEP(s9) STEP(s10) STEP(s11)                              \
            __asm__ volatile("" : "+x"(s0), "+x"(s1), "+x"(s2), "+x"(s3), "+x"(s4), "+x"(s5));   \
            __asm__ volatile("" : "+x"(s6), "+x"(s7), "+x"(s8), "+x"(s9), "+x"(s10), "+x"(s11)); \
        }                                                                                        \
    }

#define AS_BF16(x) ((__m512bh)_mm512_castps_si512(x))
#define STEP_AVX2(s) s = _mm256_fmadd_ps(x, x, s);
#define STEP_AVX512(s) s = _mm512_fmadd_ps(x, x, s);
#define STEP_BF16(s) s = _mm512_dpbf16_ps(s, AS_BF16(x), AS_BF16(x));
#define STEP_INT8_AVX2(s) s = _mm256_add_epi32(s, _mm256_madd_epi16(x, s));
#define STEP_VNNI(s) s = _mm512_dpbusd_epi32(s, x, x);
PEAK_LOOP(ISB_TARGET_AVX2, run_avx2, __m256, _mm256_setzero_ps(), STEP_AVX2)
PEAK_LOOP(ISB_TARGET_AVX512, run_avx512, __m512, _mm512_setzero_ps(), STEP_AVX512)
PEAK_LOOP(ISB_TARGET_AVX512X, run_bf16, __m512, _mm512_setzero_ps(), STEP_BF16)
PEAK_LOOP(ISB_TARGET_AVX2, run_int8_avx2, __m256i, _mm256_setzero_si256(), STEP_INT8_AVX2)
PEAK_LOOP(ISB_TARGET_VNNI, run_vnni, __m512i, _mm512_setzero_si512(), STEP_VNNI)

#define AMX_LOOP(name, DP)                                          \
    ISB_TARGET_AMX static void name(void) {                         \
        isb__gemm_bf16_amx.begin();                                 \
        _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3); \
        _tile_zero(4); _tile_zero(5); _tile_zero(6); _tile_zero(7); \
        for (int i = 0; i < AMX_ROUNDS; ++i) {                      \
            DP(0, 4, 6);                                            \
            DP(1, 4, 7);                                            \
            DP(2, 5, 6);                                            \
            DP(3, 5, 7);                                            \
        }                                                           \
        isb__gemm_bf16_amx.end();                                   \
    }
AMX_LOOP(run_amx, _tile_dpbf16ps)
AMX_LOOP(run_int8_amx, _tile_dpbssd)

double isb__peak_run(isb__peak kind) {
    static const double lanes[] = {
        [ISB__PEAK_F32_AVX2] = 8,   [ISB__PEAK_F32_AVX512] = 16, [ISB__PEAK_BF16_AVX512X] = 32,
        [ISB__PEAK_INT8_AVX2] = 16, [ISB__PEAK_INT8_VNNI] = 64};
    switch (kind) {
    case ISB__PEAK_F32_AVX2: run_avx2(); break;
    case ISB__PEAK_F32_AVX512: run_avx512(); break;
    case ISB__PEAK_BF16_AVX512X: run_bf16(); break;
    case ISB__PEAK_BF16_AMX: run_amx(); return 4.0 * 2 * 16 * 16 * 32 * AMX_ROUNDS;
    case ISB__PEAK_INT8_AVX2: run_int8_avx2(); break;
    case ISB__PEAK_INT8_VNNI: run_vnni(); break;
    case ISB__PEAK_INT8_AMX: run_int8_amx(); return 4.0 * 2 * 16 * 16 * 64 * AMX_ROUNDS;
    case ISB__PEAK_UNKNOWN: return 0;
    }
    return lanes[kind] * 2 * 12 * ROUNDS;
}

isb__peak isb__peak_of(const char *kernel_name) {
    if (strstr(kernel_name, "amx")) return ISB__PEAK_BF16_AMX;
    if (strstr(kernel_name, "bf16")) return ISB__PEAK_BF16_AVX512X;
    if (strstr(kernel_name, "avx512")) return ISB__PEAK_F32_AVX512;
    return strstr(kernel_name, "avx2") ? ISB__PEAK_F32_AVX2 : ISB__PEAK_UNKNOWN;
}

isb__peak isb__peak_of_int8(isb__cpu_tier tier) {
    if (tier == ISB__CPU_AMX) return ISB__PEAK_INT8_AMX;
    if (tier >= ISB__CPU_AVX512 && isb__cpu_has_vnni()) return ISB__PEAK_INT8_VNNI;
    return tier >= ISB__CPU_AVX2 ? ISB__PEAK_INT8_AVX2 : ISB__PEAK_UNKNOWN;
}
#else
double isb__peak_run(isb__peak kind) {
    (void)kind;
    return 0;
}

isb__peak isb__peak_of(const char *kernel_name) {
    (void)kernel_name;
    return ISB__PEAK_UNKNOWN;
}

isb__peak isb__peak_of_int8(isb__cpu_tier tier) {
    (void)tier;
    return ISB__PEAK_UNKNOWN;
}
#endif
