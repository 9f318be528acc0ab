/* Who is still there: a thread in every process that sends a sign of life each second and listens
 * for those of others.
 *
 * Rank 0 listens to all, all listen to rank 0.  A process that is busy for an hour with one step
 * still sends, since its thread does; one that is stopped, or whose machine is gone, does not.
 * Rank 0 tells the others who was lost.  docs/many-machines.md. */
#ifndef ISB_COMM_WATCH_H
#define ISB_COMM_WATCH_H

#include <pthread.h>

#include "base/context.h"
#include "comm/transport.h"

typedef struct isb__watch isb__watch;

/* lock: held around every call of the transport, here and by the caller.  timeout_s: silence that
 * counts as lost.  Errors: NO_MEMORY, THREAD. */
isb_status isb__watch_start(isb_context *ctx, const isb__transport *transport,
                            pthread_mutex_t *lock, double timeout_s, isb__watch **watch);
/* The rank that was lost; -1: none.  Any thread. */
int isb__watch_lost(const isb__watch *watch);
/* Exchanges farewells and frees.  Where a process was lost, tells the others, for seconds at most,
 * and frees nothing that a message may still be written to. */
void isb__watch_stop(isb__watch *watch);

#endif
