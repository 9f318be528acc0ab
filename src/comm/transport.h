/* Messages between the processes of a run: what comm.c builds its sums from.
 *
 * The one implementation is mpi/mpi_transport.c.  It is no part of the library but a module,
 * libisobit-mpi.so, which is loaded when a run has several processes: linking MPI would bring a
 * dozen libraries into every start of the command.  The module needs this header and <mpi.h> only,
 * so it can be built for the MPI of a cluster by one line (docs/many-machines.md). */
#ifndef ISB_COMM_TRANSPORT_H
#define ISB_COMM_TRANSPORT_H

#include <stddef.h>

#define ISB__TRANSPORT_SYMBOL "isb__transport_start"
enum { ISB__TRANSPORT_VERSION = 1, ISB__TRANSPORT_ERROR_NBYTES = 256 };

/* A message under way; large enough for an MPI_Request, whether pointer or integer. */
typedef struct isb__request {
    void *handle;
} isb__request;

/* Calls come from one thread at a time.  They return 0, or 1 with the reason in error(). */
typedef struct isb__transport {
    int version;
    int rank, size, local_rank, local_size;
    /* data stays the caller's and as it is until the message is done; messages of one sender and
     * tag arrive in the order sent.  nbytes <= INT_MAX. */
    int (*send)(int to, int tag, const void *data, size_t nbytes, isb__request *request);
    int (*receive)(int from, int tag, void *data, size_t nbytes, isb__request *request);
    /* *done: all of them are; does not wait. */
    int (*test)(size_t n, isb__request *requests, int *done);
    /* The process will end without waiting for the others. */
    void (*leave)(void);
    const char *(*error)(void);
} isb__transport;

/* What the module exports.  Joins the run, once in a process; NULL: cannot, with the reason in
 * error [ISB__TRANSPORT_ERROR_NBYTES]. */
typedef const isb__transport *isb__transport_start_fn(char *error);

#endif
