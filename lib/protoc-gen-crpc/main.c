/* protoc-gen-crpc: a plugin of protoc that generates crpc's stubs next to protobuf-c's messages.
 *
 * protoc starts it, writes a CodeGeneratorRequest to its standard input and reads a CodeGeneratorResponse from its
 * standard output. What is wrong with a .proto or an option goes into the response, for protoc to print; what is wrong
 * with the talk to protoc goes to standard error, with exit status 1. It reads no file and writes none. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emit.h"
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

/* "only=client,..." Unknown words are errors: a mistyped option must not be silently without effect. */
static const char *parse_options(struct pool *pool, const char *parameter, struct options *ret_options)
{
    struct options options = {.client = true, .server = true};
    for (const char *s = parameter ? parameter : ""; *s;) {
        size_t len = strcspn(s, ",");
        const char *word = pool_strndup(pool, s, len);
        if (strcmp(word, "only=client") == 0)
            options.server = false;
        else if (strcmp(word, "only=server") == 0)
            options.client = false;
        else if (len)
            return pool_printf(pool, "unknown option \"%s\"; there are only=client and only=server", word);
        s += len + (s[len] == ',');
    }
    if (!options.client && !options.server)
        return "only=client and only=server exclude each other";
    *ret_options = options;
    return NULL;
}

static Google__Protobuf__Compiler__CodeGeneratorResponse__File *new_output(struct pool *pool, const struct file *file,
                                                                           const char *suffix, const struct text *text)
{
    Google__Protobuf__Compiler__CodeGeneratorResponse__File *output = pool_alloc(pool, sizeof *output);
    google__protobuf__compiler__code_generator_response__file__init(output);
    output->name = pool_printf(pool, "%s%s", file->stem, suffix);
    output->content = text->data;
    return output;
}

static void generate(struct pool *pool, const Google__Protobuf__Compiler__CodeGeneratorRequest *request,
                     Google__Protobuf__Compiler__CodeGeneratorResponse *response)
{
    struct model model = {0};
    const char *error = parse_options(pool, request->parameter, &model.options);
    if (!error && !model_build(&model, pool, request))
        error = model.error;
    if (error) {
        response->error = pool_strdup(pool, error);
        return;
    }
    response->file = pool_array(pool, model.n_wanted * 2, sizeof *response->file);
    for (size_t i = 0; i < model.n_wanted; i++) {
        struct text header = text_new(pool), source = text_new(pool);
        emit_header(&header, &model, model.wanted[i]);
        emit_source(&source, &model, model.wanted[i]);
        response->file[response->n_file++] = new_output(pool, model.wanted[i], ".crpc.h", &header);
        response->file[response->n_file++] = new_output(pool, model.wanted[i], ".crpc.c", &source);
    }
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
