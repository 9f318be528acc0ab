/* The most multiply-adds a second that registers alone allow, as benchmarks ask for it. */
#ifndef ISB_BENCH_PEAK_H
#define ISB_BENCH_PEAK_H

#include "kernels/ops.h"
#include "train/machine_peak.h"

typedef isb__peak peak_kind;
enum { N_PEAKS = ISB__N_PEAKS };

/* FLOP/s of all threads, or 0 where the processor has no such instruction or it is not measured. */
static inline double peak_measure(isb_context *ctx, peak_kind kind) { return isb__machine_peak(ctx, kind, 0.2); }

/* Portable code has no peak of its own: that of float32 vectors. */
static inline peak_kind peak_of_kernel(const isb__gemm_kernel *kernel) {
    const peak_kind kind = isb__peak_of(kernel->name);
    return kind == ISB__PEAK_UNKNOWN ? ISB__PEAK_F32_AVX2 : kind;
}

#endif
