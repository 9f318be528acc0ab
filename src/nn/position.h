/* Where a token stands, as attention sees it: T5's distance buckets. */
#ifndef ISB_NN_POSITION_H
#define ISB_NN_POSITION_H

#include <stddef.h>

enum { ISB__N_BUCKETS = 32 };

/* Bucket of the distance from a query back to a key (0: itself): 0..15 stand for themselves,
 * then logarithmic steps up to 128, then one bucket for all beyond (Raffel et al. 2020,
 * one-directional form).  The first distances of the logarithmic buckets are ceil(16 *
 * 8^(i/16)), as a table so that no rounding of log() matters. */
static inline size_t isb__position_bucket(size_t distance) {
    static const unsigned char first[] = {16, 19, 21, 24, 27, 31, 35, 40,
                                          46, 52, 59, 67, 77, 87, 99, 113};
    if (distance < 16) return distance;
    size_t bucket = ISB__N_BUCKETS - 1;
    while (distance < first[bucket - 16]) --bucket;
    return bucket;
}

#endif
