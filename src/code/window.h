/* The arithmetic of one window: nested intervals over 2^b cells, in fixed point without renormalisation or carry.
 *
 *   position   0 ........................................ 2^Q      Q = b + 32: a cell is 2^32 units wide
 *   cells      |    |    |    |    |    |    |    |    |
 *   node       [----------------)                                  the interval of the bytes so far
 *   children     [--)[------)[--)                                  borders low + (range * cdf[x] >> P)
 *
 * A node is entered only while it holds a whole cell, so range >= 2^32 and every child is at least 2^16 wide.
 *
 * `exact` makes every border below the first byte odd, so that each lies strictly inside a cell: that cell is inside
 * the node and inside no child, and so is the node's own (docs/codes.md).  `greedy` and `delay` use plain borders.
 */
#ifndef ISB_CODE_WINDOW_H
#define ISB_CODE_WINDOW_H

#include "code/codec.h"

/* Unsigned integers of up to 192 bits, least significant limb first. */
typedef struct isb__u192 { uint64_t w[3]; } isb__u192;

typedef struct isb__window {
    isb__u192 low, high;   /* the node's interval [low, high) */
    int nbits;             /* b */
    int exact;             /* odd borders */
    size_t depth;          /* bytes in the window */
} isb__window;

void isb__window_begin(isb__window *window, int nbits, int exact);
/* The child for byte x: cdf has 256 symbols at precision P (the first byte's: min(P, b)).  Returns false, leaving the
 * window as it was, if the child holds no whole cell. */
bool isb__window_descend(isb__window *window, const uint32_t *cdf, int precision_nbits, int x);
/* The lowest cell inside the node and inside no child; false if there is none.  cell: b bits, right-aligned. */
bool isb__window_own_cell(const isb__window *window, const uint32_t *cdf, int precision_nbits, isb__u192 *cell);
/* The child that contains the whole cell, or -1. */
int isb__window_child_of_cell(const isb__window *window, const uint32_t *cdf, int precision_nbits, const isb__u192 *cell);
/* The shortest bit string whose interval lies inside the node, leftmost among equals, padded with zeros to b bits;
 * *length: its bits before padding. */
void isb__window_padded_code(const isb__window *window, isb__u192 *cell, int *length);

#endif
