/* Vector kernels on AVX2 and FMA: 16 lanes are two registers. */
#include "kernels/tiers.h"

#if ISB__X86

#include <math.h>

#include "kernels/x86/lanes_avx2.h"
#include "kernels/x86/vector_template.h"

void isb__ops_overlay_vector_avx2(isb__ops *ops) { overlay(ops); }

#endif
