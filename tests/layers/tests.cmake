# Which way the layers look, and that the check of it can fail.
add_test(NAME layers.includes COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/check.sh)
add_test(NAME layers.selftest COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/selftest.sh)
set_tests_properties(layers.includes layers.selftest PROPERTIES LABELS quick TIMEOUT 240)

# What the shard and the optimizers link, and that the check of it can fail.
add_test(NAME purity.libm COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/pure_symbols.sh
  $<TARGET_FILE:canyon_common> $<TARGET_FILE:canyon_shard> $<TARGET_FILE:canyon_optimizers>)
add_test(NAME purity.selftest COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/pure_selftest.sh ${CMAKE_C_COMPILER}
  $<TARGET_FILE:canyon_common> $<TARGET_FILE:canyon_shard> $<TARGET_FILE:canyon_optimizers>)
set_tests_properties(purity.libm purity.selftest PROPERTIES LABELS quick TIMEOUT 60)
