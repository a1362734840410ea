# The public header compiles as C++, and by itself as strict C. The project itself needs no C++ compiler.
find_program(CANYON_CXX NAMES c++ g++ clang++)
set(header_includes -I${PROJECT_SOURCE_DIR}/client/include -I${PROJECT_SOURCE_DIR}/common/include)
if(CANYON_CXX)
  add_test(NAME client.header_cxx COMMAND ${CANYON_CXX} -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only
    ${header_includes} ${CMAKE_CURRENT_LIST_DIR}/header.cpp)
else()
  add_test(NAME client.header_cxx
    COMMAND ${CMAKE_COMMAND} -E echo "SKIPPED: no C++ compiler (c++, g++, clang++) on this machine")
  set_tests_properties(client.header_cxx PROPERTIES SKIP_REGULAR_EXPRESSION "SKIPPED: no C.. compiler")
endif()
add_test(NAME client.header_c COMMAND ${CMAKE_C_COMPILER} -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only
  ${header_includes} ${CMAKE_CURRENT_LIST_DIR}/header.c)
set_tests_properties(client.header_cxx client.header_c PROPERTIES LABELS quick TIMEOUT 60)

# One client under many threads, against real servers.
add_executable(client_threads ${CMAKE_CURRENT_LIST_DIR}/test_threads.c)
target_link_libraries(client_threads PRIVATE canyon_integration_support)
add_dependencies(client_threads canyon-server)
add_test(NAME client.threads COMMAND client_threads)
set_tests_properties(client.threads PROPERTIES LABELS "quick;threads" TIMEOUT 180)
