/* Buffers that end where a page without access begins: one element too far is a crash.  And random floats. */
#ifndef ISB_TESTS_KERNELS_GUARD_H
#define ISB_TESTS_KERNELS_GUARD_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/rng.h"

typedef struct guard {
    void *data; /* nbytes, the last one before the page without access; filled with 0xa5 */
    void *map;
    size_t map_nbytes;
} guard;

static inline guard guard_alloc(size_t nbytes) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inside = (nbytes + page - 1) / page * page;
    guard g = {.map_nbytes = inside + 2 * page};
    g.map = mmap(NULL, g.map_nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || mprotect((char *)g.map + inside + page, page, PROT_NONE) ||
        mprotect(g.map, page, PROT_NONE)) {
        perror("guard page");
        exit(2);
    }
    memset((char *)g.map + page, 0xa5, inside);
    g.data = (char *)g.map + page + inside - nbytes;
    return g;
}

static inline void guard_free(guard *g) {
    munmap(g->map, g->map_nbytes);
    g->map = g->data = NULL;
}

/* Uniform in [-1, 1). */
static inline float random_float(isb__rng *rng) { return (float)(2 * isb__rng_uniform(rng) - 1); }
static inline void random_floats(isb__rng *rng, size_t n, float *x) {
    for (size_t i = 0; i < n; ++i) x[i] = random_float(rng);
}
/* [low, high] */
static inline size_t random_size(isb__rng *rng, size_t low, size_t high) {
    return low + (size_t)isb__rng_below(rng, high - low + 1);
}

/* float32 rounded to bf16 (nearest even), as float32; subnormals count as zero, as the instructions have it. */
static inline float round_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7f800000) == 0) bits &= 0x80000000;
    bits += 0x7fff + (bits >> 16 & 1);
    bits &= 0xffff0000;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
