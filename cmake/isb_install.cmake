# What `cmake --install` puts where: libraries, headers, isobit.pc, the CMake package.  The command, its man pages and
# completions are in tool_files.cmake.
include(CMakePackageConfigHelpers)

set_target_properties(isobit_shared PROPERTIES EXPORT_NAME isobit)
install(TARGETS isobit_static isobit_shared EXPORT isobit-targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(ISB_HAVE_MPI)
  install(TARGETS isobit_mpi LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/isobit)
endif()
install(DIRECTORY include/isobit DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
if(EXISTS ${ISB_RELEASED_M1})
  install(FILES ${ISB_RELEASED_M1} DESTINATION ${CMAKE_INSTALL_DATADIR}/isobit/models)
endif()
install(DIRECTORY codebooks DESTINATION ${CMAKE_INSTALL_DATADIR}/isobit FILES_MATCHING PATTERN "*.isb-codebook")

# The CMake package: find_package(isobit), then isobit::isobit (shared) or isobit::isobit_static.
set(ISB_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/isobit)
install(EXPORT isobit-targets NAMESPACE isobit:: DESTINATION ${ISB_PACKAGE_DIR})
configure_package_config_file(cmake/isobit-config.cmake.in ${PROJECT_BINARY_DIR}/isobit-config.cmake
  INSTALL_DESTINATION ${ISB_PACKAGE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/isobit-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/isobit-config.cmake ${PROJECT_BINARY_DIR}/isobit-config-version.cmake
  DESTINATION ${ISB_PACKAGE_DIR})

# isobit.pc: what a static link needs besides stands in Requires.private and Libs.private (pkg-config --static).
set(ISB_PC_REQUIRES_PRIVATE "zlib libzstd libxxhash jansson libdivsufsort")
set(ISB_PC_LIBS_PRIVATE "-lm -pthread")
if(ISB_HAVE_CUDA)
  get_filename_component(cuda_library_dir "${CUDA_cudart_static_LIBRARY}" DIRECTORY)
  string(APPEND ISB_PC_LIBS_PRIVATE " -L${cuda_library_dir} -lcudart_static -ldl -lrt -lstdc++")
endif()
foreach(library IN LISTS CMAKE_DL_LIBS)
  string(APPEND ISB_PC_LIBS_PRIVATE " -l${library}")
endforeach()
# Found from where the file lies, so that an installed tree can be moved.
file(RELATIVE_PATH ISB_PC_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
string(REGEX REPLACE "/$" "" ISB_PC_PREFIX "${ISB_PC_PREFIX}")
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(ISB_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
  set(ISB_PC_LIBDIR "${CMAKE_INSTALL_FULL_LIBDIR}")
  set(ISB_PC_INCLUDEDIR "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
else()
  set(ISB_PC_PREFIX "\${pcfiledir}/${ISB_PC_PREFIX}")
  set(ISB_PC_LIBDIR "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
  set(ISB_PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(cmake/isobit.pc.in ${PROJECT_BINARY_DIR}/isobit.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/isobit.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
