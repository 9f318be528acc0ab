/* Messages by MPI: the module libisobit-mpi.so, see comm/transport.h.  By hand:
 *
 *     mpicc -shared -fPIC -O2 -Isrc src/comm/mpi/mpi_transport.c -o libisobit-mpi.so
 *
 * MPI can be started and ended only once in a process, hence the variables of this file, and the
 * end at exit: MPI_Finalize() also waits for the others, so no process ends before all are done. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/transport.h"

_Static_assert(sizeof(MPI_Request) <= sizeof(isb__request), "a request holds MPI's");

static MPI_Comm world; /* a communicator of our own: nobody else's messages */
static int left;
static char error_text[ISB__TRANSPORT_ERROR_NBYTES];

static int failed(int code) {
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    if (code == MPI_SUCCESS) return 0;
    MPI_Error_string(code, text, &length);
    snprintf(error_text, sizeof error_text, "%.*s", (int)sizeof error_text - 1, text);
    return 1;
}

static int send_message(int to, int tag, const void *data, size_t nbytes, isb__request *request) {
    MPI_Request r = MPI_REQUEST_NULL;
    const int code = MPI_Isend(data, (int)nbytes, MPI_BYTE, to, tag, world, &r);
    memcpy(request, &r, sizeof r);
    return failed(code);
}

static int receive_message(int from, int tag, void *data, size_t nbytes, isb__request *request) {
    MPI_Request r = MPI_REQUEST_NULL;
    const int code = MPI_Irecv(data, (int)nbytes, MPI_BYTE, from, tag, world, &r);
    memcpy(request, &r, sizeof r);
    return failed(code);
}

static int test_messages(size_t n, isb__request *requests, int *done) {
    *done = 1;
    for (size_t i = 0; i < n; ++i) {
        MPI_Request r;
        int this_one = 0;
        memcpy(&r, &requests[i], sizeof r);
        const int code = MPI_Test(&r, &this_one, MPI_STATUS_IGNORE);
        memcpy(&requests[i], &r, sizeof r);
        if (failed(code)) return 1;
        *done &= this_one;
    }
    return 0;
}

static void leave(void) { left = 1; }
static const char *last_error(void) { return error_text; }

static void finish(void) {
    int over = 0;
    MPI_Finalized(&over);
    if (!left && !over) MPI_Finalize();
}

static isb__transport transport = {.version = ISB__TRANSPORT_VERSION,
                                   .send = send_message,
                                   .receive = receive_message,
                                   .test = test_messages,
                                   .leave = leave,
                                   .error = last_error};

static int join(char *error) {
    int running = 0, threads = MPI_THREAD_SERIALIZED;
    MPI_Comm machine;
    MPI_Initialized(&running);
    if (running) {
        MPI_Query_thread(&threads); /* by our caller, who will end it too */
    } else {
        if (failed(MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &threads))) return 1;
        atexit(finish);
    }
    if (threads < MPI_THREAD_SERIALIZED) {
        snprintf(error, ISB__TRANSPORT_ERROR_NBYTES, "this MPI does not allow threads");
        return 1;
    }
    if (failed(MPI_Comm_dup(MPI_COMM_WORLD, &world))) return 1;
    MPI_Comm_set_errhandler(world, MPI_ERRORS_RETURN);
    MPI_Comm_rank(world, &transport.rank);
    MPI_Comm_size(world, &transport.size);
    if (failed(MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine)))
        return 1;
    MPI_Comm_rank(machine, &transport.local_rank);
    MPI_Comm_size(machine, &transport.local_size);
    MPI_Comm_free(&machine);
    return 0;
}

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
isb__transport_start_fn isb__transport_start;

const isb__transport *isb__transport_start(char *error) {
    if (transport.size > 0) return &transport;
    error[0] = '\0';
    if (join(error) == 0) return &transport;
    if (!error[0]) snprintf(error, ISB__TRANSPORT_ERROR_NBYTES, "%s", error_text);
    transport.size = 0;
    return NULL;
}
