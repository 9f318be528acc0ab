/* What registers alone allow: the multiply-adds a second of one core that waits for no memory.
 * Shares of peak are of this. */
#ifndef ISB_KERNELS_PEAK_H
#define ISB_KERNELS_PEAK_H

#include "base/cpu.h"

typedef enum isb__peak {
    ISB__PEAK_F32_AVX2,
    ISB__PEAK_F32_AVX512,
    ISB__PEAK_BF16_AVX512X,
    ISB__PEAK_BF16_AMX,
    ISB__PEAK_INT8_AVX2, /* bytes widened to int16 */
    ISB__PEAK_INT8_VNNI,
    ISB__PEAK_INT8_AMX,
    ISB__N_PEAKS,
    ISB__PEAK_UNKNOWN = ISB__N_PEAKS
} isb__peak;

/* Of the instructions that a product kernel uses, by its name; UNKNOWN for portable ones. */
isb__peak isb__peak_of(const char *kernel_name);
/* Of those that M1's products use (int8.h). */
isb__peak isb__peak_of_int8(isb__cpu_tier tier);
/* Keeps this core busy for some 10 to 100 microseconds; returns the operations done,
 * two for a multiply-add.  The processor must
 * have the instructions. */
double isb__peak_run(isb__peak kind);

#endif
