# Sets ISB_HAVE_MPI, ISB_MPI_LIBRARY and ISB_MPI_SUMMARY from ISB_MPI = AUTO, ON or OFF.  ON fails when there is no MPI.
set(ISB_HAVE_MPI OFF)
set(ISB_MPI_SUMMARY "no")
if(NOT ISB_MPI STREQUAL "OFF")
  set(MPI_DETERMINE_LIBRARY_VERSION TRUE)
  find_package(MPI QUIET COMPONENTS C)
  if(MPI_C_FOUND)
    set(ISB_HAVE_MPI ON)
    # "Open MPI v4.1.4"; MPICH gives its whole configuration in further lines
    string(REGEX MATCH "^[^,\n\"]+" ISB_MPI_LIBRARY "${MPI_C_LIBRARY_VERSION_STRING}")
    if(NOT ISB_MPI_LIBRARY)
      set(ISB_MPI_LIBRARY "MPI ${MPI_C_VERSION}")
    endif()
    set(ISB_MPI_SUMMARY "yes (${ISB_MPI_LIBRARY}, ${MPI_C_COMPILER})")
  elseif(ISB_MPI STREQUAL "ON")
    message(FATAL_ERROR "ISB_MPI is ON, but no MPI for C was found: install libopenmpi-dev or libmpich-dev, or set MPI_HOME, "
      "or set ISB_MPI to AUTO or OFF")
  endif()
endif()
