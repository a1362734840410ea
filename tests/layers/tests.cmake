# Which way the layers look, and that the check of it can fail.
add_test(NAME layers.includes COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/check.sh)
add_test(NAME layers.selftest COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/selftest.sh)
set_tests_properties(layers.includes layers.selftest PROPERTIES LABELS quick TIMEOUT 60)
