# The published vectors of the Noise protocols that the channel is; the program takes other files of that format too.
add_executable(noise_vectors ${CMAKE_CURRENT_LIST_DIR}/noise_vectors.c)
target_link_libraries(noise_vectors PRIVATE canyon_common PkgConfig::JANSSON)
set_target_properties(noise_vectors PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_test(NAME channel.vectors COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/vectors.sh
  $<TARGET_FILE:noise_vectors> ${PROJECT_SOURCE_DIR}/tests/data/noise_vectors.json)
set_tests_properties(channel.vectors PROPERTIES LABELS quick TIMEOUT 180)

# Its calls of X25519 go through the test, which counts them and plays attackers with them.
target_link_options(unit_common_channel_curve PRIVATE
  -Wl,--wrap=crypto_scalarmult -Wl,--wrap=crypto_scalarmult_base)

# Recorded conversations changed at random: some in every run, 100,000 in a full one.
add_executable(channel_mutations ${CMAKE_CURRENT_LIST_DIR}/mutations.c)
target_link_libraries(channel_mutations PRIVATE canyon_common PkgConfig::SODIUM)
add_test(NAME channel.mutations COMMAND channel_mutations 20000)
set_tests_properties(channel.mutations PROPERTIES LABELS quick TIMEOUT 180)
add_test(NAME channel.mutations_full COMMAND channel_mutations 100000)
set_tests_properties(channel.mutations_full PROPERTIES LABELS full TIMEOUT 300)

# The pool is shared by threads.
set_tests_properties(unit.common.secret PROPERTIES LABELS "quick;threads")
