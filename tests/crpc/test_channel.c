/* Channels: their state, waiting for it in both forms, many threads on one, limits, keep-alive, names, and a server
 * that is killed below its streams. Run with "--serve" this program is that server. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "echo_server.h"
#include "mute_peer.h"

typedef Crpc__Test__V1__SayRequest say_request;
typedef Crpc__Test__V1__SayResponse say_response;
typedef Crpc__Test__V1__ChatRequest chat_request;
typedef Crpc__Test__V1__ChatResponse chat_response;

enum { PATIENCE_MS = 20000 };

static int say(struct crpc_channel *channel, const struct crpc_call_options *o, size_t size, struct err *ret_err)
{
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    q.data.len = size;
    q.data.data = calloc(1, size + 1);
    int rc = crpc_test_v1_echo_service_say(channel, o, &q, &r, ret_err);
    if (rc == 0) {
        assert_int_equal(r->data.len, size);
        crpc_message_free(&r->base);
    }
    free(q.data.data);
    return rc;
}

static void unix_address(char *address, size_t room, const char *name)
{
    snprintf(address, room, "unix:/tmp/crpc-test-%d-%s", (int)getpid(), name);
}

/* ---- state ---- */

static void test_state(void **state)
{
    struct echo *e = *state;
    struct err err = ERR_NONE;
    assert_int_equal(crpc_channel_state(e->channel), CRPC_CHANNEL_IDLE);
    assert_false(crpc_channel_wait_state(e->channel, CRPC_CHANNEL_IDLE, 20)); /* waiting alone connects nothing */
    assert_int_equal(crpc_channel_state(e->channel), CRPC_CHANNEL_IDLE);
    crpc_channel_connect(e->channel);
    assert_true(crpc_channel_wait_state(e->channel, CRPC_CHANNEL_IDLE, PATIENCE_MS));
    assert_int_equal(crpc_channel_wait_ready(e->channel, PATIENCE_MS, &err), 0);
    assert_int_equal(crpc_channel_state(e->channel), CRPC_CHANNEL_READY);
    assert_int_equal(crpc_channel_wait_ready(e->channel, 0, &err), 0);
}

static void test_wait_ready_fails(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    struct crpc_channel *away =
        crpc_channel_new("unix:/nonexistent/socket", &(struct crpc_channel_options){.max_reconnect_ms = 10}, &err);
    assert_int_equal(crpc_channel_wait_ready(away, 100, &err), -ERR_DEADLINE_EXCEEDED);
    assert_string_equal(err.reason, "NOT_CONNECTED");
    while (crpc_channel_state(away) != CRPC_CHANNEL_FAILED) /* between attempts it is connecting */
        crpc_channel_wait_state(away, CRPC_CHANNEL_CONNECTING, PATIENCE_MS);
    crpc_channel_free(away);
}

static void *wait_ready(void *channel)
{
    return (void *)(intptr_t)crpc_channel_wait_ready(channel, PATIENCE_MS, NULL);
}

/* The server comes later, goes, and comes again. */
static void test_comes_and_goes(void **state)
{
    (void)state;
    struct echo e;
    struct err err = ERR_NONE;
    char address[64];
    pthread_t thread;
    void *rc;
    unix_address(address, sizeof address, "goes");
    struct crpc_channel *channel =
        crpc_channel_new(address, &(struct crpc_channel_options){.max_reconnect_ms = 50}, &err);
    pthread_create(&thread, NULL, wait_ready, channel);
    assert_true(crpc_channel_wait_state(channel, CRPC_CHANNEL_IDLE, PATIENCE_MS));
    for (int i = 0; i < 2; i++) {
        echo_start(&e, NULL, address);
        if (i == 0) {
            pthread_join(thread, &rc);
            assert_null(rc);
        } else {
            assert_int_equal(crpc_channel_wait_ready(channel, PATIENCE_MS, &err), 0);
        }
        assert_int_equal(say(channel, NULL, 10, &err), 0);
        echo_stop(&e, 10000);
        assert_true(crpc_channel_wait_state(channel, CRPC_CHANNEL_READY, PATIENCE_MS)); /* it notices */
    }
    crpc_channel_free(channel);
}

struct seen {
    enum crpc_channel_state state;
    bool changed;
    int n;
};

static void changed(void *user, enum crpc_channel_state state, bool did)
{
    struct seen *s = user;
    *s = (struct seen){state, did, s->n + 1};
}

static void test_watch(void **state)
{
    struct echo *e = *state;
    struct crpc_loop *loop = crpc_loop_new();
    struct seen seen = {.n = 0};
    assert_int_equal(crpc_channel_watch_start(e->channel, loop, CRPC_CHANNEL_IDLE, 30, changed, &seen, NULL), 0);
    assert_int_equal(crpc_loop_run(loop, PATIENCE_MS), 1);
    assert_false(seen.changed);
    assert_int_equal(seen.state, CRPC_CHANNEL_IDLE);
    crpc_channel_connect(e->channel);
    while (seen.state != CRPC_CHANNEL_READY) {
        assert_int_equal(crpc_channel_watch_start(e->channel, loop, seen.state, PATIENCE_MS, changed, &seen, NULL), 0);
        assert_int_equal(crpc_loop_run(loop, PATIENCE_MS), 1);
        assert_true(seen.changed);
    }
    crpc_loop_free(loop);
}

/* ---- waiting for a server, without blocking ---- */

static void keep_status(void *user, const ProtobufCMessage *response, const struct err *status)
{
    (void)response;
    *(struct err *)user = *status;
}

static void end(struct crpc_async *s, const struct err *status, const struct crpc_metadata_list *trailing)
{
    (void)trailing;
    *(struct err *)crpc_async_user(s) = *status;
}

static void test_wait_for_ready_on_a_loop(void **state)
{
    (void)state;
    static const struct crpc_async_events events = {.on_end = end};
    struct echo e;
    struct err unary = {.code = ERR_UNKNOWN}, stream = {.code = ERR_UNKNOWN}, hasty = {.code = ERR_UNKNOWN};
    char address[64];
    unix_address(address, sizeof address, "ready");
    struct crpc_channel *channel =
        crpc_channel_new(address, &(struct crpc_channel_options){.max_reconnect_ms = 50}, NULL);
    struct crpc_loop *loop = crpc_loop_new();
    struct crpc_call_options patient = {.timeout_ms = PATIENCE_MS, .wait_for_ready = true};
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    Crpc__Test__V1__CountRequest c = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    assert_int_equal(crpc_test_v1_echo_service_say_start(channel, loop, &patient, &q, keep_status, &unary, NULL), 0);
    assert_non_null(crpc_test_v1_echo_service_count_start(channel, loop, &patient, &c, &events, &stream, NULL));
    assert_int_equal(crpc_test_v1_echo_service_say_start(channel, loop, NULL, &q, keep_status, &hasty, NULL), 0);
    assert_int_equal(crpc_loop_run(loop, PATIENCE_MS), 1); /* who does not wait fails, and alone */
    assert_int_equal(hasty.code, ERR_UNAVAILABLE);
    echo_start(&e, NULL, address);
    while (crpc_loop_run(loop, PATIENCE_MS) > 0)
        ;
    assert_int_equal(unary.code, ERR_OK);
    assert_int_equal(stream.code, ERR_OK);
    crpc_loop_free(loop);
    crpc_channel_free(channel);
    echo_stop(&e, 10000);
}

/* ---- many threads ---- */

static void *all_kinds(void *arg)
{
    struct crpc_channel *channel = arg;
    intptr_t wrong = 0;
    for (int i = 0; i < 50; i++) {
        struct err err = ERR_NONE;
        chat_request q = CRPC__TEST__V1__CHAT_REQUEST__INIT;
        chat_response *r = NULL;
        wrong += say(channel, NULL, (size_t)i * 100, &err) != 0;
        struct crpc_stream *s = crpc_test_v1_echo_service_chat_open(channel, NULL, &err);
        q.answers = 2;
        wrong += crpc_test_v1_echo_service_chat_write(s, &q, &err) != 0;
        for (int n = 0; n < 2; n++) {
            wrong += crpc_test_v1_echo_service_chat_read(s, &r, &err) != 1;
            crpc_message_free(&r->base);
        }
        wrong += crpc_stream_close_write(s, &err) != 0;
        wrong += crpc_test_v1_echo_service_chat_read(s, &r, &err) != 0;
        crpc_stream_free(s);
    }
    return (void *)wrong;
}

static void test_sixteen_threads(void **state)
{
    enum { THREADS = 16 };
    struct echo *e = *state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, all_kinds, e->channel);
    for (int i = 0; i < THREADS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    assert_int_equal(echo_said(e), THREADS * 50);
}

/* ---- limits and names ---- */

static void test_sizes(void **state)
{
    struct echo *e = *state;
    struct err err = ERR_NONE;
    struct crpc_channel *channel = crpc_channel_new(
        e->target, &(struct crpc_channel_options){.max_send_bytes = 1000, .max_message_bytes = 2000}, &err);
    assert_int_equal(say(channel, NULL, 900, &err), 0);
    assert_int_equal(say(channel, NULL, 1100, &err), -ERR_RESOURCE_EXHAUSTED);
    assert_int_equal(echo_said(e), 1); /* it was not sent */
    crpc_channel_free(channel);
    channel = crpc_channel_new(e->target, &(struct crpc_channel_options){.max_message_bytes = 2000}, &err);
    assert_int_equal(say(channel, NULL, 1900, &err), 0);
    assert_int_equal(say(channel, NULL, 2100, &err), -ERR_RESOURCE_EXHAUSTED);
    assert_int_equal(echo_said(e), 3); /* the answer was too long */
    crpc_channel_free(channel);
}

static void test_user_agent(void **state)
{
    struct echo *e = *state;
    struct err err = ERR_NONE;
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    struct crpc_channel *channel =
        crpc_channel_new(e->target, &(struct crpc_channel_options){.user_agent = "echo-test/1.2"}, &err);
    q.metadata_key = "user-agent";
    assert_int_equal(crpc_test_v1_echo_service_say(channel, NULL, &q, &r, &err), 0);
    assert_memory_equal(r->metadata, "echo-test/1.2 grpc-c/", 21);
    crpc_message_free(&r->base);
    crpc_channel_free(channel);
    static const char *const bad[] = {"", "two\nlines", "caf\xc3\xa9"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(crpc_channel_new(e->target, &(struct crpc_channel_options){.user_agent = bad[i]}, &err));
        assert_string_equal(err.field, "user_agent");
    }
}

static void test_authority(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    struct mute_peer peer;
    mute_peer_start(&peer);
    struct crpc_channel_options o = {.authority = "channel.test:1"};
    struct crpc_call_options brief = {.timeout_ms = 300}, named = {.timeout_ms = 300, .authority = "call.test"};
    struct crpc_channel *channel = crpc_channel_new(peer.target, &o, &err);
    assert_int_equal(say(channel, &brief, 0, &err), -ERR_DEADLINE_EXCEEDED);
    mute_peer_wait(&peer, "channel.test:1");
    assert_false(mute_peer_saw(&peer, "call.test"));
    assert_int_equal(say(channel, &named, 0, &err), -ERR_DEADLINE_EXCEEDED);
    mute_peer_wait(&peer, "call.test");
    crpc_channel_free(channel);
    mute_peer_stop(&peer);
    static const char *const bad[] = {"", "a b", "a/b", "a\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(crpc_channel_new("127.0.0.1:1", &(struct crpc_channel_options){.authority = bad[i]}, &err));
        assert_string_equal(err.field, "authority");
    }
}

/* A peer that answers no ping is given up; without keep-alive nobody would notice. */
static void test_keepalive(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    struct mute_peer peer;
    mute_peer_start(&peer);
    struct crpc_call_options patient = {.timeout_ms = PATIENCE_MS}, brief = {.timeout_ms = 500};
    struct crpc_channel_options o = {.keepalive_ms = 50, .keepalive_timeout_ms = 100};
    struct crpc_channel *channel = crpc_channel_new(peer.target, &o, &err);
    assert_int_equal(say(channel, &patient, 0, &err), -ERR_UNAVAILABLE);
    crpc_channel_free(channel);
    o.keepalive_ms = -1;
    channel = crpc_channel_new(peer.target, &o, &err);
    assert_int_equal(say(channel, &brief, 0, &err), -ERR_DEADLINE_EXCEEDED);
    crpc_channel_free(channel);
    /* Without a call only when asked for. */
    o = (struct crpc_channel_options){.keepalive_ms = 50, .keepalive_timeout_ms = 100, .keepalive_without_calls = true};
    channel = crpc_channel_new(peer.target, &o, &err);
    assert_int_equal(crpc_channel_wait_ready(channel, PATIENCE_MS, &err), 0);
    assert_true(crpc_channel_wait_state(channel, CRPC_CHANNEL_READY, PATIENCE_MS));
    crpc_channel_free(channel);
    o.keepalive_without_calls = false;
    channel = crpc_channel_new(peer.target, &o, &err);
    assert_int_equal(crpc_channel_wait_ready(channel, PATIENCE_MS, &err), 0);
    assert_false(crpc_channel_wait_state(channel, CRPC_CHANNEL_READY, 500));
    crpc_channel_free(channel);
    mute_peer_stop(&peer);
}

/* ---- a server that is killed ---- */

struct child {
    pid_t pid;
    char target[64];
};

static void child_start(struct child *c)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    c->pid = fork();
    if (c->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fds[1], 1);
        execl("/proc/self/exe", "server", "--serve", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    FILE *ready = fdopen(fds[0], "r");
    assert_non_null(fgets(c->target, sizeof c->target, ready));
    c->target[strcspn(c->target, "\n")] = '\0';
    fclose(ready);
}

static void child_kill(struct child *c)
{
    int status;
    kill(c->pid, SIGKILL);
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    assert_true(WIFSIGNALED(status));
}

static int serve(void)
{
    struct echo e;
    echo_start(&e, NULL, NULL);
    printf("%s\n", e.target);
    fflush(stdout);
    while (pause() != 0) /* until killed */
        ;
    return 1;
}

static void got(struct crpc_async *s, const ProtobufCMessage *msg)
{
    (void)msg;
    ((struct err *)crpc_async_user(s))->retry_after_ms++; /* messages so far */
}

static void test_server_killed(void **state)
{
    (void)state;
    static const struct crpc_async_events events = {.on_message = got, .on_end = end};
    struct err err = ERR_NONE, status = {.code = ERR_OK};
    struct child child;
    child_start(&child);
    struct crpc_channel *channel = crpc_channel_new(child.target, NULL, &err);
    struct crpc_loop *loop = crpc_loop_new();
    chat_request q = CRPC__TEST__V1__CHAT_REQUEST__INIT;
    chat_response *r = NULL;
    q.answers = 1;
    struct crpc_stream *s = crpc_test_v1_echo_service_chat_open(channel, NULL, &err);
    struct crpc_async *a = crpc_test_v1_echo_service_chat_start(channel, loop, NULL, &events, &status, &err);
    assert_int_equal(crpc_test_v1_echo_service_chat_write(s, &q, &err), 0);
    assert_int_equal(crpc_test_v1_echo_service_chat_read(s, &r, &err), 1);
    crpc_message_free(&r->base);
    assert_int_equal(crpc_test_v1_echo_service_chat_push(a, &q, &err), 0);
    while (status.retry_after_ms == 0)
        assert_true(crpc_loop_run(loop, PATIENCE_MS) > 0);
    child_kill(&child);
    assert_int_equal(crpc_test_v1_echo_service_chat_read(s, &r, &err), -ERR_UNAVAILABLE);
    assert_true(crpc_test_v1_echo_service_chat_write(s, &q, &err) < 0);
    crpc_stream_free(s);
    assert_int_equal(crpc_loop_run(loop, PATIENCE_MS), 1);
    assert_int_equal(status.code, ERR_UNAVAILABLE);
    crpc_loop_free(loop);
    crpc_channel_free(channel);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--serve") == 0)
        return serve();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server_killed), /* first: it forks */
#define T(f) cmocka_unit_test_setup_teardown(f, echo_setup, echo_teardown)
        T(test_state),
        T(test_watch),
        T(test_sixteen_threads),
        T(test_sizes),
        T(test_user_agent),
#undef T
        cmocka_unit_test(test_wait_ready_fails),
        cmocka_unit_test(test_comes_and_goes),
        cmocka_unit_test(test_wait_for_ready_on_a_loop),
        cmocka_unit_test(test_authority),
        cmocka_unit_test(test_keepalive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
