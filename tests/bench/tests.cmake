# Benchmarks, built on request: cmake --build build --target bench_kernels
add_executable(bench_kernels EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/kernels.c)
target_link_libraries(bench_kernels PRIVATE canyon_optimizers m)
target_compile_definitions(bench_kernels PRIVATE CANYON_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
target_compile_options(bench_kernels PRIVATE -O3)
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
foreach(pair flood:flooded greedy:greedy idle:idle secure:secure)
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
