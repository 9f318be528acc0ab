/* Which steps are left out: found among noise of several kinds, never in noise alone; a function
 * of the losses only. */
#include <math.h>

#include "base/rng.h"
#include "check.h"
#include "train/spikes.h"

enum { N = 400 };

/* A loss that falls, with noise. */
static void make_losses(float *losses, size_t n, double noise, uint64_t seed) {
    isb__rng rng;
    isb__rng_seed(&rng, seed);
    for (size_t i = 0; i < n; ++i)
        losses[i] = (float)(3 + 5 / (1 + (double)i / 20) + noise * isb__rng_normal(&rng));
}

static void test_noise(uint64_t seed) {
    static const double noises[] = {0, 0.01, 0.1, 0.3};
    float losses[N];
    for (size_t k = 0; k < sizeof noises / sizeof *noises; ++k) {
        make_losses(losses, N, noises[k], seed + k);
        for (uint64_t i = 0; i < N; ++i)
            CHECK(!isb__spike_find(losses, i, 10, 10, (double)losses[i], 1).found);
        const isb__spike s = isb__spike_find(losses, N, 10, 10, 9, 1);
        CHECK(s.found && fabs(s.expected - 3.25) < 0.1 && s.spread < 0.5);
        CHECK(!isb__spike_find(losses, N, N + 1, 10, 9, 1).found); /* warm-up */
        CHECK(!isb__spike_find(losses, N, 10, -1, 9, 1).found);    /* off */
        CHECK(!isb__spike_find(losses, 19, 0, 10, 1e9, 1).found);  /* too few to tell */
    }
}

static void test_not_finite(void) {
    const float losses[1] = {0};
    CHECK(isb__spike_find(losses, 0, 10, 10, (double)NAN, 1).found);
    CHECK(isb__spike_find(losses, 0, 10, 10, 1, (double)INFINITY).found);
    CHECK(isb__spike_find(losses, 0, 10, -1, 1, (double)NAN).found);
    CHECK(!isb__spike_find(losses, 0, 10, 10, 1, 1).found);
}

/* Steps left out move neither what is expected nor the spread. */
static void test_marked(uint64_t seed) {
    float losses[N];
    make_losses(losses, N, 0.1, seed);
    const isb__spike before = isb__spike_find(losses, N, 10, 10, 9, 1);
    for (size_t i = N - 5; i < N; ++i) losses[i] = isb__spike_mark(i % 2 ? 1e6 : (double)NAN);
    const isb__spike after = isb__spike_find(losses, N, 10, 10, 9, 1);
    CHECK(after.found && fabs(after.expected - before.expected) < 0.05);
    CHECK_EQ(isb__spike_run(losses, N), 5);
    CHECK_EQ(isb__spike_run(losses, N - 5), 0);
    CHECK_EQ(isb__spike_run(losses, 0), 0);
    losses[3] = isb__spike_mark(7);
    CHECK_EQ(isb__spike_count(losses, N), 6);
    CHECK(losses[3] == -7);
    for (size_t i = 0; i < N; ++i) losses[i] = isb__spike_mark((double)INFINITY);
    CHECK_EQ(isb__spike_run(losses, N), N);
    CHECK(!isb__spike_find(losses, N, 10, 10, 9, 1).found);
}

int main(int argc, char **argv) {
    const uint64_t seed = check_begin(argc, argv);
    test_noise(seed);
    test_not_finite();
    test_marked(seed);
    return check_end();
}
