# Real servers and workers over loopback. Every test_<name>.c here is a program and the test integration.<name>.
add_library(canyon_integration_support STATIC
  ${CMAKE_CURRENT_LIST_DIR}/harness.c ${CMAKE_CURRENT_LIST_DIR}/process.c ${CMAKE_CURRENT_LIST_DIR}/raw.c)
target_link_libraries(canyon_integration_support PUBLIC canyon_test_support canyon_tools canyon_shared canyon_common m)

file(GLOB integration_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_*.c)
foreach(source ${integration_sources})
  get_filename_component(name ${source} NAME_WE)
  string(REGEX REPLACE "^test_" "" name ${name})
  add_executable(integration_${name} ${source})
  target_link_libraries(integration_${name} PRIVATE canyon_integration_support)
  add_dependencies(integration_${name} canyon-server)
  add_test(NAME integration.${name} COMMAND integration_${name})
  set_tests_properties(integration.${name} PROPERTIES LABELS "quick;threads" TIMEOUT 180)
endforeach()
# The examples are separate programs that a server started by the test serves.
set_tests_properties(integration.example PROPERTIES LABELS quick)

add_test(NAME integration.two_hosts COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/two_hosts.sh ${CMAKE_BINARY_DIR})
set_tests_properties(integration.two_hosts PROPERTIES LABELS quick TIMEOUT 120 SKIP_RETURN_CODE 77 RUN_SERIAL ON)

# A million pushes instead of twenty thousand.
add_test(NAME integration.poison_million COMMAND integration_poison)
set_tests_properties(integration.poison_million PROPERTIES LABELS full TIMEOUT 1800 ENVIRONMENT CANYON_PUSHES=1000000)
