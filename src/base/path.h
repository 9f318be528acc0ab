/* Names beside a name, and the sync that makes a rename last. */
#ifndef ISB_BASE_PATH_H
#define ISB_BASE_PATH_H

#include "base/context.h"

/* path + suffix, without the slashes at path's end: "out/" and ".old" give "out.old".  Returns
 * owned. */
isb_status isb__path_append(isb_context *ctx, const char *path, const char *suffix, char **result);
/* PATH.tmp.PID.  Returns owned. */
isb_status isb__path_temporary(isb_context *ctx, const char *path, char **result);
/* Syncs the folder that holds `path`. */
isb_status isb__path_sync_parent(isb_context *ctx, const char *path);

#endif
