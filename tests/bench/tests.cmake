# Benchmarks, built on request: cmake --build build --target bench_kernels
add_executable(bench_kernels EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/kernels.c)
target_link_libraries(bench_kernels PRIVATE canyon_optimizers m)
target_compile_definitions(bench_kernels PRIVATE CANYON_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
target_compile_options(bench_kernels PRIVATE -O3)
add_executable(bench_codec EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/codec.c)
target_link_libraries(bench_codec PRIVATE canyon_common)
add_executable(bench_channel EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/channel.c)
target_link_libraries(bench_channel PRIVATE canyon_common PkgConfig::SODIUM)
add_executable(bench_channel_timing EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/channel_timing.c)
target_link_libraries(bench_channel_timing PRIVATE canyon_common PkgConfig::SODIUM m)

# Whole servers, over loopback.
add_library(canyon_bench_support STATIC EXCLUDE_FROM_ALL
  ${CMAKE_CURRENT_LIST_DIR}/measure.c ${CMAKE_CURRENT_LIST_DIR}/served.c ${CMAKE_CURRENT_LIST_DIR}/flood.c)
target_link_libraries(canyon_bench_support PUBLIC
  canyon_shared canyon_common canyon_compile PkgConfig::SODIUM PkgConfig::JANSSON Threads::Threads)
target_compile_definitions(canyon_bench_support PRIVATE CANYON_BINARY_DIR="${CMAKE_BINARY_DIR}")
foreach(pair connections:connections flood:flooded greedy:greedy idle:idle secure:secure)
  string(REPLACE ":" ";" pair ${pair})
  list(GET pair 0 name)
  list(GET pair 1 source)
  add_executable(bench_${name} EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/${source}.c)
  target_link_libraries(bench_${name} PRIVATE canyon_bench_support)
  add_dependencies(bench_${name} canyon-server)
endforeach()

# Tables in memory, without a server.
add_executable(bench_table EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/table.c ${CMAKE_CURRENT_LIST_DIR}/measure.c)
target_link_libraries(bench_table PRIVATE canyon_server_core canyon_shared m)

# The limit programs: what the machine allows for the same work. They neither include Canyon's headers nor link its
# libraries, so not even its interface target is here; tests/bench/limits/check.sh looks after it.
set(limits ${CMAKE_CURRENT_LIST_DIR}/limits)
set(limit_warnings -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes)
if(CANYON_WERROR)
  list(APPEND limit_warnings -Werror)
endif()
add_library(limit STATIC ${limits}/limit.c)
target_compile_options(limit PRIVATE ${limit_warnings})
target_compile_definitions(limit PRIVATE _DEFAULT_SOURCE)
foreach(name echo pingpong adam aead)
  add_executable(limit_${name} ${limits}/${name}.c)
  target_compile_options(limit_${name} PRIVATE ${limit_warnings} -O3)
  target_compile_definitions(limit_${name} PRIVATE _DEFAULT_SOURCE)
  target_link_libraries(limit_${name} PRIVATE limit Threads::Threads)
endforeach()
target_compile_options(limit_adam PRIVATE -ffp-contract=fast -fno-math-errno -fno-trapping-math)
target_link_libraries(limit_adam PRIVATE m)
target_link_libraries(limit_aead PRIVATE PkgConfig::SODIUM)

# canyon-bench: Canyon beside them. `cmake --build build --target bench` builds and runs it.
set(suite ${CMAKE_CURRENT_LIST_DIR}/suite)
add_executable(canyon-bench-worker ${suite}/worker.c)
target_link_libraries(canyon-bench-worker PRIVATE limit canyon_shared canyon_compile)
target_include_directories(canyon-bench-worker PRIVATE ${PROJECT_SOURCE_DIR})
# The same for tables; and the limit of a table's operation, which is built on the server's own modules.
add_executable(canyon-bench-rows ${suite}/rows_worker.c ${suite}/row_batches.c)
target_link_libraries(canyon-bench-rows PRIVATE limit canyon_simulator canyon_compile Threads::Threads)
target_include_directories(canyon-bench-rows PRIVATE ${PROJECT_SOURCE_DIR})
add_executable(limit_table ${suite}/limit_table.c ${suite}/row_batches.c)
target_link_libraries(limit_table PRIVATE limit canyon_server_core canyon_simulator canyon_compile Threads::Threads m)
target_include_directories(limit_table PRIVATE ${PROJECT_SOURCE_DIR})
# Redis, where its client library is.
pkg_check_modules(HIREDIS IMPORTED_TARGET hiredis)
if(HIREDIS_FOUND)
  add_executable(canyon-bench-redis ${suite}/redis_worker.c ${suite}/row_batches.c)
  target_link_libraries(canyon-bench-redis PRIVATE limit canyon_simulator canyon_compile PkgConfig::HIREDIS)
  target_include_directories(canyon-bench-redis PRIVATE ${PROJECT_SOURCE_DIR})
endif()
# Its parts, so that tests can link them.
file(GLOB suite_sources CONFIGURE_DEPENDS ${suite}/*.c)
list(FILTER suite_sources EXCLUDE REGEX "/(main|worker|rows_worker|redis_worker|row_batches|limit_table)\\.c$")
add_library(canyon_bench_suite STATIC ${suite_sources})
target_link_libraries(canyon_bench_suite PUBLIC canyon_simulator canyon_bench_support)
target_compile_definitions(canyon_bench_suite PRIVATE
  CANYON_SOURCE_DIR="${PROJECT_SOURCE_DIR}" CANYON_BINARY_DIR="${CMAKE_BINARY_DIR}")
add_executable(canyon-bench ${suite}/main.c)
target_link_libraries(canyon-bench PRIVATE canyon_bench_suite)
add_dependencies(canyon-bench canyon-server canyon-bench-worker canyon-bench-rows
  limit_echo limit_pingpong limit_adam limit_aead limit_table)
if(HIREDIS_FOUND)
  target_compile_definitions(canyon_bench_suite PRIVATE CANYON_BENCH_REDIS)
  add_dependencies(canyon-bench canyon-bench-redis)
endif()
add_custom_target(bench COMMAND canyon-bench --output ${CMAKE_BINARY_DIR}/bench.json USES_TERMINAL)

# Tests of the benchmark itself, none of them about time.
add_executable(bench_test_figures ${CMAKE_CURRENT_LIST_DIR}/test_figures.c)
target_link_libraries(bench_test_figures PRIVATE canyon_bench_suite canyon_test_support)
add_test(NAME bench.figures COMMAND bench_test_figures)
add_executable(bench_test_suite ${CMAKE_CURRENT_LIST_DIR}/test_suite.c)
target_link_libraries(bench_test_suite PRIVATE canyon_test_support PkgConfig::JANSSON)
add_dependencies(bench_test_suite canyon-bench)
add_test(NAME bench.suite COMMAND bench_test_suite)
add_test(NAME bench.limits COMMAND sh ${limits}/check.sh ${limits} $<TARGET_FILE:limit_echo>
  $<TARGET_FILE:limit_pingpong> $<TARGET_FILE:limit_adam> $<TARGET_FILE:limit_aead>)
add_test(NAME bench.limits_selftest COMMAND sh ${limits}/selftest.sh $<TARGET_FILE:canyon-bench-worker>)
set_tests_properties(bench.figures bench.suite bench.limits bench.limits_selftest PROPERTIES LABELS quick TIMEOUT 120)
