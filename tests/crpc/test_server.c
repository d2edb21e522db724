/* The server as a whole: addresses, mounting, limits, interceptors, drain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "echo_server.h"

#define LONG_PATH                                                                                                      \
    "unix:/tmp/a-path-that-is-longer-than-one-hundred-bytes/"                                                          \
    "a-path-that-is-longer-than-one-hundred-bytes-a-path-that-is-longer"

static int try_listen(const char *address, struct err *err)
{
    int port = -1;
    *err = ERR_NONE;
    struct crpc_server *s = crpc_server_new(NULL, err);
    int rc = crpc_server_listen(s, address, &port, err);
    if (rc == 0)
        assert_true(strncmp(address, "unix:", 5) == 0 ? port == 0 : port > 0);
    crpc_server_free(s);
    return rc;
}

static void test_bad_addresses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "localhost",
        ":80",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:80000",
        "127.0.0.1:-1",
        "127.0.0.1:1x",
        "127.0.0.1:999999999999999999999",
        "::1:0",
        "[::1:0",
        "[]:0",
        "a b:0",
        "http://localhost:0",
        "no-such-host.invalid:0",
        "unix:",
        "unix:/nonexistent/directory/socket",
        LONG_PATH,
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err;
        if (try_listen(bad[i], &err) != -ERR_INVALID_ARGUMENT)
            fail_msg("%s: %d %s", bad[i], (int)err.code, err.msg);
        assert_string_equal(err.field, "address");
    }
}

static void test_good_addresses(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(try_listen("127.0.0.1:0", &err), 0);
    assert_int_equal(try_listen("localhost:0", &err), 0);
    assert_int_equal(try_listen("0.0.0.0:0", &err), 0);
}

static void test_port_in_use(void **state)
{
    struct echo *e = *state;
    struct err err;
    assert_int_equal(try_listen(e->target, &err), -ERR_ALREADY_EXISTS);
    assert_string_equal(err.reason, "ADDRESS_IN_USE");
}

static int say_to(const char *target)
{
    Crpc__Test__V1__SayRequest q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    Crpc__Test__V1__SayResponse *r = NULL;
    struct crpc_channel *c = crpc_channel_new(target, NULL, NULL);
    int rc = crpc_test_v1_echo_service_say(c, NULL, &q, &r, NULL);
    if (rc == 0)
        crpc_message_free(&r->base);
    crpc_channel_free(c);
    return rc;
}

static void test_unix_socket(void **state)
{
    (void)state;
    char address[64];
    struct echo e;
    struct err err;
    struct stat st;
    snprintf(address, sizeof address, "unix:/tmp/crpc-test-%d", (int)getpid());
    /* Left behind by a server that died: removed. */
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", address + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    close(fd);
    echo_start(&e, NULL, address);
    assert_int_equal(say_to(address), 0);
    /* Served: refused, and the server there does not suffer. */
    assert_int_equal(try_listen(address, &err), -ERR_ALREADY_EXISTS);
    assert_int_equal(say_to(address), 0);
    echo_stop(&e, 10000);
    assert_int_equal(lstat(address + 5, &st), -1);
    /* No socket at all: left alone. */
    FILE *f = fopen(address + 5, "w");
    fclose(f);
    assert_int_equal(try_listen(address, &err), -ERR_ALREADY_EXISTS);
    assert_int_equal(unlink(address + 5), 0);
}

static void test_mount(void **state)
{
    (void)state;
    static const struct crpc_handler empty;
    const struct crpc_handler *none[] = {&empty, &empty, &empty, &empty, &empty, &empty};
    struct err err = ERR_NONE;
    struct crpc_server *s = crpc_server_new(NULL, &err);
    assert_int_equal(crpc_server_mount(s, &crpc_test_v1_echo_service, none, NULL, &err), -ERR_INVALID_ARGUMENT);
    static const struct crpc_step step;
    static const struct crpc_handler some = {.first = &step};
    static const struct crpc_handler deaf = {.first = &step, .ignores_cancel = true};
    const struct crpc_handler *all[] = {&some, &some, &some, &some, &some, &some};
    const struct crpc_handler *all_deaf[] = {&deaf, &deaf, &deaf, &deaf, &deaf, &deaf}; /* streams among them */
    assert_int_equal(crpc_server_mount(s, &crpc_test_v1_echo_service, all_deaf, NULL, &err), -ERR_INVALID_ARGUMENT);
    assert_int_equal(crpc_server_mount(s, &crpc_test_v1_echo_service, all, NULL, &err), 0);
    assert_int_equal(crpc_server_mount(s, &crpc_test_v1_echo_service, all, NULL, &err), -ERR_ALREADY_EXISTS);
    crpc_server_drain(s, 0); /* never started: nothing to do */
    crpc_server_free(s);
}

static void test_max_calls(void **state)
{
    (void)state;
    struct echo e;
    struct err err = ERR_NONE;
    Crpc__Test__V1__CountRequest q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    Crpc__Test__V1__CountResponse *r = NULL;
    struct crpc_stream *s[3];
    echo_start(&e, &(struct crpc_server_options){.max_calls = 2}, NULL);
    q.watch = 1;
    for (int i = 0; i < 2; i++)
        s[i] = crpc_test_v1_echo_service_count_open(e.channel, NULL, &q, &err);
    echo_wait_tags(&e, 2);
    s[2] = crpc_test_v1_echo_service_count_open(e.channel, NULL, &q, &err);
    assert_int_equal(crpc_test_v1_echo_service_count_read(s[2], &r, &err), -ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(err.reason, "TOO_MANY_CALLS");
    assert_true(err.retry_after_ms > 0);
    assert_int_equal(crpc_server_shed(e.server), 1);
    crpc_stream_free(s[0]);
    echo_wait_done(&e, 1);
    while (crpc_server_calls(e.server) > 1)
        ;
    assert_int_equal(say_to(e.target), 0);
    crpc_stream_free(s[1]);
    crpc_stream_free(s[2]);
    echo_stop(&e, 10000);
}

/* ---- interceptors ---- */

struct trace {
    pthread_mutex_t mu;
    char text[64];
    enum err_code code;
    int64_t us;
};

struct recorder {
    struct trace *trace;
    const char *name;
};

static void record(const struct recorder *r, const char *what)
{
    pthread_mutex_lock(&r->trace->mu);
    size_t n = strlen(r->trace->text);
    snprintf(r->trace->text + n, sizeof r->trace->text - n, "%s%s", what, r->name);
    pthread_mutex_unlock(&r->trace->mu);
}

static int before(struct crpc_call *call, void *user, struct err *ret_err)
{
    const struct recorder *r = user;
    record(r, "+");
    assert_non_null(strstr(crpc_call_peer(call), "127.0.0.1:"));
    assert_true(crpc_call_id(call) > 0);
    struct span refuse = crpc_call_metadata(call, "x-refuse");
    if (span_eq(refuse, span_str(r->name)))
        return err_set(ret_err, ERR_UNAUTHENTICATED, "NO_TOKEN", "no token");
    return 0;
}

static void after(struct crpc_call *call, void *user, const struct err *status, int64_t duration_us)
{
    const struct recorder *r = user;
    assert_string_equal(crpc_call_method(call)->name, "Say");
    record(r, "-");
    pthread_mutex_lock(&r->trace->mu);
    r->trace->code = status->code;
    r->trace->us = duration_us;
    pthread_mutex_unlock(&r->trace->mu);
}

static void test_interceptors(void **state)
{
    (void)state;
    struct trace t = {.mu = PTHREAD_MUTEX_INITIALIZER};
    struct recorder r[] = {{&t, "a"}, {&t, "b"}, {&t, "c"}};
    struct crpc_interceptor list[] = {{before, after, &r[0]}, {before, after, &r[1]}, {NULL, after, &r[2]}};
    static const struct {
        const char *refuse;
        int code, rc;
        const char *trace;
    } cases[] = {
        {"none", 0, 0, "+a+b-c-b-a"},
        {"none", ERR_NOT_FOUND, -ERR_NOT_FOUND, "+a+b-c-b-a"},
        {"b", 0, -ERR_UNAUTHENTICATED, "+a+b-a"},
        {"a", 0, -ERR_UNAUTHENTICATED, "+a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct echo e;
        struct err err = ERR_NONE;
        Crpc__Test__V1__SayRequest q = CRPC__TEST__V1__SAY_REQUEST__INIT;
        Crpc__Test__V1__SayResponse *resp = NULL;
        struct crpc_metadata md = {"x-refuse", span_str(cases[i].refuse)};
        t.text[0] = '\0';
        echo_start(&e, &(struct crpc_server_options){.interceptors = list, .n_interceptors = 3}, NULL);
        q.fail_code = cases[i].code;
        struct crpc_call_options o = {.metadata = &md, .n_metadata = 1};
        assert_int_equal(crpc_test_v1_echo_service_say(e.channel, &o, &q, &resp, &err), cases[i].rc);
        if (resp)
            crpc_message_free(&resp->base);
        echo_stop(&e, 10000); /* after which all has been recorded */
        assert_string_equal(t.text, cases[i].trace);
        if (strchr(t.text, '-')) {
            assert_int_equal(t.code, -cases[i].rc);
            assert_true(t.us >= 0);
        }
    }
}

/* ---- drain ---- */

static void test_drain_idle(void **state)
{
    (void)state;
    struct echo e;
    for (unsigned workers = 1; workers <= 4; workers++) {
        echo_start(&e, &(struct crpc_server_options){.n_workers = workers}, NULL);
        echo_stop(&e, 10000);
        echo_start(&e, &(struct crpc_server_options){.n_workers = workers}, NULL);
        assert_int_equal(say_to(e.target), 0);
        int64_t start = clock_mono_ms();
        crpc_server_drain(e.server, 60000); /* the client is still connected */
        crpc_server_drain(e.server, 60000); /* once more does nothing */
        assert_true(clock_mono_ms() - start < 30000);
        assert_int_equal(say_to(e.target), -ERR_UNAVAILABLE);
        echo_stop(&e, 0);
    }
}

static void test_drain_cancels(void **state)
{
    (void)state;
    struct echo e;
    struct err err = ERR_NONE;
    Crpc__Test__V1__CountRequest q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    Crpc__Test__V1__CountResponse *r = NULL;
    echo_start(&e, &(struct crpc_server_options){.n_workers = 2}, NULL);
    q.watch = 1;
    struct crpc_stream *s[20];
    for (int i = 0; i < 20; i++)
        s[i] = crpc_test_v1_echo_service_count_open(e.channel, NULL, &q, &err);
    echo_wait_tags(&e, 20);
    crpc_server_drain(e.server, 50);
    assert_int_equal(crpc_server_calls(e.server), 0);
    assert_int_equal(e.n_done, 20);
    assert_int_equal(e.n_cancelled, 20);
    for (int i = 0; i < 20; i++) {
        assert_true(crpc_test_v1_echo_service_count_read(s[i], &r, &err) < 0);
        crpc_stream_free(s[i]);
    }
    echo_stop(&e, 0);
}

static void *drain_main(void *arg)
{
    crpc_server_drain(((struct echo *)arg)->server, 60000);
    return NULL;
}

/* A call under way ends well within the grace. */
static void test_drain_waits(void **state)
{
    (void)state;
    struct echo e;
    struct err err = ERR_NONE;
    pthread_t thread;
    Crpc__Test__V1__ChatRequest q = CRPC__TEST__V1__CHAT_REQUEST__INIT;
    Crpc__Test__V1__ChatResponse *r = NULL;
    echo_start(&e, NULL, NULL);
    struct crpc_stream *s = crpc_test_v1_echo_service_chat_open(e.channel, NULL, &err);
    q.answers = 1;
    for (int i = 0; i < 20; i++) {
        if (i == 5)
            pthread_create(&thread, NULL, drain_main, &e);
        assert_int_equal(crpc_test_v1_echo_service_chat_write(s, &q, &err), 0);
        assert_int_equal(crpc_test_v1_echo_service_chat_read(s, &r, &err), 1);
        crpc_message_free(&r->base);
    }
    assert_int_equal(crpc_stream_close_write(s, &err), 0);
    assert_int_equal(crpc_test_v1_echo_service_chat_read(s, &r, &err), 0);
    crpc_stream_free(s);
    pthread_join(thread, NULL);
    assert_int_equal(e.n_cancelled, 0);
    echo_stop(&e, 0);
}

/* The client is gone, its event has not come yet: the drain waits for it. */
static void test_drain_waits_for_events(void **state)
{
    (void)state;
    struct echo e;
    struct err err = ERR_NONE;
    pthread_t thread;
    Crpc__Test__V1__DeferRequest q = CRPC__TEST__V1__DEFER_REQUEST__INIT;
    Crpc__Test__V1__DeferResponse *r = NULL;
    echo_start(&e, NULL, NULL);
    q.wait = CRPC__TEST__V1__DEFER_REQUEST__WAIT__WAIT_EVENT;
    struct crpc_call_options o = {.timeout_ms = 200};
    assert_int_equal(crpc_test_v1_echo_service_defer(e.channel, &o, &q, &r, &err), -ERR_DEADLINE_EXCEEDED);
    echo_wait_gone(&e, 1);
    pthread_create(&thread, NULL, drain_main, &e);
    assert_int_equal(crpc_server_calls(e.server), 1);
    assert_true(echo_post(&e, 0, true, true));
    pthread_join(thread, NULL);
    assert_int_equal(crpc_server_calls(e.server), 0);
    assert_int_equal(e.n_done, 1);
    echo_stop(&e, 0);
}

static void test_free_without_drain(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    int port;
    struct crpc_server *s = crpc_server_new(NULL, &err);
    assert_int_equal(crpc_server_listen(s, "127.0.0.1:0", &port, &err), 0);
    assert_int_equal(crpc_server_start(s, &err), 0);
    assert_int_equal(crpc_server_start(s, &err), -ERR_FAILED_PRECONDITION);
    assert_int_equal(crpc_server_listen(s, "127.0.0.1:0", &port, &err), -ERR_FAILED_PRECONDITION);
    crpc_server_free(s);
    crpc_server_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_addresses),
        cmocka_unit_test(test_good_addresses),
        cmocka_unit_test_setup_teardown(test_port_in_use, echo_setup, echo_teardown),
        cmocka_unit_test(test_unix_socket),
        cmocka_unit_test(test_mount),
        cmocka_unit_test(test_max_calls),
        cmocka_unit_test(test_interceptors),
        cmocka_unit_test(test_drain_idle),
        cmocka_unit_test(test_drain_cancels),
        cmocka_unit_test(test_drain_waits),
        cmocka_unit_test(test_drain_waits_for_events),
        cmocka_unit_test(test_free_without_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
