/* xoshiro256** 1.0 and splitmix64, after the public-domain reference code of Blackman and Vigna
 * (prng.di.unimi.it); "Scrambled Linear Pseudorandom Number Generators", 2018.  Integer-only except
 * for the two conversions to double. */
#include "base/rng.h"

#include <assert.h>
#include <math.h>

/* 2^64 / golden ratio: splitmix64's increment */
static const uint64_t GOLDEN = UINT64_C(0x9e3779b97f4a7c15);

/* splitmix64's output function: a bijection in which every input bit changes half of the output
 * bits. */
static uint64_t scramble(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t x, int n) { return (x << n) | (x >> (64 - n)); }

void isb__rng_seed(isb__rng *rng, uint64_t seed) {
    for (int i = 0; i < 4; ++i) rng->s[i] = scramble(seed += GOLDEN);
}

uint64_t isb__rng_u64(isb__rng *rng) {
    uint64_t *s = rng->s;
    const uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

double isb__rng_uniform(isb__rng *rng) { return (double)(isb__rng_u64(rng) >> 11) * 0x1p-53; }

/* The first 2^64 mod n values are thrown away, so that every remainder is left equally often. */
uint64_t isb__rng_below(isb__rng *rng, uint64_t n) {
    assert(n > 0);
    const uint64_t surplus = (UINT64_MAX - n + 1) % n;
    uint64_t x;
    do x = isb__rng_u64(rng);
    while (x < surplus);
    return x % n;
}

/* Marsaglia's polar method (1964).  The second value of each pair is dropped: keeping it would be
 * hidden state that a checkpoint misses. */
double isb__rng_normal(isb__rng *rng) {
    double x, r2;
    do {
        x = 2 * isb__rng_uniform(rng) - 1;
        const double y = 2 * isb__rng_uniform(rng) - 1;
        r2 = x * x + y * y;
    } while (r2 >= 1 || r2 == 0);
    return x * sqrt(-2 * log(r2) / r2);
}

uint64_t isb__mix64(uint64_t a, uint64_t b) { return scramble(scramble(a + GOLDEN) + b + GOLDEN); }

/* Smallest h with 2^(2h) >= n. */
static int half_bits(uint64_t n) {
    int h = 1;
    while (h < 32 && (n - 1) >> (2 * h) != 0) ++h;
    return h;
}

/* Feistel: (l, r) -> (r, l ^ f(r)) is invertible whatever f is, so four rounds permute the 2^(2h)
 * pairs.  Values of n and above are sent round again until one falls below n: that restricts the
 * permutation to 0..n-1 and takes fewer than four tries on average, because 2^(2h) < 4n. */
uint64_t isb__permute(uint64_t index, uint64_t n, uint64_t key) {
    assert(index < n);
    if (n == 1) return 0;
    const int h = half_bits(n);
    const uint64_t mask = (UINT64_C(1) << h) - 1;
    uint64_t x = index;
    do {
        uint64_t left = x >> h, right = x & mask;
        for (uint64_t round = 0; round < 4; ++round) {
            const uint64_t next = left ^ (isb__mix64(key + round * GOLDEN, right) & mask);
            left = right;
            right = next;
        }
        x = left << h | right;
    } while (x >= n);
    return x;
}
