/* What the files of m1 share about a quantised model: its sizes, its memory, its tensors in the order of the file. */
#ifndef ISB_M1_M1_STATE_H
#define ISB_M1_M1_STATE_H

#include "m1/m1.h"

#define ISB__M1_SUFFIX ".isb-m1"
#define ISB__RELEASED_M1_NAME "english-3m"
enum { ISB__M1_NAME_NBYTES = 32 };

/* Are these the sizes of docs/m1.md?  where: for the error, SHAPE, which says what is wrong. */
isb_status isb__m1_check_sizes(isb_context *ctx, const char *where, const isb_model_config *c);
/* Memory for an M1 of checked sizes: tensors of zeros, no name, no identity.  Arrays of float32 have room up to a
 * multiple of 16. */
isb_status isb__m1_create(isb_context *ctx, const isb_model_config *c, isb__m1 **m1);

/* Calls visit(user, &tensor, count, size of an element) for each tensor, as the file has them. */
typedef void (*isb__m1_visit)(void *user, void *tensor /* T ** */, size_t count, size_t size);
void isb__m1_visit_tensors(isb__m1 *m1, isb__m1_visit visit, void *user);
/* Of the file. */
uint64_t isb__m1_file_nbytes(const isb_model_config *c);
/* Sets the identity of a filled M1. */
isb_status isb__m1_identify(isb__m1 *m1);

/* *is_static: the folder holds byte counts, which are then read.  counts: [257].  A config.json that is missing or
 * damaged is left to the loader of models, which says so. */
isb_status isb__m1_read_static(isb_context *ctx, const char *dir, bool *is_static,
                               uint64_t *counts);

#endif
