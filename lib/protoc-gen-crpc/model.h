/* What the plugin is asked to generate, checked and with all C names decided, so that the emitters only print. */
#ifndef PROTOC_GEN_CRPC_MODEL_H
#define PROTOC_GEN_CRPC_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include "google/protobuf/compiler/plugin.pb-c.h"
#include "names.h"
#include "pool.h"

/* Which halves to generate: `--crpc_opt=only=client` or `only=server`. */
struct options {
    bool client;
    bool server;
};

/* A message type, anywhere in the request. */
struct type {
    const char *full_name; /* ".a.v1.HelloRequest", as fields and methods refer to it */
    const char *c_type;    /* "A__V1__HelloRequest" */
    const char *c_lower;   /* "a__v1__hello_request" */
    bool generated;        /* false: its file tells protobuf-c not to generate anything */
};

enum kind { KIND_UNARY, KIND_CLIENT_STREAM, KIND_SERVER_STREAM, KIND_BIDI_STREAM };

struct method {
    const char *name;    /* "SayHello" */
    const char *path;    /* "/a.v1.EchoService/SayHello" */
    const char *comment; /* NULL: none */
    enum kind kind;
    const struct type *input;
    const struct type *output;
    const char *member; /* "say_hello" */
    const char *index;  /* "A_V1_ECHO_SERVICE_SAY_HELLO" */
    const char *prefix; /* "a_v1_echo_service_say_hello" */
    const char *tail;   /* behind every function's name: empty, or the underscores that make it free */
};

struct service {
    const char *full_name; /* "a.v1.EchoService" */
    const char *comment;
    const char *symbol;       /* "a_v1_echo_service" */
    const char *handlers_tag; /* "a_v1_echo_service_handlers" */
    const char *index_tag;    /* "a_v1_echo_service_method" */
    const char *mount;        /* "a_v1_echo_service_mount" */
    struct method *methods;
    size_t n_methods;
};

struct file {
    Google__Protobuf__FileDescriptorProto *proto;
    const char *name;      /* "a/b.proto" */
    const char *stem;      /* "a/b" */
    const char *package;   /* "a.v1", or empty */
    const char *c_package; /* what protobuf-c puts in its place, or NULL */
    bool has_messages;     /* protobuf-c generates a header for it */
    const char *symbol;    /* "a_v1_b_file" */
    const struct file **imports;
    size_t n_imports;
    struct service *services; /* of the files to generate only */
    size_t n_services;
};

struct model {
    struct pool *pool;
    struct options options;
    struct file *files; /* all of the request, imports before importers */
    size_t n_files;
    struct file **wanted; /* those to generate, in the order asked for */
    size_t n_wanted;
    struct type *types;
    size_t n_types;
    size_t cap_types;
    const char *error; /* why model_build failed: one line for a person */
};

/* Fills *model from a request, which it keeps. False and model->error when the request makes no sense. */
bool model_build(struct model *model, struct pool *pool,
                 const Google__Protobuf__Compiler__CodeGeneratorRequest *request);

/* Functions of a method, told apart by what follows its prefix. */
enum function {
    FN_REQUEST, /* server */
    FN_RECEIVED,
    FN_REPLY,
    FN_SEND,
    FN_UNARY, /* client; nothing follows */
    FN_START,
    FN_OPEN,
    FN_WRITE,
    FN_READ,
    FN_PUSH,
    FN_MESSAGE,
    FN_COUNT
};
bool model_kind_has(enum kind kind, enum function fn);
const char *model_function(struct pool *pool, const struct method *method, enum function fn);

#endif
