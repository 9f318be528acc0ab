/* Loops over vectors of 16 lanes, for the templates. */
#ifndef ISB_KERNELS_X86_LANES_H
#define ISB_KERNELS_X86_LANES_H

#include <x86intrin.h>

#include "kernels/x86/target.h"

enum { LANES = 16 };

/* Runs the body for all lanes i .. i + count - 1; count is a constant in the copy that does nearly all of the work. */
#define V_EACH(i, count, n, ...)                      \
    do {                                              \
        size_t i = 0;                                 \
        for (; i + LANES <= (n); i += LANES) {        \
            enum { count = LANES };                   \
            __VA_ARGS__                               \
        }                                             \
        if (i < (n)) {                                \
            const size_t count = (n) - i;             \
            __VA_ARGS__                               \
        }                                             \
    } while (0)

#endif
