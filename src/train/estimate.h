/* What a run takes before it is started: the same plans that are allocated later, only counted. */
#ifndef ISB_TRAIN_ESTIMATE_H
#define ISB_TRAIN_ESTIMATE_H

#include "nn/compose.h"
#include "train/settings.h"

/* Memory by kind, on one process and the CPU; settings: resolved.  map: NULL for plain
 * embeddings. */
isb_status isb__estimate_memory(isb_context *ctx, const isb_train_options *settings,
                                const isb__compose_map *map, isb_train_estimate *estimate);

/* NO_MEMORY, with the changes that would make the run fit, if it takes more than max_memory_nbytes
 * or, with 0 there, than is available.  held_nbytes: of the estimate, allocated already. */
isb_status isb__estimate_check(isb_context *ctx, const isb_train_options *settings,
                               const isb__compose_map *map, uint64_t held_nbytes);

#endif
