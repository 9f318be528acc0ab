/* The version of the MPI library.  The call is allowed before MPI_Init (MPI 4.0, section 9.1.1). */
#include "base/devices.h"

#if defined(ISB_HAVE_MPI)
#include <mpi.h>
#include <string.h>

void isb__mpi_library_version(char *text, size_t nbytes) {
    char version[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;
    if (MPI_Get_library_version(version, &length) != MPI_SUCCESS) length = 0;
    size_t n = strcspn(version, "\n"); /* MPICH gives its whole configuration in the lines after */
    if (n > nbytes - 1) n = nbytes - 1;
    memcpy(text, version, n);
    text[n] = '\0';
}
#else
void isb__mpi_library_version(char *text, size_t nbytes) {
    if (nbytes > 0) text[0] = '\0';
}
#endif
