/* dots and axpys against dot and axpy, row by row, to the bit, on every tier; and the tiers
 * against the portable one. */
#include "base/cpu.h"
#include "base/rng.h"
#include "check.h"
#include "kernels/ops.h"

enum { MAX_COUNT = 23, MAX_N = 150, MAX_LDA = MAX_N + 9 };

static void fill(isb__rng *rng, float *x, size_t n) {
    for (size_t i = 0; i < n; ++i) x[i] = (float)isb__rng_normal(rng);
}

static void check_shape(const isb__ops *ops, isb__rng *rng, size_t count, size_t n, size_t lda) {
    static float a[MAX_COUNT * MAX_LDA + 1], x[MAX_N + 1], w[MAX_COUNT];
    static float y[3][MAX_COUNT + 1], z[3][MAX_N + 1];
    const isb__ops *ref = isb__ops_for(ISB__CPU_REF);
    const size_t shift = isb__rng_below(rng, 2); /* off the alignment */
    fill(rng, a, MAX_COUNT * MAX_LDA + 1);
    fill(rng, x, n + 1);
    fill(rng, w, MAX_COUNT);
    fill(rng, z[0], n + 1);
    memcpy(z[1], z[0], sizeof z[0]);
    memcpy(z[2], z[0], sizeof z[0]);
    for (int i = 0; i < 3; ++i) y[i][count] = 7.0f;
    ops->dots(count, n, x + shift, a + shift, lda, y[0]);
    ref->dots(count, n, x + shift, a + shift, lda, y[1]);
    for (size_t j = 0; j < count; ++j) y[2][j] = ops->dot(n, x + shift, a + shift + j * lda);
    CHECK(memcmp(y[0], y[1], (count + 1) * sizeof(float)) == 0);
    CHECK(memcmp(y[0], y[2], (count + 1) * sizeof(float)) == 0);
    ops->axpys(count, n, w, a + shift, lda, z[0]);
    ref->axpys(count, n, w, a + shift, lda, z[1]);
    for (size_t j = 0; j < count; ++j) ops->axpy(n, w[j], a + shift + j * lda, z[2]);
    CHECK(memcmp(z[0], z[1], (n + 1) * sizeof(float)) == 0);
    CHECK(memcmp(z[0], z[2], (n + 1) * sizeof(float)) == 0);
}

int main(int argc, char **argv) {
    isb__rng rng;
    isb__rng_seed(&rng, check_begin(argc, argv));
    for (int tier = 0; tier <= (int)isb__cpu_detect(); ++tier) {
        const isb__ops *ops = isb__ops_for((isb__cpu_tier)tier);
        for (size_t count = 0; count < 10; ++count) {
            for (size_t n = 0; n < 20; ++n)
                check_shape(ops, &rng, count, n, n + isb__rng_below(&rng, 9));
        }
        for (int i = 0; i < 500; ++i) {
            const size_t n = isb__rng_below(&rng, MAX_N + 1);
            check_shape(ops, &rng, isb__rng_below(&rng, MAX_COUNT + 1), n,
                        n + isb__rng_below(&rng, 9));
        }
    }
    return check_end();
}
