/* The arithmetic of one window: nested intervals over 2^b cells, in fixed point without
 * renormalisation or carry.
 *
 *   position   0 ........................................ 2^Q     Q = b + 32: a cell is 2^32 wide
 *   cells      |    |    |    |    |    |    |    |    |
 *   node         [--------------)                                 the interval of the bytes so far
 *   children     [--)[------)[--)                                 low + (range * cdf[x] >> P)
 *
 * A node is entered only while it holds a whole cell, so range >= 2^32 and every child is at least
 * 2^16 - 1 wide.
 *
 * `exact` makes every border below the first byte odd, so that each lies strictly inside a cell:
 * that cell is inside the node and inside no child, and so is the node's own (docs/codes.md).
 * `greedy` and `delay` use plain borders.
 *
 * A cdf here is 256 numbers of 16 bits: cdf[x] is where byte x begins, and byte 255 ends at 2^P.
 * The first byte's has precision min(P, b): whole cells.
 */
#ifndef ISB_CODE_WINDOW_H
#define ISB_CODE_WINDOW_H

#include "code/codec.h"

/* Unsigned integers of up to 192 bits, least significant limb first. */
typedef struct isb__u192 {
    uint64_t w[3];
} isb__u192;

static inline isb__u192 isb__u192_add(isb__u192 a, isb__u192 b) {
    isb__u192 sum;
    uint64_t carry = 0;
    for (int i = 0; i < 3; i++) {
        const uint64_t partial = a.w[i] + carry;
        sum.w[i] = partial + b.w[i];
        carry = (uint64_t)(partial < carry) + (uint64_t)(sum.w[i] < partial);
    }
    return sum;
}
static inline isb__u192 isb__u192_sub(isb__u192 a, isb__u192 b) {
    isb__u192 difference;
    uint64_t borrow = 0;
    for (int i = 0; i < 3; i++) {
        const uint64_t partial = a.w[i] - b.w[i];
        difference.w[i] = partial - borrow;
        borrow = (uint64_t)(a.w[i] < b.w[i]) | (uint64_t)(partial < borrow);
    }
    return difference;
}
/* -1, 0 or 1 as a < b, a == b or a > b. */
static inline int isb__u192_compare(isb__u192 a, isb__u192 b) {
    for (int i = 2; i > 0; i--) {
        if (a.w[i] != b.w[i]) return a.w[i] < b.w[i] ? -1 : 1;
    }
    return (a.w[0] > b.w[0]) - (a.w[0] < b.w[0]);
}
/* 0 <= n < 192. */
static inline isb__u192 isb__u192_shift_left(isb__u192 a, int n) {
    const int limbs = n / 64, bits = n % 64;
    isb__u192 result = {{0, 0, 0}};
    for (int i = 2; i >= limbs; i--) {
        result.w[i] = a.w[i - limbs] << bits;
        if (bits > 0 && i > limbs) result.w[i] |= a.w[i - limbs - 1] >> (64 - bits);
    }
    return result;
}
static inline isb__u192 isb__u192_shift_right(isb__u192 a, int n) {
    const int limbs = n / 64, bits = n % 64;
    isb__u192 result = {{0, 0, 0}};
    for (int i = 0; i + limbs < 3; i++) {
        result.w[i] = a.w[i + limbs] >> bits;
        if (bits > 0 && i + limbs < 2) result.w[i] |= a.w[i + limbs + 1] << (64 - bits);
    }
    return result;
}
/* a * m modulo 2^192. */
isb__u192 isb__u192_multiply(isb__u192 a, uint32_t m);
/* The number of bits of a: 0 for 0, else 1 + floor(log2 a). */
int isb__u192_length(isb__u192 a);

typedef struct isb__window {
    isb__u192 low, high; /* the node's interval [low, high) */
    int nbits;           /* b */
    int exact;           /* odd borders */
    size_t depth;        /* bytes in the window */
} isb__window;

void isb__window_begin(isb__window *window, int nbits, int exact);
/* The child for byte x.  Returns false, leaving the window as it was, if the child holds no whole
 * cell. */
bool isb__window_descend(isb__window *window, const uint16_t *cdf, int precision_nbits, int x);
/* The lowest cell inside the node and inside no child; false if there is none.  cell: b bits,
 * right-aligned. */
bool isb__window_own_cell(const isb__window *window, const uint16_t *cdf, int precision_nbits,
                          isb__u192 *cell);
/* The child that contains the whole cell, or -1.  The node contains it. */
int isb__window_child_of_cell(const isb__window *window, const uint16_t *cdf, int precision_nbits,
                              const isb__u192 *cell);
/* The shortest bit string whose interval lies inside the node, leftmost among equals, padded with
 * zeros to b bits; *length: its bits before padding. */
void isb__window_padded_code(const isb__window *window, isb__u192 *cell, int *length);

#endif
