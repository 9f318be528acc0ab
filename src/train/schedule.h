/* The learning rate over a run.  Schedules are functions of the step and of the fraction of the
 * budget that is used, so that a run may be limited by steps or by time alike. */
#ifndef ISB_TRAIN_SCHEDULE_H
#define ISB_TRAIN_SCHEDULE_H

#include <isobit/train.h>

typedef struct isb__schedule {
    isb_schedule kind;
    double lr, final_ratio; /* peak; the end is lr * final_ratio */
    uint64_t warmup_steps;  /* linear ramp over so many steps */
    double warmup_fraction; /* where in the run the ramp ends: the decay is spread over the rest */
    int timed; /* steps are not known beforehand: the ramp also waits for warmup_fraction */
} isb__schedule;

/* lr of the step with number `step` (the first is 0); fraction: share of the budget used before
 * it, 0 .. 1. */
double isb__schedule_lr(const isb__schedule *schedule, uint64_t step, double fraction);

#endif
