/* The plugins fed by hand, as protoc would never feed them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "google/protobuf/compiler/plugin.pb-c.h"

typedef Google__Protobuf__Compiler__CodeGeneratorRequest request_t;
typedef Google__Protobuf__Compiler__CodeGeneratorResponse response_t;

/* What a run of a plugin left behind. */
struct run {
    int status; /* exit status; -1: ended by a signal */
    uint8_t out[65536];
    size_t out_len;
    char err[4096];
};

static FILE *file_with(const void *data, size_t len)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    assert_int_equal(fflush(file), 0);
    rewind(file);
    return file;
}

static size_t drain(FILE *file, void *ret_data, size_t cap)
{
    rewind(file);
    size_t n = fread(ret_data, 1, cap, file);
    fclose(file);
    return n;
}

static void run_plugin(struct run *run, const char *path, const char *arg, const void *input, size_t len)
{
    FILE *in = file_with(input, len), *out = file_with("", 0), *err = file_with("", 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fileno(in), 0);
        dup2(fileno(out), 1);
        dup2(fileno(err), 2);
        execl(path, path, arg, NULL);
        _exit(126);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    run->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    fclose(in);
    run->out_len = drain(out, run->out, sizeof run->out);
    run->err[drain(err, run->err, sizeof run->err - 1)] = 0;
}

static size_t pack(const request_t *request, uint8_t *ret_bytes, size_t cap)
{
    size_t len = google__protobuf__compiler__code_generator_request__get_packed_size(request);
    assert_true(len <= cap);
    return google__protobuf__compiler__code_generator_request__pack(request, ret_bytes);
}

static response_t *run_request(const request_t *request)
{
    static struct run run;
    uint8_t bytes[4096];
    run_plugin(&run, PLUGIN, NULL, bytes, pack(request, bytes, sizeof bytes));
    assert_int_equal(run.status, 0);
    response_t *response = google__protobuf__compiler__code_generator_response__unpack(NULL, run.out_len, run.out);
    assert_non_null(response);
    return response;
}

static void expect_error(const request_t *request, const char *error)
{
    response_t *response = run_request(request);
    assert_non_null(response->error);
    assert_string_equal(response->error, error);
    assert_int_equal(response->n_file, 0);
    google__protobuf__compiler__code_generator_response__free_unpacked(response, NULL);
}

/* A sound request of two files: dep.proto with message d.D, a.proto with service a.S { rpc Do(.d.D) returns (.d.D) }.
 * Each test spoils its own. */
struct sound {
    request_t request;
    Google__Protobuf__FileDescriptorProto files[2];
    Google__Protobuf__DescriptorProto message;
    Google__Protobuf__ServiceDescriptorProto service;
    Google__Protobuf__MethodDescriptorProto method;
    Google__Protobuf__FileDescriptorProto *file_list[2];
    Google__Protobuf__DescriptorProto *message_list[1];
    Google__Protobuf__ServiceDescriptorProto *service_list[1];
    Google__Protobuf__MethodDescriptorProto *method_list[1];
    char *dependencies[1];
    char *wanted[1];
};

static request_t *sound_init(struct sound *s)
{
    google__protobuf__compiler__code_generator_request__init(&s->request);
    google__protobuf__descriptor_proto__init(&s->message);
    google__protobuf__service_descriptor_proto__init(&s->service);
    google__protobuf__method_descriptor_proto__init(&s->method);
    for (int i = 0; i < 2; i++) {
        google__protobuf__file_descriptor_proto__init(&s->files[i]);
        s->file_list[i] = &s->files[i];
    }
    s->message_list[0] = &s->message;
    s->service_list[0] = &s->service;
    s->method_list[0] = &s->method;
    s->dependencies[0] = s->files[0].name = "dep.proto";
    s->files[0].package = "d";
    s->files[0].n_message_type = 1;
    s->files[0].message_type = s->message_list;
    s->message.name = "D";
    s->wanted[0] = s->files[1].name = "a.proto";
    s->files[1].package = "a";
    s->files[1].n_dependency = 1;
    s->files[1].dependency = s->dependencies;
    s->files[1].n_service = 1;
    s->files[1].service = s->service_list;
    s->service.name = "S";
    s->service.n_method = 1;
    s->service.method = s->method_list;
    s->method.name = "Do";
    s->method.input_type = s->method.output_type = ".d.D";
    s->request.n_proto_file = 2;
    s->request.proto_file = s->file_list;
    s->request.n_file_to_generate = 1;
    s->request.file_to_generate = s->wanted;
    return &s->request;
}

static void test_sound(void **state)
{
    (void)state;
    struct sound s;
    response_t *response = run_request(sound_init(&s));
    assert_null(response->error);
    assert_int_equal(response->n_file, 2);
    assert_string_equal(response->file[0]->name, "a.crpc.h");
    assert_string_equal(response->file[1]->name, "a.crpc.c");
    assert_non_null(strstr(response->file[1]->content, "\"/a.S/Do\""));
    assert_true(response->has_supported_features);
    assert_int_equal(response->supported_features, 1); /* proto3 optional */
    google__protobuf__compiler__code_generator_response__free_unpacked(response, NULL);
}

static void test_unsound_requests(void **state)
{
    (void)state;
    struct sound s;
    sound_init(&s)->n_proto_file = 1;
    expect_error(&s.request, "a.proto: to be generated, but not in the request");
    sound_init(&s);
    s.file_list[0] = &s.files[1];
    s.file_list[1] = &s.files[0];
    expect_error(&s.request, "a.proto: the request lacks its import dep.proto, or has it later");
    sound_init(&s);
    s.method.input_type = ".d.Missing";
    expect_error(&s.request, "a.proto: /a.S/Do: no message .d.Missing in the request");
    sound_init(&s);
    s.method.output_type = NULL;
    expect_error(&s.request, "a.proto: /a.S/Do: no message (none) in the request");
    sound_init(&s);
    s.method.name = NULL;
    expect_error(&s.request, "a.proto: a.S has a method without a proper name");
    sound_init(&s);
    s.method.name = "Do\"; int evil";
    expect_error(&s.request, "a.proto: a.S has a method without a proper name");
    sound_init(&s);
    s.files[1].package = "a..b";
    expect_error(&s.request, "a.proto: the name of its package is none");
    sound_init(&s);
    s.service.name = "";
    expect_error(&s.request, "a.proto: a service without a proper name");
    sound_init(&s);
    s.message.name = NULL;
    expect_error(&s.request, "dep.proto: a message without a proper name");
    sound_init(&s);
    s.files[0].name = NULL;
    expect_error(&s.request, "the request has a file without a name");
    sound_init(&s);
    s.files[0].name = "a\".proto";
    expect_error(&s.request, "the name of a file has a quote, a backslash or a line break");
    sound_init(&s);
    s.files[0].name = s.files[1].name;
    expect_error(&s.request, "a.proto: twice in the request");
}

static void test_names_that_cannot_be(void **state)
{
    (void)state;
    struct sound s;
    sound_init(&s);
    s.files[1].package = "crpc";
    expect_error(&s.request, "a.proto: package crpc is the runtime's; \"crpc.something\" is free");
    sound_init(&s);
    s.files[0].package = "x.y";
    s.files[1].package = "x_y";
    s.files[0].name = s.dependencies[0] = "one/a.proto";
    expect_error(&s.request, "one/a.proto and a.proto would both be called x_y_a_file in C: rename one of them");
}

static void test_other_languages(void **state)
{
    (void)state;
    struct sound s;
    sound_init(&s);
    s.files[1].syntax = "editions";
    expect_error(&s.request, "a.proto: is written in editions; only proto2 and proto3 are known here");
    s.files[1].syntax = "proto2";
    s.files[0].syntax = "editions"; /* an import only lends its types */
    response_t *response = run_request(&s.request);
    assert_null(response->error);
    google__protobuf__compiler__code_generator_response__free_unpacked(response, NULL);
}

/* Messages within messages: as deep as protobuf allows, and so deep that reading them would overflow the stack. */
static size_t nested_request(uint8_t *bytes, unsigned levels)
{
    static uint8_t file[400000], other[400000];
    size_t len = 0;
    for (unsigned i = 0; i < levels; i++) { /* name = "M", nested_type = what was there */
        size_t at = 0;
        memcpy(other, "\x0a\x01M\x1a", 4);
        at = 4;
        for (size_t v = len; at == 4 || v; v >>= 7)
            other[at++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        memcpy(other + at, file, len);
        len = at + len;
        memcpy(file, other, len);
    }
    Google__Protobuf__Compiler__CodeGeneratorRequest request = GOOGLE__PROTOBUF__COMPILER__CODE_GENERATOR_REQUEST__INIT;
    Google__Protobuf__FileDescriptorProto a = GOOGLE__PROTOBUF__FILE_DESCRIPTOR_PROTO__INIT, *files[] = {&a};
    char *wanted[] = {a.name = "a.proto"};
    ProtobufCMessageUnknownField field = {.tag = 4, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, .data = other};
    size_t at = 0;
    for (size_t v = len; at == 0 || v; v >>= 7)
        other[at++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
    memcpy(other + at, file, len);
    field.len = at + len;
    a.base.n_unknown_fields = 1;
    a.base.unknown_fields = &field;
    request.n_proto_file = request.n_file_to_generate = 1;
    request.proto_file = files;
    request.file_to_generate = wanted;
    return google__protobuf__compiler__code_generator_request__pack(&request, bytes);
}

static void test_nesting(void **state)
{
    (void)state;
    static struct run run;
    static uint8_t bytes[400000];
    run_plugin(&run, PLUGIN, NULL, bytes, nested_request(bytes, 90));
    assert_int_equal(run.status, 0);
    static const char *const plugins[] = {PLUGIN, MESSAGES_PLUGIN};
    for (size_t i = 0; i < 2; i++) {
        run_plugin(&run, plugins[i], NULL, bytes, nested_request(bytes, 20000));
        assert_int_equal(run.status, 1);
        assert_non_null(strstr(run.err, "standard input is no request of protoc"));
    }
}

/* A path can hold what ends a comment. */
static void test_file_name_in_comment(void **state)
{
    (void)state;
    struct sound s;
    sound_init(&s);
    s.wanted[0] = s.files[1].name = "odd*/a.proto";
    response_t *response = run_request(&s.request);
    assert_null(response->error);
    assert_memory_equal(response->file[0]->content, "/* Generated by protoc-gen-crpc from odd* /a.proto. Do", 54);
    google__protobuf__compiler__code_generator_response__free_unpacked(response, NULL);
}

static void test_options(void **state)
{
    (void)state;
    struct sound s;
    sound_init(&s)->parameter = "only=client,,colour=red";
    expect_error(&s.request, "unknown option \"colour=red\"; there are only=client and only=server");
    s.request.parameter = "only=client,only=server";
    expect_error(&s.request, "only=client and only=server exclude each other");
    s.request.parameter = "only=client";
    response_t *response = run_request(&s.request);
    assert_non_null(strstr(response->file[0]->content, "a_s_do_start("));
    assert_null(strstr(response->file[0]->content, "crpc/server.h"));
    assert_null(strstr(response->file[1]->content, "mount"));
    google__protobuf__compiler__code_generator_response__free_unpacked(response, NULL);
    s.request.parameter = "only=server";
    response = run_request(&s.request);
    assert_non_null(strstr(response->file[0]->content, "a_s_do_reply("));
    assert_null(strstr(response->file[0]->content, "crpc/client.h"));
    assert_non_null(strstr(response->file[1]->content, "a_s_mount("));
    google__protobuf__compiler__code_generator_response__free_unpacked(response, NULL);
}

static void test_garbage(void **state)
{
    (void)state;
    static struct run run;
    static const char *const plugins[] = {PLUGIN, MESSAGES_PLUGIN};
    static const char *const inputs[] = {"", "hello, plugin\n", "\xff\xff\xff\xff\xff\xff\xff\xff",
                                         "\x0a\xff\xff\xff\x7f"};
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < sizeof inputs / sizeof inputs[0]; j++) {
            run_plugin(&run, plugins[i], NULL, inputs[j], strlen(inputs[j]));
            assert_int_equal(run.status, 1);
            assert_int_equal(run.out_len, 0);
            assert_non_null(strstr(run.err, "standard input is no request of protoc"));
        }
        run_plugin(&run, plugins[i], "nonsense", "", 0);
        assert_int_equal(run.status, 1);
        assert_non_null(strstr(run.err, "usage: protoc"));
        run_plugin(&run, plugins[i], "--help", "", 0);
        assert_int_equal(run.status, 0);
        assert_non_null(strstr((char *)run.out, "usage: protoc"));
        run_plugin(&run, plugins[i], "--version", "", 0);
        assert_int_equal(run.status, 0);
    }
}

/* Cut off anywhere, or with any one byte changed: an answer or an error, never a crash. */
static void test_spoilt_bytes(void **state)
{
    (void)state;
    static struct run run;
    struct sound s;
    uint8_t bytes[4096];
    size_t len = pack(sound_init(&s), bytes, sizeof bytes);
    for (size_t n = 0; n < len; n++) {
        run_plugin(&run, PLUGIN, NULL, bytes, n);
        assert_in_range(run.status, 0, 1);
        bytes[n] ^= 0x55;
        run_plugin(&run, PLUGIN, NULL, bytes, len);
        assert_in_range(run.status, 0, 1);
        bytes[n] ^= 0x55;
    }
}

/* protoc-gen-c's answer comes through, and after it that proto3's optional is understood. */
static void test_messages(void **state)
{
    (void)state;
    static struct run run;
    struct sound s;
    uint8_t bytes[4096];
    size_t len = pack(sound_init(&s), bytes, sizeof bytes);
    run_plugin(&run, MESSAGES_PLUGIN, NULL, bytes, len);
    assert_int_equal(run.status, 0);
    response_t *response = google__protobuf__compiler__code_generator_response__unpack(NULL, run.out_len, run.out);
    assert_non_null(response);
    assert_null(response->error);
    assert_int_equal(response->n_file, 2);
    assert_true(response->has_supported_features);
    assert_int_equal(response->supported_features, 1);
    google__protobuf__compiler__code_generator_response__free_unpacked(response, NULL);
}

/* Optional fields as protoc would never write them. */
static void test_unsound_optional(void **state)
{
    (void)state;
    static struct run run;
    struct sound s;
    uint8_t bytes[4096];
    static const int indexes[] = {0, 1, -1};
    for (size_t i = 0; i < 6; i++) {
        Google__Protobuf__FieldDescriptorProto field = GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__INIT,
                                               *fields[] = {&field};
        Google__Protobuf__OneofDescriptorProto oneof = GOOGLE__PROTOBUF__ONEOF_DESCRIPTOR_PROTO__INIT,
                                               *oneofs[] = {&oneof};
        sound_init(&s);
        s.files[0].syntax = "proto3";
        field.name = i < 3 ? "x" : NULL;
        field.has_proto3_optional = field.proto3_optional = 1;
        field.has_oneof_index = 1;
        field.oneof_index = indexes[i % 3];
        s.message.n_field = s.message.n_oneof_decl = 1;
        s.message.field = fields;
        s.message.oneof_decl = oneofs;
        run_plugin(&run, MESSAGES_PLUGIN, NULL, bytes, pack(&s.request, bytes, sizeof bytes));
        assert_int_equal(run.status, 1);
        assert_non_null(strstr(run.err, "protoc-gen-c failed"));
    }
}

/* protoc-gen-c ends without a word at a group: say which. */
static void test_groups(void **state)
{
    (void)state;
    static struct run run;
    struct sound s;
    uint8_t bytes[4096];
    Google__Protobuf__FieldDescriptorProto field = GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__INIT, *fields[] = {&field};
    field.name = "result";
    field.has_type = 1;
    field.type = GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_GROUP;
    sound_init(&s);
    s.message.n_field = 1;
    s.message.field = fields;
    s.wanted[0] = "dep.proto";
    run_plugin(&run, MESSAGES_PLUGIN, NULL, bytes, pack(&s.request, bytes, sizeof bytes));
    assert_int_equal(run.status, 0);
    response_t *response = google__protobuf__compiler__code_generator_response__unpack(NULL, run.out_len, run.out);
    assert_non_null(response);
    assert_string_equal(response->error,
                        "dep.proto: D.result is a group, which protobuf-c does not know; a message does the same");
    google__protobuf__compiler__code_generator_response__free_unpacked(response, NULL);
}

static void test_messages_without_generator(void **state)
{
    (void)state;
    static struct run run;
    struct sound s;
    uint8_t bytes[4096];
    size_t len = pack(sound_init(&s), bytes, sizeof bytes);
    assert_int_equal(setenv("CRPC_PROTOC_GEN_C", "/nonexistent/protoc-gen-c", 1), 0);
    run_plugin(&run, MESSAGES_PLUGIN, NULL, bytes, len);
    assert_int_equal(run.status, 1);
    assert_non_null(strstr(run.err, "/nonexistent/protoc-gen-c: No such file or directory"));
    assert_int_equal(setenv("CRPC_PROTOC_GEN_C", "/bin/false", 1), 0);
    run_plugin(&run, MESSAGES_PLUGIN, NULL, bytes, len);
    assert_int_equal(run.status, 1);
    assert_non_null(strstr(run.err, "protoc-gen-c failed"));
    unsetenv("CRPC_PROTOC_GEN_C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),
        cmocka_unit_test(test_unsound_requests),
        cmocka_unit_test(test_names_that_cannot_be),
        cmocka_unit_test(test_other_languages),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_file_name_in_comment),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_spoilt_bytes),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_unsound_optional),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_messages_without_generator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
