/* core/id.h: ids grow, carry their time, and survive a clock that steps back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/id.h"

static const int64_t now_us = ID_EPOCH_US + INT64_C(86400000000) * 400;

static void test_time_and_replica_are_in_the_id(void **state)
{
    struct id_maker m = {.replica = 255};
    int64_t id = id_make(&m, now_us + 999);

    (void)state;
    assert_int_equal(id_time_us(id), now_us);
    assert_int_equal(id >> ID_SEQUENCE_BITS & 255, 255);
    assert_true(id > 0);
}

static void test_ids_grow_within_a_millisecond_and_beyond_it(void **state)
{
    struct id_maker m = {.replica = 3};
    int64_t last = 0;

    (void)state;
    /* More than fit into one millisecond: the maker runs ahead. */
    for (int i = 0; i < 3 << ID_SEQUENCE_BITS; i++) {
        int64_t id = id_make(&m, now_us);
        assert_true(id > last);
        last = id;
    }
    assert_int_equal(id_time_us(last), now_us + 2000);
    assert_true(id_make(&m, now_us + 1000) > last);
}

static void test_clock_steps_back(void **state)
{
    struct id_maker m = {0};
    int64_t first = id_make(&m, now_us), second = id_make(&m, now_us - 5000000);

    (void)state;
    assert_true(second > first);
    assert_int_equal(id_time_us(second), now_us);
}

static void test_makers_differ(void **state)
{
    struct id_maker a = {.replica = 1}, b = {.replica = 2};

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_true(id_make(&a, now_us) != id_make(&b, now_us));
}

static void test_floor(void **state)
{
    struct id_maker m = {0};
    int64_t id = id_make(&m, now_us);

    (void)state;
    assert_int_equal(id_floor(now_us), id);
    assert_true(id_floor(now_us + 1000) > id);
    assert_true(id_floor(now_us - 1) < id);
    assert_int_equal(id_floor(0), 0);
    assert_int_equal(id_floor(ID_EPOCH_US), 0);
    assert_int_equal(id_floor(INT64_MAX), INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_and_replica_are_in_the_id),
        cmocka_unit_test(test_ids_grow_within_a_millisecond_and_beyond_it),
        cmocka_unit_test(test_clock_steps_back),
        cmocka_unit_test(test_makers_differ),
        cmocka_unit_test(test_floor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
