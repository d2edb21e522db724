/* From protoc's request to the plugin's response. */
#ifndef PROTOC_GEN_CRPC_GENERATE_H
#define PROTOC_GEN_CRPC_GENERATE_H

#include "google/protobuf/compiler/plugin.pb-c.h"
#include "pool.h"

/* Adds a header and a source for each file to generate, or the error that protoc shall print, to an initialised
 * response. Both live in the pool; the response may point into the request. Equal requests give equal responses. */
void generate(struct pool *pool, const Google__Protobuf__Compiler__CodeGeneratorRequest *request,
              Google__Protobuf__Compiler__CodeGeneratorResponse *response);

#endif
