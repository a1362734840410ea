# Numbers that come from elsewhere: optimizers and schedules from PyTorch and first values from their formulas
# (make_golden.py, make_schedules.py), and the optimizers that PyTorch lacks from their papers, in double.
add_executable(golden_optimizers ${CMAKE_CURRENT_LIST_DIR}/test_optimizers.c)
target_link_libraries(golden_optimizers PRIVATE canyon_optimizers canyon_test_support m)
add_executable(golden_references ${CMAKE_CURRENT_LIST_DIR}/test_references.c)
target_link_libraries(golden_references PRIVATE canyon_optimizers canyon_test_support m)
add_executable(golden_initializer ${CMAKE_CURRENT_LIST_DIR}/test_initializer.c)
target_link_libraries(golden_initializer PRIVATE canyon_shard canyon_test_support m)
add_executable(golden_schedule ${CMAKE_CURRENT_LIST_DIR}/test_schedule.c)
target_link_libraries(golden_schedule PRIVATE canyon_shard canyon_test_support m)
foreach(name optimizers references initializer schedule)
  add_test(NAME golden.${name} COMMAND golden_${name})
  set_tests_properties(golden.${name} PROPERTIES LABELS quick TIMEOUT 60)
endforeach()
