if(CANYON_SANITIZER)
  set(install_flags -fsanitize=${CANYON_SANITIZER})
endif()
add_test(NAME install.consumers COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/install.sh
  ${PROJECT_SOURCE_DIR} ${CMAKE_BINARY_DIR} ${CMAKE_C_COMPILER} ${install_flags})
set_tests_properties(install.consumers PROPERTIES LABELS quick TIMEOUT 120)
