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
