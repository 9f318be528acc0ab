# Man pages and shell completions: the built command prints them from its own tables (isobit --generate).
set(ISB_GENERATED ${CMAKE_CURRENT_BINARY_DIR}/generated)
set(ISB_PAGES ${ISB_GENERATED}/isobit.1)
foreach(command train prepare encode decode compress decompress eval generate codebook info)
  list(APPEND ISB_PAGES ${ISB_GENERATED}/isobit-${command}.1)
endforeach()
set(ISB_COMPLETIONS ${ISB_GENERATED}/isobit ${ISB_GENERATED}/_isobit ${ISB_GENERATED}/isobit.fish)

if(NOT CMAKE_CROSSCOMPILING)
  add_custom_command(OUTPUT ${ISB_PAGES} ${ISB_COMPLETIONS}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${ISB_GENERATED}
    COMMAND isobit --generate man ${ISB_GENERATED}
    COMMAND isobit --generate bash ${ISB_GENERATED}
    COMMAND isobit --generate zsh ${ISB_GENERATED}
    COMMAND isobit --generate fish ${ISB_GENERATED}
    DEPENDS isobit COMMENT "Writing man pages and completions" VERBATIM)
  add_custom_target(isobit_generated ALL DEPENDS ${ISB_PAGES} ${ISB_COMPLETIONS})
  install(FILES ${ISB_PAGES} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${ISB_GENERATED}/isobit DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${ISB_GENERATED}/_isobit DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  install(FILES ${ISB_GENERATED}/isobit.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()
install(TARGETS isobit RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
