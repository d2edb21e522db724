/* Lists, statistics, statuses, files of exports. */
#include "store_fixture.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "core/id.h"

static struct arena arena;

static struct store_list list(struct store *s, struct job_filter filter, int64_t before, int32_t limit)
{
    struct store_list l = {
        .cmd.op = STORE_LIST, .filter = filter, .before_id = before, .limit = limit, .arena = &arena};

    if (run_cmd(s, &l.cmd) < 0)
        fail_msg("list: %s", l.cmd.err.msg);
    for (size_t i = 1; i < l.n_jobs; i++)
        assert_true(l.jobs[i].id < l.jobs[i - 1].id);
    return l;
}

static size_t count(struct store *s, struct job_filter filter)
{
    return list(s, filter, 0, 1000).n_jobs;
}

enum { N_JOBS = 40 };

/* Four names in two queues; of each ten jobs in all statuses, with owners, sources, batches, labels. */
static void make_jobs(struct store *s, int64_t *ids)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    static const struct label labels[] = {{{"tier", 4}, {"gold", 4}}, {{"region", 6}, {"eu", 2}}};

    for (int i = 0; i < N_JOBS; i++) {
        struct job j = a_job(names[i % 4]);
        int64_t token;
        j.queue = i % 8 < 4 ? SPAN_LIT("q") : SPAN_LIT("r");
        j.owner = i % 2 ? SPAN_LIT("ana") : SPAN_LIT("bo");
        if (i % 5 == 0) {
            j.source_type = SPAN_LIT("User");
            j.source_id = i % 10 ? SPAN_LIT("1") : SPAN_LIT("2");
        }
        if (i < 10)
            j.batch = SPAN_LIT("first");
        if (i % 3 == 0) {
            j.labels = labels;
            j.n_labels = i % 2 ? 1 : 2;
        }
        switch (i / 8) {
        case 0:
            ids[i] = start_ok(s, j, &token);
            finish(s, ids[i], token, ATTEMPT_COMPLETED);
            break;
        case 1:
            ids[i] = start_ok(s, j, &token);
            finish(s, ids[i], token, ATTEMPT_FAILED);
            break;
        case 2:
            ids[i] = start_ok(s, j, &token);
            break;
        case 3:
            ids[i] = dispatch_ok(s, j);
            struct store_cancel c = {.cmd.op = STORE_CANCEL, .job_id = ids[i]};
            run_cmd(s, &c.cmd);
            break;
        default:
            j.run_us = i % 2 ? clock_wall_us() + INT64_C(3600000000) : 0;
            ids[i] = dispatch_ok(s, j);
        }
    }
}

static void test_list_by_each_filter(void **state)
{
    struct store *s = store_fresh(NULL);
    struct span names[] = {SPAN_LIT("a"), SPAN_LIT("d")}, queues[] = {SPAN_LIT("r")}, none[] = {SPAN_LIT("nobody")};
    struct label gold = {SPAN_LIT("tier"), SPAN_LIT("gold")}, eu = {SPAN_LIT("region"), SPAN_LIT("eu")};
    int64_t ids[N_JOBS];
    size_t labelled = 0;

    (void)state;
    make_jobs(s, ids);
    assert_int_equal(count(s, (struct job_filter){0}), N_JOBS);
    assert_int_equal(count(s, (struct job_filter){.ids = ids + 3, .n_ids = 5}), 5);
    assert_int_equal(count(s, (struct job_filter){.names = names, .n_names = 2}), 20);
    assert_int_equal(count(s, (struct job_filter){.names = names, .n_names = 2, .queues = queues, .n_queues = 1}), 10);
    assert_int_equal(count(s, (struct job_filter){.names = none, .n_names = 1}), 0);
    assert_int_equal(count(s, (struct job_filter){.owner = SPAN_LIT("ana")}), 20);
    assert_int_equal(count(s, (struct job_filter){.source_type = SPAN_LIT("User")}), 8);
    assert_int_equal(count(s, (struct job_filter){.source_type = SPAN_LIT("User"), .source_id = SPAN_LIT("2")}), 4);
    assert_int_equal(count(s, (struct job_filter){.batch = SPAN_LIT("first")}), 10);
    assert_int_equal(count(s, (struct job_filter){.labels = &gold, .n_labels = 1}), 14);
    assert_int_equal(count(s, (struct job_filter){.labels = &eu, .n_labels = 1}), 7);
    for (int status = JOB_PENDING; status <= JOB_CANCELLED; status++) {
        struct store_list l = list(s, (struct job_filter){.status_mask = 1u << status}, 0, 100);
        assert_int_equal(l.n_jobs, 8);
        for (size_t i = 0; i < l.n_jobs; i++)
            assert_int_equal(l.jobs[i].status, status);
        assert_int_equal(count(s, (struct job_filter){.status_mask = 1u << status, .owner = SPAN_LIT("ana")}), 4);
        assert_int_equal(count(s, (struct job_filter){.status_mask = 1u << status, .queues = queues, .n_queues = 1}),
                         4);
        labelled += count(s, (struct job_filter){.status_mask = 1u << status, .labels = &gold, .n_labels = 1});
    }
    assert_int_equal(labelled, 14);
    assert_int_equal(count(s, (struct job_filter){.status_mask = 1u << JOB_FAILED | 1u << JOB_RUNNING}), 16);
    assert_int_equal(count(s, (struct job_filter){.status_mask = 0x3e}), N_JOBS);
    assert_int_equal(count(s, (struct job_filter){.create_from_us = id_time_us(ids[39]) + 1000}), 0);
    assert_int_equal(count(s, (struct job_filter){.create_before_us = id_time_us(ids[0])}), 0);
    assert_int_equal(count(s, (struct job_filter){.create_from_us = id_time_us(ids[0])}), N_JOBS);
    store_close(s);
}

static void test_pages(void **state)
{
    struct store *s = store_fresh(NULL);
    struct job_filter filters[] = {{0},
                                   {.owner = SPAN_LIT("ana")},
                                   {.queues = (struct span[]){SPAN_LIT("q")}, .n_queues = 1},
                                   {.status_mask = 1u << JOB_PENDING | 1u << JOB_FAILED | 1u << JOB_RUNNING},
                                   {.status_mask = 1u << JOB_COMPLETED | 1u << JOB_FAILED}};
    int64_t ids[N_JOBS];
    struct store_list l;

    (void)state;
    make_jobs(s, ids);
    for (size_t f = 0; f < sizeof filters / sizeof filters[0]; f++) {
        size_t all = count(s, filters[f]), seen = 0;
        int64_t before = 0;
        do {
            l = list(s, filters[f], before, 3);
            assert_true(l.n_jobs == 3 || !l.more);
            seen += l.n_jobs;
            if (l.n_jobs) {
                assert_true(before == 0 || l.jobs[0].id < before);
                before = l.jobs[l.n_jobs - 1].id;
            }
        } while (l.more);
        assert_int_equal(seen, all);
    }
    l = list(s, (struct job_filter){0}, 0, 1);
    assert_int_equal(l.jobs[0].payload.len, 0);
    struct store_list with = {.cmd.op = STORE_LIST, .limit = 1, .with_payload = true, .arena = &arena};
    assert_int_equal(run_cmd(s, &with.cmd), 0);
    assert_true(span_eq(with.jobs[0].payload, SPAN_LIT("{}")));
    with.limit = 0;
    assert_int_equal(run_cmd(s, &with.cmd), -ERR_INVALID_ARGUMENT);
    assert_string_equal(with.cmd.err.field, "page_size");
    store_close(s);
}

static void test_stats(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t ids[N_JOBS], sums[JOB_STATUS_COUNT] = {0};
    struct store_stats st = {.cmd.op = STORE_STATS, .arena = &arena};
    struct span queues[] = {SPAN_LIT("r")}, names[] = {SPAN_LIT("b")};

    (void)state;
    make_jobs(s, ids);
    st.from_us = clock_wall_us() - INT64_C(3600000000);
    st.to_us = clock_wall_us() + INT64_C(3600000000);
    assert_int_equal(run_cmd(s, &st.cmd), 0);
    assert_int_equal(st.n_rows, 8);
    int64_t runs = 0, in_hist = 0, dispatched = 0, failed = 0;
    for (size_t i = 0; i < st.n_rows; i++) {
        if (i)
            assert_true(span_cmp(st.rows[i - 1].name, st.rows[i].name) <= 0);
        for (int k = 1; k < JOB_STATUS_COUNT; k++)
            sums[k] += st.rows[i].counts[k];
        runs += st.rows[i].sums.n_runs;
        dispatched += st.rows[i].sums.dispatched;
        failed += st.rows[i].sums.failed;
        for (int k = 0; k < HISTOGRAM_BUCKETS; k++)
            in_hist += st.rows[i].sums.run_hist[k];
    }
    for (int k = 1; k < JOB_STATUS_COUNT; k++)
        assert_int_equal(sums[k], 8);
    assert_int_equal(runs, 16);
    assert_int_equal(in_hist, 16);
    assert_int_equal(dispatched, N_JOBS);
    assert_int_equal(failed, 8);
    st.queues = queues;
    st.n_queues = 1;
    st.names = names;
    st.n_names = 1;
    assert_int_equal(run_cmd(s, &st.cmd), 0);
    assert_int_equal(st.n_rows, 1);
    assert_int_equal(st.rows[0].sums.dispatched, 5);
    /* The counters survive a restart within the minute. */
    store_close(s);
    s = store_again(NULL);
    dispatch_ok(s, a_job("b"));
    assert_counters_exact();
    store_close(s);
}

static void test_statuses(void **state)
{
    struct store *s = store_fresh(NULL);
    struct store_statuses l = {.cmd.op = STORE_STATUSES, .language = SPAN_LIT("es"), .arena = &arena};

    (void)state;
    assert_int_equal(run_cmd(s, &l.cmd), 0);
    assert_int_equal(l.n_statuses, 5);
    assert_true(span_eq(l.statuses[1].label, SPAN_LIT("Ejecut\xc3\xa1ndose")));
    assert_true(span_eq(l.statuses[1].name, SPAN_LIT("running")));
    assert_true(span_eq(l.statuses[1].color, SPAN_LIT("blue")));
    assert_true(span_eq(l.statuses[1].icon, SPAN_LIT("play")));
    for (size_t i = 0; i < 5; i++)
        assert_true(span_eq(l.statuses[i].name, span_str(job_status_name(l.statuses[i].status))));
    sql_value("insert into joblog.status_catalogue values (3, 'de', 'Fertig')");
    l.language = SPAN_LIT("de");
    assert_int_equal(run_cmd(s, &l.cmd), 0);
    assert_true(span_eq(l.statuses[2].label, SPAN_LIT("Fertig")));
    assert_true(span_eq(l.statuses[0].label, SPAN_LIT("Pending")));
    /* A region falls back to its language, status by status; case and underscores make no difference. */
    sql_value("insert into joblog.status_catalogue values (5, 'es-MX', 'Suspendido')");
    const char *tags[] = {"es-MX", "es_mx", "ES-mx", "es", "ES", "es_ES", "es-419-x", "est", "xx", "", "-", "%"};
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        l.language = span_str(tags[i]);
        assert_int_equal(run_cmd(s, &l.cmd), 0);
        assert_int_equal(l.n_statuses, 5);
        assert_true(span_eq(l.statuses[0].label, span_str(i < 7 ? "Pendiente" : "Pending")));
        assert_true(span_eq(l.statuses[4].label, span_str(i < 3 ? "Suspendido" : i < 7 ? "Cancelado" : "Cancelled")));
    }
    /* What an operator changes shows at the next call. */
    sql_value("update joblog.status_look set color = 'cyan', icon = 'hourglass' where name = 'pending'");
    sql_value("update joblog.status_catalogue set label = 'Waiting' where status = 1 and language = 'en'");
    sql_value("delete from joblog.status_catalogue where status = 2 and language = 'en'");
    l.language = SPAN_LIT("en");
    assert_int_equal(run_cmd(s, &l.cmd), 0);
    assert_true(span_eq(l.statuses[0].color, SPAN_LIT("cyan")));
    assert_true(span_eq(l.statuses[0].icon, SPAN_LIT("hourglass")));
    assert_true(span_eq(l.statuses[0].label, SPAN_LIT("Waiting")));
    assert_true(span_eq(l.statuses[1].label, SPAN_LIT("running")));
    store_close(s);
}

static int setup(void **state)
{
    arena_init(&arena, NULL, 0, 0);
    return store_group_setup(state);
}

static int teardown(void **state)
{
    arena_done(&arena);
    return store_group_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_by_each_filter),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_stats),
        cmocka_unit_test(test_statuses),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
