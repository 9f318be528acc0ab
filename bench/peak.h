/* The most multiply-adds a second that registers alone allow: twelve or more independent chains and no memory. */
#ifndef ISB_BENCH_PEAK_H
#define ISB_BENCH_PEAK_H

#include <string.h>

#include "base/context.h"
#include "kernels/tiers.h"
#include "timer.h"

typedef enum peak_kind { PEAK_F32_AVX2, PEAK_F32_AVX512, PEAK_BF16_AVX512X, PEAK_BF16_AMX, N_PEAKS } peak_kind;

enum { PEAK_ROUNDS = 20000, PEAK_TASKS_PER_THREAD = 8 };

#if ISB__X86
#include "kernels/x86/target.h"

/* The empty assembly keeps the sums alive without storing them. */
#define PEAK_LOOP(TARGET, name, vector, zero, STEP)                                           \
    TARGET static inline double name(void) {                                                  \
        vector x = zero, s0 = x, s1 = x, s2 = x, s3 = x, s4 = x, s5 = x;                      \
        vector s6 = x, s7 = x, s8 = x, s9 = x, s10 = x, s11 = x;                              \
        for (int i = 0; i < PEAK_ROUNDS; ++i) {                                               \
            STEP(s0) STEP(s1) STEP(s2) STEP(s3) STEP(s4) STEP(s5)                             \
            STEP(s6) STEP(s7) STEP(s8) STEP(s9) STEP(s10) STEP(s11)                           \
            __asm__ volatile("" : "+x"(s0), "+x"(s1), "+x"(s2), "+x"(s3), "+x"(s4), "+x"(s5)); \
            __asm__ volatile("" : "+x"(s6), "+x"(s7), "+x"(s8), "+x"(s9), "+x"(s10), "+x"(s11)); \
        }                                                                                     \
        return 2.0 * 12.0 * PEAK_ROUNDS;                                                      \
    }

#define STEP_AVX2(s) s = _mm256_fmadd_ps(x, x, s);
#define STEP_AVX512(s) s = _mm512_fmadd_ps(x, x, s);
#define STEP_BF16(s) s = _mm512_dpbf16_ps(s, (__m512bh)_mm512_castps_si512(x), (__m512bh)_mm512_castps_si512(x));
PEAK_LOOP(ISB_TARGET_AVX2, peak_avx2, __m256, _mm256_setzero_ps(), STEP_AVX2)
PEAK_LOOP(ISB_TARGET_AVX512, peak_avx512, __m512, _mm512_setzero_ps(), STEP_AVX512)
PEAK_LOOP(ISB_TARGET_AVX512X, peak_bf16, __m512, _mm512_setzero_ps(), STEP_BF16)

ISB_TARGET_AMX static inline double peak_amx(void) {
    isb__gemm_bf16_amx.begin();
    _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
    _tile_zero(4); _tile_zero(5); _tile_zero(6); _tile_zero(7);
    for (int i = 0; i < PEAK_ROUNDS / 16; ++i) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    isb__gemm_bf16_amx.end();
    return 4.0 * 2.0 * 16.0 * 16.0 * 32.0 * (PEAK_ROUNDS / 16);
}
#endif

typedef struct peak_arg {
    isb_context *ctx;
    peak_kind kind;
    double flop; /* of one task */
} peak_arg;

static inline void peak_task(void *arg, size_t task, int thread) {
    peak_arg *p = arg;
    double flop = 0;
#if ISB__X86
    switch (p->kind) {
        case PEAK_F32_AVX2: flop = 8 * peak_avx2(); break;
        case PEAK_F32_AVX512: flop = 16 * peak_avx512(); break;
        case PEAK_BF16_AVX512X: flop = 32 * peak_bf16(); break;
        case PEAK_BF16_AMX: flop = peak_amx(); break;
        case N_PEAKS: break;
    }
#endif
    (void)thread;
    if (task == 0) p->flop = flop;
}

static inline void peak_all(void *arg) {
    const peak_arg *p = arg;
    isb__parallel(p->ctx, (size_t)isb__thread_count(p->ctx) * PEAK_TASKS_PER_THREAD, peak_task, arg);
}

/* FLOP/s of all threads, or 0 where the processor has no such instruction or it is not measured. */
static inline double peak_measure(isb_context *ctx, peak_kind kind) {
    static const isb__cpu_tier needed[N_PEAKS] = {ISB__CPU_AVX2, ISB__CPU_AVX512, ISB__CPU_AVX512X, ISB__CPU_AMX};
    if (!ISB__X86 || ctx->cpu < needed[kind]) return 0;
    peak_arg p = {ctx, kind, 0};
    const bench_time t = bench_run(peak_all, &p, 0.2);
    return p.flop * isb__thread_count(ctx) * PEAK_TASKS_PER_THREAD / t.best_s;
}

static inline peak_kind peak_of_kernel(const isb__gemm_kernel *kernel) {
    if (strstr(kernel->name, "amx")) return PEAK_BF16_AMX;
    if (strstr(kernel->name, "bf16")) return PEAK_BF16_AVX512X;
    return strstr(kernel->name, "avx512") ? PEAK_F32_AVX512 : PEAK_F32_AVX2;
}

#endif
