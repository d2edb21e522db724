/* Requests to the reflection service, over an index of real files: any request that decodes is answered, and the answer
 * is what the protocol says, with descriptors that can be read. */
#include <string.h>

#include "base/arena.h"
#include "echo.crpc.h"
#include "fuzz.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "reflection_answer.h"
#include "scan.h"
#include "shapes.crpc.h"
#include "shapes_more.crpc.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest request_t;
typedef Grpc__Reflection__V1__ServerReflectionResponse response_t;

#define ANSWERED(what) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##what

static struct reflection_index reflected;
static Grpc__Reflection__V1__ServiceResponse echo = GRPC__REFLECTION__V1__SERVICE_RESPONSE__INIT;
static Grpc__Reflection__V1__ServiceResponse *services[] = {&echo};
static const struct answer_source source = {&reflected, services, 1};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    static char name[] = "crpc.test.v1.EchoService";
    echo.name = name;
    index_init(&reflected);
    HOLDS(index_add(&reflected, &crpc_test_v1_echo_file, NULL) == 0);
    HOLDS(index_add(&reflected, &crpc_test_shapes_shapes_file, NULL) == 0);
    HOLDS(index_add(&reflected, &crpc_test_shapes_shapes_more_file, NULL) == 0);
    HOLDS(index_finish(&reflected, NULL) == 0);
    return 0;
}

static void files_are_readable(const Grpc__Reflection__V1__FileDescriptorResponse *files)
{
    HOLDS(files->n_file_descriptor_proto > 0);
    for (size_t i = 0; i < files->n_file_descriptor_proto; i++) {
        const ProtobufCBinaryData *bytes = &files->file_descriptor_proto[i];
        Google__Protobuf__FileDescriptorProto *file =
            google__protobuf__file_descriptor_proto__unpack(NULL, bytes->len, bytes->data);
        HOLDS(file && file->name);
        google__protobuf__file_descriptor_proto__free_unpacked(file, NULL);
    }
}

static void look_at(const response_t *response)
{
    switch (response->message_response_case) {
    case ANSWERED(FILE_DESCRIPTOR_RESPONSE):
        files_are_readable(response->file_descriptor_response);
        break;
    case ANSWERED(ALL_EXTENSION_NUMBERS_RESPONSE):
        HOLDS(response->all_extension_numbers_response->base_type_name[0]);
        break;
    case ANSWERED(LIST_SERVICES_RESPONSE):
        HOLDS(response->list_services_response->n_service == 1);
        break;
    case ANSWERED(ERROR_RESPONSE):
        HOLDS(response->error_response->error_code == ERR_NOT_FOUND ||
              response->error_response->error_code == ERR_INVALID_ARGUMENT);
        HOLDS(response->error_response->error_message[0]);
        break;
    default:
        HOLDS(false && "an answer of a kind that the protocol has");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    data = input_of(data, size).at;
    if (scan_message(&grpc__reflection__v1__server_reflection_request__descriptor, span_of((const char *)data, size),
                     NULL) < 0)
        return 0;
    request_t *request = grpc__reflection__v1__server_reflection_request__unpack(NULL, size, data);
    if (!request)
        return 0;
    struct answer answer;
    answer_to(&answer, &source, request);
    size_t len = grpc__reflection__v1__server_reflection_response__get_packed_size(&answer.response);
    uint8_t *bytes = malloc(len);
    HOLDS(bytes);
    HOLDS(grpc__reflection__v1__server_reflection_response__pack(&answer.response, bytes) == len);
    response_t *response = grpc__reflection__v1__server_reflection_response__unpack(NULL, len, bytes);
    HOLDS(response && response->original_request);
    HOLDS(strcmp(response->valid_host, request->host) == 0);
    look_at(response);
    grpc__reflection__v1__server_reflection_response__free_unpacked(response, NULL);
    grpc__reflection__v1__server_reflection_request__free_unpacked(request, NULL);
    free(bytes);
    return 0;
}
