# The published vectors of the Noise protocols that the channel is; the program takes other files of that format too.
add_executable(noise_vectors ${CMAKE_CURRENT_LIST_DIR}/noise_vectors.c)
target_link_libraries(noise_vectors PRIVATE canyon_common PkgConfig::JANSSON)
set_target_properties(noise_vectors PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_test(NAME channel.vectors COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/vectors.sh
  $<TARGET_FILE:noise_vectors> ${PROJECT_SOURCE_DIR}/tests/data/noise_vectors.json)
set_tests_properties(channel.vectors PROPERTIES LABELS quick TIMEOUT 60)
