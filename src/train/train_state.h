/* Checkpoints: everything that a run needs to go on as if it had not been interrupted.
 *
 *   OUT/checkpoints/step-00000200/
 *     config.json, model.safetensors   the model
 *     optimizer.safetensors            the trainer's tensors, and the loss of every step so far
 *     state.json                       step, tokens, seconds, position in the data, evaluations,
 *                                      options, data fingerprint, checksums of the three files and
 *                                      of itself
 *
 * There is no other state: initial weights, order of rows and cuts are pure functions of seed
 * and position. */
#ifndef ISB_TRAIN_STATE_H
#define ISB_TRAIN_STATE_H

#include <jansson.h>

#include "nn/model.h"
#include "train/train_data.h"
#include "train/trainer.h"

#define ISB__NO_STEP UINT64_MAX

/* A measurement on the validation data. */
typedef struct isb__train_eval {
    uint64_t step; /* ISB__NO_STEP: there was none */
    double nats;   /* per target */
} isb__train_eval;

typedef struct isb__train_progress {
    uint64_t step, tokens;      /* done so far */
    double seconds;             /* training proper */
    float *losses;              /* [step] nats per target of each step; spikes.h */
    isb__train_eval last, best; /* best: of the model in OUT/best */
} isb__train_progress;

/* What is saved; all borrowed. */
typedef struct isb__train_snapshot {
    const isb_train_options *settings;
    const isb__train_progress *progress;
    const isb_model *model;
    const isb__trainer *trainer; /* pulled */
    const char *fingerprint;    /* of the training data */
    const char *dataset_prefix; /* NULL: made from text */
} isb__train_snapshot;

/* Writes a checkpoint, whole or not at all, and then removes all but the settings' `keep`
 * newest, with those of later steps (damaged ones that a resumed run left behind).  Errors:
 * NO_SPACE, ...; older checkpoints are untouched then. */
isb_status isb__checkpoint_save(isb_context *ctx, const char *out_dir,
                                const isb__train_snapshot *snapshot);
/* Whether OUT holds a run: checkpoints, a log or a model. */
isb_status isb__run_exists(isb_context *ctx, const char *out_dir, bool *exists);
/* Removes a run, but neither the data made from text nor m1/, which may be in use. */
isb_status isb__run_remove(isb_context *ctx, const char *out_dir);
/* Removes what a killed process left half-written. */
isb_status isb__run_tidy(isb_context *ctx, const char *out_dir);

/* A checkpoint found on disk. */
typedef struct isb__checkpoint {
    isb_context *ctx;
    char *dir;
    json_t *state;
    const json_t *options;                    /* for isb__settings_merge() */
    const char *fingerprint, *dataset_prefix; /* in `state`; prefix may be NULL */
    const char *device; /* in `state`; may be NULL */
    isb__train_progress progress; /* without losses */
} isb__checkpoint;
/* The newest that is whole: every checksum is verified, and damaged ones are skipped with a
 * warning in the log. Errors: NOT_FOUND (there is none), CORRUPT (there are some, all damaged). */
isb_status isb__checkpoint_find(isb_context *ctx, const char *out_dir, isb__checkpoint *checkpoint);
/* The one of this step, which rank 0 found whole. */
isb_status isb__checkpoint_open(isb_context *ctx, const char *out_dir, uint64_t step,
                                isb__checkpoint *checkpoint);
void isb__checkpoint_close(isb__checkpoint *checkpoint);
/* Whether the model in OUT is already this checkpoint's, bit for bit. */
isb_status isb__checkpoint_is_published(const isb__checkpoint *checkpoint, const char *out_dir,
                                        bool *same);
/* Fills the trainer's host tensors, to be pushed, and losses [progress.step].  Errors: CORRUPT
 * also for numbers that are not finite. */
isb_status isb__checkpoint_load_trainer(const isb__checkpoint *checkpoint,
                                        const isb__trainer *trainer, float *losses);

/* Writes the model to OUT/config.json and OUT/model.safetensors.  Each file is replaced whole;
 * config.json carries the identity of the weights, so a pair torn by a crash between the two is
 * refused by the loader, and resuming mends it. */
isb_status isb__model_publish(isb_context *ctx, const isb_model *model, const char *out_dir);
/* Writes the model and its tokenizer to OUT/best, a whole folder or the one before. */
isb_status isb__best_publish(isb_context *ctx, const isb_model *model, const isb__train_data *data,
                             const char *out_dir);
/* CORRUPT, with the first tensor that has a number which is not finite; `where`: for the text. */
isb_status isb__model_check_finite(isb_context *ctx, const isb_model *model, const char *where);

#endif
