/* protoc-gen-crpc: a plugin of protoc that generates crpc's stubs next to protobuf-c's messages.
 *
 * protoc starts it, writes a CodeGeneratorRequest to its standard input and reads a CodeGeneratorResponse from its
 * standard output. What is wrong with a .proto or an option goes into the response, for protoc to print; what is wrong
 * with the talk to protoc goes to standard error, with exit status 1. It reads no file and writes none. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generate.h"
#include "request.h"

static const char usage[] =
    "protoc-gen-crpc: plugin of protoc that generates gRPC stubs for crpc\n"
    "usage: protoc --plugin=protoc-gen-crpc=PATH --crpc_out=DIR [--crpc_opt=OPTION[,OPTION]...] FILE.proto...\n"
    "options:\n"
    "  only=client  leave the server's half out\n"
    "  only=server  leave the client's half out\n";

static _Noreturn void no_memory(void)
{
    fputs("protoc-gen-crpc: out of memory\n", stderr);
    exit(EXIT_FAILURE);
}

static bool write_response(struct pool *pool, const Google__Protobuf__Compiler__CodeGeneratorResponse *response)
{
    size_t len = google__protobuf__compiler__code_generator_response__get_packed_size(response);
    uint8_t *bytes = pool_alloc(pool, len);
    google__protobuf__compiler__code_generator_response__pack(response, bytes);
    if (fwrite(bytes, 1, len, stdout) == len && fflush(stdout) == 0)
        return true;
    fprintf(stderr, "protoc-gen-crpc: writing the response: %s\n", strerror(errno));
    return false;
}

static bool run(struct pool *pool)
{
    Google__Protobuf__Compiler__CodeGeneratorRequest *request = request_read(pool, "protoc-gen-crpc");
    if (!request)
        return false;
    Google__Protobuf__Compiler__CodeGeneratorResponse response =
        GOOGLE__PROTOBUF__COMPILER__CODE_GENERATOR_RESPONSE__INIT;
    response.has_supported_features = 1;
    response.supported_features = GOOGLE__PROTOBUF__COMPILER__CODE_GENERATOR_RESPONSE__FEATURE__FEATURE_PROTO3_OPTIONAL;
    generate(pool, request, &response);
    bool ok = write_response(pool, &response);
    google__protobuf__compiler__code_generator_request__free_unpacked(request, NULL);
    return ok;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("protoc-gen-crpc " CRPC_VERSION);
        return EXIT_SUCCESS;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (argc > 1) {
        fputs(usage, stderr);
        return EXIT_FAILURE;
    }
    struct pool pool = {.no_memory = no_memory};
    bool ok = run(&pool);
    pool_done(&pool);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
