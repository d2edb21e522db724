/* The talk with protoc: what both plugins do alike. */
#ifndef PROTOC_GEN_CRPC_REQUEST_H
#define PROTOC_GEN_CRPC_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "google/protobuf/compiler/plugin.pb-c.h"
#include "pool.h"

/* Messages within messages that a request may hold; protobuf's own parsers take as many. */
enum { REQUEST_MAX_DEPTH = 100 };

/* Reads the request from standard input and gives it (free it with its _free_unpacked). NULL, after telling standard
 * error why in the name of program, when there is none. */
Google__Protobuf__Compiler__CodeGeneratorRequest *request_read(struct pool *pool, const char *program);

/* The request that these bytes hold, likewise; NULL when they hold none, or one that nests too deeply. */
Google__Protobuf__Compiler__CodeGeneratorRequest *request_parse(const uint8_t *bytes, size_t len);

#endif
