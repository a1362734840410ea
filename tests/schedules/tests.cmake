# The protocol under schedules of faults: the client's session, handler and shards, in one process without a socket. They
# are compiled once more, so that the seeded bugs (common/mutant.h) can be chosen.
file(GLOB schedule_server CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/server/*.c)
list(FILTER schedule_server EXCLUDE REGEX
  "/(acceptor[a-z_]*|affinity|arrival|census|config[a-z_]*|connection[a-z_]*|help|listener|machine|main|outbox|pace|reactor|seldom|server|spin|trust)\\.c$")
file(GLOB schedule_client CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/client/session*.c ${PROJECT_SOURCE_DIR}/client/request_list.c ${PROJECT_SOURCE_DIR}/client/backoff.c)
add_library(canyon_schedules_core STATIC ${schedule_server} ${schedule_client})
# Sessions that have numbers are few, so that some have to be evicted; nobody who comes back is away for as long.
target_compile_definitions(canyon_schedules_core PRIVATE CANYON_MUTANTS SESSIONS_NUMBERED=6 SESSIONS_AWAY_NS=60000000000ull)
target_link_libraries(canyon_schedules_core PUBLIC canyon_common canyon_optimizers)

file(GLOB schedule_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
add_executable(canyon-schedules ${schedule_sources})
target_compile_definitions(canyon-schedules PRIVATE CANYON_MUTANTS)
target_link_libraries(canyon-schedules PRIVATE canyon_schedules_core m)
target_link_options(canyon-schedules PRIVATE -Wl,--wrap=malloc)

# canyon_schedules_test(NAME LABEL TIMEOUT COMMAND...)
function(canyon_schedules_test name label timeout)
  add_test(NAME schedules.${name} COMMAND ${ARGN})
  set_tests_properties(schedules.${name} PROPERTIES LABELS ${label} TIMEOUT ${timeout})
endfunction()

canyon_schedules_test(clean quick 120 canyon-schedules --count 200)
canyon_schedules_test(bugs quick 120 canyon-schedules --known-seeds)
canyon_schedules_test(replay quick 120 sh ${CMAKE_CURRENT_LIST_DIR}/replay.sh $<TARGET_FILE:canyon-schedules>)
canyon_schedules_test(absent quick 60 sh ${CMAKE_CURRENT_LIST_DIR}/absent.sh $<TARGET_FILE:canyon-schedules>
  $<TARGET_FILE:canyon-server> $<TARGET_FILE:canyon> $<TARGET_FILE:canyon_shared> $<TARGET_FILE:canyon_server_core>
  $<TARGET_FILE:canyon_shard> $<TARGET_FILE:canyon_client_core> $<TARGET_FILE:canyon_common>)
canyon_schedules_test(many full 900 canyon-schedules --count 10000)
canyon_schedules_test(every_bug full 900 canyon-schedules --every-bug --count 1000)
