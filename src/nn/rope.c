/* Rotary angles without libm, whose last bits differ between versions: only IEEE additions,
 * multiplications and divisions of doubles, in the order written (the library is compiled with
 * -ffp-contract=off).
 *
 * An angle is kept as a 64-bit fraction of a turn, so reducing it modulo a turn is what
 * unsigned multiplication does anyway.  The top three bits, rounded, name the nearest quarter
 * turn; what is left is at most an eighth of a turn, where the Taylor series of sine and cosine
 * converge to double precision in eight terms. */
#include "nn/rope.h"

static const double LN2 = 0x1.62e42fefa39efp-1, INVERSE_TWO_PI = 0x1.45f306dc9c883p-3,
                    TWO_PI = 0x1.921fb54442d18p+2;

/* ln x for x > 0: x = m 2^e with m in [0.7, 1.5], ln m = 2 artanh((m-1)/(m+1)). */
static double natural_log(double x) {
    int e = 0;
    for (; x > 1.5; x *= 0.5) ++e;
    for (; x < 0.7; x *= 2.0) --e;
    const double s = (x - 1.0) / (x + 1.0), s2 = s * s;
    double sum = 0.0;
    for (int k = 25; k >= 1; k -= 2) sum = sum * s2 + 1.0 / k;
    return 2.0 * s * sum + e * LN2;
}

/* e^x for x <= 0: Taylor series after taking out powers of two. */
static double exponential(double x) {
    int n = 0;
    for (; x < -0.5 * LN2; x += LN2) ++n;
    double sum = 1.0;
    for (int k = 18; k >= 1; --k) sum = 1.0 + x / k * sum;
    for (; n > 0; --n) sum *= 0.5;
    return sum;
}

/* Cosine and sine of turns / 2^64 of a turn. */
static void cosine_sine(uint64_t turns, double *cosine, double *sine) {
    const uint64_t quarter = (turns + (UINT64_C(1) << 61)) >> 62;
    const int64_t rest = (int64_t)(turns - (quarter << 62)); /* in [-2^61, 2^61) */
    const double x = (double)rest * 0x1p-64 * TWO_PI, x2 = x * x;
    double s = 0.0, c = 0.0;
    for (int k = 16; k >= 2; k -= 2) {
        s = (1.0 - s) * x2 / (k * (k + 1));
        c = (1.0 - c) * x2 / (k * (k - 1));
    }
    s = x * (1.0 - s);
    c = 1.0 - c;
    switch (quarter) {
    case 0: *cosine = c, *sine = s; break;
    case 1: *cosine = -s, *sine = c; break;
    case 2: *cosine = -c, *sine = -s; break;
    default: *cosine = s, *sine = -c; break;
    }
}

void isb__rope_init(isb__rope *rope, size_t head_size, double theta) {
    const double log_theta = natural_log(theta);
    rope->n_pairs = head_size / 2;
    for (size_t i = 0; i < rope->n_pairs; ++i) {
        const double frequency = exponential(-log_theta * (double)(2 * i) / (double)head_size);
        rope->step[i] = (uint64_t)(frequency * INVERSE_TWO_PI * 0x1p64); /* below 2^62 */
    }
}

void isb__rope_table(const isb__rope *rope, uint64_t first, size_t count, float *cosines,
                     float *sines) {
    for (size_t j = 0; j < count; ++j) {
        for (size_t i = 0; i < rope->n_pairs; ++i) {
            double cosine, sine;
            cosine_sine((first + j) * rope->step[i], &cosine, &sine);
            *cosines++ = (float)cosine;
            *sines++ = (float)sine;
        }
    }
}

enum { LANES = 16 };

/* x, y: the first and second channels of n pairs.  With the two apart and the length a constant,
 * compilers make vector instructions of it, which round as the scalar ones do. */
static inline void rotate_pairs(size_t n, const float *restrict cosines,
                                const float *restrict sines, float *restrict x,
                                float *restrict y) {
    for (size_t i = 0; i < n; ++i) {
        const float a = x[i], b = y[i], c = cosines[i], s = sines[i];
        x[i] = a * c - b * s;
        y[i] = b * c + a * s;
    }
}

void isb__rope_rotate(size_t n_heads, size_t head_size, const float *cosines, const float *sines,
                      float *x) {
    const size_t half = head_size / 2;
    for (size_t h = 0; h < n_heads; ++h, x += head_size) {
        size_t i = 0;
        for (; i + LANES <= half; i += LANES)
            rotate_pairs(LANES, cosines + i, sines + i, x + i, x + half + i);
        rotate_pairs(half - i, cosines + i, sines + i, x + i, x + half + i);
    }
}
