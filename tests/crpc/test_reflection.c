/* grpc.reflection.v1.ServerReflection, and v1alpha, asked over a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "crpc/client.h"
#include "crpc/reflection.h"
#include "crpc/server.h"
#include "echo.crpc.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "grpc/reflection/v1/reflection.crpc.h"
#include "grpc/reflection/v1alpha/reflection.crpc.h"
#include "shapes.crpc.h"
#include "shapes_more.crpc.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest request_t;
typedef Grpc__Reflection__V1__ServerReflectionResponse response_t;
typedef Grpc__Reflection__V1__ExtensionRequest extension_t;
typedef Google__Protobuf__FileDescriptorProto file_t;

#define ASK(what)      GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##what
#define ANSWERED(what) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##what

struct fixture {
    struct crpc_reflection *reflection;
    struct crpc_server *server;
    struct crpc_channel *channel;
    struct crpc_stream *stream;
};

static int setup(void **state)
{
    static struct fixture f;
    struct err err = ERR_NONE;
    char target[64];
    int port;
    f.reflection = crpc_reflection_new();
    f.server = crpc_server_new(NULL, &err);
    /* Twice the same service: as once. */
    if (crpc_reflection_add(f.reflection, &crpc_test_v1_echo_service, &err) != 0 ||
        crpc_reflection_add(f.reflection, &crpc_test_v1_echo_service, &err) != 0 ||
        crpc_reflection_add(f.reflection, &crpc_test_shapes_shape_service, &err) != 0 ||
        crpc_reflection_add_file(f.reflection, &crpc_test_shapes_shapes_more_file, &err) != 0 ||
        crpc_reflection_mount(f.reflection, f.server, &err) != 0 ||
        crpc_server_listen(f.server, "127.0.0.1:0", &port, &err) < 0 || crpc_server_start(f.server, &err) < 0)
        fail_msg("%s", err.msg);
    snprintf(target, sizeof target, "127.0.0.1:%d", port);
    f.channel = crpc_channel_new(target, NULL, &err);
    f.stream = grpc_reflection_v1_server_reflection_server_reflection_info_open(f.channel, NULL, &err);
    assert_non_null(f.stream);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    crpc_stream_free(f->stream);
    crpc_channel_free(f->channel);
    crpc_server_drain(f->server, 10000);
    crpc_server_free(f->server);
    crpc_reflection_free(f->reflection);
    return 0;
}

static response_t *ask(struct fixture *f, request_t *request)
{
    struct err err = ERR_NONE;
    response_t *response = NULL;
    request->host = "here";
    if (grpc_reflection_v1_server_reflection_server_reflection_info_write(f->stream, request, &err) != 0 ||
        grpc_reflection_v1_server_reflection_server_reflection_info_read(f->stream, &response, &err) != 1)
        fail_msg("%s", err.msg);
    assert_string_equal(response->valid_host, "here");
    assert_non_null(response->original_request);
    assert_int_equal(response->original_request->message_request_case, request->message_request_case);
    return response;
}

static response_t *ask_text(struct fixture *f, int what, const char *text)
{
    request_t request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    request.message_request_case = what;
    request.list_services = (char *)text; /* all texts are one member */
    return ask(f, &request);
}

static response_t *ask_extension(struct fixture *f, const char *extendee, int number)
{
    request_t request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    extension_t extension = GRPC__REFLECTION__V1__EXTENSION_REQUEST__INIT;
    extension.containing_type = (char *)extendee;
    extension.extension_number = number;
    request.message_request_case = ASK(FILE_CONTAINING_EXTENSION);
    request.file_containing_extension = &extension;
    return ask(f, &request);
}

static void expect_error(response_t *response, int code, const char *message)
{
    assert_int_equal(response->message_response_case, ANSWERED(ERROR_RESPONSE));
    assert_int_equal(response->error_response->error_code, code);
    assert_string_equal(response->error_response->error_message, message);
    crpc_message_free(&response->base);
}

/* names: those of the files, in order, with a blank after each; and each imports only what is there too. */
static void expect_files(response_t *response, const char *names)
{
    char got[400] = "";
    assert_int_equal(response->message_response_case, ANSWERED(FILE_DESCRIPTOR_RESPONSE));
    const ProtobufCBinaryData *bytes = response->file_descriptor_response->file_descriptor_proto;
    size_t n = response->file_descriptor_response->n_file_descriptor_proto;
    file_t *files[8];
    assert_in_range(n, 1, 8);
    for (size_t i = 0; i < n; i++) {
        files[i] = google__protobuf__file_descriptor_proto__unpack(NULL, bytes[i].len, bytes[i].data);
        assert_non_null(files[i]);
        assert_true(strlen(got) + strlen(files[i]->name) + 2 < sizeof got);
        strcat(strcat(got, files[i]->name), " ");
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < files[i]->n_dependency; j++)
            assert_non_null(strstr(got, files[i]->dependency[j]));
    assert_string_equal(got, names);
    for (size_t i = 0; i < n; i++)
        google__protobuf__file_descriptor_proto__free_unpacked(files[i], NULL);
    crpc_message_free(&response->base);
}

static const char SHAPES[] = "shapes.proto google/protobuf/duration.proto google/protobuf/timestamp.proto ";
static const char MORE[] =
    "shapes_more.proto shapes.proto google/protobuf/duration.proto google/protobuf/timestamp.proto ";

static void test_list(void **state)
{
    static const char *const names[] = {"crpc.test.shapes.ShapeService", "crpc.test.v1.EchoService",
                                        "grpc.reflection.v1.ServerReflection",
                                        "grpc.reflection.v1alpha.ServerReflection"};
    response_t *response = ask_text(*state, ASK(LIST_SERVICES), "*");
    assert_int_equal(response->message_response_case, ANSWERED(LIST_SERVICES_RESPONSE));
    assert_int_equal(response->list_services_response->n_service, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(response->list_services_response->service[i]->name, names[i]);
    crpc_message_free(&response->base);
}

static void test_file_by_name(void **state)
{
    expect_files(ask_text(*state, ASK(FILE_BY_FILENAME), "echo.proto"), "echo.proto ");
    expect_files(ask_text(*state, ASK(FILE_BY_FILENAME), "shapes.proto"), SHAPES);
    expect_files(ask_text(*state, ASK(FILE_BY_FILENAME), "shapes_more.proto"), MORE);
    expect_files(ask_text(*state, ASK(FILE_BY_FILENAME), "google/protobuf/duration.proto"),
                 "google/protobuf/duration.proto ");
    expect_error(ask_text(*state, ASK(FILE_BY_FILENAME), "shapes"), ERR_NOT_FOUND, "no such file");
    expect_error(ask_text(*state, ASK(FILE_BY_FILENAME), ""), ERR_NOT_FOUND, "no such file");
}

/* A client gets the very bytes that the generator embedded. */
static void test_bytes(void **state)
{
    response_t *response = ask_text(*state, ASK(FILE_CONTAINING_SYMBOL), "crpc.test.v1.EchoService");
    const ProtobufCBinaryData *bytes = response->file_descriptor_response->file_descriptor_proto;
    assert_int_equal(bytes->len, crpc_test_v1_echo_file.descriptor_len);
    assert_memory_equal(bytes->data, crpc_test_v1_echo_file.descriptor, bytes->len);
    crpc_message_free(&response->base);
}

static void test_symbols(void **state)
{
    static const char *const known[] = {
        "ShapeService",
        "ShapeService.Draw",
        "Outer",
        "Outer.inner",
        "Outer.weight",
        "Outer.Inner",
        "Outer.Inner.colour",
        "Outer.Inner.Colour",
        "Outer.Inner.GREEN",
        "Outer.Inner.size",
        "Side",
        "RIGHT",
    };
    static const char *const unknown[] = {
        "crpc.test.shapes",
        "crpc.test.shapes.Outer.Inner.Colour.GREEN",
        "crpc.test.shapes.Side.LEFT",
        "crpc.test.shapes.ShapeService.Erase",
        "ShapeService",
        ".crpc.test.shapes.Outer",
        "crpc.test.shapes.outer",
        "",
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char name[100];
        snprintf(name, sizeof name, "crpc.test.shapes.%s", known[i]);
        expect_files(ask_text(*state, ASK(FILE_CONTAINING_SYMBOL), name), SHAPES);
    }
    expect_files(ask_text(*state, ASK(FILE_CONTAINING_SYMBOL), "crpc.test.shapes.note"), MORE);
    expect_files(ask_text(*state, ASK(FILE_CONTAINING_SYMBOL), "google.protobuf.Timestamp"),
                 "google/protobuf/timestamp.proto ");
    expect_files(ask_text(*state, ASK(FILE_CONTAINING_SYMBOL), "grpc.reflection.v1alpha.ServerReflection"),
                 "grpc/reflection/v1alpha/reflection.proto ");
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        expect_error(ask_text(*state, ASK(FILE_CONTAINING_SYMBOL), unknown[i]), ERR_NOT_FOUND, "no such symbol");
}

static void test_extensions(void **state)
{
    static const char inner[] = "crpc.test.shapes.Outer.Inner";
    expect_files(ask_extension(*state, inner, 150), SHAPES);
    expect_files(ask_extension(*state, inner, 110), MORE);
    expect_files(ask_extension(*state, inner, 120), MORE);
    expect_error(ask_extension(*state, inner, 111), ERR_NOT_FOUND, "no such extension");
    expect_error(ask_extension(*state, inner, -1), ERR_NOT_FOUND, "no such extension");
    expect_error(ask_extension(*state, "crpc.test.shapes.Outer", 150), ERR_NOT_FOUND, "no such extension");
    expect_error(ask_extension(*state, "", 0), ERR_NOT_FOUND, "no such extension");
}

static void test_extension_numbers(void **state)
{
    static const int numbers[] = {110, 120, 150};
    response_t *response = ask_text(*state, ASK(ALL_EXTENSION_NUMBERS_OF_TYPE), "crpc.test.shapes.Outer.Inner");
    assert_int_equal(response->message_response_case, ANSWERED(ALL_EXTENSION_NUMBERS_RESPONSE));
    assert_string_equal(response->all_extension_numbers_response->base_type_name, "crpc.test.shapes.Outer.Inner");
    assert_int_equal(response->all_extension_numbers_response->n_extension_number, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(response->all_extension_numbers_response->extension_number[i], numbers[i]);
    crpc_message_free(&response->base);
    response = ask_text(*state, ASK(ALL_EXTENSION_NUMBERS_OF_TYPE), "crpc.test.shapes.Outer");
    assert_int_equal(response->message_response_case, ANSWERED(ALL_EXTENSION_NUMBERS_RESPONSE));
    assert_int_equal(response->all_extension_numbers_response->n_extension_number, 0);
    crpc_message_free(&response->base);
    expect_error(ask_text(*state, ASK(ALL_EXTENSION_NUMBERS_OF_TYPE), "crpc.test.shapes.Side"), ERR_NOT_FOUND,
                 "no such message");
    expect_error(ask_text(*state, ASK(ALL_EXTENSION_NUMBERS_OF_TYPE), "Nothing"), ERR_NOT_FOUND, "no such message");
}

/* An error does not end the stream, and the stream ends when the client has no more to ask. */
static void test_stream(void **state)
{
    struct fixture *f = *state;
    request_t nothing = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    expect_error(ask(f, &nothing), ERR_INVALID_ARGUMENT, "the request asks nothing that is known here");
    expect_files(ask_text(f, ASK(FILE_BY_FILENAME), "shapes.proto"), SHAPES);
    struct err err = ERR_NONE;
    ProtobufCMessage *message;
    assert_int_equal(crpc_stream_close_write(f->stream, &err), 0);
    assert_int_equal(crpc_stream_read(f->stream, &message, &err), 0);
}

static void test_v1alpha(void **state)
{
    typedef Grpc__Reflection__V1alpha__ServerReflectionRequest alpha_request_t;
    typedef Grpc__Reflection__V1alpha__ServerReflectionResponse alpha_response_t;
    struct fixture *f = *state;
    struct err err = ERR_NONE;
    alpha_request_t request = GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__INIT;
    alpha_response_t *response = NULL;
    request.message_request_case =
        GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL;
    request.file_containing_symbol = "crpc.test.shapes.Outer";
    struct crpc_stream *s =
        grpc_reflection_v1alpha_server_reflection_server_reflection_info_open(f->channel, NULL, &err);
    assert_non_null(s);
    assert_int_equal(grpc_reflection_v1alpha_server_reflection_server_reflection_info_write(s, &request, &err), 0);
    assert_int_equal(grpc_reflection_v1alpha_server_reflection_server_reflection_info_read(s, &response, &err), 1);
    assert_int_equal(response->message_response_case,
                     GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE);
    assert_int_equal(response->file_descriptor_response->n_file_descriptor_proto, 3);
    assert_string_equal(response->original_request->file_containing_symbol, "crpc.test.shapes.Outer");
    crpc_message_free(&response->base);
    crpc_stream_free(s);
}

/* ---- without a server ---- */

static void test_late_and_odd(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_NONE;
    assert_int_equal(crpc_reflection_add(f->reflection, &crpc_test_v1_echo_service, &err), -ERR_FAILED_PRECONDITION);
    struct crpc_reflection *r = crpc_reflection_new();
    struct crpc_file other = crpc_test_v1_echo_file;
    other.descriptor_len--;
    assert_int_equal(crpc_reflection_add(r, &crpc_test_v1_echo_service, &err), 0);
    assert_int_equal(crpc_reflection_add_file(r, &other, &err), -ERR_ALREADY_EXISTS);
    assert_string_equal(err.msg, "two different files are called echo.proto");
    other.name = "cut.proto";
    assert_int_equal(crpc_reflection_add_file(r, &other, &err), -ERR_INVALID_ARGUMENT);
    crpc_reflection_free(r);
    crpc_reflection_free(NULL);
}

/* A stream that is open does not hold up the end of the server. */
static void test_stop(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_NONE;
    request_t request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    response_t *response = NULL;
    request.message_request_case = ASK(LIST_SERVICES);
    request.list_services = "";
    crpc_message_free(&ask(f, &request)->base);
    crpc_reflection_stop(f->reflection);
    assert_int_equal(grpc_reflection_v1_server_reflection_server_reflection_info_read(f->stream, &response, &err),
                     -ERR_UNAVAILABLE);
    assert_string_equal(err.reason, "SHUTTING_DOWN");
    crpc_stream_free(f->stream);
    /* So does one that comes later. */
    f->stream = grpc_reflection_v1_server_reflection_server_reflection_info_open(f->channel, NULL, &err);
    assert_int_equal(grpc_reflection_v1_server_reflection_server_reflection_info_read(f->stream, &response, &err),
                     -ERR_UNAVAILABLE);
}

static long allowed;

static bool gate(size_t size)
{
    (void)size;
    return allowed-- > 0;
}

/* Whichever allocation fails: an error, and nothing that is not freed. */
static void test_short_memory(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    int rc = -1;
    for (long n = 0; rc != 0; n++) {
        assert_in_range(n, 0, 10000);
        struct crpc_server *server = crpc_server_new(NULL, &err);
        allowed = n;
        mem_set_gate(gate);
        struct crpc_reflection *r = crpc_reflection_new();
        rc = !r ? -ERR_RESOURCE_EXHAUSTED : crpc_reflection_add(r, &crpc_test_shapes_shape_service, &err);
        if (rc == 0)
            rc = crpc_reflection_add_file(r, &crpc_test_shapes_shapes_more_file, &err);
        if (rc == 0)
            rc = crpc_reflection_mount(r, server, &err);
        mem_set_gate(NULL);
        crpc_server_free(server);
        crpc_reflection_free(r);
        if (rc != 0)
            assert_int_equal(rc, -ERR_RESOURCE_EXHAUSTED);
    }
}

int main(void)
{
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_SERVER(test_list),    WITH_SERVER(test_file_by_name),      WITH_SERVER(test_bytes),
        WITH_SERVER(test_symbols), WITH_SERVER(test_extensions),        WITH_SERVER(test_extension_numbers),
        WITH_SERVER(test_stream),  WITH_SERVER(test_v1alpha),           WITH_SERVER(test_late_and_odd),
        WITH_SERVER(test_stop),    cmocka_unit_test(test_short_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
