/* Entries of the log of changes: what is written is read, by this version and by its neighbours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/change.h"

static const struct change retry = {.job_id = INT64_C(7402893457234),
                                    .revision = INT64_C(5) << JOB_REVISION_SHIFT,
                                    .time_us = INT64_C(1769817600000000),
                                    .attempt = 3,
                                    .status = JOB_PENDING,
                                    .retried_from = JOB_FAILED,
                                    .is_transition = true};

static void expect_same(const struct change *got, enum job_status retried_from)
{
    assert_int_equal(got->job_id, retry.job_id);
    assert_int_equal(got->revision, retry.revision);
    assert_int_equal(got->time_us, retry.time_us);
    assert_int_equal(got->attempt, retry.attempt);
    assert_int_equal(got->status, retry.status);
    assert_int_equal(got->retried_from, retried_from);
    assert_true(got->is_transition);
}

static void an_entry_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT;
    change_put(&buf, &retry);
    assert_int_equal(buf.len, CHANGE_BYTES);
    assert_int_equal(change_count(buf_span(&buf)), 1);
    struct change got = change_at(buf_span(&buf), 0);
    expect_same(&got, JOB_FAILED);
    /* Who wrote it before there was retried_from left its place empty; all else is where it was. */
    buf.data[CHANGE_BYTES - 2] = 0;
    got = change_at(buf_span(&buf), 0);
    expect_same(&got, 0);
    buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_entry_is_read_as_it_was_written)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
