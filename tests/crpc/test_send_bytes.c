/* Bytes that a handler sends as they lie, without a copy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "echo_server.h"
#include "raw_peer.h"

typedef Crpc__Test__V1__CountRequest count_request;
typedef Crpc__Test__V1__CountResponse count_response;

static struct crpc_stream *count_open(struct echo *e, const count_request *q)
{
    struct err err = ERR_NONE;
    struct crpc_stream *s = crpc_test_v1_echo_service_count_open(e->channel, NULL, q, &err);
    if (!s)
        fail_msg("open: %s", err.msg);
    return s;
}

/* Bytes that are not copied: whole on the other side, whatever their length takes, and given back once each. */
static void test_bytes(void **state)
{
    static const int sizes[] = {0, 1, 127, 128, 16383, 16384, 2 << 20};
    struct echo *e = *state;
    unsigned n_sent = 0;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
        count_response *r = NULL;
        struct err err = ERR_NONE;
        q.upto = 5;
        q.size = sizes[k];
        q.bytes = true;
        struct crpc_stream *s = count_open(e, &q);
        for (int n = 1; n <= q.upto; n++) {
            assert_int_equal(crpc_test_v1_echo_service_count_read(s, &r, &err), 1);
            assert_int_equal(r->number, n);
            assert_int_equal(r->data.len, q.size);
            for (size_t i = 0; i < r->data.len; i++)
                if (r->data.data[i] != (uint8_t)(n + (int)i))
                    fail_msg("byte %zu of message %d", i, n);
            crpc_message_free(&r->base);
        }
        assert_int_equal(crpc_test_v1_echo_service_count_read(s, &r, &err), 0);
        crpc_stream_free(s);
        n_sent += (unsigned)q.upto;
        echo_wait_released(e, n_sent);
    }
}

static void test_bytes_of_a_cancelled_call(void **state)
{
    struct echo *e = *state;
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    q.upto = 1000;
    q.size = 1 << 20;
    q.bytes = true;
    struct crpc_stream *s = count_open(e, &q);
    echo_wait_sent(e, 1);
    crpc_stream_cancel(s);
    crpc_stream_free(s);
    echo_wait_done(e, 1);
    echo_wait_released(e, e->n_sent + 1); /* also what did not go out */
}

/* A client that does not read: its call is ended in the middle of a send. When it reads after all it finds the status.
 */
static void test_bytes_that_nobody_reads(void **state)
{
    struct echo *e = *state;
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    count_response *r = NULL;
    struct err err = ERR_NONE;
    q.upto = 1;
    q.size = 64 << 20; /* more than all that lies between the two takes */
    q.bytes = q.cut = true;
    q.still_ms = 1000;
    struct crpc_stream *s = count_open(e, &q);
    echo_wait_tags(e, 1);
    assert_true(echo_post(e, 0, true, false));
    echo_wait_done(e, 1);
    assert_int_equal(echo_read(e, &e->n_sent), 0);
    assert_int_equal(crpc_test_v1_echo_service_count_read(s, &r, &err), -ERR_ABORTED);
    assert_string_equal(err.msg, "nobody reads this");
    crpc_stream_free(s);
    echo_wait_released(e, 1);
    /* The connection is as good as before. */
    q.cut = false;
    q.size = 1000;
    s = count_open(e, &q);
    assert_int_equal(crpc_test_v1_echo_service_count_read(s, &r, &err), 1);
    crpc_message_free(&r->base);
    assert_int_equal(crpc_test_v1_echo_service_count_read(s, &r, &err), 0);
    crpc_stream_free(s);
}

/* Returns when nothing has come into the socket for 100 ms, and something before: that it stands nobody tells but time.
 */
static void await_stillness(int fd)
{
    int unread = 0, ep = epoll_create1(0);
    struct epoll_event arrived = {.events = EPOLLIN | EPOLLET};
    assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &arrived), 0);
    while (epoll_wait(ep, &arrived, 1, 100) != 0 || unread <= 1000)
        assert_int_equal(ioctl(fd, FIONREAD, &unread), 0);
    close(ep);
}

/* Opens Count on a connection whose socket is not read any more, with windows as wide as HTTP/2 knows them; returns
 * when nothing more comes into the socket. */
static void be_deaf(struct echo *e, struct raw_peer *p, count_request *q)
{
    static const uint8_t wide[] = {0, 4, 0x7f, 0xff, 0xff, 0xff}, more[] = {0x7f, 0xff, 0, 0};
    uint8_t wire[64];
    assert_true(raw_connect(p, e->port, 20000) && raw_greet(p));
    assert_true(raw_frame(p, RAW_SETTINGS, 0, 0, wide, sizeof wide));
    assert_true(raw_frame(p, RAW_WINDOW_UPDATE, 0, 0, more, sizeof more));
    assert_true(raw_open(p, 1, "Count", 0));
    size_t len = protobuf_c_message_pack(&q->base, wire);
    assert_true(raw_message(p, 1, (uint32_t)len, wire, len, RAW_END_STREAM));
    echo_wait_tags(e, 1);
    await_stillness(p->fd);
}

/* Others may have calls on the connection, which live on when it has not stood still for long. */
static void test_a_connection_that_stands_for_a_moment(void **state)
{
    static struct echo one;
    struct echo *e = &one;
    struct raw_peer p;
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    Crpc__Test__V1__SayRequest say = CRPC__TEST__V1__SAY_REQUEST__INIT;
    Crpc__Test__V1__SayResponse *said = NULL;
    struct err err = ERR_NONE;
    (void)state;
    echo_start(e, &(struct crpc_server_options){.error_domain = "echo.test", .n_workers = 1}, NULL);
    q.upto = 1;
    q.size = 64 << 20;
    q.bytes = q.cut = true;
    q.still_ms = 3600000;
    be_deaf(e, &p, &q);
    assert_true(echo_post(e, 0, true, false));
    /* Its worker comes to this after that. */
    assert_int_equal(crpc_test_v1_echo_service_say(e->channel, NULL, &say, &said, &err), 0);
    crpc_message_free(&said->base);
    assert_int_equal(raw_read_end(&p, 1, true), RAW_STATUS);
    echo_wait_done(e, 1);
    echo_wait_released(e, 1);
    assert_true(raw_open(&p, 3, "Say", 0) && raw_message(&p, 3, 0, NULL, 0, RAW_END_STREAM));
    assert_int_equal(raw_read_end(&p, 3, true), RAW_STATUS);
    raw_close(&p);
    echo_stop(e, 0);
}

/* One that has is ended with all that it keeps. */
static void test_a_connection_that_stands(void **state)
{
    struct echo *e = *state;
    struct raw_peer p;
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    q.upto = 1;
    q.size = 64 << 20;
    q.bytes = q.cut = true;
    q.still_ms = 20; /* it has stood for 100 */
    be_deaf(e, &p, &q);
    assert_true(echo_post(e, 0, true, false));
    echo_wait_done(e, 1);
    echo_wait_released(e, 1);
    assert_int_equal(raw_read_end(&p, 0, false), RAW_CLOSED);
    raw_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bytes, echo_setup, echo_teardown),
        cmocka_unit_test_setup_teardown(test_bytes_of_a_cancelled_call, echo_setup, echo_teardown),
        cmocka_unit_test_setup_teardown(test_bytes_that_nobody_reads, echo_setup, echo_teardown),
        cmocka_unit_test(test_a_connection_that_stands_for_a_moment),
        cmocka_unit_test_setup_teardown(test_a_connection_that_stands, echo_setup, echo_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
