/* Random numbers: the generators' published values, ranges, moments, and permutations that really
 * are. */
#include <math.h>

#include "base/rng.h"
#include "check.h"

static void check_u64(uint64_t actual, uint64_t expected) { CHECK_EQ(actual, expected); }

static void test_golden(void) {
    isb__rng rng;
    isb__rng_seed(&rng, 1234567); /* splitmix64's published sequence */
    check_u64(rng.s[0], UINT64_C(6457827717110365317));
    check_u64(rng.s[1], UINT64_C(3203168211198807973));
    check_u64(rng.s[2], UINT64_C(9817491932198370423));
    check_u64(rng.s[3], UINT64_C(4593380528125082431));
    rng = (isb__rng){{1, 2, 3, 4}}; /* xoshiro256**'s */
    static const uint64_t expected[] = {11520, 0, 1509978240, UINT64_C(1215971899390074240),
                                        UINT64_C(1216172134540287360)};
    for (int i = 0; i < 5; ++i) check_u64(isb__rng_u64(&rng), expected[i]);
    isb__rng_seed(&rng, 42);
    check_u64(isb__rng_u64(&rng), UINT64_C(0x15780b2e0c2ec716));
    isb__rng_seed(&rng, 42);
    CHECK(isb__rng_uniform(&rng) ==
          (double)(UINT64_C(0x15780b2e0c2ec716) >> 11) / 9007199254740992.0);
    isb__rng_seed(&rng, 42); /* computed in another language */
    CHECK(fabs(isb__rng_normal(&rng) - -0.7262191382447857) < 1e-14);
    CHECK(fabs(isb__rng_normal(&rng) - 0.2216227015035933) < 1e-14);
    check_u64(isb__mix64(1, 2), UINT64_C(0xbcd9dbb49673066b));
    CHECK(isb__mix64(1, 2) != isb__mix64(2, 1));
    static const uint64_t order[] = {0, 1, 6, 9, 7, 2, 3, 8, 4, 5};
    for (uint64_t i = 0; i < 10; ++i) check_u64(isb__permute(i, 10, 7), order[i]);
    check_u64(isb__permute(123456789, UINT64_C(1000000000000), 99), UINT64_C(355206841102));
}

/* Bounds of five standard deviations: with a fixed generator a seed either passes or shows a real
 * flaw. */
static void test_moments(uint64_t seed) {
    enum { N = 200000 };
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    double sum = 0, square = 0, uniform = 0;
    int buckets[7] = {0}, n_out_of_range = 0;
    for (int i = 0; i < N; ++i) {
        const double x = isb__rng_normal(&rng), u = isb__rng_uniform(&rng);
        sum += x;
        square += x * x;
        uniform += u;
        n_out_of_range += u < 0 || u >= 1;
        ++buckets[isb__rng_below(&rng, 7)];
    }
    CHECK_EQ(n_out_of_range, 0);
    CHECK(fabs(sum / N) < 5 / sqrt(N));
    CHECK(fabs(square / N - 1) < 5 * sqrt(2.0 / N));
    CHECK(fabs(uniform / N - 0.5) < 5 * sqrt(1.0 / 12 / N));
    for (int i = 0; i < 7; ++i) CHECK(fabs(buckets[i] - N / 7.0) < 5 * sqrt(N / 7.0));
}

static void test_below(uint64_t seed) {
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    int n_wrong = 0;
    for (int i = 0; i < 1000; ++i) {
        const uint64_t n = isb__rng_u64(&rng) >> isb__rng_below(&rng, 64);
        if (n > 0) n_wrong += isb__rng_below(&rng, n) >= n;
    }
    CHECK_EQ(n_wrong, 0);
    CHECK_EQ(isb__rng_below(&rng, 1), 0);
    int high = 0; /* n = 3 * 2^62: without rejection the low third would come twice as often */
    for (int i = 0; i < 30000; ++i)
        high += isb__rng_below(&rng, UINT64_C(3) << 62) >= UINT64_C(1) << 62;
    CHECK(abs(high - 20000) < 500);
}

static void test_small_permutations(void) {
    static uint8_t seen[1000];
    for (uint64_t n = 1; n <= 1000; ++n) {
        memset(seen, 0, sizeof seen);
        uint64_t n_distinct = 0;
        for (uint64_t i = 0; i < n; ++i) {
            const uint64_t at = isb__permute(i, n, n * 17);
            if (at < n && !seen[at]) ++n_distinct, seen[at] = 1;
        }
        CHECK_EQ(n_distinct, n);
    }
}

/* Too large to enumerate: images stay in range, and 100,000 of them do not collide (a random
 * function on 2^33 values would have a collision with probability 0.44; on n = 2^20 everything is
 * enumerated). */
static void test_large_permutations(uint64_t seed) {
    static uint8_t seen[1 << 20];
    memset(seen, 0, sizeof seen);
    uint64_t n_distinct = 0, n_fixed = 0, n_wrong = 0;
    for (uint64_t i = 0; i < 1 << 20; ++i) {
        const uint64_t at = isb__permute(i, 1 << 20, seed);
        n_distinct += at < 1 << 20 && !seen[at];
        seen[at & ((1 << 20) - 1)] = 1;
        n_fixed += at == i;
    }
    CHECK_EQ(n_distinct, 1 << 20);
    CHECK(n_fixed < 20); /* about 1 in a random permutation */
    static const uint64_t sizes[] = {UINT64_C(0xffffffff), UINT64_C(0x100000001),
                                     UINT64_C(0x7fffffffffffffff), UINT64_MAX};
    for (size_t s = 0; s < 4; ++s) {
        for (uint64_t i = 0; i < 1000; ++i) {
            const uint64_t n = sizes[s], index = i % 2 ? n - 1 - i : i;
            n_wrong += isb__permute(index, n, seed) >= n;
        }
    }
    CHECK_EQ(n_wrong, 0);
    CHECK(isb__permute(5, 1 << 20, seed) != isb__permute(5, 1 << 20, seed + 1));
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    test_golden();
    test_moments(seed);
    test_below(seed);
    test_small_permutations();
    test_large_permutations(seed);
    return check_end();
}
