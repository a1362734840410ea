# Networks that fail: a TCP proxy, its own tests, and real servers and clients through it. Every test_<name>.c is a
# program and the test faults.<name>.
add_library(canyon_fault_proxy STATIC
  ${CMAKE_CURRENT_LIST_DIR}/proxy.c ${CMAKE_CURRENT_LIST_DIR}/pipe.c ${CMAKE_CURRENT_LIST_DIR}/pipe_faults.c
  ${CMAKE_CURRENT_LIST_DIR}/transcript.c ${CMAKE_CURRENT_LIST_DIR}/socket.c)
find_package(Threads REQUIRED)
target_link_libraries(canyon_fault_proxy PUBLIC canyon_compile canyon_common Threads::Threads)

add_executable(fault_proxy ${CMAKE_CURRENT_LIST_DIR}/fault_proxy.c)
target_link_libraries(fault_proxy PRIVATE canyon_fault_proxy)

file(GLOB fault_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_*.c)
foreach(source ${fault_sources})
  get_filename_component(name ${source} NAME_WE)
  string(REGEX REPLACE "^test_" "" name ${name})
  add_executable(faults_${name} ${source} ${CMAKE_CURRENT_LIST_DIR}/routes.c ${CMAKE_CURRENT_LIST_DIR}/subject.c
    ${CMAKE_CURRENT_LIST_DIR}/cutting.c ${CMAKE_CURRENT_LIST_DIR}/strike.c ${CMAKE_CURRENT_LIST_DIR}/puppet.c)
  target_link_libraries(faults_${name} PRIVATE canyon_fault_proxy canyon_integration_support)
  add_dependencies(faults_${name} canyon-server)
  add_test(NAME faults.${name} COMMAND faults_${name})
  set_tests_properties(faults.${name} PROPERTIES LABELS "quick;threads" TIMEOUT 180)
endforeach()

add_test(NAME faults.program COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/program.sh $<TARGET_FILE:fault_proxy>)
set_tests_properties(faults.program PROPERTIES LABELS quick TIMEOUT 60)

# Half a minute of waiting.
set_tests_properties(faults.unread PROPERTIES LABELS full)

# Thirty times as many pushes.
add_test(NAME faults.storm_long COMMAND faults_storm)
set_tests_properties(faults.storm_long PROPERTIES LABELS full TIMEOUT 1200 ENVIRONMENT CANYON_PUSHES=12000)

# Twenty times as many clocks.
add_test(NAME faults.modes_long COMMAND faults_modes)
set_tests_properties(faults.modes_long PROPERTIES LABELS full TIMEOUT 1200 ENVIRONMENT CANYON_CLOCKS=240)

add_executable(half_open_peer ${CMAKE_CURRENT_LIST_DIR}/half_open_peer.c)
target_link_libraries(half_open_peer PRIVATE canyon_integration_support)
add_test(NAME faults.half_open COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/half_open.sh ${CMAKE_BINARY_DIR})
set_tests_properties(faults.half_open PROPERTIES LABELS full TIMEOUT 120 SKIP_RETURN_CODE 77)
