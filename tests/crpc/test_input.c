/* Messages that protobuf-c would crash on, cut short or let pass: refused at the edge, on both sides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "echo_server.h"

typedef Crpc__Test__V1__RawRequest raw_request;

static struct crpc_method raw_say(void)
{
    struct crpc_method m = crpc_test_v1_echo_service.methods[CRPC_TEST_V1_ECHO_SERVICE_SAY];
    m.input = &crpc__test__v1__raw_request__descriptor;
    return m;
}

static int say_raw(struct echo *e, const raw_request *q, struct err *err)
{
    struct crpc_method m = raw_say();
    ProtobufCMessage *r = NULL;
    *err = ERR_NONE;
    int rc = crpc_unary(e->channel, &m, NULL, &q->base, &r, err);
    crpc_message_free(r);
    return rc;
}

static ProtobufCBinaryData bytes(const char *s, size_t n)
{
    return (ProtobufCBinaryData){n, (uint8_t *)s};
}
#define BYTES(literal) bytes(literal, sizeof(literal) - 1)

static void test_strings(void **state)
{
    static const struct {
        const char *s;
        size_t n;
        bool good;
    } cases[] = {
#define GOOD(s) {s, sizeof(s) - 1, true}
#define BAD(s)                                                                                                         \
    {                                                                                                                  \
        s, sizeof(s) - 1, false                                                                                        \
    }
        GOOD(""),
        GOOD("plain and long enough for several words"),
        GOOD("\xc2\x80 \xdf\xbf"),
        GOOD("\xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf"),
        GOOD("\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf"),
        GOOD("\x01\x7f"),
        BAD("a\0b"),
        BAD("\0"),
        BAD("12345678\0"),
        BAD("1234567\0"
            "90123456"),
        BAD("\x80"),
        BAD("\xc0\x80"),
        BAD("\xc1\xbf"),
        BAD("\xe0\x9f\xbf"),
        BAD("\xed\xa0\x80"),
        BAD("\xf0\x8f\xbf\xbf"),
        BAD("\xf4\x90\x80\x80"),
        BAD("\xf5\x80\x80\x80"),
        BAD("\xff"),
        BAD("\xc3"),
        BAD("\xe2\x82"),
        BAD("\xf0\x9f\x92"),
        BAD("12345678\xc3"),
        BAD("\xc3("),
        BAD("\xe2(\xa1"),
        BAD("\xf0\x90\x28\xbc"),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        raw_request q = CRPC__TEST__V1__RAW_REQUEST__INIT;
        struct err err;
        q.text = bytes(cases[i].s, cases[i].n);
        int rc = say_raw(*state, &q, &err);
        if ((rc == 0) != cases[i].good)
            fail_msg("case %zu: %d %s", i, rc, err.msg);
        if (rc == 0)
            continue;
        assert_int_equal(rc, -ERR_INVALID_ARGUMENT);
        assert_string_equal(err.reason, "MALFORMED_MESSAGE");
        assert_string_equal(err.field, "text");
    }
}

static void test_path_of_nested_string(void **state)
{
    raw_request q = CRPC__TEST__V1__RAW_REQUEST__INIT;
    struct err err;
    /* trees[1].children[2].name */
    ProtobufCBinaryData trees[2] = {BYTES("\x0a\x01"
                                          "a"),
                                    BYTES("\x12\x00\x12\x00\x0a\x01"
                                          "b\x12\x03\x0a\x01\xff")};
    q.trees = trees;
    q.n_trees = 2;
    assert_int_equal(say_raw(*state, &q, &err), -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "trees[1].children[2].name");
}

static void test_malformed(void **state)
{
    static const ProtobufCBinaryData bad[] = {
        {1, (uint8_t *)"\x0a"},                                              /* a length is missing */
        {2, (uint8_t *)"\x0a\x05"},                                          /* five bytes are missing */
        {2, (uint8_t *)"\x08\x80"},                                          /* half a number */
        {2, (uint8_t *)"\x00\x00"},                                          /* field 0 */
        {1, (uint8_t *)"\x0b"},                                              /* a group */
        {2, (uint8_t *)"\x0f\x00"},                                          /* wire type 7 */
        {3, (uint8_t *)"\x0d\x00\x00"},                                      /* half a fixed32 */
        {5, (uint8_t *)"\x09\x00\x00\x00\x00"},                              /* half a fixed64 */
        {11, (uint8_t *)"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"},         /* a huge length */
        {2, (uint8_t *)"\x10\x01"},                                          /* children as a number */
        {12, (uint8_t *)"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"}, /* a number of 11 bytes */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        raw_request q = CRPC__TEST__V1__RAW_REQUEST__INIT;
        struct err err;
        q.tree = bad[i];
        if (say_raw(*state, &q, &err) != -ERR_INVALID_ARGUMENT)
            fail_msg("case %zu: %d %s", i, (int)err.code, err.msg);
        assert_string_equal(err.reason, "MALFORMED_MESSAGE");
        assert_string_equal(err.field, "");
    }
    /* Unknown fields are not at fault. */
    raw_request q = CRPC__TEST__V1__RAW_REQUEST__INIT;
    struct err err;
    q.tree = BYTES("\xf8\x01\x05\xfa\x01\x02\xff\x00");
    assert_int_equal(say_raw(*state, &q, &err), 0);
}

/* depth nodes, one in the other. */
static ProtobufCBinaryData nest(unsigned depth)
{
    size_t room = (size_t)depth * 6;
    uint8_t *data = malloc(room + 1), *at = data + room;
    size_t n = 0;
    for (unsigned i = 1; i < depth; i++) {
        uint8_t head[6];
        size_t h = 0;
        head[h++] = 2 << 3 | 2;
        for (size_t v = n; h == 1 || v; v >>= 7)
            head[h++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        at -= h;
        memcpy(at, head, h);
        n += h;
    }
    memmove(data, at, n);
    return (ProtobufCBinaryData){n, data};
}

static void test_depth(void **state)
{
    static const struct {
        unsigned depth;
        int rc;
    } cases[] = {{1, 0},
                 {60, 0},
                 {63, 0},
                 {64, -ERR_INVALID_ARGUMENT},
                 {100, -ERR_INVALID_ARGUMENT},
                 {10000, -ERR_INVALID_ARGUMENT},
                 {300000, -ERR_INVALID_ARGUMENT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        raw_request q = CRPC__TEST__V1__RAW_REQUEST__INIT;
        struct err err;
        q.tree = nest(cases[i].depth);
        if (say_raw(*state, &q, &err) != cases[i].rc)
            fail_msg("depth %u: %d %s", cases[i].depth, (int)err.code, err.msg);
        free(q.tree.data);
    }
}

static void test_amplification(void **state)
{
    raw_request q = CRPC__TEST__V1__RAW_REQUEST__INIT;
    struct err err;
    /* Two bytes each on the wire, far more unfolded. */
    q.n_trees = 1900000;
    q.trees = calloc(q.n_trees, sizeof *q.trees);
    assert_int_equal(say_raw(*state, &q, &err), -ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(err.reason, "MESSAGE_TOO_COMPLEX");
    q.n_trees = 10000; /* an honest list of small things */
    assert_int_equal(say_raw(*state, &q, &err), 0);
    free(q.trees);
}

/* In the middle of a stream: the call ends, the handler's step never sees it. */
static void test_malformed_in_stream(void **state)
{
    struct echo *e = *state;
    struct crpc_method m = crpc_test_v1_echo_service.methods[CRPC_TEST_V1_ECHO_SERVICE_SUM];
    m.input = &crpc__test__v1__raw_sum_request__descriptor;
    Crpc__Test__V1__RawSumRequest q = CRPC__TEST__V1__RAW_SUM_REQUEST__INIT;
    ProtobufCMessage *r;
    struct err err = ERR_NONE;
    struct crpc_stream *s = crpc_stream_open(e->channel, &m, NULL, &err);
    q.note = BYTES("good");
    assert_int_equal(crpc_stream_write(s, &q.base, &err), 0);
    q.note = BYTES("b\0d");
    assert_int_equal(crpc_stream_write(s, &q.base, &err), 0);
    assert_int_equal(crpc_stream_read(s, &r, &err), -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.reason, "MALFORMED_MESSAGE");
    assert_string_equal(err.field, "note");
    crpc_stream_free(s);
    echo_wait_done(e, 1);
    assert_int_equal(echo_read(e, &e->n_received), 1);
    assert_int_equal(echo_read(e, &e->n_cancelled), 0);
}

/* A server's nonsense is the server's fault. */
static void test_malformed_response(void **state)
{
    struct echo *e = *state;
    Crpc__Test__V1__SayRequest q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    ProtobufCMessage *r = NULL;
    struct err err = ERR_NONE;
    struct crpc_method m = crpc_test_v1_echo_service.methods[CRPC_TEST_V1_ECHO_SERVICE_SAY];
    m.output = &crpc__test__v1__text_response__descriptor;
    q.data = BYTES("\xff");
    assert_int_equal(crpc_unary(e->channel, &m, NULL, &q.base, &r, &err), -ERR_INTERNAL);
    assert_int_equal(err.code, ERR_INTERNAL);

    Crpc__Test__V1__CountRequest cq = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    struct crpc_method count = crpc_test_v1_echo_service.methods[CRPC_TEST_V1_ECHO_SERVICE_COUNT];
    count.output = &crpc__test__v1__text_response__descriptor; /* its zero bytes are no text */
    cq.upto = 1000;
    cq.size = 1000;
    struct crpc_stream *s = crpc_stream_open(e->channel, &count, NULL, &err);
    assert_int_equal(crpc_stream_write(s, &cq.base, &err), 0);
    assert_int_equal(crpc_stream_close_write(s, &err), 0);
    assert_int_equal(crpc_stream_read(s, &r, &err), -ERR_INTERNAL);
    assert_int_equal(crpc_stream_read(s, &r, &err), -ERR_INTERNAL);
    crpc_stream_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, echo_setup, echo_teardown)
        T(test_strings),       T(test_path_of_nested_string), T(test_malformed),          T(test_depth),
        T(test_amplification), T(test_malformed_in_stream),   T(test_malformed_response),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
