# find_package(joblog) makes the target joblog::joblog.
include(${CMAKE_CURRENT_LIST_DIR}/joblog-targets.cmake)
