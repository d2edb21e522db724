/* Parts of the runtime alone, without a network: google.rpc.Status, the heap of timers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "status.h"
#include "timer.h"

static void test_status_round_trip(void **state)
{
    (void)state;
    struct err in = ERR_NONE, out;
    char wire[STATUS_ROOM], domain[400];
    memset(domain, 'd', sizeof domain - 1);
    domain[sizeof domain - 1] = '\0';
    /* The fullest there can be. */
    in.code = ERR_UNAUTHENTICATED;
    in.retry_after_ms = INT32_MAX;
    memset(in.reason, 'R', sizeof in.reason - 1);
    memset(in.field, 'f', sizeof in.field - 1);
    memset(in.msg, 'm', sizeof in.msg - 1);
    size_t n = status_encode(&in, domain, wire);
    assert_true(n < STATUS_ROOM);
    out = (struct err){.code = in.code};
    status_decode(span_of(wire, n), &out);
    assert_string_equal(out.reason, in.reason);
    assert_string_equal(out.field, in.field);
    assert_int_equal(out.retry_after_ms, in.retry_after_ms);
    /* Cut anywhere, it does no harm. */
    for (size_t cut = 0; cut < n; cut++) {
        char *copy = malloc(cut + 1);
        memcpy(copy, wire, cut);
        out = ERR_NONE;
        status_decode(span_of(copy, cut), &out);
        free(copy);
    }
}

static void test_status_bytes(void **state)
{
    (void)state;
    struct err e = {.code = ERR_NOT_FOUND, .msg = "gone"};
    char wire[STATUS_ROOM];
    static const char want[] = "\x08\x05\x12\x04gone\x1a\x3f"
                               "\x0a\x28type.googleapis.com/google.rpc.ErrorInfo"
                               "\x12\x13\x0a\x09NOT_FOUND\x12\x06"
                               "joblog";
    size_t n = status_encode(&e, "joblog", wire);
    assert_int_equal(n, sizeof want - 1);
    assert_memory_equal(wire, want, n);
}

/* What a server sends as text need be none. */
static void test_status_text_is_made_valid(void **state)
{
    (void)state;
    static const char wire[] = "\x1a\x36"
                               "\x0a\x28type.googleapis.com/google.rpc.ErrorInfo"
                               "\x12\x0a\x0a\x08"
                               "A\xff\xc3\xa9\0\xed\xa0\x80";
    struct err e = ERR_NONE;
    status_decode(span_of(wire, sizeof wire - 1), &e);
    assert_string_equal(e.reason, "A?\xc3\xa9????");
    status_set_msg(&e, SPAN_LIT("a\xc3(\0b"));
    assert_string_equal(e.msg, "a?(?b");
    char text[300];
    memset(text, 'x', sizeof text);
    memcpy(text + sizeof e.msg - 2, "\xc3\xa9", 2); /* would be cut in two */
    status_set_msg(&e, span_of(text, sizeof text));
    assert_int_equal(strlen(e.msg), sizeof e.msg - 2);
}

static void test_status_msg(void **state)
{
    (void)state;
    struct err e;
    char text[300];
    memset(text, 'a', 254);
    memcpy(text + 254, "\xc3\xa9 and more", 12);
    status_set_msg(&e, span_of(text, 266));
    assert_int_equal(strlen(e.msg), 254); /* not half an e with an accent */
    status_set_msg(&e, span_of(NULL, 0));
    assert_string_equal(e.msg, "");
}

static void test_timers(void **state)
{
    (void)state;
    enum { N = 500 };
    static struct timer timers[N];
    struct timer *root = NULL;
    srand(1);
    for (int round = 0; round < 50; round++) {
        int left = N;
        memset(timers, 0, sizeof timers);
        for (int i = 0; i < N; i++) {
            timers[i].at_ms = rand() % 300;
            timer_insert(&root, &timers[i]);
        }
        for (int i = 0; i < N; i += 1 + rand() % 4) { /* taken out from anywhere */
            timer_remove(&root, &timers[i]);
            left--;
        }
        int64_t last = -1;
        while (root) {
            struct timer *t = root;
            assert_true(t->at_ms >= last);
            last = t->at_ms;
            timer_remove(&root, t);
            assert_false(t->armed);
            left--;
        }
        assert_int_equal(left, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_status_round_trip), cmocka_unit_test(test_status_bytes),
                                       cmocka_unit_test(test_status_text_is_made_valid),
                                       cmocka_unit_test(test_status_msg), cmocka_unit_test(test_timers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
