/* The files behind a list of names: files, folders with all below them, "-". */
#ifndef ISB_DATA_PATHS_H
#define ISB_DATA_PATHS_H

#include "base/context.h"

typedef struct isb__file_list {
    isb_context *ctx;
    char **paths; /* [count], owned */
    size_t count, capacity;
    uint64_t total_nbytes;
    bool sizes_known; /* every file is a regular one */
} isb__file_list;

/* Errors: NOT_FOUND, EMPTY (a folder without files), PERMISSION.  On failure the list is freed. */
isb_status isb__file_list_make(isb_context *ctx, const char *const *names, size_t n_names,
                               isb__file_list *list);
void isb__file_list_free(isb__file_list *list);

#endif
