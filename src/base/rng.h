/* Random numbers: xoshiro256** seeded by splitmix64 (Blackman and Vigna 2018), and seekable
 * permutations. The state is plain data: a checkpoint stores it. */
#ifndef ISB_BASE_RNG_H
#define ISB_BASE_RNG_H

#include <stdint.h>

typedef struct isb__rng {
    uint64_t s[4];
} isb__rng;

void isb__rng_seed(isb__rng *rng, uint64_t seed);
uint64_t isb__rng_u64(isb__rng *rng);
/* [0, 1) with 53 bits. */
double isb__rng_uniform(isb__rng *rng);
/* [0, n) without bias; n > 0. */
uint64_t isb__rng_below(isb__rng *rng, uint64_t n);
/* Standard normal. */
double isb__rng_normal(isb__rng *rng);

/* A hash of two words; for streams named by (seed, purpose). */
uint64_t isb__mix64(uint64_t a, uint64_t b);

/* The `index`-th element of a permutation of 0..n-1 chosen by `key`: a four-round Feistel network
 * with cycle walking. A pure function, so shuffled order needs no table and can start anywhere.
 * index < n. */
uint64_t isb__permute(uint64_t index, uint64_t n, uint64_t key);

#endif
