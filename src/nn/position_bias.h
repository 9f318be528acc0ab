/* Relative position in the manner of T5 (Raffel et al. 2020, as in the mesh-tensorflow code): each head learns a scalar
 * for each of 32 buckets of distance, which is added to the score of a query and a key:
 *     score = q . k / sqrt(head size) + bias[head][bucket(distance)]
 * Distances 0 to 15 have a bucket each; from 16 on, bucket 16 + floor(16 log8(distance / 16)) up to 31, which also holds all
 * distances of 128 and more.  (T5 itself leaves out the division by sqrt(head size), which its initialisation absorbs.) */
#ifndef ISB_NN_POSITION_BIAS_H
#define ISB_NN_POSITION_BIAS_H

#include <stddef.h>

enum { ISB__POSITION_BUCKETS = 32, ISB__POSITION_BUCKETS_EXACT = 16 };

/* distance: how far the key lies before the query, 0 for itself. */
static inline int isb__position_bucket(size_t distance) {
    /* First distance of each bucket from 17 on: the smallest d with (d / 16)^16 >= 8^(bucket - 16). */
    static const unsigned char starts[] = {19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113};
    if (distance < ISB__POSITION_BUCKETS_EXACT) return (int)distance;
    int bucket = ISB__POSITION_BUCKETS_EXACT;
    while (bucket < ISB__POSITION_BUCKETS - 1 && distance >= starts[bucket - ISB__POSITION_BUCKETS_EXACT]) ++bucket;
    return bucket;
}

#endif
