/* Generated stubs, run: tables and descriptors, and what the wrappers ask of the runtime. The runtime is this file's
 * own and notes each call; tests/crpc runs stubs against the real one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "google/protobuf/descriptor.pb-c.h"
#include "kinds.crpc.h"
#include "no_package.crpc.h"
#include "odd/clash.crpc.h"
#include "odd/protobuf_c.crpc.h"
#include "shop/v1/HTTPShop-api.crpc.h"

/* ---- a runtime that notes what it is asked ---- */

static struct {
    char calls[200];
    const struct crpc_method *method;
    const void *message;
    const struct crpc_handler *handlers[8];
    const struct crpc_service *service;
    int write_result;
} seen;

static Kinds__V1__Pong pong;

static int reset(void **state)
{
    (void)state;
    memset(&seen, 0, sizeof seen);
    kinds__v1__pong__init(&pong);
    return 0;
}

static void note(const char *call)
{
    assert_true(strlen(seen.calls) + strlen(call) + 2 < sizeof seen.calls);
    strcat(strcat(seen.calls, call), " ");
}

#define STREAM ((struct crpc_stream *)&seen)
#define CALL   ((struct crpc_call *)&seen)
#define ASYNC  ((struct crpc_async *)&seen)
static const struct crpc_async_events EVENTS;

int crpc_server_mount(struct crpc_server *server, const struct crpc_service *service,
                      const struct crpc_handler *const *handlers, void *user, struct err *ret_err)
{
    (void)server, (void)user, (void)ret_err;
    note("mount");
    seen.service = service;
    for (size_t i = 0; i < service->n_methods; i++)
        seen.handlers[i] = handlers[i];
    return 7;
}

int crpc_unary(struct crpc_channel *channel, const struct crpc_method *method, const struct crpc_call_options *options,
               const ProtobufCMessage *request, ProtobufCMessage **ret_response, struct err *ret_err)
{
    (void)channel, (void)options, (void)ret_err;
    note("unary");
    seen.method = method;
    seen.message = request;
    if (seen.write_result == 0)
        *ret_response = &pong.base;
    return seen.write_result;
}

int crpc_unary_start(struct crpc_channel *channel, struct crpc_loop *loop, const struct crpc_method *method,
                     const struct crpc_call_options *options, const ProtobufCMessage *request, crpc_unary_done *on_done,
                     void *user, struct err *ret_err)
{
    (void)channel, (void)loop, (void)options, (void)on_done, (void)user, (void)ret_err;
    note("start");
    seen.method = method;
    seen.message = request;
    return 0;
}

struct crpc_stream *crpc_stream_open(struct crpc_channel *channel, const struct crpc_method *method,
                                     const struct crpc_call_options *options, struct err *ret_err)
{
    (void)channel, (void)options, (void)ret_err;
    note("open");
    seen.method = method;
    return STREAM;
}

int crpc_stream_write(struct crpc_stream *stream, const ProtobufCMessage *msg, struct err *ret_err)
{
    (void)ret_err;
    assert_ptr_equal(stream, STREAM);
    note("write");
    seen.message = msg;
    return seen.write_result;
}

int crpc_stream_close_write(struct crpc_stream *stream, struct err *ret_err)
{
    (void)ret_err;
    assert_ptr_equal(stream, STREAM);
    note("close_write");
    return 0;
}

int crpc_stream_read(struct crpc_stream *stream, ProtobufCMessage **ret_msg, struct err *ret_err)
{
    (void)ret_err;
    assert_ptr_equal(stream, STREAM);
    note("read");
    if (seen.write_result)
        return seen.write_result;
    *ret_msg = &pong.base;
    return 1;
}

struct crpc_async *crpc_async_start(struct crpc_channel *channel, struct crpc_loop *loop,
                                    const struct crpc_method *method, const struct crpc_call_options *options,
                                    const ProtobufCMessage *request, const struct crpc_async_events *events, void *user,
                                    struct err *ret_err)
{
    (void)channel, (void)loop, (void)options, (void)ret_err;
    note("async_start");
    seen.method = method;
    seen.message = request;
    assert_ptr_equal(events, &EVENTS);
    assert_ptr_equal(user, &seen);
    return ASYNC;
}

int crpc_async_write(struct crpc_async *stream, const ProtobufCMessage *msg, struct err *ret_err)
{
    (void)ret_err;
    assert_ptr_equal(stream, ASYNC);
    note("async_write");
    seen.message = msg;
    return seen.write_result;
}

const ProtobufCMessage *crpc_call_request(const struct crpc_call *call)
{
    assert_ptr_equal(call, CALL);
    note("request");
    return &pong.base;
}

const ProtobufCMessage *crpc_call_received(const struct crpc_call *call)
{
    assert_ptr_equal(call, CALL);
    note("received");
    return NULL;
}

enum crpc_next crpc_reply(struct crpc_call *call, const ProtobufCMessage *msg)
{
    assert_ptr_equal(call, CALL);
    note("reply");
    seen.message = msg;
    return CRPC_DONE;
}

enum crpc_next crpc_send(struct crpc_call *call, const ProtobufCMessage *msg, const struct crpc_step *step)
{
    assert_ptr_equal(call, CALL);
    assert_non_null(step);
    note("send");
    seen.message = msg;
    return CRPC_WAIT;
}

/* ---- tables ---- */

static void test_method_tables(void **state)
{
    (void)state;
    const struct crpc_service *service = &kinds_v1_echo_service;
    assert_string_equal(service->full_name, "kinds.v1.EchoService");
    assert_int_equal(service->n_methods, 4);
    assert_ptr_equal(service->file, &kinds_v1_kinds_file);
    const struct crpc_method *hello = &service->methods[KINDS_V1_ECHO_SERVICE_SAY_HELLO];
    assert_string_equal(hello->name, "SayHello");
    assert_string_equal(hello->path, "/kinds.v1.EchoService/SayHello");
    assert_ptr_equal(hello->input, &kinds__v1__ping__descriptor);
    assert_ptr_equal(hello->output, &kinds__v1__pong__descriptor);
    assert_int_equal(hello->kind, CRPC_UNARY);
    assert_int_equal(service->methods[KINDS_V1_ECHO_SERVICE_COLLECT].kind, CRPC_CLIENT_STREAM);
    assert_int_equal(service->methods[KINDS_V1_ECHO_SERVICE_WATCH].kind, CRPC_SERVER_STREAM);
    assert_int_equal(service->methods[KINDS_V1_ECHO_SERVICE_CHAT].kind, CRPC_BIDI_STREAM);

    assert_string_equal(switch_.methods[SWITCH_INT].path, "/Switch/Int"); /* no package */
    assert_int_equal(my_shop_v1_planned.n_methods, 0);
    assert_ptr_equal(my_shop_v1_clock.methods[MY_SHOP_V1_CLOCK_NOW].output, &google__protobuf__timestamp__descriptor);
    assert_string_equal(odd_protobuf_c_renamed.full_name, "odd.protobuf_c.Renamed"); /* c_package is of C only */
}

/* ---- descriptors ---- */

/* Each file says its own name, imports what it says it imports, and carries no comments. */
static void check_file(const struct crpc_file *file)
{
    Google__Protobuf__FileDescriptorProto *proto =
        google__protobuf__file_descriptor_proto__unpack(NULL, file->descriptor_len, file->descriptor);
    assert_non_null(proto);
    assert_string_equal(proto->name, file->name);
    assert_null(proto->source_code_info);
    size_t n = 0;
    for (; file->imports[n]; n++) {
        assert_true(n < proto->n_dependency);
        assert_string_equal(file->imports[n]->name, proto->dependency[n]);
        check_file(file->imports[n]);
    }
    assert_int_equal(n, proto->n_dependency);
    google__protobuf__file_descriptor_proto__free_unpacked(proto, NULL);
}

static void test_descriptors(void **state)
{
    (void)state;
    check_file(&kinds_v1_kinds_file);
    check_file(&no_package_file);
    check_file(&odd_clash_file);
    check_file(&my_shop_v1_http_shop_api_file);
    check_file(&odd_protobuf_c_protobuf_c_file);
    assert_string_equal(my_shop_v1_http_shop_api_file.name, "shop/v1/HTTPShop-api.proto");
    assert_string_equal(my_shop_v1_http_shop_api_file.imports[0]->name, "shop/v1/types.proto");
}

/* ---- wrappers ---- */

static void test_mount(void **state)
{
    (void)state;
    static const struct kinds_v1_echo_service_handlers handlers = {.watch = {.state_size = 1}};
    assert_int_equal(kinds_v1_echo_service_mount(NULL, &handlers, NULL, NULL), 7);
    assert_ptr_equal(seen.service, &kinds_v1_echo_service);
    assert_ptr_equal(seen.handlers[KINDS_V1_ECHO_SERVICE_SAY_HELLO], &handlers.say_hello);
    assert_ptr_equal(seen.handlers[KINDS_V1_ECHO_SERVICE_COLLECT], &handlers.collect);
    assert_ptr_equal(seen.handlers[KINDS_V1_ECHO_SERVICE_WATCH], &handlers.watch);
    assert_ptr_equal(seen.handlers[KINDS_V1_ECHO_SERVICE_CHAT], &handlers.chat);
    static const struct my_shop_v1_planned_handlers none;
    assert_int_equal(my_shop_v1_planned_mount(NULL, &none, NULL, NULL), 7);
    assert_string_equal(seen.calls, "mount mount ");
}

static void test_server_wrappers(void **state)
{
    (void)state;
    static const struct crpc_step step = {.name = "next"};
    assert_ptr_equal(kinds_v1_echo_service_say_hello_request(CALL), &pong);
    assert_int_equal(kinds_v1_echo_service_say_hello_reply(CALL, &pong), CRPC_DONE);
    assert_ptr_equal(seen.message, &pong);
    assert_null(kinds_v1_echo_service_collect_received(CALL));
    assert_int_equal(kinds_v1_echo_service_collect_reply(CALL, &pong), CRPC_DONE);
    assert_ptr_equal(kinds_v1_echo_service_watch_request(CALL), &pong);
    assert_int_equal(kinds_v1_echo_service_watch_send(CALL, &pong, &step), CRPC_WAIT);
    assert_null(kinds_v1_echo_service_chat_received(CALL));
    assert_int_equal(kinds_v1_echo_service_chat_send(CALL, &pong, &step), CRPC_WAIT);
    assert_string_equal(seen.calls, "request reply received reply request send received send ");
}

static void test_client_unary(void **state)
{
    (void)state;
    Kinds__V1__Ping ping = KINDS__V1__PING__INIT;
    Kinds__V1__Pong *answer = NULL;
    assert_int_equal(kinds_v1_echo_service_say_hello(NULL, NULL, &ping, &answer, NULL), 0);
    assert_ptr_equal(answer, &pong);
    assert_ptr_equal(seen.message, &ping);
    assert_ptr_equal(seen.method, &kinds_v1_echo_service.methods[KINDS_V1_ECHO_SERVICE_SAY_HELLO]);
    assert_int_equal(kinds_v1_echo_service_say_hello_start(NULL, NULL, NULL, &ping, NULL, NULL, NULL), 0);
    assert_string_equal(seen.calls, "unary start ");

    answer = NULL;
    seen.write_result = -14;
    assert_int_equal(kinds_v1_echo_service_say_hello(NULL, NULL, &ping, &answer, NULL), -14);
    assert_null(answer); /* untouched on failure */
}

static void test_client_streams(void **state)
{
    (void)state;
    Kinds__V1__Ping ping = KINDS__V1__PING__INIT;
    Kinds__V1__Pong *answer = NULL;
    assert_ptr_equal(kinds_v1_echo_service_watch_open(NULL, NULL, &ping, NULL), STREAM);
    assert_ptr_equal(seen.message, &ping);
    assert_ptr_equal(seen.method, &kinds_v1_echo_service.methods[KINDS_V1_ECHO_SERVICE_WATCH]);
    assert_int_equal(kinds_v1_echo_service_watch_read(STREAM, &answer, NULL), 1);
    assert_ptr_equal(answer, &pong);
    assert_string_equal(seen.calls, "open write close_write read ");

    reset(NULL);
    assert_ptr_equal(kinds_v1_echo_service_chat_open(NULL, NULL, NULL), STREAM);
    assert_int_equal(kinds_v1_echo_service_chat_write(STREAM, &ping, NULL), 0);
    assert_int_equal(kinds_v1_echo_service_chat_read(STREAM, &answer, NULL), 1);
    assert_ptr_equal(kinds_v1_echo_service_collect_open(NULL, NULL, NULL), STREAM);
    assert_int_equal(kinds_v1_echo_service_collect_write(STREAM, &ping, NULL), 0);
    assert_int_equal(kinds_v1_echo_service_collect_read(STREAM, &answer, NULL), 1);
    assert_string_equal(seen.calls, "open write read open write read ");

    reset(NULL);
    answer = NULL;
    seen.write_result = -14;
    assert_ptr_equal(kinds_v1_echo_service_watch_open(NULL, NULL, &ping, NULL), STREAM); /* the read tells */
    assert_int_equal(kinds_v1_echo_service_chat_read(STREAM, &answer, NULL), -14);
    assert_null(answer);
    assert_string_equal(seen.calls, "open write read ");
}

static void test_client_async(void **state)
{
    (void)state;
    Kinds__V1__Ping ping = KINDS__V1__PING__INIT;
    const struct crpc_method *methods = kinds_v1_echo_service.methods;
    assert_ptr_equal(kinds_v1_echo_service_watch_start(NULL, NULL, NULL, &ping, &EVENTS, &seen, NULL), ASYNC);
    assert_ptr_equal(seen.message, &ping);
    assert_ptr_equal(seen.method, &methods[KINDS_V1_ECHO_SERVICE_WATCH]);
    assert_ptr_equal(kinds_v1_echo_service_collect_start(NULL, NULL, NULL, &EVENTS, &seen, NULL), ASYNC);
    assert_null(seen.message);
    assert_ptr_equal(seen.method, &methods[KINDS_V1_ECHO_SERVICE_COLLECT]);
    assert_ptr_equal(kinds_v1_echo_service_chat_start(NULL, NULL, NULL, &EVENTS, &seen, NULL), ASYNC);
    assert_ptr_equal(seen.method, &methods[KINDS_V1_ECHO_SERVICE_CHAT]);
    assert_int_equal(kinds_v1_echo_service_chat_push(ASYNC, &ping, NULL), 0);
    assert_ptr_equal(seen.message, &ping);
    seen.write_result = -9;
    assert_int_equal(kinds_v1_echo_service_collect_push(ASYNC, &ping, NULL), -9);
    assert_string_equal(seen.calls, "async_start async_start async_start async_write async_write ");
    const Kinds__V1__Pong *same[] = {
        kinds_v1_echo_service_say_hello_message(&pong.base), kinds_v1_echo_service_collect_message(&pong.base),
        kinds_v1_echo_service_watch_message(&pong.base), kinds_v1_echo_service_chat_message(&pong.base)};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        assert_ptr_equal(same[i], &pong);
    assert_null(kinds_v1_echo_service_say_hello_message(NULL));
}

/* Functions of one method that would meet another's have an underscore behind. */
static void test_clashes(void **state)
{
    (void)state;
    Odd__M m = ODD__M__INIT;
    assert_ptr_equal(odd_tails_watch_message(&m.base), &m);
    assert_ptr_equal(odd_tails_watch_message_message_(&m.base), &m);
    assert_ptr_equal(odd_tails_watch_start(NULL, NULL, NULL, &m, &EVENTS, &seen, NULL), ASYNC);
    assert_int_equal(odd_tails_watch_message_start_(NULL, NULL, NULL, &m, NULL, NULL, NULL), 0);
    assert_ptr_equal(seen.method, &odd_tails.methods[ODD_TAILS_WATCH_MESSAGE]);
    assert_int_equal(odd_tails_chat_push(ASYNC, &m, NULL), 0);
    assert_int_equal(odd_tails_chat_push_start_(NULL, NULL, NULL, &m, NULL, NULL, NULL), 0);
    assert_string_equal(seen.calls, "async_start start async_write start ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_method_tables, reset), cmocka_unit_test_setup(test_descriptors, reset),
        cmocka_unit_test_setup(test_mount, reset),         cmocka_unit_test_setup(test_server_wrappers, reset),
        cmocka_unit_test_setup(test_client_unary, reset),  cmocka_unit_test_setup(test_client_streams, reset),
        cmocka_unit_test_setup(test_client_async, reset),  cmocka_unit_test_setup(test_clashes, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
