/* The options of a run with nothing left open: defaults filled in, limits checked, and what a
 * checkpoint keeps of them.
 *
 * Settings are an isb_train_options in which a 0 that means "default" has been replaced.  What
 * can be turned off is then negative, so that settings which are read as options again mean the
 * same: read those through isb__setting(). */
#ifndef ISB_TRAIN_SETTINGS_H
#define ISB_TRAIN_SETTINGS_H

#include <isobit/train.h>
#include <jansson.h>

#include "base/context.h"
#include "train/schedule.h"

/* Composed embeddings or plain, if the options leave it open.  strings: those of the ids are known. */
void isb__settings_choose_embeddings(isb_train_options *options, bool strings);
/* Fills the defaults in.  options->model must be complete.  Errors: RANGE, ARGUMENT, with the
 * field. */
isb_status isb__settings_resolve(isb_context *ctx, isb_train_options *options);
/* The value of a setting that may be off (negative): 0 then. */
static inline double isb__setting(double value) { return value < 0 ? 0 : value; }

/* Steps of the run, from whichever of steps, tokens and FLOPs ends it first; UINT64_MAX if only
 * time does. */
uint64_t isb__settings_total_steps(const isb_train_options *settings);
uint64_t isb__settings_tokens_per_step(const isb_train_options *settings);
/* Training FLOPs of one step: 3 x forward, all products. */
double isb__settings_flops_per_step(const isb_train_options *settings);
isb__schedule isb__settings_schedule(const isb_train_options *settings);

/* All numbers as a JSON object; NULL: no memory.  Returns owned. */
json_t *isb__settings_to_json(const isb_train_options *settings);
/* For resuming: what `options` leave open (0) is taken from the JSON; what they set must be the
 * same as there, but for budgets, intervals and `keep`.  Errors: MISMATCH (names the field and
 * both values), CORRUPT (a field is missing). */
isb_status isb__settings_merge(isb_context *ctx, const json_t *saved, isb_train_options *options);

#endif
