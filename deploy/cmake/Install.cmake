# make install: programs, the shared and the static library, two headers, pkg-config, a CMake package, the sample config.

# The static library is one object whose hidden symbols were made local: only canyon_ names reach a program that links it.
set(static_objects $<TARGET_OBJECTS:canyon_client_core> $<TARGET_OBJECTS:canyon_common> $<TARGET_OBJECTS:canyon_proto>)
set(static_library ${CMAKE_ARCHIVE_OUTPUT_DIRECTORY}/libcanyon.a)
add_custom_command(
  OUTPUT ${static_library}
  COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_ARCHIVE_OUTPUT_DIRECTORY}
  COMMAND ${CMAKE_LINKER} -r -o ${CMAKE_BINARY_DIR}/canyon_static.o ${static_objects}
  COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${CMAKE_BINARY_DIR}/canyon_static.o
  COMMAND ${CMAKE_COMMAND} -E rm -f ${static_library}
  COMMAND ${CMAKE_AR} rcs ${static_library} ${CMAKE_BINARY_DIR}/canyon_static.o
  DEPENDS canyon_client_core canyon_common canyon_proto ${static_objects}
  COMMAND_EXPAND_LISTS VERBATIM
  COMMENT "Linking C static library lib/libcanyon.a")
add_custom_target(canyon_static ALL DEPENDS ${static_library})

install(TARGETS canyon-server canyon canyon-sim RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS canyon_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${static_library} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES client/include/canyon.h common/include/canyon_status.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES deploy/canyon.conf deploy/allow.example deploy/known_servers.example
  DESTINATION ${CMAKE_INSTALL_DATADIR}/canyon)
install(FILES README.md LICENSE proto/PROTOCOL.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

configure_file(deploy/cmake/canyon.pc.in ${CMAKE_BINARY_DIR}/canyon.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/canyon.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

include(CMakePackageConfigHelpers)
configure_package_config_file(deploy/cmake/CanyonConfig.cmake.in ${CMAKE_BINARY_DIR}/CanyonConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Canyon
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/CanyonConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/CanyonConfig.cmake ${CMAKE_BINARY_DIR}/CanyonConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Canyon)
