# Every allocation of a scenario fails once. Static libraries only: the wraps reach what is linked into the program.
add_library(canyon_fail STATIC ${CMAKE_CURRENT_LIST_DIR}/fail.c)
target_include_directories(canyon_fail PUBLIC ${PROJECT_SOURCE_DIR})
target_link_libraries(canyon_fail PUBLIC canyon_test_support Threads::Threads)
foreach(symbol malloc calloc realloc aligned_alloc posix_memalign strdup strndup open_memstream pthread_create)
  target_link_options(canyon_fail INTERFACE -Wl,--wrap=${symbol})
endforeach()

# canyon_allocation_test(NAME LIBRARY...)
function(canyon_allocation_test name)
  add_executable(allocation_${name} ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/test_${name}.c)
  target_link_libraries(allocation_${name} PRIVATE ${ARGN} canyon_fail m)
  add_test(NAME allocation.${name} COMMAND allocation_${name})
  set_tests_properties(allocation.${name} PROPERTIES LABELS quick TIMEOUT 300)
endfunction()

canyon_allocation_test(handler canyon_server_core)
canyon_allocation_test(connection canyon_server_core)
canyon_allocation_test(config canyon_server_core)
canyon_allocation_test(lists canyon_server_core canyon_client_core)
canyon_allocation_test(client canyon_client_core)
target_sources(allocation_client PRIVATE
  ${PROJECT_SOURCE_DIR}/tests/integration/harness.c ${PROJECT_SOURCE_DIR}/tests/integration/process.c
  ${PROJECT_SOURCE_DIR}/client/tools/keyring.c)
target_link_libraries(allocation_client PRIVATE canyon_common PkgConfig::UV)
add_dependencies(allocation_client canyon-server)
