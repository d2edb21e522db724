/* Who gets which job first when jobs wait under several names and in several queues. */
#include "store_fixture.h"

#include <stdio.h>
#include <string.h>

static struct worker open_with(struct store *s, struct store_session_open o)
{
    struct worker w = {.store = s, .wake = waiter_new()};

    o.cmd.op = STORE_SESSION_OPEN;
    o.worker = SPAN_LIT("w");
    o.wake = &w.wake->tag;
    if (run_cmd(s, &o.cmd) < 0)
        fail_msg("session: %s", o.cmd.err.msg);
    w.session = o.session;
    w.id = o.session_id;
    return w;
}

static struct job a_job_in(const char *queue, const char *name)
{
    struct job j = a_job(name);

    j.queue = span_str(queue);
    return j;
}

/* Whatever their names: by priority, then by age. */
static void test_order_is_that_of_the_queue(void **state)
{
    static const int priorities[] = {0, 0, 9, 0, -3, 9, 0, 9};
    static const int order[] = {2, 5, 7, 0, 1, 3, 6, 4};
    static const char *const names[] = {"b", "a", "c", "b", "a", "a", "c", "b"};
    struct store *s = store_fresh(NULL);
    int64_t ids[8], token;
    struct worker w;

    (void)state;
    for (int i = 0; i < 8; i++) {
        struct job j = a_job(names[i]);
        j.priority = priorities[i];
        ids[i] = dispatch_ok(s, j);
    }
    w = worker_open(s, "w", "q");
    for (int i = 0; i < 8; i++) {
        worker_credit(&w, i == 3 ? 2 : 1);
        assert_int_equal(worker_lease(&w, &token), ids[order[i]]);
        if (i == 3)
            assert_int_equal(worker_lease(&w, &token), ids[order[++i]]);
    }
    assert_counters_exact();
    worker_close(&w, false);
    store_close(s);
}

static void dispatch_many(struct store *s, const char *const *queues, const char *const *names, size_t n_kinds,
                          struct dispatch_item *items, size_t n)
{
    struct store_dispatch d = {.cmd.op = STORE_DISPATCH, .items = items, .n_items = n};

    memset(items, 0, n * sizeof *items);
    for (size_t i = 0; i < n; i++)
        items[i].job = a_job_in(queues[i % n_kinds], names[i % n_kinds]);
    assert_int_equal(run_cmd(s, &d.cmd), 0);
}

/* More of each name than are looked at once, and unevenly spread. */
static void test_order_holds_beyond_one_look(void **state)
{
    enum { N = 3000 };
    static const char *const queues[] = {"q", "q", "q", "q"}, *const names[] = {"a", "a", "b", "a"};
    static struct dispatch_item items[N];
    struct store *s = store_fresh(NULL);
    struct worker w;
    int64_t token;

    (void)state;
    dispatch_many(s, queues, names, 4, items, N);
    w = worker_open(s, "w", "q");
    worker_credit(&w, N);
    for (int i = 0; i < N; i++)
        assert_int_equal(worker_lease(&w, &token), items[i].job.id);
    assert_counters_exact();
    worker_close(&w, false);
    store_close(s);
}

/* A backlog of one name that nobody may take yet does not keep another name's jobs from their worker. */
static void test_name_passes_a_backlog_of_another(void **state)
{
    enum { N = 1200 };
    static const char *const queues[] = {"q"}, *const names[] = {"a"};
    static struct dispatch_item items[N];
    struct span name = SPAN_LIT("b"), queue = SPAN_LIT("q");
    struct store *s = store_fresh(NULL);
    struct worker all, some;
    int64_t id, token;

    (void)state;
    dispatch_many(s, queues, names, 1, items, N);
    all = worker_open(s, "all", "q");
    some = open_with(s, (struct store_session_open){.names = &name, .n_names = 1, .queues = &queue, .n_queues = 1});
    id = dispatch_ok(s, a_job("b"));
    worker_credit(&all, 2);
    worker_credit(&some, 1);
    assert_int_equal(worker_lease(&some, &token), id);
    for (int i = 0; i < 2; i++)
        assert_int_equal(worker_lease(&all, &token), items[i].job.id);
    worker_close(&all, false);
    worker_close(&some, false);
    store_close(s);
}

static void take(struct worker *w, int n, int *ret_counts, const struct dispatch_item *items, size_t n_items)
{
    worker_credit(w, n);
    for (int i = 0; i < n; i++) {
        int64_t token, id = worker_lease(w, &token);
        for (size_t k = 0; k < n_items; k++)
            if (items[k].job.id == id)
                ret_counts[items[k].job.queue.data[0] - 'x']++;
    }
}

static void test_queues_share_by_weight(void **state)
{
    enum { N = 900 };
    static const char *const queues[] = {"x", "y", "z"}, *const names[] = {"a", "a", "b"};
    static struct dispatch_item items[N];
    struct span served[] = {SPAN_LIT("x"), SPAN_LIT("y"), SPAN_LIT("z")};
    int32_t weights[] = {6, 3, 1};
    struct store *s = store_fresh(NULL);
    struct worker w;
    int counts[3] = {0};

    (void)state;
    dispatch_many(s, queues, names, 3, items, N);
    w = open_with(s, (struct store_session_open){.queues = served, .n_queues = 3, .weights = weights});
    /* In one go, and one by one: shares are kept from claim to claim. */
    take(&w, 100, counts, items, N);
    assert_in_range(counts[0], 59, 61);
    assert_in_range(counts[1], 29, 31);
    assert_in_range(counts[2], 9, 11);
    for (int i = 0; i < 50; i++)
        take(&w, 1, counts, items, N);
    assert_in_range(counts[0], 89, 91);
    assert_in_range(counts[1], 44, 46);
    assert_in_range(counts[2], 14, 16);
    /* What one cannot use the others get: x ends, and what it did not use is not owed to it. */
    take(&w, 500, counts, items, N);
    assert_int_equal(counts[0], 300);
    assert_int_equal(counts[0] + counts[1] + counts[2], 650);
    assert_true(counts[2] > 80);
    dispatch_many(s, queues, names, 1, items, 300); /* x again */
    counts[0] = 0;
    take(&w, 100, counts, items, 300);
    assert_in_range(counts[0], 59, 68);
    assert_counters_exact();
    worker_close(&w, false);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_is_that_of_the_queue),
        cmocka_unit_test(test_order_holds_beyond_one_look),
        cmocka_unit_test(test_name_passes_a_backlog_of_another),
        cmocka_unit_test(test_queues_share_by_weight),
    };
    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
