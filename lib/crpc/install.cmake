# What of crpc is installed (component crpc): headers, static libraries, the plugins of protoc, a CMake package and a
# file for pkg-config. Headers lie in a directory of their own, since base/ and google/ are nobody's names to take.
set(crpc_headers ${CMAKE_INSTALL_INCLUDEDIR}/libcrpc)
set(crpc_libraries base crpc crpc_wkt crpc_health_proto crpc_health crpc_reflection_proto crpc_reflection)
foreach(target ${crpc_libraries})
    target_include_directories(${target} INTERFACE $<INSTALL_INTERFACE:${crpc_headers}>)
    string(REGEX REPLACE "^crpc_" "" name ${target})
    set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
endforeach()
set_target_properties(base PROPERTIES OUTPUT_NAME crpc_base) # libbase would say too little in /usr/lib

set(crpc_package ${CMAKE_INSTALL_LIBDIR}/cmake/crpc)
install(TARGETS ${crpc_libraries} protoc-gen-crpc protoc-gen-crpc-messages EXPORT crpc-targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT crpc
        RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT crpc)
install(EXPORT crpc-targets NAMESPACE crpc:: DESTINATION ${crpc_package} COMPONENT crpc)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/lib/base/include/ ${CMAKE_CURRENT_SOURCE_DIR}/include/
                  ${CMAKE_BINARY_DIR}/crpc_wkt/
                  ${CMAKE_CURRENT_BINARY_DIR}/crpc_health_proto.gen/ ${CMAKE_CURRENT_BINARY_DIR}/crpc_reflection_proto.gen/
        DESTINATION ${crpc_headers} COMPONENT crpc FILES_MATCHING PATTERN "*.h")

include(CMakePackageConfigHelpers)
configure_package_config_file(crpc-config.cmake.in crpc-config.cmake INSTALL_DESTINATION ${crpc_package})
write_basic_package_version_file(crpc-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/crpc-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/crpc-config-version.cmake
              ${PROJECT_SOURCE_DIR}/cmake/crpc_generate.cmake
        DESTINATION ${crpc_package} COMPONENT crpc)

# Relative to the file, so that the installed tree can be moved.
file(RELATIVE_PATH crpc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" crpc_prefix ${crpc_prefix})
configure_file(crpc.pc.in crpc.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/crpc.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT crpc)
