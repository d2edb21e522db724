/* The time left of a job, by what its worker reports; times are seconds here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/rate.h"

enum { NOBODY_KNOWS = -1 };

struct report {
    int64_t at, done, total;
    const char *step;
    int64_t since; /* 0: the worker says nothing */
    int64_t want;  /* seconds that are left */
};

static const int64_t START_US = INT64_C(1798000000000000);

static void check(const struct report *reports, size_t n)
{
    struct job_rate rate = {0};
    struct job_progress last = {0};
    for (size_t i = 0; i < n; i++) {
        const struct report *r = &reports[i];
        struct job_progress now = {.done = r->done, .total = r->total, .step = span_str(r->step)};
        int64_t now_us = START_US + r->at * 1000000, since_us = r->since ? START_US + r->since * 1000000 : 0;
        int64_t eta_us = job_rate_eta(&rate, &last, &now, since_us, now_us);
        int64_t left = eta_us ? (eta_us - now_us + 500000) / 1000000 : NOBODY_KNOWS;
        if (left != r->want)
            fail_msg("report %zu: want %lld, got %lld", i, (long long)r->want, (long long)left);
        last = now;
    }
}

#define CHECK(...)                                                                                                     \
    do {                                                                                                               \
        const struct report reports[] = {__VA_ARGS__};                                                                 \
        check(reports, sizeof reports / sizeof reports[0]);                                                            \
    } while (0)

static void work_from_the_first_report_on(void **state)
{
    (void)state;
    CHECK({1, 0, 100, "", 0, NOBODY_KNOWS}, {11, 10, 100, "", 0, 90}, {21, 40, 100, "", 0, 30},
          {41, 100, 100, "", 0, NOBODY_KNOWS});
    /* its units are large: who says 0 again and again is at the first */
    CHECK({1, 0, 10, "", 0, NOBODY_KNOWS}, {6, 0, 10, "", 0, NOBODY_KNOWS}, {11, 1, 10, "", 0, 90});
    /* each unit is a step of its own */
    CHECK({1, 0, 10, "one", 0, NOBODY_KNOWS}, {11, 1, 10, "two", 0, 90}, {21, 2, 10, "three", 0, 80});
    /* how much there is shows on the way, and what was done before counts */
    CHECK({1, 0, 0, "", 0, NOBODY_KNOWS}, {11, 50, 100, "", 0, 10});
}

static void what_comes_before_the_work(void **state)
{
    (void)state;
    CHECK({1, 0, 0, "counting", 0, NOBODY_KNOWS}, {61, 0, 100, "writing", 0, NOBODY_KNOWS},
          {71, 50, 100, "writing", 0, 10});
    CHECK({1, 0, 0, "counting", 0, NOBODY_KNOWS}, {61, 10, 100, "writing", 0, NOBODY_KNOWS},
          {66, 40, 100, "writing", 0, 10});
    CHECK({1, 0, 0, "", 0, NOBODY_KNOWS}, {61, 0, 100, "", 0, NOBODY_KNOWS}, {71, 50, 100, "", 0, 10});
    CHECK({1, 0, 100, "preparing", 0, NOBODY_KNOWS}, {61, 0, 100, "copying", 0, NOBODY_KNOWS},
          {71, 50, 100, "copying", 0, 10});
}

static void a_worker_that_says_since_when(void **state)
{
    (void)state;
    CHECK({1, 0, 0, "counting", 0, NOBODY_KNOWS}, {71, 50, 100, "writing", 61, 10}, {76, 75, 100, "writing", 61, 5});
}

static void work_that_begins_again(void **state)
{
    (void)state;
    CHECK({1, 40, 100, "", 0, NOBODY_KNOWS}, {11, 60, 100, "", 0, 20}, {61, 10, 100, "", 0, NOBODY_KNOWS},
          {71, 20, 100, "", 0, 80});
}

static void beyond_any_time(void **state)
{
    (void)state;
    CHECK({1, 0, INT64_MAX, "", 0, NOBODY_KNOWS}, {100000, 1, INT64_MAX, "", 0, NOBODY_KNOWS});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_from_the_first_report_on),
        cmocka_unit_test(what_comes_before_the_work),
        cmocka_unit_test(a_worker_that_says_since_when),
        cmocka_unit_test(work_that_begins_again),
        cmocka_unit_test(beyond_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
