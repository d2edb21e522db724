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
        cmocka_unit_test(test_copy_is_deep_and_hash_tells_filters_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
