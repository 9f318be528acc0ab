# The trainer for GPUs: its sources against an emulation of CUDA on every machine with a C++ compiler, and against a
# GPU where there is one (label gpu; skipped where there is not).
include(CheckLanguage)
check_language(CXX)
if(ISB_SANITIZE)
  # Fibers that jump between stacks are what sanitizers take for an error.
elseif(CMAKE_CXX_COMPILER)
  enable_language(CXX)
  file(GLOB ISB_CUDA_KERNELS CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/cuda/*.cu)
  file(GLOB ISB_CUDA_HOST CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/cuda/*.c)
  set_source_files_properties(${ISB_CUDA_KERNELS} PROPERTIES LANGUAGE CXX)
  add_executable(test_trainer_emulated cuda/test_trainer_cuda.c cuda/emulation/cuda_emulation.cpp ${ISB_CUDA_KERNELS}
    ${ISB_CUDA_HOST})
  set_target_properties(test_trainer_emulated PROPERTIES CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF)
  target_include_directories(test_trainer_emulated PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}
    ${CMAKE_CURRENT_SOURCE_DIR}/cuda/emulation ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
  target_compile_definitions(test_trainer_emulated PRIVATE ISB_CUDA_EMULATION)
  target_compile_options(test_trainer_emulated PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-O2 -Wall -Wextra -Wno-unknown-pragmas>)
  target_link_libraries(test_trainer_emulated PRIVATE isb_flags isobit_static)
  add_test(NAME unit/test_trainer_emulated COMMAND test_trainer_emulated)
  set_tests_properties(unit/test_trainer_emulated PROPERTIES LABELS unit TIMEOUT 600)
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
  message(STATUS "No C++ compiler: the trainer for GPUs is not tested by emulation")
endif()

if(ISB_HAVE_CUDA)
  add_executable(test_trainer_gpu cuda/test_trainer_cuda.c)
  target_include_directories(test_trainer_gpu PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(test_trainer_gpu PRIVATE isb_flags isobit_static)
  add_test(NAME gpu/test_trainer_gpu COMMAND test_trainer_gpu)
  set_tests_properties(gpu/test_trainer_gpu PROPERTIES LABELS gpu TIMEOUT 300 SKIP_RETURN_CODE 77)
endif()
