/* e(x): this library's own exp for float32, the same bits everywhere; vector tiers mirror it lane by lane.
 *
 *     x = n ln 2 + r with |r| <= ln(2)/2,   e^x = 2^n e^r
 *
 * n is found by adding 1.5 * 2^23, which leaves round(x / ln 2) in the low bits of the significand.  ln 2 is split in
 * two so that r is right to float32 (Cody and Waite 1980).  e^r is a polynomial of degree 6, a minimax fit of relative
 * error 4e-9 with the two lowest coefficients fixed at 1 (scripts/fit_exp.py); 2^n is added to the exponent bits.  x is clamped to
 * [-87, 88], where neither the result nor a step of it is subnormal or infinite.  A quiet NaN stays a NaN. */
#ifndef ISB_KERNELS_REF_EXP_H
#define ISB_KERNELS_REF_EXP_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define ISB__EXP_MIN (-87.0f)
#define ISB__EXP_MAX 88.0f
#define ISB__EXP_LOG2E 0x1.715476p+0f
#define ISB__EXP_ROUND 0x1.8p+23f /* adding it rounds to an integer */
#define ISB__EXP_ROUND_BITS 0x4b400000
#define ISB__EXP_LN2_HI 0x1.62e400p-1f /* 15 bits: n * LN2_HI is exact */
#define ISB__EXP_LN2_LO 0x1.7f7d1cp-20f
#define ISB__EXP_C2 0x1.fffffcp-2f
#define ISB__EXP_C3 0x1.555490p-3f
#define ISB__EXP_C4 0x1.5558fap-5f
#define ISB__EXP_C5 0x1.123b6ap-7f
#define ISB__EXP_C6 0x1.6a21acp-10f

static inline float isb__expf(float x) {
    x = ISB__EXP_MIN > x ? ISB__EXP_MIN : x; /* these forms keep a NaN, as vmaxps(min, x) does */
    x = ISB__EXP_MAX < x ? ISB__EXP_MAX : x;
    const float t = fmaf(x, ISB__EXP_LOG2E, ISB__EXP_ROUND);
    const float n = t - ISB__EXP_ROUND;
    const float r = fmaf(n, -ISB__EXP_LN2_LO, fmaf(n, -ISB__EXP_LN2_HI, x));
    float p = fmaf(ISB__EXP_C6, r, ISB__EXP_C5);
    p = fmaf(p, r, ISB__EXP_C4);
    p = fmaf(p, r, ISB__EXP_C3);
    p = fmaf(p, r, ISB__EXP_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    uint32_t t_bits, p_bits;
    memcpy(&t_bits, &t, sizeof t_bits);
    memcpy(&p_bits, &p, sizeof p_bits);
    p_bits += (t_bits - ISB__EXP_ROUND_BITS) << 23;
    memcpy(&p, &p_bits, sizeof p);
    return p;
}

#endif
