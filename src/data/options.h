/* Checks of options that the module's calls share. */
#ifndef ISB_DATA_OPTIONS_H
#define ISB_DATA_OPTIONS_H

#include <isobit/data.h>

#include "base/context.h"

/* Options that no _init() has filled have another struct_size: usually the zeroed struct of a
 * caller in a hurry. */
#define ISB__CHECK_OPTIONS(ctx, options, name)                                                   \
    ((options)->struct_size == sizeof *(options)                                                 \
         ? ISB_OK                                                                                \
         : isb__fail(ctx, ISB_ERR_ARGUMENT,                                                      \
                     "%s has struct_size %zu, expected %zu: fill it with %s_init() first", name, \
                     (options)->struct_size, sizeof *(options), name))

enum { ISB__DEFAULT_PERMILLE = 20 };
static inline int isb__permille(int share) { return share < 0 ? ISB__DEFAULT_PERMILLE : share; }

/* Errors: ARGUMENT, RANGE, with the field. */
isb_status isb__corpus_options_check(isb_context *ctx, const isb_corpus_options *options);
/* Does a file hold a document a line, by the format asked for or by its name? */
bool isb__corpus_is_jsonl(const isb_corpus_options *options, const char *path);

#endif
