/* The peak of this machine's product units, measured: what a run's FLOP/s are a share of. */
#ifndef ISB_TRAIN_MACHINE_PEAK_H
#define ISB_TRAIN_MACHINE_PEAK_H

#include "base/context.h"
#include "kernels/peak.h"

/* FLOP/s of all threads of the context at their best within so many seconds; 0: the processor has no
 * such instructions, or the context may not use them. */
double isb__machine_peak(isb_context *ctx, isb__peak kind, double seconds);

#endif
