# tests/simulator/test_<module>.c -> test simulator.<module>: the parts of canyon-sim, and canyon-sim itself.
file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_*.c)
foreach(source ${sources})
  get_filename_component(name ${source} NAME_WE)
  string(REGEX REPLACE "^test_" "" name ${name})
  add_executable(simulator_${name} ${source})
  target_link_libraries(simulator_${name} PRIVATE canyon_simulator canyon_test_support m)
  add_test(NAME simulator.${name} COMMAND simulator_${name})
  set_tests_properties(simulator.${name} PROPERTIES LABELS quick TIMEOUT 120)
endforeach()

# These start servers and run the program.
foreach(name trace train accuracy)
  add_dependencies(simulator_${name} canyon-server canyon-sim)
endforeach()
set_tests_properties(simulator.accuracy PROPERTIES LABELS full TIMEOUT 900)
