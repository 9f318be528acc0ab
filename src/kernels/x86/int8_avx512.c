/* M1's kernels on AVX-512: what is done in float32, 16 lanes a register.  Products are AVX2's, unless there is VNNI:
 * int8_vnni.c. */
#include "kernels/tiers.h"

#if ISB__X86

#include <math.h>
#include <string.h>

#include "kernels/x86/lanes_avx512.h"

#include "kernels/x86/int8_template.h"

void isb__int8_overlay_avx512(isb__int8_ops *ops) { overlay_rows(ops); }

#endif
