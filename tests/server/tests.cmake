# The server as a process, spoken to in frames made by hand; needs nothing of the client.
add_library(canyon_server_fixture STATIC ${CMAKE_CURRENT_LIST_DIR}/fixture.c ${CMAKE_CURRENT_LIST_DIR}/keys.c
  ${CMAKE_CURRENT_LIST_DIR}/peer.c)
target_link_libraries(canyon_server_fixture PUBLIC canyon_common canyon_test_support)

foreach(name crowd door process secrets stall wire)
  add_executable(server_${name} ${CMAKE_CURRENT_LIST_DIR}/test_${name}.c)
  target_link_libraries(server_${name} PRIVATE canyon_server_fixture)
  add_dependencies(server_${name} canyon-server)
endforeach()

# Both ways that bytes can go.
foreach(name wire process)
  foreach(way encrypted plaintext)
    add_test(NAME server.${name}.${way} COMMAND server_${name} ${way})
    set_tests_properties(server.${name}.${way} PROPERTIES LABELS "quick;threads" TIMEOUT 120)
  endforeach()
endforeach()

# Half a minute of waiting.
add_test(NAME server.stall COMMAND server_stall)
set_tests_properties(server.stall PROPERTIES LABELS full TIMEOUT 120)

add_test(NAME server.door COMMAND server_door)
set_tests_properties(server.door PROPERTIES LABELS "quick;threads" TIMEOUT 120)
add_test(NAME server.secrets COMMAND server_secrets)
set_tests_properties(server.secrets PROPERTIES LABELS quick TIMEOUT 60)

# Alone, and with memory to spare.
add_test(NAME server.crowd COMMAND server_crowd)
set_tests_properties(server.crowd PROPERTIES LABELS full TIMEOUT 120 RUN_SERIAL TRUE)
