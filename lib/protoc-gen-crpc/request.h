/* The talk with protoc: what both plugins do alike. */
#ifndef PROTOC_GEN_CRPC_REQUEST_H
#define PROTOC_GEN_CRPC_REQUEST_H

#include "google/protobuf/compiler/plugin.pb-c.h"
#include "pool.h"

/* Reads the request from standard input and gives it (free it with its _free_unpacked). NULL, after telling standard
 * error why in the name of program, when there is none. */
Google__Protobuf__Compiler__CodeGeneratorRequest *request_read(struct pool *pool, const char *program);

#endif
