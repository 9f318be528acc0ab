/* The M1 in the library: the file's bytes in the read-only data, as src/codebook/released.c has them.  The build says
 * where the file is; plain compiler lines, which run in the root of the source tree, find it there.  A tree without
 * the file makes a library without an M1. */
#include "m1/m1_state.h"

#if !defined(ISB_RELEASED_M1) && __has_include("../../models/english-3m.isb-m1")
#define ISB_RELEASED_M1 "models/" ISB__RELEASED_M1_NAME ISB__M1_SUFFIX
#endif

#ifdef ISB_RELEASED_M1
__asm__(".pushsection .rodata\n"
        ".balign 16\n"
        ".globl isb__released_m1_begin\n"
        ".hidden isb__released_m1_begin\n"
        "isb__released_m1_begin:\n"
        ".incbin \"" ISB_RELEASED_M1 "\"\n"
        ".globl isb__released_m1_end\n"
        ".hidden isb__released_m1_end\n"
        "isb__released_m1_end:\n"
        ".byte 0\n"
        ".popsection\n");

extern const uint8_t isb__released_m1_begin[] __attribute__((visibility("hidden")));
extern const uint8_t isb__released_m1_end[] __attribute__((visibility("hidden")));

const uint8_t *isb__m1_released(size_t *nbytes) {
    *nbytes = (size_t)(isb__released_m1_end - isb__released_m1_begin);
    return isb__released_m1_begin;
}
#else
const uint8_t *isb__m1_released(size_t *nbytes) {
    *nbytes = 0;
    return NULL;
}
#endif
