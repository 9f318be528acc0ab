# Tests that are scripts.
function(isb_add_script_test name label)
  add_test(NAME ${label}/${name} COMMAND ${ARGN} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${label}/${name} PROPERTIES LABELS ${label} TIMEOUT 300)
endfunction()
isb_add_script_test(check_exports unit scripts/check_exports.sh $<TARGET_FILE:isobit_shared>)
isb_add_script_test(check_headers unit scripts/check_headers.sh)
isb_add_script_test(check_includes unit scripts/check_includes.sh)
