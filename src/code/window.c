/* Window arithmetic: borders of children, whole cells, and the two ways to name a node by a cell.
 * docs/codes.md proves what is claimed here. */
#include "code/window.h"

#include <assert.h>

enum { CELL_NBITS = 32 };

isb__u192 isb__u192_multiply(isb__u192 a, uint32_t m) {
    isb__u192 result;
    uint64_t carry = 0; /* < 2^32 */
    for (int i = 0; i < 3; i++) {
        const uint64_t low = (a.w[i] & UINT32_MAX) * m + carry;
        const uint64_t high = (a.w[i] >> 32) * m + (low >> 32);
        result.w[i] = high << 32 | (low & UINT32_MAX);
        carry = high >> 32;
    }
    return result;
}

int isb__u192_length(isb__u192 a) {
    for (int i = 2; i >= 0; i--) {
        if (a.w[i] == 0) continue;
        int length = 0;
        for (int step = 32; step > 0; step /= 2) {
            if (a.w[i] >> length >> step) length += step;
        }
        return 64 * i + length + 1;
    }
    return 0;
}

static isb__u192 power_of_two(int n) { return isb__u192_shift_left((isb__u192){{1, 0, 0}}, n); }

/* The lowest multiple of 2^n that is >= a, divided by 2^n. */
static isb__u192 ceil_shift(isb__u192 a, int n) {
    const isb__u192 mask = isb__u192_sub(power_of_two(n), (isb__u192){{1, 0, 0}});
    return isb__u192_shift_right(isb__u192_add(a, mask), n);
}

/* The lowest block of 2^n units, aligned, that lies inside [low, high). */
static bool first_block(isb__u192 low, isb__u192 high, int n, isb__u192 *block) {
    *block = ceil_shift(low, n);
    return isb__u192_compare(*block, isb__u192_shift_right(high, n)) < 0;
}

/* Where child x begins; x = 256: where the last child ends. */
static isb__u192 border(const isb__window *window, isb__u192 range, const uint16_t *cdf,
                        int precision_nbits, int x) {
    if (x == 0) return window->low;
    if (x == ISB__N_BYTES) return window->high;
    const isb__u192 offset =
        isb__u192_shift_right(isb__u192_multiply(range, cdf[x]), precision_nbits);
    isb__u192 position = isb__u192_add(window->low, offset);
    if (window->exact && window->depth > 0) position.w[0] |= 1;
    return position;
}

static isb__u192 range_of(const isb__window *window) {
    return isb__u192_sub(window->high, window->low);
}

void isb__window_begin(isb__window *window, int nbits, int exact) {
    assert(nbits >= 8 && nbits <= 128);
    *window =
        (isb__window){.high = power_of_two(nbits + CELL_NBITS), .nbits = nbits, .exact = exact};
}

bool isb__window_descend(isb__window *window, const uint16_t *cdf, int precision_nbits, int x) {
    const isb__u192 range = range_of(window);
    const isb__u192 low = border(window, range, cdf, precision_nbits, x);
    const isb__u192 high = border(window, range, cdf, precision_nbits, x + 1);
    isb__u192 cell;
    if (!first_block(low, high, CELL_NBITS, &cell)) return false;
    window->low = low;
    window->high = high;
    ++window->depth;
    return true;
}

/* The first x in 1..256 whose border is at or after the position, which is inside the node.  It is
 * guessed from the leading 47 bits of the numbers, and the guess, at most a step or two off, is put
 * right with exact borders. */
static int first_border_from(const isb__window *window, isb__u192 range, const uint16_t *cdf,
                             int precision_nbits, isb__u192 position) {
    const int length = isb__u192_length(range), shift = length > 47 ? length - 47 : 0;
    const uint64_t offset = isb__u192_shift_right(isb__u192_sub(position, window->low), shift).w[0];
    const uint64_t target = (offset << precision_nbits) / isb__u192_shift_right(range, shift).w[0];
    /* cdf[below] < target, or below is 0; cdf[x] >= target, or x is 256. */
    int below = 0, x = ISB__N_BYTES;
    while (x - below > 1) {
        const int middle = (below + x) / 2;
        if (cdf[middle] < target) {
            below = middle;
        } else {
            x = middle;
        }
    }
    while (x > 1 &&
           isb__u192_compare(border(window, range, cdf, precision_nbits, x - 1), position) >= 0)
        --x;
    while (x < ISB__N_BYTES &&
           isb__u192_compare(border(window, range, cdf, precision_nbits, x), position) < 0)
        ++x;
    return x;
}

bool isb__window_own_cell(const isb__window *window, const uint16_t *cdf, int precision_nbits,
                          isb__u192 *cell) {
    const isb__u192 range = range_of(window);
    const isb__u192 end = isb__u192_shift_right(window->high, CELL_NBITS);
    const isb__u192 first = ceil_shift(window->low, CELL_NBITS);
    int x = first_border_from(window, range, cdf, precision_nbits,
                              isb__u192_shift_left(first, CELL_NBITS));
    for (; x < ISB__N_BYTES;
         x++) { /* more than once for plain borders only, which may lie between two cells */
        const isb__u192 position = border(window, range, cdf, precision_nbits, x);
        *cell = isb__u192_shift_right(position, CELL_NBITS);
        if (isb__u192_compare(*cell, end) >= 0) return false;
        if (position.w[0] & UINT32_MAX) return true;
    }
    return false;
}

int isb__window_child_of_cell(const isb__window *window, const uint16_t *cdf, int precision_nbits,
                              const isb__u192 *cell) {
    const isb__u192 range = range_of(window);
    const isb__u192 one = {{1, 0, 0}};
    const isb__u192 begin = isb__u192_shift_left(*cell, CELL_NBITS);
    const isb__u192 end = isb__u192_shift_left(isb__u192_add(*cell, one), CELL_NBITS);
    /* The child that holds the cell's first unit must hold its last. */
    const int next =
        first_border_from(window, range, cdf, precision_nbits, isb__u192_add(begin, one));
    const isb__u192 child_end = border(window, range, cdf, precision_nbits, next);
    return isb__u192_compare(child_end, end) >= 0 ? next - 1 : -1;
}

void isb__window_padded_code(const isb__window *window, isb__u192 *cell, int *length) {
    /* A shorter string is a larger block.  No block larger than the interval fits, and any of half
     * its size does. */
    int n = isb__u192_length(range_of(window)) - 1;
    isb__u192 block;
    if (!first_block(window->low, window->high, n, &block)) {
        --n;
        const bool fits = first_block(window->low, window->high, n, &block);
        assert(fits), (void)fits;
    }
    assert(n >= CELL_NBITS);
    *cell = isb__u192_shift_left(block, n - CELL_NBITS);
    *length = window->nbits + CELL_NBITS - n;
}
