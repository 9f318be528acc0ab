/* The MPI library that the module libisobit-mpi.so was built for (comm/transport.h); asking the
 * library itself would mean loading it. */
#include "base/devices.h"

#include <stdio.h>

#ifndef ISB_MPI_LIBRARY
#define ISB_MPI_LIBRARY ""
#endif

void isb__mpi_library_version(char *text, size_t nbytes) {
    snprintf(text, nbytes, "%s", ISB_MPI_LIBRARY);
}
