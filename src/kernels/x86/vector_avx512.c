/* Vector kernels on AVX-512: 16 lanes are one register, ends are masked. */
#include "kernels/tiers.h"

#if ISB__X86

#include <math.h>

#include "kernels/x86/lanes_avx512.h"
#include "kernels/x86/vector_template.h"

void isb__ops_overlay_vector_avx512(isb__ops *ops) { overlay(ops); }

#endif
