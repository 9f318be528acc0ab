/* A training run: everything that is open while it goes on. */
#ifndef ISB_TRAIN_RUN_H
#define ISB_TRAIN_RUN_H

#include "base/io.h"
#include "data/dataset.h"
#include "train/log_jsonl.h"
#include "train/score.h"
#include "train/tensorboard.h"
#include "train/train_data.h"
#include "train/train_state.h"
#include "train/trainer.h"

typedef struct isb__run {
    isb_context *ctx;
    isb_train_options settings; /* nothing left open: settings.h */
    isb__train_data data;
    isb_model *model;
    isb__comm *comm;               /* the processes of the run */
    isb__compose_map *compose_map; /* NULL: plain embeddings */
    isb__trainer *trainer;         /* batch_rows rows of context_length tokens */
    isb__loader *loader;
    isb__scorer *scorer; /* NULL without validation data */
    isb__log_jsonl *log;
    isb__tensorboard *tensorboard;
    size_t n_batches; /* this rank's micro-batches of a step */
    int32_t *inputs, *targets, *starts; /* [n_batches][B, T] */
    void *block;                        /* the memory of the three */
    isb__train_progress progress;
    size_t losses_capacity;
    uint64_t memory_nbytes;
    isb__lock *lock; /* on out_dir */
    isb_context_options heard; /* log and progress, which only rank 0 reports to */
    char device[32]; /* what settings.device points to, if it was the checkpoint's */
} isb__run;

/* Checks everything, opens everything; with `resume`, loads the newest whole checkpoint.
 * Nothing of an older run in the folder is touched unless all went well. */
isb_status isb__run_open(isb_context *ctx, const isb_train_options *options, isb__run *run);
void isb__run_close(isb__run *run);

#endif
