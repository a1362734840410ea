# The server as a process, spoken to in frames made by hand; needs nothing of the client.
add_library(canyon_server_fixture STATIC ${CMAKE_CURRENT_LIST_DIR}/fixture.c)
target_link_libraries(canyon_server_fixture PUBLIC canyon_common canyon_test_support)

foreach(name wire process stall)
  add_executable(server_${name} ${CMAKE_CURRENT_LIST_DIR}/test_${name}.c)
  target_link_libraries(server_${name} PRIVATE canyon_server_fixture)
  add_dependencies(server_${name} canyon-server)
  add_test(NAME server.${name} COMMAND server_${name})
  set_tests_properties(server.${name} PROPERTIES LABELS "quick;threads" TIMEOUT 120)
endforeach()
# Half a minute of waiting.
set_tests_properties(server.stall PROPERTIES LABELS full)
