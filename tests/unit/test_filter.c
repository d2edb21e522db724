/* The filter of core/job.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/id.h"
#include "core/job.h"

static const struct label labels[] = {{{"tier", 4}, {"gold", 4}}, {{"eu", 2}, {"1", 1}}};

static struct job a_job(void)
{
    struct id_maker m = {0};

    return (struct job){.id = id_make(&m, ID_EPOCH_US + 5000000),
                        .name = SPAN_LIT("mail"),
                        .queue = SPAN_LIT("q"),
                        .status = JOB_RUNNING,
                        .owner = SPAN_LIT("ana"),
                        .source_type = SPAN_LIT("User"),
                        .source_id = SPAN_LIT("42"),
                        .batch = SPAN_LIT("b"),
                        .labels = labels,
                        .n_labels = 2};
}

static bool matches(struct job_filter f)
{
    struct job j = a_job();

    return job_filter_matches(&f, &j);
}

static void test_each_part(void **state)
{
    struct span mail[] = {SPAN_LIT("x"), SPAN_LIT("mail")}, other[] = {SPAN_LIT("x")};
    int64_t ids[] = {1, a_job().id};
    struct label silver = {SPAN_LIT("tier"), SPAN_LIT("silver")};

    (void)state;
    assert_true(matches((struct job_filter){0}));
    assert_true(matches((struct job_filter){.ids = ids, .n_ids = 2}));
    assert_false(matches((struct job_filter){.ids = ids, .n_ids = 1}));
    assert_true(matches((struct job_filter){.names = mail, .n_names = 2}));
    assert_false(matches((struct job_filter){.names = other, .n_names = 1}));
    assert_false(matches((struct job_filter){.queues = other, .n_queues = 1}));
    assert_true(matches((struct job_filter){.status_mask = 1u << JOB_RUNNING | 1u << JOB_FAILED}));
    assert_false(matches((struct job_filter){.status_mask = 1u << JOB_FAILED}));
    assert_true(matches((struct job_filter){.owner = SPAN_LIT("ana"), .batch = SPAN_LIT("b")}));
    assert_false(matches((struct job_filter){.owner = SPAN_LIT("ana"), .batch = SPAN_LIT("c")}));
    assert_true(matches((struct job_filter){.source_type = SPAN_LIT("User")}));
    assert_false(matches((struct job_filter){.source_type = SPAN_LIT("User"), .source_id = SPAN_LIT("4")}));
    assert_true(matches((struct job_filter){.labels = labels + 1, .n_labels = 1}));
    assert_false(matches((struct job_filter){.labels = &silver, .n_labels = 1}));
    assert_true(matches((struct job_filter){.create_from_us = ID_EPOCH_US + 5000000}));
    assert_false(matches((struct job_filter){.create_from_us = ID_EPOCH_US + 5001000}));
    assert_true(matches((struct job_filter){.create_before_us = ID_EPOCH_US + 5001000}));
    assert_false(matches((struct job_filter){.create_before_us = ID_EPOCH_US + 5000000}));
}

static bool failed_matches(struct job_filter f)
{
    struct job j = a_job();

    j.status = JOB_FAILED;
    j.error = (struct job_error){.type = SPAN_LIT("Smtp"), .message = SPAN_LIT("host mx1 is away")};
    j.start_us = 1000;
    j.end_us = 2000;
    return job_filter_matches(&f, &j);
}

static void test_errors_and_times(void **state)
{
    struct span types[] = {SPAN_LIT("Disk"), SPAN_LIT("Smtp")};

    (void)state;
    assert_true(failed_matches((struct job_filter){.error_types = types, .n_error_types = 2}));
    assert_false(failed_matches((struct job_filter){.error_types = types, .n_error_types = 1}));
    assert_false(matches((struct job_filter){.error_types = types, .n_error_types = 2}));
    assert_true(failed_matches((struct job_filter){.error_text = SPAN_LIT("mx1")}));
    assert_true(failed_matches((struct job_filter){.error_text = SPAN_LIT("host mx1 is away")}));
    assert_false(failed_matches((struct job_filter){.error_text = SPAN_LIT("host mx1 is away.")}));
    assert_false(failed_matches((struct job_filter){.error_text = SPAN_LIT("MX1")}));
    assert_false(matches((struct job_filter){.error_text = SPAN_LIT("m")}));
    assert_true(failed_matches((struct job_filter){.start_from_us = 1000, .start_before_us = 1001}));
    assert_false(failed_matches((struct job_filter){.start_before_us = 1000}));
    assert_false(failed_matches((struct job_filter){.start_from_us = 1001}));
    assert_true(failed_matches((struct job_filter){.end_from_us = 2000, .end_before_us = 2001}));
    assert_false(failed_matches((struct job_filter){.end_before_us = 2000}));
    assert_false(failed_matches((struct job_filter){.end_from_us = 2001}));
    /* What has not ended is in no range of ends. */
    assert_false(matches((struct job_filter){.end_before_us = INT64_MAX}));
    assert_true(job_filter_is_empty(&(struct job_filter){.n_ids = 0}));
    assert_false(job_filter_is_empty(&(struct job_filter){.error_text = SPAN_LIT("x")}));
    assert_false(job_filter_is_empty(&(struct job_filter){.n_error_types = 1}));
    assert_false(job_filter_is_empty(&(struct job_filter){.status_mask = 2}));
}

static void test_parts_that_no_index_knows_are_hashed(void **state)
{
    struct span type = SPAN_LIT("E");
    const struct payload_match a = {.path = SPAN_LIT("a"), .has_equals = true, .text = SPAN_LIT("1")};
    const struct payload_match b = {.path = SPAN_LIT("a"), .has_contains = true, .text = SPAN_LIT("1")};
    const struct job_filter all[] = {{.n_ids = 0},
                                     {.error_types = &type, .n_error_types = 1},
                                     {.error_text = SPAN_LIT("E")},
                                     {.start_from_us = 1},
                                     {.start_before_us = 1},
                                     {.end_from_us = 1},
                                     {.end_before_us = 1},
                                     {.payload = &a, .n_payload = 1},
                                     {.payload = &b, .n_payload = 1}};

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct arena arena;
        struct job_filter copy;
        arena_init(&arena, NULL, 0, 0);
        assert_true(job_filter_copy(&arena, &all[i], &copy));
        assert_true(job_filter_hash(&copy) == job_filter_hash(&all[i]));
        for (size_t k = 0; k < i; k++)
            assert_true(job_filter_hash(&all[k]) != job_filter_hash(&copy));
        arena_done(&arena);
    }
}

static void test_copy_is_deep_and_hash_tells_filters_apart(void **state)
{
    char name[] = "mail", owner[] = "ana";
    struct span names[] = {span_str(name), SPAN_LIT("y")};
    int64_t ids[] = {1, 2};
    struct job_filter f = {.names = names,
                           .n_names = 2,
                           .ids = ids,
                           .n_ids = 2,
                           .owner = span_str(owner),
                           .labels = labels,
                           .n_labels = 2},
                      copy;
    uint64_t hash = job_filter_hash(&f);
    struct arena a;

    (void)state;
    arena_init(&a, NULL, 0, 0);
    assert_true(job_filter_copy(&a, &f, &copy));
    name[0] = owner[0] = 'x';
    ids[1] = 9;
    assert_true(span_eq(copy.names[0], SPAN_LIT("mail")));
    assert_true(span_eq(copy.owner, SPAN_LIT("ana")));
    assert_int_equal(copy.ids[1], 2);
    assert_true(job_filter_hash(&copy) == hash);
    assert_true(job_filter_hash(&f) != hash);
    struct job_filter ab = {.owner = SPAN_LIT("ab"), .batch = SPAN_LIT("c")},
                      bc = {.owner = SPAN_LIT("a"), .batch = SPAN_LIT("bc")};
    assert_true(job_filter_hash(&ab) != job_filter_hash(&bc));
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_part),
        cmocka_unit_test(test_errors_and_times),
        cmocka_unit_test(test_parts_that_no_index_knows_are_hashed),
        cmocka_unit_test(test_copy_is_deep_and_hash_tells_filters_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
