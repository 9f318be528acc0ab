/* Instruction sets by attribute, function by function: the library builds with one plain compiler line, and no code of a
 * higher tier leaks into what runs on a lower one.  Each set includes those below it (see base/cpu.h). */
#ifndef ISB_KERNELS_X86_TARGET_H
#define ISB_KERNELS_X86_TARGET_H

#include <immintrin.h>

/* clang takes minutes to instrument functions of hundreds of vector loads and stores, so its sanitizers leave AVX-512
 * out; gcc's do not, and guard pages watch in tests (tests/kernels/guard.h). */
#if defined(__clang__)
#define ISB_NOT_INSTRUMENTED __attribute__((no_sanitize("address", "undefined", "coverage")))
#else
#define ISB_NOT_INSTRUMENTED
#endif

#define ISB_TARGET_AVX2 __attribute__((target("avx2,fma,f16c,bmi2")))
#define ISB_TARGET_AVX512 \
    ISB_NOT_INSTRUMENTED __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512dq,avx512vl")))
#define ISB_TARGET_VNNI  \
    ISB_NOT_INSTRUMENTED \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define ISB_TARGET_AVX512X \
    ISB_NOT_INSTRUMENTED   \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16")))
#define ISB_TARGET_AMX                                                                                     \
    ISB_NOT_INSTRUMENTED                                                                                   \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16," \
                          "amx-tile,amx-bf16,amx-int8")))
#define ISB_INLINE static inline __attribute__((always_inline))

/* X(0) ... X(15): loops over registers are written out, because neither compiler unrolls them at -O2. */
#define ISB_REPEAT16(X) \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define ISB_REPEAT14(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13)
#define ISB_REPEAT4(X) X(0) X(1) X(2) X(3)
#define ISB_REPEAT8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define ISB_REPEAT6(X) X(0) X(1) X(2) X(3) X(4) X(5)

#endif
