/* Learning-rate schedules.
 *
 *        lr |    ______ constant
 *           |   /\ \__\__ wsd: flat, then a line
 *           |  /  \_   \
 *           | /     \___\  cosine, linear: down to lr * final_ratio
 *           +------------------ fraction of the run
 *
 * rsqrt is the one of T5X that the paper uses: lr / sqrt(max(step, warm-up)), flat at the start.
 * Cosine: Loshchilov and Hutter 2017.  Warm-up, stable, decay: Hu et al. 2024 (MiniCPM). */
#include "train/schedule.h"

#include <math.h>

#define PI 3.14159265358979323846
#define WSD_DECAY 0.2 /* the last fifth */

static double clamp01(double x) { return x < 0 ? 0 : x > 1 ? 1 : x; }

static double ramp(const isb__schedule *s, uint64_t step, double fraction) {
    double up = s->warmup_steps ? (double)(step + 1) / (double)s->warmup_steps : 1.0;
    if (s->timed && s->warmup_fraction > 0) up = fmin(up, fraction / s->warmup_fraction);
    return clamp01(up);
}

/* 1 at the start, 0 at the end. */
static double decay(const isb__schedule *s, double fraction) {
    const double after =
        s->warmup_fraction < 1 ? (fraction - s->warmup_fraction) / (1 - s->warmup_fraction) : 0;
    switch (s->kind) {
    case ISB_SCHEDULE_COSINE: return 0.5 * (1 + cos(PI * clamp01(after)));
    case ISB_SCHEDULE_LINEAR: return 1 - clamp01(after);
    case ISB_SCHEDULE_WSD: return clamp01((1 - fraction) / WSD_DECAY);
    case ISB_SCHEDULE_RSQRT:
    case ISB_SCHEDULE_CONSTANT: break;
    }
    return 1;
}

double isb__schedule_lr(const isb__schedule *s, uint64_t step, double fraction) {
    if (s->kind == ISB_SCHEDULE_RSQRT) {
        const uint64_t flat = s->warmup_steps ? s->warmup_steps : 1;
        return s->lr / sqrt((double)(step > flat ? step : flat));
    }
    return s->lr * ramp(s, step, fraction) *
           (s->final_ratio + (1 - s->final_ratio) * decay(s, fraction));
}
