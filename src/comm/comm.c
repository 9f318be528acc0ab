/* One process: every collective call is done before it begins. */
#include "comm/comm.h"

struct isb__comm {
    isb_context *ctx;
    int rank, size, local_rank, local_size;
};

isb_status isb__comm_open(isb_context *ctx, isb__comm **comm) {
    ISB_TRY(isb__alloc(ctx, sizeof **comm, comm));
    **comm = (isb__comm){ctx, 0, 1, 0, 1};
    return ISB_OK;
}

void isb__comm_close(isb__comm *comm) {
    if (comm) isb__free(comm->ctx, comm);
}

int isb__comm_rank(const isb__comm *comm) { return comm ? comm->rank : 0; }
int isb__comm_size(const isb__comm *comm) { return comm ? comm->size : 1; }
int isb__comm_local_rank(const isb__comm *comm) { return comm ? comm->local_rank : 0; }
int isb__comm_local_size(const isb__comm *comm) { return comm ? comm->local_size : 1; }
