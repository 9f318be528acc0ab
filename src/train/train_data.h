/* The data of a run: datasets for training and validation, made from text first if text was
 * given, and the M1 or codebook behind their ids. */
#ifndef ISB_TRAIN_DATA_H
#define ISB_TRAIN_DATA_H

#include <isobit/codebook.h>
#include <isobit/train.h>

#include "data/dataset.h"
#include "data/id_strings.h"

typedef struct isb__train_data {
    isb_context *ctx;
    isb__dataset *train, *valid; /* valid: NULL if there is none, or none with tokens */
    char *prefix;                /* as given; NULL: made from text, in OUT/data */
    char *m1_dir;                /* NULL: the ids need none */
    isb_codebook *codebook;      /* owned; NULL: the ids need none */
    isb__id_strings strings;     /* with composed embeddings or raw bytes, of codes; else n is 0 */
    char fingerprint[17];        /* changes when the training ids do */
} isb__train_data;

/* Opens, and prepares first if text is given and OUT/data was not made from the same text by the
 * same tokenizer.  resuming: OUT/data is taken as it is.  Errors: those of isb_prepare(); EMPTY;
 * MISMATCH (M1, codebook); ARGUMENT (M1 needed, none given; strings needed for composed embeddings,
 * none there). */
isb_status isb__train_data_open(isb_context *ctx, const isb_train_options *options, int resuming,
                                isb__train_data *data);
void isb__train_data_close(isb__train_data *data);
/* Copies the M1 into OUT/m1, or the codebook to OUT/tokenizer.isb-codebook, unless it is there. */
isb_status isb__train_data_copy_tokenizer(const isb__train_data *data, const char *out_dir);

#endif
