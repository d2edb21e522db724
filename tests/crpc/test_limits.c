/* What a server lets a peer have: connections, their age and idleness, metadata, memory for requests, cancels. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "echo_server.h"
#include "raw_peer.h"

typedef Crpc__Test__V1__SayRequest say_request;
typedef Crpc__Test__V1__SayResponse say_response;
typedef Crpc__Test__V1__CountRequest count_request;
typedef Crpc__Test__V1__CountResponse count_response;
typedef Crpc__Test__V1__DeferRequest defer_request;
typedef Crpc__Test__V1__DeferResponse defer_response;

enum { READ_MS = 20000 };

static int say(struct crpc_channel *channel, struct err *err)
{
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    *err = ERR_NONE;
    int rc = crpc_test_v1_echo_service_say(channel, &(struct crpc_call_options){.timeout_ms = READ_MS}, &q, &r, err);
    if (rc == 0)
        crpc_message_free(&r->base);
    return rc;
}

static void must_say(struct echo *e)
{
    struct err err;
    if (say(e->channel, &err) != 0)
        fail_msg("%s", err.msg);
}

/* A call on a new connection of its own. */
static int say_anew(struct echo *e)
{
    struct err err;
    struct crpc_channel *channel = crpc_channel_new(e->target, NULL, &err);
    int rc = say(channel, &err);
    crpc_channel_free(channel);
    return rc;
}

/* Waits until the server knows of so many. */
static void wait_connections(struct echo *e, unsigned n)
{
    int64_t until = clock_mono_ms() + READ_MS;
    while (crpc_server_connections(e->server) != n)
        if (clock_mono_ms() > until)
            fail_msg("%u connections, want %u", crpc_server_connections(e->server), n);
}

static void test_max_connections(void **state)
{
    (void)state;
    struct echo e;
    struct raw_peer peers[3];
    echo_start(&e, &(struct crpc_server_options){.max_connections = 3}, NULL);
    for (int i = 0; i < 3; i++) {
        assert_true(raw_connect(&peers[i], e.port, READ_MS) && raw_greet(&peers[i]));
        assert_true(raw_open(&peers[i], 1, "Say", 0) && raw_message(&peers[i], 1, 0, NULL, 0, RAW_END_STREAM));
        assert_int_equal(raw_read_end(&peers[i], 1, true), RAW_STATUS);
    }
    wait_connections(&e, 3);
    struct raw_peer fourth;
    if (raw_connect(&fourth, e.port, READ_MS)) {
        raw_greet(&fourth);
        assert_int_equal(raw_read_end(&fourth, 0, true), RAW_CLOSED);
        raw_close(&fourth);
    }
    assert_int_equal(crpc_server_connections_refused(e.server), 1);
    assert_int_equal(say_anew(&e), -ERR_UNAVAILABLE);
    /* Those that have a place keep it. */
    assert_true(raw_open(&peers[0], 3, "Say", 0) && raw_message(&peers[0], 3, 0, NULL, 0, RAW_END_STREAM));
    assert_int_equal(raw_read_end(&peers[0], 3, true), RAW_STATUS);
    /* And one that is given up is given anew. */
    raw_close(&peers[1]);
    wait_connections(&e, 2);
    must_say(&e);
    for (int i = 0; i < 3; i++)
        raw_close(&peers[i]);
    echo_stop(&e, 0);
}

/* Far more than are allowed, at once and again and again: the server goes on, and nothing of them stays. */
static void test_connection_flood(void **state)
{
    (void)state;
    enum { ROUNDS = 20, PEERS = 100 };
    struct echo e;
    static struct raw_peer peers[PEERS];
    echo_start(&e, &(struct crpc_server_options){.max_connections = 10}, NULL);
    must_say(&e); /* its channel stays connected */
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < PEERS; i++)
            raw_connect(&peers[i], e.port, READ_MS);
        must_say(&e);
        for (int i = 0; i < PEERS; i++)
            raw_close(&peers[i]);
    }
    assert_true(crpc_server_connections_refused(e.server) >= PEERS - 9);
    wait_connections(&e, 1);
    assert_int_equal(say_anew(&e), 0);
    echo_stop(&e, 0);
}

static void test_max_age(void **state)
{
    (void)state;
    struct echo e;
    struct raw_peer p;
    echo_start(&e, &(struct crpc_server_options){.max_connection_age_ms = 300, .max_connection_age_grace_ms = 300},
               NULL);
    /* An idle one gets GOAWAY and ends. */
    assert_true(raw_connect(&p, e.port, READ_MS) && raw_greet(&p));
    assert_int_equal(raw_read_end(&p, 0, true), RAW_CLOSED);
    assert_true(p.goaway);
    raw_close(&p);
    /* A call that never ends has the grace, then it is cancelled. */
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    count_response *r = NULL;
    struct err err = ERR_NONE;
    q.watch = true;
    int64_t start = clock_mono_ms();
    struct crpc_stream *s = crpc_test_v1_echo_service_count_open(e.channel, NULL, &q, &err);
    assert_int_equal(crpc_test_v1_echo_service_count_read(s, &r, &err), -ERR_UNAVAILABLE);
    assert_true(clock_mono_ms() - start >= 500); /* 0.9 x 300 + 300, less what was late */
    crpc_stream_free(s);
    echo_wait_done(&e, 1);
    assert_int_equal(e.n_cancelled, 1);
    /* And the client comes back by itself. */
    must_say(&e);
    echo_stop(&e, 0);
}

static void test_max_idle(void **state)
{
    (void)state;
    struct echo e;
    struct raw_peer p;
    echo_start(&e, &(struct crpc_server_options){.max_connection_idle_ms = 200}, NULL);
    assert_true(raw_connect(&p, e.port, READ_MS) && raw_greet(&p));
    assert_true(raw_open(&p, 1, "Say", 0) && raw_message(&p, 1, 0, NULL, 0, RAW_END_STREAM));
    assert_int_equal(raw_read_end(&p, 1, true), RAW_STATUS);
    assert_int_equal(raw_read_end(&p, 0, true), RAW_CLOSED);
    assert_true(p.goaway);
    raw_close(&p);
    echo_stop(&e, 0);
}

static void test_metadata(void **state)
{
    (void)state;
    struct echo e;
    char big[6000];
    memset(big, 'x', sizeof big);
    struct crpc_metadata md[4];
    for (int i = 0; i < 4; i++)
        md[i] = (struct crpc_metadata){.key = "x-big", .value = {big, sizeof big}};
    echo_start(&e, NULL, NULL);
    for (size_t n = 2; n <= 4; n += 2) {
        say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
        say_response *r = NULL;
        struct err err = ERR_NONE;
        int rc = crpc_test_v1_echo_service_say(e.channel, &(struct crpc_call_options){.metadata = md, .n_metadata = n},
                                               &q, &r, &err);
        assert_int_equal(rc, n == 2 ? 0 : -ERR_RESOURCE_EXHAUSTED);
        if (rc == 0)
            crpc_message_free(&r->base);
    }
    echo_stop(&e, 0);
}

/* ---- memory of decoded requests ---- */

struct holder {
    struct echo *e;
    pthread_t thread;
    int rc;
    struct err err;
};

static int defer(struct crpc_channel *channel, size_t ballast, int ms, struct err *err)
{
    defer_request q = CRPC__TEST__V1__DEFER_REQUEST__INIT;
    defer_response *r = NULL;
    q.wait = ms ? CRPC__TEST__V1__DEFER_REQUEST__WAIT__WAIT_TIME : CRPC__TEST__V1__DEFER_REQUEST__WAIT__WAIT_SIGNAL;
    q.ms = ms;
    q.ballast = (ProtobufCBinaryData){ballast, calloc(1, ballast)};
    *err = ERR_NONE;
    int rc = crpc_test_v1_echo_service_defer(channel, &(struct crpc_call_options){.timeout_ms = READ_MS}, &q, &r, err);
    free(q.ballast.data);
    if (rc == 0)
        crpc_message_free(&r->base);
    return rc;
}

static void *hold(void *arg)
{
    struct holder *h = arg;
    h->rc = defer(h->e->channel, 1 << 20, 0, &h->err);
    return NULL;
}

static void test_decoded_memory(void **state)
{
    (void)state;
    enum { HOLDERS = 3 };
    struct echo e;
    struct holder holders[HOLDERS];
    struct err err;
    echo_start(&e, &(struct crpc_server_options){.max_decoded_bytes = (HOLDERS << 20) + (512 << 10)}, NULL);
    for (int i = 0; i < HOLDERS; i++) {
        holders[i] = (struct holder){.e = &e};
        pthread_create(&holders[i].thread, NULL, hold, &holders[i]);
    }
    echo_wait_tags(&e, HOLDERS);
    assert_true(crpc_server_decoded_bytes(e.server) >= HOLDERS << 20);
    assert_int_equal(defer(e.channel, 1 << 20, 1, &err), -ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(err.reason, "SERVER_MEMORY");
    assert_int_equal(err.retry_after_ms, 1000);
    must_say(&e); /* small ones need none of it */
    for (unsigned i = 0; i < HOLDERS; i++)
        assert_true(echo_post(&e, i, true, true));
    for (int i = 0; i < HOLDERS; i++) {
        pthread_join(holders[i].thread, NULL);
        assert_int_equal(holders[i].rc, 0);
    }
    assert_int_equal(defer(e.channel, 1 << 20, 1, &err), 0);
    echo_wait_done(&e, HOLDERS + 1);
    crpc_channel_free(e.channel);
    e.channel = NULL;
    crpc_server_drain(e.server, 0);
    assert_int_equal(crpc_server_decoded_bytes(e.server), 0); /* nothing is left charged */
    echo_stop(&e, 0);
}

/* A stream gives back what a message took when it asks for the next. */
static void test_decoded_memory_of_streams(void **state)
{
    (void)state;
    struct echo e;
    struct err err = ERR_NONE;
    Crpc__Test__V1__SumRequest q = CRPC__TEST__V1__SUM_REQUEST__INIT;
    Crpc__Test__V1__SumResponse *r = NULL;
    echo_start(&e, &(struct crpc_server_options){.max_decoded_bytes = 1 << 20}, NULL);
    struct crpc_stream *s = crpc_test_v1_echo_service_sum_open(e.channel, NULL, &err);
    q.number = 1;
    q.note = calloc(1, (700 << 10) + 1);
    memset(q.note, 'x', 700 << 10);
    for (int i = 0; i < 10; i++)
        assert_int_equal(crpc_test_v1_echo_service_sum_write(s, &q, &err), 0);
    assert_int_equal(crpc_stream_close_write(s, &err), 0);
    assert_int_equal(crpc_test_v1_echo_service_sum_read(s, &r, &err), 1);
    assert_int_equal(r->sum, 10);
    crpc_message_free(&r->base);
    free(q.note);
    crpc_stream_free(s);
    echo_stop(&e, 0);
}

/* ---- cancels ---- */

/* A peer that opens and resets; false when its connection has ended. */
static bool reset_some(struct raw_peer *p, uint32_t *io_stream, int n)
{
    static const uint8_t cancel[4] = {0, 0, 0, 8};
    bool open = true;
    for (int i = 0; open && i < n; i++) {
        open = raw_open(p, *io_stream, "Count", 0) && raw_message(p, *io_stream, 0, NULL, 0, RAW_END_STREAM) &&
               raw_frame(p, RAW_RST_STREAM, 0, *io_stream, cancel, 4);
        *io_stream += 2;
    }
    return open;
}

static void test_reset_storm_is_cut_off(void **state)
{
    (void)state;
    struct echo e;
    struct raw_peer p;
    uint32_t stream = 1;
    echo_start(&e, &(struct crpc_server_options){.max_cancels = 200}, NULL);
    must_say(&e); /* another one is connected */
    assert_true(raw_connect(&p, e.port, READ_MS) && raw_greet(&p));
    assert_true(reset_some(&p, &stream, 150)); /* an honest client may do that */
    assert_true(raw_open(&p, stream, "Say", 0) && raw_message(&p, stream, 0, NULL, 0, RAW_END_STREAM));
    assert_int_equal(raw_read_end(&p, stream, true), RAW_STATUS);
    stream += 2;
    reset_some(&p, &stream, 2000);
    assert_int_equal(raw_read_end(&p, 0, true), RAW_CLOSED);
    raw_close(&p);
    assert_int_equal(crpc_server_cut(e.server), 1);
    must_say(&e);                                     /* who was there does not suffer */
    assert_int_equal(say_anew(&e), -ERR_UNAVAILABLE); /* who comes from that address has to wait */
    echo_stop(&e, 0);
}

/* Who comes again and again meanwhile is not even accepted; others are. */
static void test_who_keeps_coming_is_dropped(void **state)
{
    enum { LOUD = 200, QUIET = 201, TRIES = 100, WAIT_MS = 300 };
    (void)state;
    struct echo e;
    struct raw_peer p;
    uint32_t stream = 1;
    bool dropped = false;
    echo_start(&e, &(struct crpc_server_options){.max_cancels = 200}, NULL);
    assert_true(raw_connect_from(&p, LOUD, e.port, READ_MS) && raw_greet(&p));
    reset_some(&p, &stream, 2000);
    assert_int_equal(raw_read_end(&p, 0, true), RAW_CLOSED);
    raw_close(&p);
    for (int i = 0; i < TRIES && !dropped; i++) {
        dropped = !raw_connect_from(&p, LOUD, e.port, WAIT_MS);
        if (!dropped)
            assert_int_equal(raw_read_end(&p, 0, true), RAW_CLOSED);
        raw_close(&p);
    }
    assert_true(dropped);
    assert_true(raw_connect_from(&p, QUIET, e.port, READ_MS) && raw_greet(&p));
    assert_true(raw_open(&p, 1, "Say", 0) && raw_message(&p, 1, 0, NULL, 0, RAW_END_STREAM));
    assert_int_equal(raw_read_end(&p, 1, true), RAW_STATUS);
    raw_close(&p);
    echo_stop(&e, 0);
}

/* Many calls that end with their connection are no storm. */
static void test_going_away_is_no_storm(void **state)
{
    (void)state;
    enum { CALLS = 1000 };
    struct echo e;
    struct raw_peer p;
    echo_start(&e, &(struct crpc_server_options){.max_cancels = 100}, NULL);
    assert_true(raw_connect(&p, e.port, READ_MS) && raw_greet(&p));
    for (uint32_t i = 0; i < CALLS; i++)
        assert_true(raw_open(&p, 2 * i + 1, "Sum", 0));
    while (crpc_server_calls(e.server) < CALLS)
        must_say(&e);
    raw_close(&p);
    echo_wait_done(&e, CALLS);
    assert_int_equal(crpc_server_cut(e.server), 0);
    assert_int_equal(say_anew(&e), 0);
    echo_stop(&e, 0);
}

/* Nor are calls that have lived for some time: a gateway may end all its watches at once. */
static void test_end_of_old_calls_is_no_storm(void **state)
{
    static const uint8_t cancel[4] = {0, 0, 0, 8};
    (void)state;
    enum { CALLS = 1000, LIVED_US = 1100000 };
    struct echo e;
    struct raw_peer p;
    echo_start(&e, &(struct crpc_server_options){.max_cancels = 100}, NULL);
    assert_true(raw_connect(&p, e.port, READ_MS) && raw_greet(&p));
    for (uint32_t i = 0; i < CALLS; i++)
        assert_true(raw_open(&p, 2 * i + 1, "Sum", 0));
    while (crpc_server_calls(e.server) < CALLS)
        must_say(&e);
    for (int64_t until = clock_mono_us() + LIVED_US; clock_mono_us() < until;)
        must_say(&e);
    for (uint32_t i = 0; i < CALLS; i++)
        assert_true(raw_frame(&p, RAW_RST_STREAM, 0, 2 * i + 1, cancel, 4));
    while (crpc_server_calls(e.server) > 0)
        must_say(&e);
    assert_int_equal(crpc_server_cut(e.server), 0);
    assert_true(raw_open(&p, 2 * CALLS + 1, "Say", 0) && raw_message(&p, 2 * CALLS + 1, 0, NULL, 0, RAW_END_STREAM));
    assert_int_equal(raw_read_end(&p, 2 * CALLS + 1, true), RAW_STATUS);
    raw_close(&p);
    echo_stop(&e, 0);
}

/* ---- a start that fails ---- */

static int allocations_left;

static bool gate(size_t size)
{
    (void)size;
    return allocations_left-- > 0;
}

static void test_failed_start(void **state)
{
    (void)state;
    bool failed = true;
    for (int n = 0; failed; n++) {
        struct err err = ERR_NONE;
        struct crpc_server *s = crpc_server_new(&(struct crpc_server_options){.n_workers = 3}, &err);
        assert_int_equal(crpc_server_listen(s, "127.0.0.1:0", NULL, &err), 0);
        allocations_left = n;
        mem_set_gate(gate);
        failed = crpc_server_start(s, &err) != 0;
        mem_set_gate(NULL);
        if (failed) {
            assert_int_equal(err.code, ERR_RESOURCE_EXHAUSTED);
            assert_int_equal(crpc_server_start(s, &err), -ERR_FAILED_PRECONDITION);
        }
        crpc_server_drain(s, 1000);
        crpc_server_free(s);
        assert_true(n < 100);
    }
}

/* Of this program and the library in it; core's own threads are another matter. */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
static int threads_left = -1; /* -1: as many as are wanted */

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
    if (threads_left == 0)
        return EAGAIN;
    threads_left -= threads_left > 0;
    return __real_pthread_create(thread, attr, start, arg);
}

static void test_start_without_threads(void **state)
{
    (void)state;
    for (int n = 0; n < 4; n++) { /* the last is the watchdog */
        struct err err = ERR_NONE;
        struct crpc_server *s = crpc_server_new(&(struct crpc_server_options){.n_workers = 3}, &err);
        assert_int_equal(crpc_server_listen(s, "127.0.0.1:0", NULL, &err), 0);
        threads_left = n;
        assert_int_equal(crpc_server_start(s, &err), -ERR_RESOURCE_EXHAUSTED);
        threads_left = -1;
        assert_string_equal(err.reason, "NO_THREAD");
        assert_int_equal(crpc_server_start(s, &err), -ERR_FAILED_PRECONDITION);
        crpc_server_drain(s, 1000);
        crpc_server_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_max_connections),
        cmocka_unit_test(test_connection_flood),
        cmocka_unit_test(test_max_age),
        cmocka_unit_test(test_max_idle),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_decoded_memory),
        cmocka_unit_test(test_decoded_memory_of_streams),
        cmocka_unit_test(test_reset_storm_is_cut_off),
        cmocka_unit_test(test_who_keeps_coming_is_dropped),
        cmocka_unit_test(test_going_away_is_no_storm),
        cmocka_unit_test(test_end_of_old_calls_is_no_storm),
        cmocka_unit_test(test_failed_start),
        cmocka_unit_test(test_start_without_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
