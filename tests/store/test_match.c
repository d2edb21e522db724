/* server/store/match.c alone: who gets the next job of a lane. No database, no threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/engine.h"

static struct lane lane_of(const char *queue, const char *name)
{
    return (struct lane){.queue = span_str(queue), .name = span_str(name)};
}

static void test_serves(void **state)
{
    struct span names[] = {SPAN_LIT("a"), SPAN_LIT("b")}, queues[] = {SPAN_LIT("q")};
    struct store_session all = {.queues = queues, .n_queues = 1};
    struct store_session some = {.names = names, .n_names = 2, .queues = queues, .n_queues = 1};
    struct lane a = lane_of("q", "a"), c = lane_of("q", "c"), other = lane_of("r", "a");

    (void)state;
    assert_true(session_serves(&all, &a) && session_serves(&all, &c));
    assert_false(session_serves(&all, &other));
    assert_true(session_serves(&some, &a));
    assert_false(session_serves(&some, &c));
    assert_false(session_serves(&some, &other));
}

static void test_in_turn_and_within_credit(void **state)
{
    struct lane lane = lane_of("q", "a");
    struct store_session a = {0}, b = {0}, c = {0};

    (void)state;
    assert_null(match_take(&lane));
    assert_true(lane.dry);
    assert_true(match_join(&lane, &a) && match_join(&lane, &b) && match_join(&lane, &c));
    match_credit(&a, 2);
    assert_false(lane.dry);
    match_credit(&c, 3);
    assert_ptr_equal(match_take(&lane), &a);
    assert_ptr_equal(match_take(&lane), &c);
    assert_ptr_equal(match_take(&lane), &a);
    assert_ptr_equal(match_take(&lane), &c);
    assert_ptr_equal(match_take(&lane), &c);
    assert_null(match_take(&lane));
    assert_true(lane.dry);
    match_credit(&b, 1);
    assert_ptr_equal(match_take(&lane), &b);
    mem_free(lane.sessions);
    mem_free(a.lanes);
    mem_free(b.lanes);
    mem_free(c.lanes);
}

static void test_who_leaves_drains_or_falls_silent_gets_nothing(void **state)
{
    struct lane lane = lane_of("q", "a"), other = lane_of("q", "b");
    struct store_session a = {0}, b = {0};

    (void)state;
    assert_true(match_join(&lane, &a) && match_join(&lane, &b) && match_join(&other, &a));
    match_credit(&a, 5);
    match_credit(&b, 1);
    a.draining = true;
    assert_ptr_equal(match_take(&lane), &b);
    assert_null(match_take(&lane));
    a.draining = false;
    a.expired = true;
    match_credit(&a, 1);
    assert_null(match_take(&lane));
    /* Credit given before is still there when it is heard of again. */
    match_revive(&a);
    assert_ptr_equal(match_take(&lane), &a);
    match_leave(&a);
    assert_int_equal(lane.n_sessions, 1);
    assert_int_equal(other.n_sessions, 0);
    assert_null(match_take(&lane));
    mem_free(lane.sessions);
    mem_free(other.sessions);
    mem_free(a.lanes);
    mem_free(b.lanes);
}

static void test_who_holds_much_gets_nothing(void **state)
{
    struct lane lane = lane_of("q", "a");
    struct store_session a = {.held_max = 100};

    (void)state;
    assert_true(match_join(&lane, &a));
    match_credit(&a, 3);
    match_held(&a, 99);
    assert_ptr_equal(match_take(&lane), &a);
    match_held(&a, 60);
    assert_null(match_take(&lane));
    assert_true(lane.dry);
    match_held(&a, -59);
    assert_true(lane.dry);
    match_held(&a, -1);
    assert_false(lane.dry);
    assert_ptr_equal(match_take(&lane), &a);
    mem_free(lane.sessions);
    mem_free(a.lanes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_serves),
        cmocka_unit_test(test_in_turn_and_within_credit),
        cmocka_unit_test(test_who_leaves_drains_or_falls_silent_gets_nothing),
        cmocka_unit_test(test_who_holds_much_gets_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
