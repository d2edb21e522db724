# Flags and small helpers for every target of the tree.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON) # clean-up attribute, SOCK_CLOEXEC and friends
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# Programs together: build/PRESET/bin/joblogd, joblog, the examples, benchmarks and tests.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release)
endif()
# Asserts stay in release builds: they guard against a caller's bug, not against the environment.
string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_RELEASE "${CMAKE_C_FLAGS_RELEASE}")
string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_RELWITHDEBINFO "${CMAKE_C_FLAGS_RELWITHDEBINFO}")

add_compile_definitions(_GNU_SOURCE)
add_compile_options(-g -fno-omit-frame-pointer)
if(JOBLOG_SANITIZE)
    add_compile_options(-fsanitize=${JOBLOG_SANITIZE} -fno-sanitize-recover=undefined)
    add_link_options(-fsanitize=${JOBLOG_SANITIZE})
endif()

# Warnings for our own code; generated code goes without.
function(joblog_warnings target)
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes
                                             -Wmissing-prototypes -Wvla -Wno-sign-conversion
                                             -Werror=implicit-function-declaration)
    if(JOBLOG_WERROR)
        target_compile_options(${target} PRIVATE -Werror)
    endif()
endfunction()

# joblog_library(NAME SOURCES... ) in the present directory, with include/ or . as its include path.
function(joblog_library name)
    add_library(${name} STATIC ${ARGN})
    joblog_warnings(${name})
endfunction()
