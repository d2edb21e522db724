/* Bytes that a handler sends as they lie, without a copy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "echo_server.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bytes, echo_setup, echo_teardown),
        cmocka_unit_test_setup_teardown(test_bytes_of_a_cancelled_call, echo_setup, echo_teardown),
        cmocka_unit_test_setup_teardown(test_bytes_that_nobody_reads, echo_setup, echo_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
