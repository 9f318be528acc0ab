/* Progress reports: rate-limited, with a rate that follows the last seconds and the time left that
 * follows from it. */
#include <time.h>

#include "base/context.h"

static const double REPORT_EVERY_S = 0.1;
static const double RATE_EVERY_S = 1.0;
static const double RATE_WEIGHT = 0.3; /* of the newest second in the moving average */

double isb__now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void report(const isb__progress_state *state, double done, double now, double rate,
                   const char *note, int finished) {
    isb_progress progress = {
        .task = state->task, .unit = state->unit, .done = done, .total = state->total};
    progress.rate = rate;
    progress.elapsed_s = now - state->start_s;
    progress.left_s = state->total > 0 && rate > 0 ? (state->total - done) / rate : -1;
    if (finished) progress.left_s = 0;
    progress.note = note ? note : "";
    progress.finished = finished;
    state->ctx->options.progress(state->ctx->options.progress_user, &progress);
}

void isb__progress_begin(isb__progress_state *state, isb_context *ctx, const char *task,
                         const char *unit, double total) {
    const double now = isb__now_s();
    *state = (isb__progress_state){
        .ctx = ctx, .task = task, .unit = unit, .total = total, .start_s = now, .rate_s = now};
}

void isb__progress_resume(isb__progress_state *state, double done) {
    state->first_done = done;
    state->rate_done = done;
}

void isb__progress_update(isb__progress_state *state, double done, const char *note) {
    if (!state->ctx->options.progress) return;
    const double now = isb__now_s();
    if (now - state->last_report_s < REPORT_EVERY_S) return;
    const double interval = now - state->rate_s;
    if (interval >= RATE_EVERY_S) {
        const double newest = (done - state->rate_done) / interval;
        state->rate = state->rate > 0 ? state->rate + RATE_WEIGHT * (newest - state->rate) : newest;
        state->rate_done = done;
        state->rate_s = now;
    }
    double rate = state->rate;
    /* the first second */
    if (rate <= 0 && interval > 0) rate = (done - state->rate_done) / interval;
    state->last_report_s = now;
    report(state, done, now, rate, note, 0);
}

/* The last report carries the mean rate of the whole task. */
void isb__progress_end(isb__progress_state *state, double done, const char *note) {
    if (!state->ctx->options.progress) return;
    const double now = isb__now_s(), elapsed = now - state->start_s;
    report(state, done, now, elapsed > 0 ? (done - state->first_done) / elapsed : 0, note, 1);
}
