/* Rotary angles: close to libm, fixed to the bit; and the buckets of T5 position bias. */
#include <math.h>

#include "check.h"
#include "nn/position.h"
#include "nn/rope.h"

enum { HEAD_SIZE = 64, PAIRS = HEAD_SIZE / 2 };

/* float32 rounds to 6e-8; the angle itself is off by the position times the relative error of
 * the frequency. */
static void test_against_libm(void) {
    static const uint64_t positions[] = {0, 1, 2, 3, 100, 511, 512, 4095, 65536, 1000003, 16777216};
    isb__rope rope;
    isb__rope_init(&rope, HEAD_SIZE, 10000.0);
    for (size_t p = 0; p < sizeof positions / sizeof *positions; ++p) {
        float cosines[PAIRS], sines[PAIRS];
        isb__rope_table(&rope, positions[p], 1, cosines, sines);
        double worst = 0;
        for (int i = 0; i < PAIRS; ++i) {
            const double angle = (double)positions[p] * pow(10000.0, -2.0 * i / HEAD_SIZE);
            worst = fmax(worst, fabs((double)cosines[i] - cos(angle)));
            worst = fmax(worst, fabs((double)sines[i] - sin(angle)));
        }
        CHECK(worst < 6.1e-8 + 1e-15 * (double)positions[p]);
    }
}

static void test_steps(void) {
    static const double thetas[] = {10.0, 500.0, 10000.0, 500000.0, 1e6};
    static const size_t sizes[] = {2, 6, 16, 64, 128, 256};
    for (size_t t = 0; t < sizeof thetas / sizeof *thetas; ++t) {
        for (size_t d = 0; d < sizeof sizes / sizeof *sizes; ++d) {
            isb__rope rope;
            isb__rope_init(&rope, sizes[d], thetas[t]);
            CHECK_EQ(rope.n_pairs, sizes[d] / 2);
            double worst = 0;
            for (size_t i = 0; i < rope.n_pairs; ++i) {
                const double step = pow(thetas[t], -2.0 * (double)i / (double)sizes[d]) /
                                    6.283185307179586477 * 0x1p64;
                worst = fmax(worst, (fabs((double)rope.step[i] - step) - 1.0) / step);
            }
            CHECK(worst < 4e-15);
        }
    }
}

/* Golden bits: what feeds a coder must never change. */
static uint64_t digest(const float *x, size_t n) {
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a over the words */
    for (size_t i = 0; i < n; ++i) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        h = (h ^ bits) * 0x100000001b3u;
    }
    return h;
}

static void test_golden(void) {
    enum { COUNT = 600 };
    static float cosines[COUNT * PAIRS], sines[COUNT * PAIRS], row[2][PAIRS];
    isb__rope rope;
    isb__rope_init(&rope, HEAD_SIZE, 10000.0);
    CHECK(rope.step[0] == 0x28be60db93910600u);
    isb__rope_table(&rope, 0, COUNT, cosines, sines);
    CHECK(cosines[0] == 1.0f && sines[0] == 0.0f);
    const uint64_t golden_cosines = digest(cosines, COUNT * PAIRS),
                   golden_sines = digest(sines, COUNT * PAIRS);
    printf("cosines %016" PRIx64 " sines %016" PRIx64 "\n", golden_cosines, golden_sines);
    CHECK(golden_cosines == 0xdcb89e91a85ff345u);
    CHECK(golden_sines == 0x15413eb86fdf49f8u);
    isb__rope_table(&rope, 577, 1, row[0],
                    row[1]); /* a row does not depend on where a table begins */
    CHECK(memcmp(row[0], cosines + 577 * PAIRS, sizeof row[0]) == 0);
    CHECK(memcmp(row[1], sines + 577 * PAIRS, sizeof row[1]) == 0);
}

static void test_rotate(void) {
    float x[2 * HEAD_SIZE], y[2 * HEAD_SIZE], cosines[PAIRS], sines[PAIRS];
    isb__rope rope;
    isb__rope_init(&rope, HEAD_SIZE, 10000.0);
    isb__rope_table(&rope, 12345, 1, cosines, sines);
    for (int i = 0; i < 2 * HEAD_SIZE; ++i) x[i] = y[i] = (float)(i % 7) - 3.0f;
    isb__rope_rotate(2, HEAD_SIZE, cosines, sines, y);
    for (int h = 0; h < 2; ++h) {
        for (int i = 0; i < PAIRS; ++i) {
            const float *a = x + h * HEAD_SIZE, *b = y + h * HEAD_SIZE;
            CHECK(b[i] == a[i] * cosines[i] - a[i + PAIRS] * sines[i]);
            CHECK(b[i + PAIRS] == a[i + PAIRS] * cosines[i] + a[i] * sines[i]);
        }
    }
}

/* The formula itself; its only exact ties are at distances 16 and 128. */
static void test_buckets(void) {
    for (size_t d = 0; d < 400; ++d) {
        int expected = (int)d;
        if (d >= 16) expected = 16 + (int)floor(16.0 * log((double)d / 16.0) / log(8.0) + 1e-9);
        if (expected > 31) expected = 31;
        CHECK_EQ(isb__position_bucket(d), expected);
    }
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    test_against_libm();
    test_steps();
    test_golden();
    test_rotate();
    test_buckets();
    return check_end();
}
