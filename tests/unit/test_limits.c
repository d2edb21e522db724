/* Limits of callers, with a clock and a load of the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "core/limits.h"

enum { SECOND = 1000000 };

static const struct span ANN = SPAN_LIT("token:ann"), BOB = SPAN_LIT("token:bob");

static int enter(struct limits *l, struct span key, enum limits_kind kind, int64_t wait_ms, int64_t now,
                 struct err *err)
{
    bool light;
    *err = ERR_NONE;
    return limits_enter(l, key, kind, false, wait_ms, now, NULL, &light, err);
}

static void test_rate(void **state)
{
    (void)state;
    struct limits *l = limits_new(&(struct limits_rules){.calls_per_s = 10, .burst = 3});
    struct limits_counts counts;
    struct err err;
    int64_t now = 5 * SECOND;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(enter(l, ANN, LIMITS_CALL, 0, now, &err), 0);
        limits_leave(l, ANN, LIMITS_CALL, 0);
    }
    assert_int_equal(enter(l, ANN, LIMITS_CALL, 0, now, &err), -ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(err.reason, "RATE_LIMITED");
    assert_non_null(strstr(err.msg, "10 calls a second"));
    assert_in_range(err.retry_after_ms, 95, 105);
    assert_int_equal(enter(l, BOB, LIMITS_CALL, 0, now, &err), 0); /* another one's bucket */
    /* As told: then it works, once. */
    now += err.retry_after_ms * 1000 + 110000;
    assert_int_equal(enter(l, ANN, LIMITS_STREAM, 0, now, &err), 0);
    assert_int_equal(enter(l, ANN, LIMITS_CALL, 0, now, &err), -ERR_RESOURCE_EXHAUSTED);
    /* Never more than the burst, however long it rests. */
    now += 3600LL * SECOND;
    for (int i = 0; i < 3; i++)
        assert_int_equal(enter(l, ANN, LIMITS_CALL, 0, now, &err), 0);
    assert_int_equal(enter(l, ANN, LIMITS_CALL, 0, now, &err), -ERR_RESOURCE_EXHAUSTED);
    /* A clock that stands or steps back gives nothing. */
    assert_int_equal(enter(l, ANN, LIMITS_CALL, 0, now - SECOND, &err), -ERR_RESOURCE_EXHAUSTED);
    limits_read(l, &counts);
    assert_int_equal(counts.rate, 4);
    assert_int_equal(counts.callers, 2);
    limits_free(l);
}

static void test_under_way(void **state)
{
    (void)state;
    static const char *const reasons[] = {"TOO_MANY_CALLS", "TOO_MANY_STREAMS", "TOO_MANY_SESSIONS"};
    struct limits *l = limits_new(&(struct limits_rules){.calls = 1, .streams = 2, .sessions = 3});
    struct limits_counts counts;
    struct err err;
    for (int kind = 0; kind < LIMITS_KINDS; kind++) {
        for (int i = 0; i <= kind; i++)
            assert_int_equal(enter(l, ANN, (enum limits_kind)kind, 0, 0, &err), 0);
        assert_int_equal(enter(l, ANN, (enum limits_kind)kind, 0, 0, &err), -ERR_RESOURCE_EXHAUSTED);
        assert_string_equal(err.reason, reasons[kind]);
        assert_int_equal(err.retry_after_ms, 1000);
        limits_leave(l, ANN, (enum limits_kind)kind, 0);
        assert_int_equal(enter(l, ANN, (enum limits_kind)kind, 0, 0, &err), 0);
        assert_int_equal(enter(l, ANN, (enum limits_kind)kind, 0, 0, &err), -ERR_RESOURCE_EXHAUSTED);
        assert_int_equal(enter(l, BOB, (enum limits_kind)kind, 0, 0, &err), 0);
    }
    limits_read(l, &counts);
    assert_int_equal(counts.calls, 2);
    assert_int_equal(counts.streams, 2);
    assert_int_equal(counts.sessions, 2);
    limits_free(l);
}

/* A call that is refused for one reason takes nothing for another. */
static void test_refused_takes_nothing(void **state)
{
    (void)state;
    struct limits *l = limits_new(&(struct limits_rules){.calls = 1, .calls_per_s = 1, .burst = 2});
    struct err err;
    assert_int_equal(enter(l, ANN, LIMITS_CALL, 0, 0, &err), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(enter(l, ANN, LIMITS_CALL, 0, 0, &err), -ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(err.reason, "TOO_MANY_CALLS");
    limits_leave(l, ANN, LIMITS_CALL, 0);
    assert_int_equal(enter(l, ANN, LIMITS_CALL, 0, 0, &err), 0); /* the second token is still there */
    limits_free(l);
}

static void test_overload(void **state)
{
    (void)state;
    struct limits *l = limits_new(&(struct limits_rules){.max_wait_ms = 100});
    struct limits_counts counts;
    struct err err;
    bool light;
    /* A few calls that wait are no load. */
    for (int i = 0; i < LIMITS_FEW; i++)
        assert_int_equal(enter(l, ANN, LIMITS_CALL, 100000, 0, &err), 0);
    for (int i = 0; i < LIMITS_FEW; i++)
        limits_leave(l, ANN, LIMITS_CALL, 0);
    /* Ann floods while there is no load. */
    for (int i = 0; i < 1000; i++)
        assert_int_equal(enter(l, ANN, LIMITS_CALL, 100, 0, &err), 0);
    /* Alone, she is the load. */
    assert_int_equal(enter(l, ANN, LIMITS_CALL, 101, 0, &err), -ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(err.reason, "OVERLOADED");
    assert_int_equal(err.retry_after_ms, 101);
    /* Bob has less than his share, and is let in; she still is not. */
    for (int i = 0; i < 20; i++)
        assert_int_equal(enter(l, BOB, LIMITS_CALL, 399, 0, &err), 0);
    assert_int_equal(enter(l, ANN, LIMITS_CALL, 399, 0, &err), -ERR_RESOURCE_EXHAUSTED);
    /* When it is far too much, nobody, but for what eases the load. */
    assert_int_equal(enter(l, BOB, LIMITS_CALL, 401, 0, &err), -ERR_RESOURCE_EXHAUSTED);
    assert_int_equal(limits_enter(l, BOB, LIMITS_SESSION, true, 100000, 0, NULL, &light, &err), 0);
    /* It goes down: all is well again. */
    assert_int_equal(enter(l, ANN, LIMITS_CALL, 50, 0, &err), 0);
    limits_read(l, &counts);
    assert_int_equal(counts.overload, 3);
    limits_free(l);
}

/* Who has little under way beside one who has much goes first; who is alone is not asked to. */
static void test_light(void **state)
{
    (void)state;
    struct limits *l = limits_new(&(struct limits_rules){.max_wait_ms = 100});
    struct err err;
    bool light;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(limits_enter(l, ANN, LIMITS_CALL, false, 0, 0, NULL, &light, &err), 0);
        assert_false(light);
    }
    for (int i = 0; i < 30; i++) { /* a quarter of all, which grow */
        assert_int_equal(limits_enter(l, BOB, LIMITS_CALL, false, 0, 0, NULL, &light, &err), 0);
        assert_true(light == (i == 0 || i < (100 + i) / 4));
    }
    limits_free(l);
}

/* ---- turns ---- */

struct turn {
    struct tag tag;
    struct limits_turn turn;
    int n; /* posts */
};

static void turn_post(struct tag *tag, bool ok)
{
    assert_true(ok);
    ((struct turn *)(void *)tag)->n++;
}

static int enter_in_turn(struct limits *l, struct span key, struct turn *t, int64_t now)
{
    bool light;
    *t = (struct turn){.tag.post = turn_post, .turn.tag = &t->tag};
    return limits_enter(l, key, LIMITS_CALL, false, 0, now, &t->turn, &light, NULL);
}

static void test_turns(void **state)
{
    (void)state;
    enum { HALF = LIMITS_AT_ONCE / 2, MANY = 3 * HALF };
    static struct turn turns[MANY + 10], bobs[HALF + 1];
    struct limits *l = limits_new(&(struct limits_rules){.calls = 0});
    struct limits_counts counts;
    int64_t now = 5 * SECOND;
    /* Who is alone never waits. */
    for (int i = 0; i < MANY; i++)
        assert_int_equal(enter_in_turn(l, ANN, &turns[i], now), 0);
    assert_false(limits_are_shared(l, now));
    /* Bob comes: he is served, she waits from now on. */
    assert_int_equal(enter_in_turn(l, BOB, &bobs[0], now), 0);
    assert_true(limits_are_shared(l, now));
    for (int i = 0; i < 10; i++)
        assert_int_equal(enter_in_turn(l, ANN, &turns[MANY + i], now), LIMITS_WAIT);
    /* Until she has less than her half under way; then each end gives one turn, in order. */
    for (int i = 0; i < MANY - HALF; i++)
        limits_leave(l, ANN, LIMITS_CALL, now);
    assert_int_equal(turns[MANY].n, 0);
    for (int i = 0; i < 3; i++) {
        limits_leave(l, ANN, LIMITS_CALL, now);
        assert_int_equal(turns[MANY + i].n, 1);
        assert_int_equal(turns[MANY + i + 1].n, 0);
    }
    /* Bob's many wait like hers. */
    for (int i = 1; i < HALF; i++)
        assert_int_equal(enter_in_turn(l, BOB, &bobs[i], now), 0);
    assert_int_equal(enter_in_turn(l, BOB, &bobs[HALF], now), LIMITS_WAIT);
    for (int i = 0; i <= HALF; i++)
        limits_leave(l, BOB, LIMITS_CALL, now);
    assert_int_equal(bobs[HALF].n, 1);
    /* He has gone, for a second she is still held back; then her ends give turns to all. */
    limits_leave(l, ANN, LIMITS_CALL, now + SECOND / 2);
    assert_int_equal(turns[MANY + 3].n, 1);
    assert_int_equal(turns[MANY + 4].n, 0);
    now += 2 * SECOND;
    assert_false(limits_are_shared(l, now));
    limits_leave(l, ANN, LIMITS_CALL, now);
    limits_leave(l, ANN, LIMITS_CALL, now);
    for (int i = 0; i < 10; i++)
        assert_int_equal(turns[MANY + i].n, 1);
    limits_read(l, &counts);
    assert_int_equal(counts.turns, 11);
    /* Of very many callers each has some. */
    char name[32];
    for (int i = 0; i < 1000; i++)
        assert_int_equal(enter_in_turn(l, span_of(name, (size_t)snprintf(name, sizeof name, "c%d", i)), &turns[0], now),
                         0);
    for (int i = 0; i < LIMITS_AT_LEAST; i++)
        assert_int_equal(enter_in_turn(l, SPAN_LIT("new"), &turns[0], now), 0);
    assert_int_equal(enter_in_turn(l, SPAN_LIT("new"), &turns[0], now), LIMITS_WAIT);
    limits_free(l);
}

/* What waits is bounded, counts as no load, and is made to wait by who is not limited, too. */
static void test_turns_are_bounded(void **state)
{
    (void)state;
    static struct turn turns[LIMITS_TURNS_OF_ONE + LIMITS_AT_ONCE];
    struct limits *l = limits_new(&(struct limits_rules){.max_wait_ms = 100});
    struct limits_counts counts;
    struct err err = ERR_NONE;
    bool light;
    int64_t now = 5 * SECOND;
    limits_make_way(l, now); /* nobody is there */
    assert_false(limits_are_shared(l, now));
    int n = 0;
    for (; n < LIMITS_AT_ONCE / 2; n++)
        assert_int_equal(enter_in_turn(l, ANN, &turns[n], now), 0);
    limits_make_way(l, now);
    for (int i = 0; i < LIMITS_TURNS_OF_ONE; i++, n++)
        assert_int_equal(enter_in_turn(l, ANN, &turns[n], now), LIMITS_WAIT);
    struct limits_turn one = {.tag = &turns[n].tag};
    assert_int_equal(limits_enter(l, ANN, LIMITS_CALL, false, 0, now, &one, &light, &err), -ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(err.reason, "TOO_MANY_CALLS");
    assert_in_range(err.retry_after_ms, 1, 60000);
    /* Half of the 64 that are served are less than Bob's 40 with these: he is not light among them. */
    for (int i = 0; i < 40; i++)
        assert_int_equal(limits_enter(l, BOB, LIMITS_CALL, false, 0, now, NULL, &light, &err), 0);
    assert_false(light);
    /* When they have had their turn there is room again. */
    while (turns[n - 1].n == 0)
        limits_leave(l, ANN, LIMITS_CALL, now);
    assert_int_equal(enter_in_turn(l, ANN, &turns[n], now), LIMITS_WAIT);
    limits_read(l, &counts);
    assert_int_equal(counts.calls, 1);
    limits_free(l);
}

/* Invented callers do not take memory without end, and those that have something under way are never forgotten. */
static void test_many_callers(void **state)
{
    (void)state;
    enum { MANY = 300000 };
    struct limits *l = limits_new(&(struct limits_rules){.calls = 1});
    struct limits_counts counts;
    struct err err;
    char name[32];
    assert_int_equal(enter(l, ANN, LIMITS_CALL, 0, 0, &err), 0);
    for (int i = 0; i < MANY; i++) {
        struct span key = span_of(name, (size_t)snprintf(name, sizeof name, "ipv4:10.%d", i));
        assert_int_equal(enter(l, key, LIMITS_CALL, 0, i, &err), 0);
        limits_leave(l, key, LIMITS_CALL, 0);
    }
    limits_read(l, &counts);
    assert_true(counts.callers <= 65536);
    assert_int_equal(enter(l, ANN, LIMITS_CALL, 0, MANY, &err), -ERR_RESOURCE_EXHAUSTED);
    /* Busy ones fill it up. */
    int rc = 0, n = 0;
    for (; rc == 0 && n < MANY; n++)
        rc = enter(l, span_of(name, (size_t)snprintf(name, sizeof name, "b%d", n)), LIMITS_CALL, 0, MANY, &err);
    assert_int_equal(rc, -ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(err.reason, "TOO_MANY_CALLERS");
    assert_in_range(n, 50000, 65537);
    limits_free(l);
}

static int allowed;

static bool gate(size_t size)
{
    (void)size;
    return allowed-- > 0;
}

static void test_short_memory(void **state)
{
    (void)state;
    int rc = -1;
    for (int n = 0; rc != 0; n++) {
        struct err err = ERR_NONE;
        allowed = n;
        mem_set_gate(gate);
        struct limits *l = limits_new(&(struct limits_rules){.calls = 1});
        if (l && (rc = limits_enter(l, ANN, LIMITS_CALL, false, 0, 0, NULL, &(bool){false}, &err)) != 0)
            assert_int_equal(rc, -ERR_RESOURCE_EXHAUSTED);
        if (rc == 0)
            limits_leave(l, ANN, LIMITS_CALL, 0);
        mem_set_gate(NULL);
        limits_free(l);
        assert_true(n < 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_under_way),
        cmocka_unit_test(test_refused_takes_nothing),
        cmocka_unit_test(test_overload),
        cmocka_unit_test(test_light),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_turns_are_bounded),
        cmocka_unit_test(test_many_callers),
        cmocka_unit_test(test_short_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
