add_test(NAME readme.true COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/check.sh ${PROJECT_SOURCE_DIR} ${CMAKE_BINARY_DIR})
set_tests_properties(readme.true PROPERTIES LABELS quick TIMEOUT 60)
