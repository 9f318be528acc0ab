/* How this process was started: alone, or as one of several by mpirun or srun. */
#ifndef ISB_COMM_LAUNCH_H
#define ISB_COMM_LAUNCH_H

#include "base/context.h"
#include "comm/transport.h"

/* By the environment; 1 for a process that was started alone, or with ISB_MPI=off. */
int isb__launch_size(void);
int isb__launch_rank(void);
/* Loads the module and joins the others.  Errors: UNSUPPORTED (no module, or the module's MPI is
 * not that of mpirun), RANK. */
isb_status isb__launch_join(isb_context *ctx, const isb__transport **transport);

#endif
