/* The released codebook inside the library: the file's bytes, put into the read-only data by the assembler, which
 * takes no time to compile and none to start.  The build says where the file is; plain compiler lines run in the
 * root of the source tree. */
#include "codebook/codebook_state.h"

#ifndef ISB_RELEASED_CODEBOOK
#define ISB_RELEASED_CODEBOOK "codebooks/" ISB__RELEASED_NAME ".isb-codebook"
#endif

__asm__(".pushsection .rodata\n"
        ".balign 16\n"
        ".globl isb__released_begin\n"
        ".hidden isb__released_begin\n"
        "isb__released_begin:\n"
        ".incbin \"" ISB_RELEASED_CODEBOOK "\"\n"
        ".globl isb__released_end\n"
        ".hidden isb__released_end\n"
        "isb__released_end:\n"
        ".byte 0\n"
        ".popsection\n");

extern const uint8_t isb__released_begin[] __attribute__((visibility("hidden")));
extern const uint8_t isb__released_end[] __attribute__((visibility("hidden")));

const uint8_t *isb__released_codebook(size_t *nbytes) {
    *nbytes = (size_t)(isb__released_end - isb__released_begin);
    return isb__released_begin;
}
