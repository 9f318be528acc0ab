/* What text -> ids and ids -> text share. */
#ifndef ISB_DATA_IDS_FILES_H
#define ISB_DATA_IDS_FILES_H

#include <isobit/data.h>

#include "data/tokenizer.h"

/* Checks the options and opens the tokenizer that they name.  Errors: ARGUMENT, those of tokenizers
 * and models. */
isb_status isb__encode_options_open(isb_context *ctx, const isb_encode_options *options,
                                    isb__tokenizer **tokenizer);

#endif
