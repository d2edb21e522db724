/* core/histogram.h: buckets meet without gaps; quantiles are right to one part in four. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/histogram.h"

static void test_edges_grow_and_meet(void **state)
{
    (void)state;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        int64_t edge = histogram_edge_us(i);
        assert_int_equal(histogram_bucket(edge - 1), i);
        assert_int_equal(histogram_bucket(edge), i + 1 < HISTOGRAM_BUCKETS ? i + 1 : i);
    }
    assert_int_equal(histogram_bucket(-5), 0);
    assert_int_equal(histogram_bucket(0), 0);
    assert_int_equal(histogram_bucket(INT64_MAX), HISTOGRAM_BUCKETS - 1);
    /* About 19 hours. */
    assert_int_equal(histogram_edge_us(HISTOGRAM_BUCKETS - 1) / 1000000 / 3600, 19);
}

static void test_quantiles(void **state)
{
    int64_t counts[HISTOGRAM_BUCKETS] = {0};

    (void)state;
    assert_int_equal(histogram_quantile_us(counts, 0.5), 0);
    for (int64_t us = 1; us <= 1000000; us++)
        counts[histogram_bucket(us)]++;
    for (int percent = 5; percent <= 100; percent += 5) {
        int64_t q = histogram_quantile_us(counts, percent / 100.0), exact = percent * 10000;
        assert_in_range(q, exact * 3 / 4, exact * 5 / 4);
    }
    assert_true(histogram_quantile_us(counts, 2) >= histogram_quantile_us(counts, 1));
}

static void test_one_value(void **state)
{
    int64_t counts[HISTOGRAM_BUCKETS] = {0};
    int bucket = histogram_bucket(5000);

    (void)state;
    counts[bucket] = 1;
    assert_in_range(histogram_quantile_us(counts, 0.5), histogram_edge_us(bucket - 1), histogram_edge_us(bucket));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edges_grow_and_meet),
        cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_one_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
