/* Spikes of the loss: a robust test against the recent past. */
#include "train/spikes.h"

#include <math.h>
#include <stdlib.h>

enum { WINDOW = 100, FEWEST = 20 };
static const double DEVIATION_OF_MEDIAN = 1.4826; /* normal: sigma / median |x - median| */
/* Losses that hardly differ would make any a spike: the spread counts for at least this share of
 * the median. */
static const double LEAST_SPREAD = 0.01;

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *x, size_t n) {
    qsort(x, n, sizeof *x, compare);
    return (x[(n - 1) / 2] + x[n / 2]) / 2;
}

/* The losses of the last WINDOW steps, without those left out. */
static size_t recent(const float *losses, uint64_t step, double *x) {
    size_t n = 0;
    for (uint64_t i = step > WINDOW ? step - WINDOW : 0; i < step; ++i) {
        if (!isb__spike_marked(losses[i])) x[n++] = (double)losses[i];
    }
    return n;
}

isb__spike isb__spike_find(const float *losses, uint64_t step, uint64_t warmup, double limit,
                           double nats, double norm) {
    isb__spike spike = {!isfinite(nats) || !isfinite(norm), (double)NAN, (double)NAN};
    double x[WINDOW], distance[WINDOW];
    if (spike.found || limit <= 0 || step < warmup) return spike;
    const size_t n = recent(losses, step, x);
    if (n < FEWEST) return spike;
    const double middle = median(x, n);
    for (size_t i = 0; i < n; ++i) distance[i] = fabs(x[i] - middle);
    spike.expected = middle;
    spike.spread = fmax(DEVIATION_OF_MEDIAN * median(distance, n), LEAST_SPREAD * middle);
    spike.found = nats > middle + limit * spike.spread;
    return spike;
}

float isb__spike_mark(double nats) {
    return isfinite(nats) && nats > 0 ? -(float)nats : -HUGE_VALF;
}

uint64_t isb__spike_run(const float *losses, uint64_t step) {
    uint64_t n = 0;
    while (n < step && isb__spike_marked(losses[step - 1 - n])) ++n;
    return n;
}

uint64_t isb__spike_count(const float *losses, uint64_t step) {
    uint64_t n = 0;
    for (uint64_t i = 0; i < step; ++i) n += isb__spike_marked(losses[i]);
    return n;
}
