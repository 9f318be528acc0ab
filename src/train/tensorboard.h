/* TensorBoard event files, scalars only: hand-encoded, no protobuf library.  An event file is a
 * log: it is appended to and flushed after every event, and a reader may follow it. */
#ifndef ISB_TRAIN_TENSORBOARD_H
#define ISB_TRAIN_TENSORBOARD_H

#include "base/context.h"

typedef struct isb__metric {
    const char *name;
    double value;
} isb__metric;

typedef struct isb__tensorboard isb__tensorboard;
/* Creates DIR/events.out.tfevents.<seconds>.<host>.<pid>.<n>.  restart_step: readers forget what
 * older files in the folder say of this step and later ones (a resumed run); negative: nothing
 * to forget. */
isb_status isb__tensorboard_open(isb_context *ctx, const char *dir, int64_t restart_step,
                                 isb__tensorboard **tensorboard);
/* One event with all the metrics; those that are not finite are left out. */
isb_status isb__tensorboard_write(isb__tensorboard *tensorboard, int64_t step, size_t n,
                                  const isb__metric *metrics);
void isb__tensorboard_close(isb__tensorboard *tensorboard);

/* One record of the file, encoded into `out` (isb__tensorboard_bound() bytes); returns its size.
 * For the writer and its test. */
size_t isb__tensorboard_bound(size_t n, const isb__metric *metrics);
size_t isb__tensorboard_encode(double wall_time, int64_t step, size_t n, const isb__metric *metrics,
                               uint8_t *out);

#endif
