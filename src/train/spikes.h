/* Steps that are better left out: a loss that is not finite, or far above what is usual by now.
 *
 * One odd batch can throw a run off that was well before.  Such a step changes no weight; its data
 * is passed over.  The judgement is made from the losses of earlier steps alone, which every
 * checkpoint has, so a resumed run leaves out the same steps.
 *
 * Usual is the median of the last 100 losses, and their spread 1.48 times the median distance from
 * it (the standard deviation, were they normal), which single spikes do not move. */
#ifndef ISB_TRAIN_SPIKES_H
#define ISB_TRAIN_SPIKES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct isb__spike {
    bool found;
    double expected, spread; /* NaN: not judged by them */
} isb__spike;

/* losses [step]: in nats, as isb__spike_mark() made them.  The loss and the gradient's norm are of
 * the step with number `step`; limit: in spreads, <= 0: any finite loss will do.  The first
 * `warmup` steps are not judged by it either. */
isb__spike isb__spike_find(const float *losses, uint64_t step, uint64_t warmup, double limit,
                           double nats, double norm);

/* How a step that was left out stands among the losses: below 0. */
float isb__spike_mark(double nats);
static inline bool isb__spike_marked(float loss) { return loss < 0; }
/* Steps at the end of losses [step] that were left out in a row; all that were left out. */
uint64_t isb__spike_run(const float *losses, uint64_t step);
uint64_t isb__spike_count(const float *losses, uint64_t step);

#endif
