add_test(NAME readme.true COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/check.sh ${PROJECT_SOURCE_DIR} ${CMAKE_BINARY_DIR})
set_tests_properties(readme.true PROPERTIES LABELS quick TIMEOUT 60)
add_test(NAME readme.by_hand COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/by_hand.sh ${PROJECT_SOURCE_DIR} ${CMAKE_BINARY_DIR})
set_tests_properties(readme.by_hand PROPERTIES LABELS quick TIMEOUT 120)
