# Benchmarks, built on request: cmake --build build --target bench_kernels
add_executable(bench_kernels EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/kernels.c)
target_link_libraries(bench_kernels PRIVATE canyon_optimizers m)
target_compile_definitions(bench_kernels PRIVATE CANYON_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
target_compile_options(bench_kernels PRIVATE -O3)
add_executable(bench_channel EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/channel.c)
target_link_libraries(bench_channel PRIVATE canyon_common PkgConfig::SODIUM)
add_executable(bench_channel_timing EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/channel_timing.c)
target_link_libraries(bench_channel_timing PRIVATE canyon_common PkgConfig::SODIUM m)
