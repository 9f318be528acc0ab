# What runs on GPUs: the sources of src/cuda against an emulation of CUDA on every machine with a C++ compiler, and
# against a GPU where there is one (label gpu; skipped where there is not).
include(CheckLanguage)
check_language(CXX)
if(ISB_SANITIZE)
  # Fibers that jump between stacks are what sanitizers take for an error.
elseif(CMAKE_CXX_COMPILER)
  enable_language(CXX)
  file(GLOB ISB_CUDA_KERNELS CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/cuda/*.cu)
  file(GLOB ISB_CUDA_HOST CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/cuda/*.c)
  set_source_files_properties(${ISB_CUDA_KERNELS} PROPERTIES LANGUAGE CXX)
  add_library(isb_cuda_emulated OBJECT cuda/emulation/cuda_emulation.cpp ${ISB_CUDA_KERNELS} ${ISB_CUDA_HOST})
  set_target_properties(isb_cuda_emulated PROPERTIES CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF)
  target_include_directories(isb_cuda_emulated PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}
    ${CMAKE_CURRENT_SOURCE_DIR}/cuda/emulation ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
  target_compile_definitions(isb_cuda_emulated PUBLIC ISB_CUDA_EMULATION)
  target_compile_options(isb_cuda_emulated PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-O2 -ffp-contract=off -Wall -Wextra -Wno-unknown-pragmas>)
  target_link_libraries(isb_cuda_emulated PUBLIC isb_flags isobit_static)
  foreach(name trainer m1)
    add_executable(test_${name}_emulated cuda/test_${name}_cuda.c)
    target_link_libraries(test_${name}_emulated PRIVATE isb_cuda_emulated)
    add_test(NAME unit/test_${name}_emulated COMMAND test_${name}_emulated)
    set_tests_properties(unit/test_${name}_emulated PROPERTIES LABELS unit TIMEOUT 600)
  endforeach()
  if(ISB_HAVE_MPI AND MPIEXEC_EXECUTABLE)
    # Two processes, each with its emulated GPU; MPI stands for NCCL.
    add_test(NAME mpi/test_trainer_emulated
      COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} 2 $<TARGET_FILE:test_trainer_emulated>)
    set(mpi_environment ISB_MPI=$<TARGET_FILE:isobit_mpi> OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
      OMPI_MCA_rmaps_base_oversubscribe=1)
    set_tests_properties(mpi/test_trainer_emulated PROPERTIES LABELS mpi TIMEOUT 300 PROCESSORS 2
      ENVIRONMENT "${mpi_environment}")
    add_dependencies(test_trainer_emulated isobit_mpi)
  endif()
else()
  message(STATUS "No C++ compiler: what runs on GPUs is not tested by emulation")
endif()

if(ISB_HAVE_CUDA)
  foreach(name trainer m1)
    add_executable(test_${name}_gpu cuda/test_${name}_cuda.c)
    target_include_directories(test_${name}_gpu PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(test_${name}_gpu PRIVATE isb_flags isobit_static)
    add_test(NAME gpu/test_${name}_gpu COMMAND test_${name}_gpu)
    set_tests_properties(gpu/test_${name}_gpu PROPERTIES LABELS gpu TIMEOUT 300 SKIP_RETURN_CODE 77)
  endforeach()
  # Of M1's kernels, without a card: the code that nvcc makes of them has only operations that round as docs/m1.md says.
  add_test(NAME unit/m1_ptx COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cuda/m1_ptx.sh ${CMAKE_CUDA_COMPILER} ${PROJECT_SOURCE_DIR})
  set_tests_properties(unit/m1_ptx PROPERTIES LABELS unit TIMEOUT 300)
endif()
