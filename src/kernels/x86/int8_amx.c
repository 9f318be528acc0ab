/* M1's products on AMX tiles: 16 x 16 sums of 64 products of signed bytes in 16 cycles. */
#include "kernels/tiers.h"

#if ISB__X86

#include <stdatomic.h>
#include <string.h>

#include "kernels/x86/target.h"

#define AMX_TARGET ISB_TARGET_AMX
#define AMX_CONFIGURE(p) _tile_loadconfig(p)
#define AMX_ZERO(t) _tile_zero(t)
#define AMX_LOAD(t, p, stride) _tile_loadd(t, p, stride)
#define AMX_STORE(t, p, stride) _tile_stored(t, p, stride)
#define AMX_DPBSSD(c, a, b) _tile_dpbssd(c, a, b)
#include "kernels/x86/int8_amx_template.h"

/* Each product brings its configuration; afterwards the state is given up, which makes switching threads cheaper. */
ISB_TARGET_AMX static void end(void) { _tile_release(); }

void isb__int8_overlay_amx(isb__int8_ops *ops) {
    ops->packed_nbytes = packed_nbytes;
    ops->pack = pack;
    ops->product = product;
    ops->end = end;
}

#endif
