/* Angles of rotary position embedding (Su et al. 2021), the same bits on every machine.
 *
 * Channels i and i + D/2 of a head of size D form a pair, which position p turns by
 * p * theta^(-2i/D) (the "rotate half" order of Hugging Face's Llama):
 *     y[i]       = x[i] * cos - x[i + D/2] * sin
 *     y[i + D/2] = x[i + D/2] * cos + x[i] * sin
 * The score of a query and a key depends on the difference of their positions alone. */
#ifndef ISB_NN_ROPE_H
#define ISB_NN_ROPE_H

#include <stddef.h>
#include <stdint.h>

enum { ISB__ROPE_MAX_PAIRS = 128 }; /* head size up to 256 */

/* Turns per position of each pair, as a fraction of 2^64: wrapping multiplication by a position
 * keeps the angle's fraction of a turn, however far the positions go. */
typedef struct isb__rope {
    size_t n_pairs;
    uint64_t step[ISB__ROPE_MAX_PAIRS];
} isb__rope;

/* head_size even, 2 .. 256; theta >= 1. */
void isb__rope_init(isb__rope *rope, size_t head_size, double theta);
/* Row j holds the angles of position first + j.  cosines, sines: [count, head_size / 2] */
void isb__rope_table(const isb__rope *rope, uint64_t first, size_t count, float *cosines,
                     float *sines);
/* Rotates n_heads heads that lie one after another; cosines, sines: [head_size / 2] of one
 * position. */
void isb__rope_rotate(size_t n_heads, size_t head_size, const float *cosines, const float *sines,
                      float *x);

#endif
