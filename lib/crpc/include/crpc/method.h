/* What generated code says of services: names, kinds, message types. Constant data. */
#ifndef CRPC_METHOD_H
#define CRPC_METHOD_H

#include <stdbool.h>
#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

enum crpc_kind { CRPC_UNARY, CRPC_CLIENT_STREAM, CRPC_SERVER_STREAM, CRPC_BIDI_STREAM };

struct crpc_method {
    const char *name; /* "DispatchJob" */
    const char *path; /* "/joblog.v1.JobLogService/DispatchJob" */
    enum crpc_kind kind;
    const ProtobufCMessageDescriptor *input;
    const ProtobufCMessageDescriptor *output;
};

/* The serialized google.protobuf.FileDescriptorProto of a .proto file, for reflection. */
struct crpc_file {
    const char *name; /* "joblog/v1/job_log.proto" */
    const unsigned char *descriptor;
    size_t descriptor_len;
    const struct crpc_file *const *imports; /* NULL-terminated */
};

struct crpc_service {
    const char *full_name;             /* "joblog.v1.JobLogService" */
    const struct crpc_method *methods; /* in the order of the .proto */
    size_t n_methods;
    const struct crpc_file *file;
};

#endif
