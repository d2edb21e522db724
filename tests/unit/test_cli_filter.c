/* Filters as the command line has them: what is typed, and what is asked of the server. No server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "filter.h"
#include "units.h"

struct options {
    struct filter_options filter;
};

static const struct option_row rows[] = {FILTER_ROWS(struct options, filter), OPTION_END};

/* Fills *options from words, NULL last. */
static int parse(struct options *options, const char *const *words, char error[200])
{
    char *argv[16] = {(char *)"joblog"};
    struct operands operands;
    int argc = 1;
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    struct option_set set = {rows, options};
    *options = (struct options){0};
    return options_parse(argc, argv, &set, 1, &operands, error, 200);
}

static void done(struct options *options)
{
    options_done(&(struct option_set){rows, options});
}

/* As filter_make; of words that parse. *filter is to be done with filter_done when it is 0. */
static int make(struct options *options, struct filter *filter, const char *const *words)
{
    const struct cli cli = {0};
    char error[200];
    assert_int_equal(parse(options, words, error), 0);
    return filter_make(&cli, &options->filter, filter);
}

static void no_option_takes_nothing_for_all(void **state)
{
    (void)state;
    size_t n = 0;
    for (const struct option_row *row = rows; row->name; row++) {
        struct options options;
        char name[40], error[200] = "";
        if (row->kind == OPTION_FLAG)
            continue;
        snprintf(name, sizeof name, "--%s", row->name);
        assert_int_equal(parse(&options, (const char *const[]){name, "", NULL}, error), -1);
        assert_non_null(strstr(error, name));
        done(&options);
        n++;
        if (row->kind != OPTION_DURATION)
            continue;
        assert_int_equal(parse(&options, (const char *const[]){name, "0s", NULL}, error), -1);
        assert_non_null(strstr(error, "a duration of more than 0, not \"0s\""));
    }
    assert_true(n >= 20);
}

static void the_first_moment_is_no_time(void **state)
{
    (void)state;
    struct options options;
    char error[200];
    const char *const zero[] = {"--before", "1970-01-01T00:00:00Z", NULL};
    const char *const first[] = {"--before", "1970-01-01T00:00:00.000001Z", NULL};
    assert_int_equal(parse(&options, zero, error), -1);
    assert_int_equal(parse(&options, first, error), 0);
    assert_int_equal(options.filter.before_us, 1);
}

/* Parts of a value that a shell's variable should have filled. */
static void half_of_a_value_is_refused(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"--source", "User:", NULL}, {"--source", ":7", NULL},   {"--payload", "user.id~", NULL},
        {"--payload", "=7", NULL},   {"--label", "=acme", NULL}, {"--id", "7x", NULL},
        {"--id", "0", NULL},         {"--status", "done", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct options options;
        struct filter filter;
        assert_int_equal(make(&options, &filter, cases[i]), EXIT_USAGE);
        assert_null(filter.source); /* nothing is left to be freed */
        done(&options);
    }
}

static void a_value_may_be_empty_where_that_is_one(void **state)
{
    (void)state;
    struct options options;
    struct filter filter;
    const char *const words[] = {"--label", "tenant=", "--payload", "user.name=", "--source", "User", NULL};
    assert_int_equal(make(&options, &filter, words), 0);
    assert_string_equal(filter.filter.labels[0].value, "");
    assert_string_equal(filter.filter.payload[0].equals, "");
    assert_null(filter.filter.payload[0].contains);
    assert_string_equal(filter.filter.source_type, "User");
    assert_null(filter.filter.source_id);
    filter_done(&filter);
    done(&options);
}

static void times_and_ids_reach_the_filter(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t offset;
    } times[] = {{"--after", offsetof(struct joblog_filter, create_from_us)},
                 {"--before", offsetof(struct joblog_filter, create_before_us)},
                 {"--started-after", offsetof(struct joblog_filter, start_from_us)},
                 {"--started-before", offsetof(struct joblog_filter, start_before_us)},
                 {"--ended-after", offsetof(struct joblog_filter, end_from_us)},
                 {"--ended-before", offsetof(struct joblog_filter, end_before_us)}};
    struct options options;
    struct filter filter;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        const char *const words[] = {times[i].name, "2026-01-31T10:00:00Z", NULL};
        assert_int_equal(make(&options, &filter, words), 0);
        assert_false(filter_is_empty(&options.filter));
        for (size_t k = 0; k < sizeof times / sizeof times[0]; k++) {
            int64_t *at = (int64_t *)((char *)&filter.filter + times[k].offset);
            assert_int_equal(*at, k == i ? 1769853600000000 : 0);
        }
        filter_done(&filter);
    }
    const char *const ids[] = {"--id", "7", "--id=9007199254740993", NULL};
    assert_int_equal(make(&options, &filter, ids), 0);
    assert_false(filter_is_empty(&options.filter));
    assert_int_equal(filter.filter.n_ids, 2);
    assert_int_equal(filter.filter.ids[0], 7);
    assert_int_equal(filter.filter.ids[1], 9007199254740993);
    filter_done(&filter);
    done(&options);
}

static void two_begins_exclude_each_other(void **state)
{
    (void)state;
    static const char *const cases[][5] = {{"--since", "1h", "--after", "2026-01-31", NULL},
                                           {"--started-since", "1h", "--started-after", "2026-01-31", NULL},
                                           {"--ended-since", "1h", "--ended-after", "2026-01-31", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct options options;
        struct filter filter;
        assert_int_equal(make(&options, &filter, cases[i]), EXIT_USAGE);
        const char *const one[] = {cases[i][0], cases[i][1], NULL};
        int64_t before = units_now_us();
        assert_int_equal(make(&options, &filter, one), 0);
        int64_t from = filter.filter.create_from_us + filter.filter.start_from_us + filter.filter.end_from_us;
        assert_in_range(from, before - 3600000000, units_now_us() - 3600000000);
        filter_done(&filter);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_option_takes_nothing_for_all), cmocka_unit_test(the_first_moment_is_no_time),
        cmocka_unit_test(half_of_a_value_is_refused),      cmocka_unit_test(a_value_may_be_empty_where_that_is_one),
        cmocka_unit_test(times_and_ids_reach_the_filter),  cmocka_unit_test(two_begins_exclude_each_other),
    };
    setenv("TZ", "UTC", 1);
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
