/* Reading protoc's request. */
#include "request.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

enum { MAX_REQUEST = 1 << 30 }; /* protobuf itself allows 2 GiB; no set of .proto files comes near */

static bool read_all(const char *program, struct text *text)
{
    char chunk[65536];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, stdin)) > 0) {
        if (text->len + n > MAX_REQUEST) {
            fprintf(stderr, "%s: the request is larger than 1 GiB\n", program);
            return false;
        }
        text_add_len(text, chunk, n);
    }
    if (ferror(stdin)) {
        fprintf(stderr, "%s: reading the request: %s\n", program, strerror(errno));
        return false;
    }
    return true;
}

Google__Protobuf__Compiler__CodeGeneratorRequest *request_read(struct pool *pool, const char *program)
{
    struct text input = text_new(pool);
    if (!read_all(program, &input))
        return NULL;
    Google__Protobuf__Compiler__CodeGeneratorRequest *request =
        google__protobuf__compiler__code_generator_request__unpack(NULL, input.len, (const uint8_t *)input.data);
    if (!request || !request->n_file_to_generate) {
        fprintf(stderr, "%s: standard input is no request of protoc; see --help\n", program);
        google__protobuf__compiler__code_generator_request__free_unpacked(request, NULL);
        return NULL;
    }
    return request;
}
