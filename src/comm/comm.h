/* The processes of one training run.
 *
 * A run started by `mpirun -n R` or `srun` is R processes ("ranks") that do the same at the same
 * time and divide the work; one started by hand is one.  Every call here is collective: all ranks
 * make it, in the same order.  Sums are made in order of rank, so a run on R ranks repeats bit for
 * bit; with one rank every call returns at once.
 *
 * A rank that dies or hangs must not leave the others waiting: calls fail with ISB_ERR_RANK, which
 * names the rank and its machine, within a minute.  docs/many-machines.md. */
#ifndef ISB_COMM_COMM_H
#define ISB_COMM_COMM_H

#include "base/context.h"

typedef struct isb__comm isb__comm;

/* Joins the run that the environment tells of; else the run is this process alone.  Errors:
 * UNSUPPORTED (started as several processes, but this build has no MPI). */
isb_status isb__comm_open(isb_context *ctx, isb__comm **comm);
void isb__comm_close(isb__comm *comm);
/* NULL counts as one process. */
int isb__comm_rank(const isb__comm *comm);
int isb__comm_size(const isb__comm *comm);
/* Rank among the processes on this machine, and their number: which GPU is whose. */
int isb__comm_local_rank(const isb__comm *comm);
int isb__comm_local_size(const isb__comm *comm);

/* Seconds spent in the calls so far, waiting for others included, and bytes sent. */
double isb__comm_seconds(const isb__comm *comm);
uint64_t isb__comm_nbytes(const isb__comm *comm);

/* Every rank gets the sums. */
isb_status isb__comm_sum_f64(isb__comm *comm, size_t count, double *x);
/* parts [size + 1], ascending.  After reduce_scatter, x[parts[r] .. parts[r+1]) on rank r is the
 * sum over ranks, and the rest of x is undefined.  After all_gather, every rank has every part as
 * its owner had it. */
isb_status isb__comm_reduce_scatter_f32(isb__comm *comm, const size_t *parts, float *x);
isb_status isb__comm_all_gather_f32(isb__comm *comm, const size_t *parts, float *x);
/* Every rank's part to rank 0, and back.  mine: this rank's part; all: read or written on rank 0
 * only, where the two may be one. */
isb_status isb__comm_gather_f32(isb__comm *comm, const size_t *parts, const float *mine,
                                float *all);
isb_status isb__comm_scatter_f32(isb__comm *comm, const size_t *parts, const float *all,
                                 float *mine);
isb_status isb__comm_broadcast(isb__comm *comm, int root, size_t nbytes, void *data);
/* One outcome for all: the failure of the lowest rank that has one, with its text; interruptions
 * count less than failures. */
isb_status isb__comm_agree(isb__comm *comm, isb_status status);
isb_status isb__comm_barrier(isb__comm *comm);

#endif
