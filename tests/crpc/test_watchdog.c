/* Whom the watchdog leaves alone: peers of a server whose own handlers take long. That it cuts off those who keep core
 * busy is in test_hostile.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "crpc/server.h"
#include "echo.crpc.h"
#include "raw_peer.h"

enum { READ_MS = 30000, BURN_MS = 1500 }; /* longer than the watchdog would wait before it cuts anybody */

struct burner {
    struct crpc_server *server;
    atomic_int n_begun;
};

static int64_t cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Ends early once somebody was cut: then the test has failed. */
static int burn(struct crpc_call *call, const ProtobufCMessage *request, ProtobufCMessage *ret_response,
                struct err *ret_err)
{
    struct burner *b = crpc_call_user(call);
    (void)request, (void)ret_response, (void)ret_err;
    if (atomic_fetch_add(&b->n_begun, 1) == 0)
        for (int64_t until = cpu_ms() + BURN_MS; cpu_ms() < until && crpc_server_cut(b->server) == 0;)
            ;
    return 0;
}

static enum crpc_next unused(struct crpc_call *call)
{
    return crpc_finish(call, NULL);
}

/* The client writes by itself: one of core would read for the server too, as they are one process here. */
static void test_busy_handler(void **state)
{
    static const struct crpc_step step = {"unused", unused};
    static const struct crpc_test_v1_echo_service_handlers handlers = {.say = {.simple = burn},
                                                                       .defer = {.first = &step},
                                                                       .persist = {.first = &step},
                                                                       .count = {.first = &step},
                                                                       .sum = {.first = &step},
                                                                       .chat = {.first = &step}};
    struct burner b = {.n_begun = 0};
    struct raw_peer p;
    int port;
    (void)state;
    b.server = crpc_server_new(NULL, NULL);
    assert_int_equal(crpc_test_v1_echo_service_mount(b.server, &handlers, &b, NULL), 0);
    assert_int_equal(crpc_server_listen(b.server, "127.0.0.1:0", &port, NULL), 0);
    assert_int_equal(crpc_server_start(b.server, NULL), 0);
    assert_true(raw_connect(&p, port, READ_MS) && raw_greet(&p));
    assert_true(raw_open(&p, 1, "Say", 0) && raw_message(&p, 1, 0, NULL, 0, RAW_END_STREAM));
    while (atomic_load(&b.n_begun) == 0)
        ;
    /* Waits unread until the handler is through. */
    assert_true(raw_open(&p, 3, "Say", 0) && raw_message(&p, 3, 0, NULL, 0, RAW_END_STREAM));
    assert_int_equal(raw_read_end(&p, 3, true), RAW_STATUS);
    assert_int_equal(atomic_load(&b.n_begun), 2);
    raw_close(&p);
    assert_int_equal(crpc_server_cut(b.server), 0);
    crpc_server_free(b.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_busy_handler)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
