# Tests that are scripts.
function(isb_add_script_test name label)
  add_test(NAME ${label}/${name} COMMAND ${ARGN} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${label}/${name} PROPERTIES LABELS ${label} TIMEOUT 300)
endfunction()
isb_add_script_test(check_exports unit scripts/check_exports.sh $<TARGET_FILE:isobit_shared>)
isb_add_script_test(check_abi unit scripts/check_abi.sh $<TARGET_FILE:isobit_shared>)
isb_add_script_test(check_headers unit scripts/check_headers.sh)
isb_add_script_test(check_includes unit scripts/check_includes.sh)
if(NOT ISB_SANITIZE AND TARGET isobit)
  isb_add_script_test(check_install cli scripts/check_install.sh ${PROJECT_BINARY_DIR})
endif()

# docs/determinism.md: scripts/matrix.sh runs it in other builds; docs/reference_decoder as a second opinion.
set_tests_properties(golden/test_matrix PROPERTIES LABELS "golden;matrix")
if(NOT ISB_SANITIZE AND TARGET isobit)
  isb_add_script_test(reference_decoder cli tests/reference_decoder.sh $<TARGET_FILE:isobit> $<TARGET_FILE:test_matrix>)
  set_tests_properties(cli/reference_decoder PROPERTIES LABELS "cli;matrix" SKIP_RETURN_CODE 77)
endif()

# The command, as its users meet it: tests/cli/NAME.sh with what it prints in NAME.expected.
file(GLOB ISB_CLI_TESTS CONFIGURE_DEPENDS cli/*.expected)
foreach(expected ${ISB_CLI_TESTS})
  get_filename_component(name ${expected} NAME_WE)
  add_test(NAME cli/${name} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/run.sh ${name})
  set_tests_properties(cli/${name} PROPERTIES LABELS cli TIMEOUT 300
    ENVIRONMENT "ISOBIT=$<TARGET_FILE:isobit>;ISB_CLI_MODELS=${CMAKE_CURRENT_BINARY_DIR}/cli-models")
  if(name STREQUAL models)
    set_tests_properties(cli/${name} PROPERTIES FIXTURES_SETUP cli_models)
  else()
    set_tests_properties(cli/${name} PROPERTIES FIXTURES_REQUIRED cli_models)
  endif()
endforeach()

# Oracles: other libraries, where they are installed (libdnnl-dev).
find_library(ISB_DNNL dnnl)
find_path(ISB_DNNL_INCLUDE dnnl.h)
if(ISB_DNNL AND ISB_DNNL_INCLUDE)
  isb_add_tests(oracle kernel)
  target_link_libraries(test_gemm_onednn PRIVATE ${ISB_DNNL})
  target_include_directories(test_gemm_onednn SYSTEM PRIVATE ${ISB_DNNL_INCLUDE})
endif()
