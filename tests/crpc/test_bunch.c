/* Calls that go on together: their answers, and the calls that a loop starts then, leave together, as their connection
 * is corked meanwhile; and not for longer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "echo_server.h"

enum { CALLS = 120, FDS = 1024 };

/* gRPC's sockets are of IPv6, also for addresses of IPv4. */
static bool is_port(int (*name)(int, struct sockaddr *, socklen_t *), int fd, int port)
{
    struct sockaddr_in6 a = {.sin6_family = AF_UNSPEC};
    socklen_t len = sizeof a;
    return name(fd, (struct sockaddr *)&a, &len) == 0 && (a.sin6_family == AF_INET || a.sin6_family == AF_INET6) &&
           ntohs(a.sin6_port) == port;
}

/* Connections to the server of which the end that name tells of is corked: getpeername, the channel's; getsockname, the
 * server's. */
static unsigned corked(const struct echo *e, int (*name)(int, struct sockaddr *, socklen_t *))
{
    unsigned n = 0;
    for (int fd = 0; fd < FDS; fd++) {
        int on = 0;
        socklen_t len = sizeof on;
        n += is_port(name, fd, e->port) && getsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, &len) == 0 && on;
    }
    return n;
}

struct run {
    struct echo e; /* first */
    struct crpc_interceptor release;
    struct crpc_loop *loop;
    unsigned first, n;         /* tags that the next call of Say posts */
    unsigned n_ended, n_again; /* calls of Defer; those that are yet to be started by one that ends */
    unsigned n_together;       /* calls that found the connection corked: answers, or starts */
};

/* On the worker's thread: whoever waited goes on at once, when this call has been begun. */
static int release(struct crpc_call *call, void *user, struct err *ret_err)
{
    struct run *r = user;
    (void)call, (void)ret_err;
    echo_hand_over();
    for (; r->n > 0; r->n--)
        assert_true(echo_post(&r->e, r->first++, true, true));
    return 0;
}

static void on_answer(struct echo *e)
{
    struct run *r = (struct run *)(void *)e; /* its first member */
    r->n_together += corked(e, getsockname);
}

static void start(struct run *r);

static void ended(void *user, const ProtobufCMessage *response, const struct err *status)
{
    struct run *r = user;
    assert_int_equal(status->code, ERR_OK);
    assert_non_null(response);
    r->n_ended++;
    if (r->n_again > 0) {
        r->n_again--;
        start(r);
        r->n_together += corked(&r->e, getpeername);
    }
}

static void start(struct run *r)
{
    Crpc__Test__V1__DeferRequest q = CRPC__TEST__V1__DEFER_REQUEST__INIT;
    q.wait = CRPC__TEST__V1__DEFER_REQUEST__WAIT__WAIT_EVENT;
    assert_int_equal(crpc_test_v1_echo_service_defer_start(r->e.channel, r->loop, NULL, &q, ended, r, NULL), 0);
}

/* Until n calls in all wait for their tags. */
static void until_waiting(struct run *r, unsigned n)
{
    while (echo_read(&r->e, &r->e.n_tags) < n)
        crpc_loop_run(r->loop, 1);
}

/* All that wait go on. */
static void let_go(struct run *r)
{
    Crpc__Test__V1__SayRequest q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    Crpc__Test__V1__SayResponse *response = NULL;
    struct err err = ERR_NONE;
    r->n = CALLS;
    echo_hand_over();
    assert_int_equal(crpc_test_v1_echo_service_say(r->e.channel, NULL, &q, &response, &err), 0);
    crpc_message_free(&response->base);
}

static void until_ended(struct run *r, unsigned n)
{
    while (r->n_ended < n)
        crpc_loop_run(r->loop, -1);
}

static int set_up(void **state)
{
    struct run *r = *state = calloc(1, sizeof *r);
    r->release = (struct crpc_interceptor){.before = release, .user = r};
    echo_start(&r->e, &(struct crpc_server_options){.n_workers = 1, .interceptors = &r->release, .n_interceptors = 1},
               NULL);
    r->loop = crpc_loop_new();
    for (int i = 0; i < CALLS; i++)
        start(r);
    until_waiting(r, CALLS);
    return 0;
}

static int tear_down(void **state)
{
    struct run *r = *state;
    crpc_loop_free(r->loop);
    echo_stop(&r->e, 10000);
    free(r);
    return 0;
}

static void test_answers(void **state)
{
    struct run *r = *state;
    r->e.on_answer = on_answer;
    let_go(r);
    until_ended(r, CALLS);
    assert_int_equal(r->n_together, CALLS);
    assert_int_equal(corked(&r->e, getsockname), 0);
}

/* They all are there when the loop runs again: the first callback's call leaves at once, as others need not follow. */
static void test_calls(void **state)
{
    struct run *r = *state;
    r->n_again = CALLS;
    let_go(r);
    echo_wait_done(&r->e, CALLS);
    until_ended(r, CALLS);
    assert_in_range(r->n_together, CALLS / 2, CALLS - 1);
    assert_int_equal(corked(&r->e, getpeername), 0);
    until_waiting(r, 2 * CALLS);
    let_go(r);
    until_ended(r, 2 * CALLS);
}

/* One alone is not held up. */
static void test_one(void **state)
{
    struct run *r = *state;
    let_go(r);
    until_ended(r, CALLS);
    r->e.on_answer = on_answer;
    start(r);
    until_waiting(r, CALLS + 1);
    assert_true(echo_post(&r->e, CALLS, true, true));
    until_ended(r, CALLS + 1);
    assert_int_equal(r->n_together, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_calls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
