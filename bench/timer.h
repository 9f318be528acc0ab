/* One timer for all benchmarks: warm-up, many runs, best, median and spread. */
#ifndef ISB_BENCH_TIMER_H
#define ISB_BENCH_TIMER_H

#include <stdlib.h>
#include <time.h>

enum { BENCH_MAX_RUNS = 1001, BENCH_MIN_RUNS = 5 };

typedef struct bench_time {
    double median_s, best_s, spread; /* spread: interquartile range over the median */
    int n_runs;
} bench_time;

static inline double bench_now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline int bench_compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Calls fn(arg) once to warm up, then for about `budget_s` seconds, at least BENCH_MIN_RUNS times. */
static inline bench_time bench_run(void (*fn)(void *), void *arg, double budget_s) {
    double runs[BENCH_MAX_RUNS], begin = bench_now_s();
    int n = 0;
    fn(arg);
    for (double now = bench_now_s();
         n < BENCH_MAX_RUNS && (n < BENCH_MIN_RUNS || now - begin < budget_s); ++n) {
        const double before = now;
        fn(arg);
        now = bench_now_s();
        runs[n] = now - before;
    }
    qsort(runs, (size_t)n, sizeof *runs, bench_compare);
    return (bench_time){runs[n / 2], runs[0], (runs[n * 3 / 4] - runs[n / 4]) / runs[n / 2], n};
}

#endif
