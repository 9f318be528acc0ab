# Several processes: test_comm alone, and what mpirun starts, where there is one (else these are skipped).
isb_add_tests(mpi mpi)
if(TARGET isobit_mpi AND TARGET isobit AND NOT ISB_SANITIZE)
  add_executable(model_distance mpi/model_distance.c)
  target_include_directories(model_distance PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(model_distance PRIVATE isb_flags isobit_static)
  isb_add_script_test(comm mpi tests/mpi/comm.sh $<TARGET_FILE:test_comm>)
  foreach(scenario equal resume options failures)
    isb_add_script_test(${scenario} mpi tests/mpi/train.sh ${scenario})
    set_tests_properties(mpi/${scenario} PROPERTIES
      ENVIRONMENT "ISOBIT=$<TARGET_FILE:isobit>;MODEL_DISTANCE=$<TARGET_FILE:model_distance>")
  endforeach()
  # one at a time: they are about time-outs
  set_tests_properties(mpi/comm mpi/equal mpi/resume mpi/options mpi/failures PROPERTIES
    SKIP_RETURN_CODE 77 RUN_SERIAL ON)
endif()
