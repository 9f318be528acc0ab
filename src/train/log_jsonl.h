/* log.jsonl: one object a line, {"step": 10, "loss": 2.31, ...}.  Appended to line by line; lines
 * that a full disk did not take are written with a later one. */
#ifndef ISB_TRAIN_LOG_JSONL_H
#define ISB_TRAIN_LOG_JSONL_H

#include "base/context.h"
#include "train/tensorboard.h"

typedef struct isb__log_jsonl isb__log_jsonl;
/* keep_step: keep the lines that are there, up to this step (a resumed run); negative: start a
 * new file. */
isb_status isb__log_jsonl_open(isb_context *ctx, const char *dir, int64_t keep_step,
                               isb__log_jsonl **log);
/* Values that are not finite become null.  Errors: NO_SPACE, IO. */
isb_status isb__log_jsonl_write(isb__log_jsonl *log, int64_t step, size_t n,
                                const isb__metric *metrics);
/* {"step": 10, "KEY": "TEXT"}; text without quotes, backslashes and control characters. */
isb_status isb__log_jsonl_note(isb__log_jsonl *log, int64_t step, const char *key,
                               const char *text);
void isb__log_jsonl_close(isb__log_jsonl *log);

#endif
