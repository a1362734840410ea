add_test(NAME catalogue.names COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/check.sh ${PROJECT_SOURCE_DIR} ${CMAKE_BINARY_DIR})
set_tests_properties(catalogue.names PROPERTIES LABELS quick TIMEOUT 60)
