/* Both plugins of protoc, on any bytes as their request: neither may crash; equal requests give equal code; what the
 * messages' plugin hands on is a request again. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "generate.h"
#include "members.h"
#include "presence.h"
#include "request.h"

typedef Google__Protobuf__Compiler__CodeGeneratorRequest request_t;
typedef Google__Protobuf__Compiler__CodeGeneratorResponse response_t;

static _Noreturn void no_memory(void)
{
    fputs("out of memory\n", stderr);
    abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static uint8_t *pack(struct pool *pool, const request_t *request, size_t *ret_len)
{
    response_t response = GOOGLE__PROTOBUF__COMPILER__CODE_GENERATOR_RESPONSE__INIT;
    generate(pool, request, &response);
    HOLDS(!response.error == (response.n_file == 2 * request->n_file_to_generate));
    for (size_t i = 0; i < response.n_file; i++)
        HOLDS(response.file[i]->name && response.file[i]->content);
    *ret_len = google__protobuf__compiler__code_generator_response__get_packed_size(&response);
    uint8_t *bytes = pool_alloc(pool, *ret_len);
    HOLDS(google__protobuf__compiler__code_generator_response__pack(&response, bytes) == *ret_len);
    return bytes;
}

static void stubs(struct pool *pool, const request_t *request)
{
    size_t len, len_again;
    uint8_t *bytes = pack(pool, request, &len), *again = pack(pool, request, &len_again);
    HOLDS(len == len_again && memcmp(bytes, again, len) == 0);
}

static void messages(struct pool *pool, request_t *request)
{
    for (size_t i = 0; i < request->n_proto_file; i++) {
        const char *group = members_find_group(pool, request->proto_file[i]);
        HOLDS(!group || group[0]);
        presence_file(pool, request->proto_file[i]);
        members_file(pool, request->proto_file[i]);
    }
    size_t len = google__protobuf__compiler__code_generator_request__get_packed_size(request);
    uint8_t *bytes = pool_alloc(pool, len);
    HOLDS(google__protobuf__compiler__code_generator_request__pack(request, bytes) == len);
    request_t *again = request_parse(bytes, len);
    HOLDS(again && again->n_proto_file == request->n_proto_file);
    google__protobuf__compiler__code_generator_request__free_unpacked(again, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    request_t *request = request_parse(input_of(data, size).at, size);
    if (!request)
        return 0;
    struct pool pool = {.no_memory = no_memory};
    stubs(&pool, request);
    messages(&pool, request);
    pool_done(&pool);
    google__protobuf__compiler__code_generator_request__free_unpacked(request, NULL);
    return 0;
}
