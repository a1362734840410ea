# tests/tools/test_<module>.c -> test tools.<module>: what the command line programs share, and `canyon` itself.
file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_*.c)
foreach(source ${sources})
  get_filename_component(name ${source} NAME_WE)
  string(REGEX REPLACE "^test_" "" name ${name})
  add_executable(tools_${name} ${source})
  target_link_libraries(tools_${name} PRIVATE canyon_tools canyon_test_support m)
  add_test(NAME tools.${name} COMMAND tools_${name})
  set_tests_properties(tools.${name} PROPERTIES LABELS quick TIMEOUT 60)
endforeach()

target_sources(tools_summary PRIVATE ${PROJECT_SOURCE_DIR}/client/cli/summary.c)
# These start servers and run the program.
add_dependencies(tools_local canyon-server)
add_dependencies(tools_cli canyon-server canyon)
add_dependencies(tools_keygen canyon)
set_tests_properties(tools.local tools.cli PROPERTIES TIMEOUT 120)
