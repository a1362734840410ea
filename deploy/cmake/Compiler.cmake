# One interface target, canyon_compile, carries the flags of every Canyon target.
add_library(canyon_compile INTERFACE)

# Assertions state invariants and stay on in release builds.
foreach(kind RELEASE RELWITHDEBINFO MINSIZEREL)
  string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_${kind} "${CMAKE_C_FLAGS_${kind}}")
endforeach()

target_compile_definitions(canyon_compile INTERFACE
  _POSIX_C_SOURCE=200809L _DEFAULT_SOURCE CANYON_VERSION_TEXT="${PROJECT_VERSION}")
target_compile_options(canyon_compile INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wpointer-arith -Wcast-align
  -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wwrite-strings -Wundef
  -Wformat=2 -Wvla -Wdouble-promotion -Wimplicit-fallthrough
  # Replaying a log must give the same bits on every CPU: no contraction, no reassociation.
  -ffp-contract=off -fno-math-errno -fno-trapping-math)
if(CMAKE_C_COMPILER_ID STREQUAL GNU)
  # Texts are cut to their buffers on purpose; the warning depends on what the optimizer happens to see.
  target_compile_options(canyon_compile INTERFACE -Wno-format-truncation)
endif()
if(CANYON_WERROR)
  target_compile_options(canyon_compile INTERFACE -Werror)
endif()

if(CANYON_SANITIZER)
  # Builds in little more than half of the time; the kernels keep the level they ask for.
  foreach(kind RELEASE RELWITHDEBINFO)
    string(REGEX REPLACE "-O[23]" "-O1" CMAKE_C_FLAGS_${kind} "${CMAKE_C_FLAGS_${kind}}")
    string(REGEX REPLACE "-g( |$)" "-g1\\1" CMAKE_C_FLAGS_${kind} "${CMAKE_C_FLAGS_${kind}}")
  endforeach()
  target_compile_options(canyon_compile INTERFACE
    -fsanitize=${CANYON_SANITIZER} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(canyon_compile INTERFACE -fsanitize=${CANYON_SANITIZER})
endif()
