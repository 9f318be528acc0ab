/* Learning-rate schedules against values worked out by hand. */
#include "train/schedule.h"

#include <math.h>

#include "check.h"

static void check_near(double actual, double expected, int line) {
    const int ok = fabs(actual - expected) <= 1e-12 * fmax(1.0, fabs(expected));
    char text[80];
    snprintf(text, sizeof text, "line %d: got %.17g, expected %.17g", line, actual, expected);
    check_report(ok, __FILE__, line, "schedule", ok ? "" : text);
}
#define NEAR(actual, expected) check_near(actual, expected, __LINE__)

/* 100 steps, 10 of warm-up, lr 2, end 0.1 of it. */
static isb__schedule of(isb_schedule kind) { return (isb__schedule){kind, 2.0, 0.1, 10, 0.1, 0}; }
static double at(isb_schedule kind, uint64_t step) {
    const isb__schedule s = of(kind);
    return isb__schedule_lr(&s, step, (double)step / 100.0);
}

static void test_warmup(void) {
    NEAR(at(ISB_SCHEDULE_COSINE, 0), 0.2);
    NEAR(at(ISB_SCHEDULE_LINEAR, 4), 1.0);
    NEAR(at(ISB_SCHEDULE_CONSTANT, 9), 2.0);
    NEAR(at(ISB_SCHEDULE_CONSTANT, 99), 2.0);
}

static void test_decay(void) {
    NEAR(at(ISB_SCHEDULE_COSINE, 10), 2.0);
    NEAR(at(ISB_SCHEDULE_COSINE, 55), 2.0 * 0.55);
    NEAR(at(ISB_SCHEDULE_COSINE, 100), 0.2);
    NEAR(at(ISB_SCHEDULE_LINEAR, 55), 2.0 * 0.55);
    NEAR(at(ISB_SCHEDULE_LINEAR, 100), 0.2);
    NEAR(at(ISB_SCHEDULE_WSD, 79), 2.0);
    NEAR(at(ISB_SCHEDULE_WSD, 90), 2.0 * 0.55);
    NEAR(at(ISB_SCHEDULE_WSD, 100), 0.2);
}

/* The paper's: flat at 1/sqrt(10000) = 0.01, then 1/sqrt(step). */
static void test_rsqrt(void) {
    const isb__schedule s = {ISB_SCHEDULE_RSQRT, 1.0, 0.1, 10000, 0.5, 0};
    NEAR(isb__schedule_lr(&s, 0, 0), 0.01);
    NEAR(isb__schedule_lr(&s, 10000, 0.5), 0.01);
    NEAR(isb__schedule_lr(&s, 40000, 1), 0.005);
}

/* Limited by time: the ramp ends at 2% of the time, and after at least 10 steps. */
static void test_timed(void) {
    const isb__schedule s = {ISB_SCHEDULE_CONSTANT, 1.0, 0.1, 10, 0.02, 1};
    NEAR(isb__schedule_lr(&s, 0, 0), 0.0);
    NEAR(isb__schedule_lr(&s, 4, 0.5), 0.5);
    NEAR(isb__schedule_lr(&s, 1000, 0.005), 0.25);
    NEAR(isb__schedule_lr(&s, 1000, 0.02), 1.0);
}

int main(int argc, char **argv) {
    check_begin(argc, argv);
    test_warmup();
    test_decay();
    test_rsqrt();
    test_timed();
    return check_end();
}
