# Messages and stubs from .proto files.
#
#   crpc_generate(TARGET name PROTO_DIR dir PROTOS a/b.proto ...
#                 [IMPORT_DIRS dir ...] [LINK target ...] [OPTIONS only=client|only=server])
#
# makes the static library `name` of a/b.pb-c.{h,c} (protobuf-c, through protoc-gen-crpc-messages) and a/b.crpc.{h,c}
# (protoc-gen-crpc) for each file given, relative to PROTO_DIR. Their directory is on the library's public include path;
# it links to the runtime, to crpc_wkt (the well-known types) and to LINK. Files that are imported from elsewhere are
# found in IMPORT_DIRS, and their code is in a target of LINK.
#
# Works in crpc's own tree and after find_package(crpc). Settings, with what they are found as:
#   CRPC_PROTOC              protoc
#   CRPC_PROTOC_GEN_C        protobuf-c's plugin of protoc
#   CRPC_PROTOC_GEN_CRPC, CRPC_PROTOC_GEN_CRPC_MESSAGES
#                            crpc's plugins, when other ones are wanted than those of the tree or the package, which may
#                            be of another machine
#   CRPC_PROTO_INCLUDE_DIR   where google/protobuf/*.proto are
#   CRPC_RUNTIME             target to link to, when it is not the tree's or the package's
include_guard(GLOBAL)

find_program(CRPC_PROTOC protoc REQUIRED)
find_program(CRPC_PROTOC_GEN_C protoc-gen-c REQUIRED)
get_filename_component(_crpc_protoc_prefix ${CRPC_PROTOC} DIRECTORY)
find_path(CRPC_PROTO_INCLUDE_DIR google/protobuf/descriptor.proto HINTS ${_crpc_protoc_prefix}/../include REQUIRED)
find_path(CRPC_PROTOBUF_C_INCLUDE_DIR protobuf-c/protobuf-c.h REQUIRED)
find_library(CRPC_PROTOBUF_C_LIBRARY protobuf-c REQUIRED)
mark_as_advanced(CRPC_PROTOC CRPC_PROTOC_GEN_C CRPC_PROTO_INCLUDE_DIR CRPC_PROTOBUF_C_INCLUDE_DIR
                 CRPC_PROTOBUF_C_LIBRARY)
# In the tree: where crpc/method.h is, which generated code includes.
get_filename_component(_crpc_runtime_include ${CMAKE_CURRENT_LIST_DIR}/../lib/crpc/include ABSOLUTE)
set(_crpc_runtime_include ${_crpc_runtime_include} CACHE INTERNAL "")

# The runtime's target.
function(_crpc_runtime ret_target)
    set(target crpc)
    if(CRPC_RUNTIME)
        set(target ${CRPC_RUNTIME})
    elseif(TARGET crpc::crpc)
        set(target crpc::crpc)
    endif()
    set(${ret_target} ${target} PARENT_SCOPE)
endfunction()

# Paths of the two plugins: the setting, or else the target of the tree or the package. What runs them depends on these.
function(_crpc_plugins ret_stubs ret_messages)
    set(plugins "")
    foreach(name protoc-gen-crpc protoc-gen-crpc-messages)
        string(MAKE_C_IDENTIFIER CRPC_${name} setting)
        string(TOUPPER ${setting} setting)
        if(${setting})
            list(APPEND plugins ${${setting}})
        elseif(TARGET ${name})
            list(APPEND plugins $<TARGET_FILE:${name}>)
        else()
            list(APPEND plugins $<TARGET_FILE:crpc::${name}>)
        endif()
    endforeach()
    list(POP_FRONT plugins stubs messages)
    set(${ret_stubs} ${stubs} PARENT_SCOPE)
    set(${ret_messages} ${messages} PARENT_SCOPE)
endfunction()

# Commands that generate the code of one file: appends the sources to list ret_sources.
function(_crpc_generate_file out proto_dir proto import_dirs options messages ret_sources)
    _crpc_plugins(stubs_plugin messages_plugin)
    string(REGEX REPLACE "\\.proto$" "" stem ${proto})
    # In protoc's order: Ninja wants the output that comes first to be the one that the dependency file names first.
    set(outputs ${stem}.crpc.c ${stem}.crpc.h)
    set(messages_out "")
    if(messages)
        list(APPEND outputs ${stem}.pb-c.c ${stem}.pb-c.h)
        set(messages_out --plugin=protoc-gen-crpc-messages=${messages_plugin} --crpc-messages_out=${out})
    endif()
    list(TRANSFORM outputs PREPEND ${out}/)
    list(TRANSFORM import_dirs PREPEND -I)
    list(TRANSFORM options PREPEND --crpc_opt=)
    # protoc writes what the file imports to the dependency file, so a change there generates anew as well.
    string(MAKE_C_IDENTIFIER ${stem} id)
    get_filename_component(dir ${out}/${stem} DIRECTORY)
    file(MAKE_DIRECTORY ${dir})
    add_custom_command(
        OUTPUT ${outputs}
        COMMAND ${CMAKE_COMMAND} -E env CRPC_PROTOC_GEN_C=${CRPC_PROTOC_GEN_C}
                ${CRPC_PROTOC} -I${proto_dir} ${import_dirs} -I${CRPC_PROTO_INCLUDE_DIR} ${messages_out}
                --plugin=protoc-gen-crpc=${stubs_plugin} --crpc_out=${out} ${options}
                --dependency_out=${out}/${id}.d ${proto}
        DEPENDS ${proto_dir}/${proto} ${stubs_plugin} ${messages_plugin}
        DEPFILE ${out}/${id}.d
        COMMENT "Generating from ${proto}"
        VERBATIM)
    set(${ret_sources} ${${ret_sources}} ${outputs} PARENT_SCOPE)
endfunction()

# The well-known types, once: library crpc_wkt. Called by the first crpc_generate when nobody has before.
function(crpc_generate_wkt)
    if(TARGET crpc_wkt)
        return()
    elseif(TARGET crpc::wkt)
        add_library(crpc_wkt INTERFACE IMPORTED GLOBAL)
        target_link_libraries(crpc_wkt INTERFACE crpc::wkt)
        return()
    endif()
    set(out ${CMAKE_BINARY_DIR}/crpc_wkt)
    set(sources "")
    foreach(name any api descriptor duration empty field_mask source_context struct timestamp type wrappers)
        _crpc_generate_file(${out} ${CRPC_PROTO_INCLUDE_DIR} google/protobuf/${name}.proto "" "" TRUE sources)
    endforeach()
    # protobuf-c's options: no messages, but a file that sets one imports this descriptor.
    if(EXISTS ${CRPC_PROTOBUF_C_INCLUDE_DIR}/protobuf-c/protobuf-c.proto)
        _crpc_generate_file(${out} ${CRPC_PROTOBUF_C_INCLUDE_DIR} protobuf-c/protobuf-c.proto "" "" FALSE sources)
    endif()
    add_library(crpc_wkt STATIC ${sources})
    target_include_directories(crpc_wkt SYSTEM PUBLIC $<BUILD_INTERFACE:${out}> ${CRPC_PROTOBUF_C_INCLUDE_DIR})
    # Headers of the runtime only: it may itself link to crpc_wkt.
    if(EXISTS ${_crpc_runtime_include}/crpc/method.h)
        target_include_directories(crpc_wkt PRIVATE ${_crpc_runtime_include})
    else()
        _crpc_runtime(runtime)
        target_include_directories(crpc_wkt PRIVATE $<TARGET_PROPERTY:${runtime},INTERFACE_INCLUDE_DIRECTORIES>)
    endif()
    target_link_libraries(crpc_wkt PUBLIC ${CRPC_PROTOBUF_C_LIBRARY})
endfunction()

function(crpc_generate)
    cmake_parse_arguments(PARSE_ARGV 0 arg "" "TARGET;PROTO_DIR" "PROTOS;IMPORT_DIRS;LINK;OPTIONS")
    if(NOT arg_TARGET OR NOT arg_PROTO_DIR OR NOT arg_PROTOS)
        message(FATAL_ERROR "crpc_generate: TARGET, PROTO_DIR and PROTOS are required")
    elseif(arg_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "crpc_generate: what is ${arg_UNPARSED_ARGUMENTS}?")
    endif()
    crpc_generate_wkt()
    get_filename_component(proto_dir ${arg_PROTO_DIR} ABSOLUTE)
    set(out ${CMAKE_CURRENT_BINARY_DIR}/${arg_TARGET}.gen)
    set(sources "")
    foreach(proto ${arg_PROTOS})
        _crpc_generate_file(${out} ${proto_dir} ${proto} "${arg_IMPORT_DIRS}" "${arg_OPTIONS}" TRUE sources)
    endforeach()
    add_library(${arg_TARGET} STATIC ${sources})
    target_include_directories(${arg_TARGET} SYSTEM PUBLIC $<BUILD_INTERFACE:${out}>)
    _crpc_runtime(runtime)
    target_link_libraries(${arg_TARGET} PUBLIC ${arg_LINK} ${runtime} crpc_wkt)
endfunction()
