/* How much of the memory the jobs in a worker's hands may take: a session that has so many bytes of leases gets no more
 * until some have ended, whatever its credit, and nobody else waits for that. */
#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JOBS = 40, LETTERS = 100000, HELD = 1 << 20 };
/* So many are more than HELD together; what a claim takes is a quarter of that, or one job, beyond. */
enum { FULL = HELD / LETTERS + 1, FULL_MAX = FULL + HELD / 4 / LETTERS + 1 };

static struct span letters(size_t n)
{
    static char text[1 << 20];

    memset(text, 'x', n);
    memcpy(text, "{\"a\":\"", 6);
    memcpy(text + n - 2, "\"}", 2);
    return span_of(text, n);
}

static void dispatch_large(struct store *s, const char *const *names, size_t n_names)
{
    static struct dispatch_item items[JOBS];
    struct store_dispatch d = {.cmd.op = STORE_DISPATCH, .items = items, .n_items = JOBS};

    memset(items, 0, sizeof items);
    for (size_t i = 0; i < JOBS; i++) {
        items[i].job = a_job(names[i % n_names]);
        items[i].job.payload = letters(LETTERS);
    }
    assert_int_equal(run_cmd(s, &d.cmd), 0);
}

static void complete_ok(struct store *s, int64_t id, int64_t token)
{
    assert_int_equal(finish(s, id, token, ATTEMPT_COMPLETED).cmd.err.code, ERR_OK);
}

static void large_jobs_come_as_they_fit(const char *const *names, size_t n_names)
{
    struct store *s = store_fresh(&(struct store_options){.held_bytes = HELD});
    struct worker w, other;
    int64_t ids[JOBS], tokens[JOBS], id, token;
    int n = 0;

    dispatch_large(s, names, n_names);
    w = worker_open(s, "w", "q");
    worker_credit(&w, JOBS);
    for (; n < FULL; n++)
        ids[n] = worker_lease(&w, &tokens[n]);
    /* The others go on. That one of them has got a job shows besides that the store has looked since. */
    other = worker_open(s, "other", "q");
    worker_credit(&other, 1);
    id = worker_lease(&other, &token);
    assert_in_range(store_session_leases(w.session), FULL, FULL_MAX);
    complete_ok(s, id, token);
    for (int i = 0; i < JOBS - 1; i++) {
        if (n <= i || (n < JOBS - 1 && n < i + FULL / 2))
            ids[n] = worker_lease(&w, &tokens[n]), n++;
        complete_ok(s, ids[i], tokens[i]);
    }
    assert_counters_exact();
    worker_close(&w, false);
    worker_close(&other, false);
    store_close(s);
}

static void test_large_jobs_come_as_they_fit(void **state)
{
    static const char *const names[] = {"a", "b", "c"};

    (void)state;
    large_jobs_come_as_they_fit(names, 1);
    large_jobs_come_as_they_fit(names, 3); /* looked at before they are claimed (order.c) */
}

static void test_what_is_merged_counts(void **state)
{
    struct store *s = store_fresh(&(struct store_options){.held_bytes = LETTERS});
    struct worker w = worker_open(s, "w", "q"), other;
    struct store_progress patch = {.cmd.op = STORE_PROGRESS, .payload_patch = letters(LETTERS)};
    int64_t token, id;

    (void)state;
    patch.job_id = dispatch_ok(s, a_job("a"));
    worker_credit(&w, 2);
    assert_int_equal(worker_lease(&w, &patch.token), patch.job_id);
    assert_int_equal(run_cmd(s, &patch.cmd), 0);
    id = dispatch_ok(s, a_job("a"));
    assert_int_equal(sql_int("select count(*) from joblog.waiting"), 1);
    other = worker_open(s, "other", "q");
    worker_credit(&other, 1);
    assert_int_equal(worker_lease(&other, &token), id);
    id = dispatch_ok(s, a_job("a"));
    assert_int_equal(sql_int("select count(*) from joblog.waiting"), 1);
    complete_ok(s, patch.job_id, patch.token);
    assert_int_equal(worker_lease(&w, &token), id);
    worker_close(&w, false);
    worker_close(&other, false);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_large_jobs_come_as_they_fit),
        cmocka_unit_test(test_what_is_merged_counts),
    };
    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
