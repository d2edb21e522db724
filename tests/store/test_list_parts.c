/* Lists by parts: whatever filters are combined, the pages together hold each job that fits once and no other, in
 * order; and no page takes long because of jobs that lie in the way. */
#include "store_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"

static struct arena arena;

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

/* 1200 jobs over a month, of four lanes, in every state: those with i % 12 = 0 and all of the newest 250 wait. The
 * statements are run one by one. */
static const char *const some_jobs[] = {
    "select joblog.ensure_partitions(current_date - 90, current_date)",
    "insert into joblog.lane (queue, job_name) select 'q' || i % 2, 'n' || i / 2 from generate_series(0, 3) i",
    "create table public.made as select i, joblog.id_floor(now() - i * interval '40 min') + i as id,"
    " (select array_agg(lane_id order by lane_id) from joblog.lane)[1 + (i * 7 / 3) % 4] as lane_id,"
    " case when i < 250 or i % 12 = 0 then 1 when i % 97 = 1 then 2 when i % 5 = 2 then 4 when i % 11 = 3 then 5 else "
    "3 end"
    " as status from generate_series(1, 1200) i",
    "insert into joblog.job (id, run_time, lane_id, max_attempts, priority, owner, source_type, source_id, batch, "
    "labels,"
    " payload) select id, now(), lane_id, 1, i % 3, 'o' || i % 3, case when i % 150 = 77 then 'rare' when i % 4 > 0 "
    "then 't' || i % 2 end,"
    " case when i % 4 > 0 then (i % 6)::text end, case when i % 5 > 0 then 'b' || i % 2 end,"
    " case when i % 2 = 0 then '{\"half\": \"1\"}'::jsonb else '{}' end ||"
    " case when i % 150 = 3 then '{\"rare\": \"1\"}'::jsonb else '{}' end, jsonb_build_object('n', i % 10) from made",
    "insert into joblog.job_state (id, revision, last_token, run_time, start_time, end_time, lane_id, attempt,"
    " attempts_left, status, error_type, error_message) select id, 3 << 20, id, now(), joblog.id_time(id),"
    " joblog.id_time(id), lane_id, 1, 0, status, case when status = 4 then 'E' || i % 2 end,"
    " case when status = 4 then 'because of ' || i % 7 end from made where status > 2",
    /* Some have failed once, and wait again or run again. */
    "insert into joblog.job_state (id, revision, run_time, lane_id, attempt, attempts_left, status, error_type)"
    " select id, 3 << 20, now(), lane_id, 1, 1, 1, 'E0' from made where status < 3 and i % 8 = 4",
    "insert into joblog.waiting select lane_id, -(i % 3), i % 8 = 4, id from made where status = 1 and i % 10 > 0",
    "insert into joblog.scheduled select now() + interval '1 day', id, lane_id, 0, i % 8 = 4 from made"
    " where status = 1 and i % 10 = 0",
    "insert into joblog.lease (job_id, token, start_time, expire_time, lane_id) select id, id, now(), now() +"
    " interval '1 day', lane_id from made where status = 2",
    "analyze joblog.job",
    "create view public.now as select m.i, m.status, a.queue, a.job_name, j.*, t.error_type, t.error_message from made "
    "m"
    " join joblog.job j using (id) join joblog.lane a on a.lane_id = j.lane_id left join joblog.job_state t on t.id = "
    "j.id",
};

static const struct span q0[] = {{"q0", 2}}, n1[] = {{"n1", 2}}, e0[] = {{"E0", 2}};
static const struct label half[] = {{{"half", 4}, {"1", 1}}}, rare[] = {{{"rare", 4}, {"1", 1}}};
static const struct payload_match seven[] = {{.path = {"n", 1}, .has_equals = true, .text = {"7", 1}}};

/* Parts of a filter, and the same as SQL. */
static const struct {
    struct job_filter with;
    const char *sql;
} parts[] = {
    {{.n_ids = 0}, "true"},
    {{.queues = q0, .n_queues = 1}, "queue = 'q0'"},
    {{.queues = q0, .n_queues = 1, .names = n1, .n_names = 1}, "queue = 'q0' and job_name = 'n1'"},
    {{.owner = {"o1", 2}}, "owner = 'o1'"},
    {{.owner = {"nobody", 6}}, "owner = 'nobody'"},
    {{.source_type = {"t1", 2}}, "source_type = 't1'"},
    {{.source_type = {"rare", 4}}, "source_type = 'rare'"},
    {{.source_type = {"typo", 4}}, "source_type = 'typo'"},
    {{.source_type = {"t1", 2}, .source_id = {"3", 1}}, "source_type = 't1' and source_id = '3'"},
    {{.batch = {"b1", 2}}, "batch = 'b1'"},
    {{.labels = half, .n_labels = 1}, "labels @> '{\"half\": \"1\"}'"},
    {{.labels = rare, .n_labels = 1}, "labels @> '{\"rare\": \"1\"}'"},
    {{.error_types = e0, .n_error_types = 1}, "error_type = 'E0'"},
    {{.error_text = {"of 3", 4}}, "position('of 3' in error_message) > 0"},
    {{.payload = seven, .n_payload = 1}, "payload->>'n' = '7'"},
};
enum { PARTS = sizeof parts / sizeof *parts };

static void merge(struct job_filter *f, const struct job_filter *with)
{
    f->queues = with->n_queues ? with->queues : f->queues;
    f->n_queues += with->n_queues;
    f->names = with->n_names ? with->names : f->names;
    f->n_names += with->n_names;
    f->owner = with->owner.len ? with->owner : f->owner;
    f->source_type = with->source_type.len ? with->source_type : f->source_type;
    f->source_id = with->source_id.len ? with->source_id : f->source_id;
    f->batch = with->batch.len ? with->batch : f->batch;
    f->labels = with->n_labels ? with->labels : f->labels;
    f->n_labels += with->n_labels;
    f->error_types = with->n_error_types ? with->error_types : f->error_types;
    f->n_error_types += with->n_error_types;
    f->error_text = with->error_text.len ? with->error_text : f->error_text;
    f->payload = with->n_payload ? with->payload : f->payload;
    f->n_payload += with->n_payload;
}

/* All pages of a list: how many jobs, and a sum in which the place of each counts. */
static int64_t walk(struct store *s, const struct job_filter *f, bool oldest_first, int32_t limit, int64_t *ret_n)
{
    struct store_list list = {
        .cmd.op = STORE_LIST, .filter = *f, .oldest_first = oldest_first, .limit = limit, .arena = &arena};
    int64_t sum = 0, before = 0;

    *ret_n = 0;
    do {
        if (run_cmd(s, &list.cmd) < 0)
            fail_msg("list: %s", list.cmd.err.msg);
        assert_true(list.n_jobs <= (size_t)limit);
        for (size_t i = 0; i < list.n_jobs; i++)
            sum += ++*ret_n * (list.jobs[i].id % 100003);
        if (list.more && before)
            assert_true(oldest_first ? list.next_before_id > before : list.next_before_id < before);
        list.before_id = before = list.next_before_id;
        arena_reset(&arena);
    } while (list.more);
    return sum;
}

static void compare(struct store *s, const struct job_filter *f, const char *a, const char *b, bool oldest_first,
                    int32_t limit)
{
    char sql[1200];
    int64_t n, sum = walk(s, f, oldest_first, limit, &n);

    snprintf(
        sql, sizeof sql,
        "select coalesce(sum(place * (id %% 100003)), 0) from (select id, row_number() over (order by id %s) as place"
        " from public.now where %s and %s and (%u = 0 or %u >> status & 1 = 1)) x",
        oldest_first ? "" : "desc", a, b, f->status_mask, f->status_mask);
    if (sql_int(sql) != sum)
        fail_msg("%s and %s, statuses %x, %s first, %d a page: found %" PRId64 ", which is not what there is", a, b,
                 f->status_mask, oldest_first ? "oldest" : "newest", limit, n);
}

static void make_jobs(void)
{
    for (size_t i = 0; i < sizeof some_jobs / sizeof *some_jobs; i++)
        sql_value(some_jobs[i]);
    assert_int_equal(sql_int("select count(*) from public.now"), 1200);
}

/* Each pair of parts with some of the statuses; which ones, which order and how long a page varies from pair to pair,
 * so that over all of them everything is met with everything. */
static void test_filters_combined_find_what_there_is(void **state)
{
    static const unsigned masks[] = {0, 2, 4, 8, 16, 32, 2 | 4, 8 | 16, 16 | 32, 8 | 16 | 32, 2 | 8, 2 | 4 | 16};
    enum { MASKS = sizeof masks / sizeof *masks };
    static const int32_t limits[] = {50, 20, 1000};
    struct store *s = store_fresh(NULL);
    unsigned turn = 0;

    (void)state;
    make_jobs();
    for (size_t a = 0; a < PARTS; a++) {
        for (size_t b = a; b < (a ? PARTS : 1); b++) { /* the first stands for no part */
            struct job_filter f = parts[a].with;
            if (b != a)
                merge(&f, &parts[b].with);
            if (f.n_queues > 1 || f.n_labels > 1)
                continue;
            /* A part alone meets all statuses. */
            unsigned n = b == a ? MASKS : 2;
            for (unsigned i = 0; i < n; i++, turn++) {
                f.status_mask = masks[n > 2 ? i : turn * 5 % MASKS];
                /* The later part of a kind has taken the place of the earlier. */
                bool both = !(parts[a].with.owner.len && parts[b].with.owner.len) &&
                            !(parts[a].with.source_type.len && parts[b].with.source_type.len);
                compare(s, &f, both ? parts[a].sql : "true", parts[b].sql, turn % 2,
                        limits[turn % 7 == 6   ? 1
                               : turn % 3 == 1 ? 2
                                               : 0]);
            }
        }
    }
    store_close(s);
}

/* The first of 50 jobs, of which a few pages at most must consist: one ends when its time is up. */
static int64_t first_of(struct store *s, struct job_filter f)
{
    struct store_list list = {.cmd.op = STORE_LIST, .filter = f, .limit = 50, .arena = &arena};
    int64_t id = 0;
    size_t n = 0;

    for (int i = 0; n < 50 && i < 10; i++) {
        if (run_cmd(s, &list.cmd) < 0)
            fail_msg("list: %s", list.cmd.err.msg);
        if (n == 0 && list.n_jobs > 0)
            id = list.jobs[0].id;
        n += list.n_jobs;
        list.before_id = list.next_before_id;
        arena_reset(&arena);
    }
    assert_true(n >= 50);
    return id;
}

/* 20 000 jobs wait, newer than all that have ended, and as many are scheduled: a page does not walk through them. */
static void test_a_backlog_is_not_in_the_way(void **state)
{
    struct store *s = store_fresh(NULL);

    (void)state;
    make_jobs();
    sql_value(
        "insert into joblog.job (id, run_time, lane_id, max_attempts, priority, payload) select joblog.id_floor(now())"
        " + i, now(), (select min(lane_id) from joblog.lane where queue = 'q0') , 1, 0, '{}' from"
        " generate_series(100000, 140000) i");
    sql_value("insert into joblog.waiting select lane_id, 0, false, id from joblog.job where id % 2 = 0 and id >"
              " (select max(id) from made)");
    sql_value("insert into joblog.scheduled select now() + interval '1 day', id, lane_id, 0, false from joblog.job"
              " where id % 2 = 1 and id > (select max(id) from made)");
    int64_t completed = sql_int("select max(id) from made where status = 3"),
            newest = sql_int("select max(id) from joblog.job");
    assert_int_equal(first_of(s, (struct job_filter){.status_mask = 1u << JOB_COMPLETED}), completed);
    assert_int_equal(first_of(s, (struct job_filter){.status_mask = 1u << JOB_PENDING}), newest);
    assert_int_equal(first_of(s, (struct job_filter){.source_type = {"t1", 2}}),
                     sql_int("select max(id) from public.now where source_type = 't1'"));
    struct job_filter lane = {.status_mask = 1u << JOB_COMPLETED, .queues = q0, .n_queues = 1};
    assert_int_equal(first_of(s, lane), sql_int("select max(id) from public.now where status = 3 and queue = 'q0'"));
    store_close(s);
}

/* How many there are, which at most so many calls have to find. */
static size_t found_by(int calls, struct store *s, struct job_filter f)
{
    struct store_list list = {.cmd.op = STORE_LIST, .filter = f, .limit = 50, .arena = &arena};
    size_t n = 0;

    do {
        if (calls-- == 0)
            fail_msg("%zu jobs were found, and more may come", n);
        if (run_cmd(s, &list.cmd) < 0)
            fail_msg("list: %s", list.cmd.err.msg);
        n += list.n_jobs;
        list.before_id = list.next_before_id;
        arena_reset(&arena);
    } while (list.more);
    return n;
}

/* Among 100 000 jobs: a type that none has, one that a few have, and one that too many have for all of them to be read.
 */
static void test_types_that_hardly_any_job_has(void **state)
{
    struct store *s = store_fresh(NULL);
    struct job_filter none = {.source_type = {"Oder", 4}}, few = {.source_type = {"Few", 3}}, failed_few = few,
                      mine = few, many = {.source_type = {"Order", 5}};

    (void)state;
    sql_value("select joblog.ensure_partitions(current_date - 90, current_date)");
    sql_value("insert into joblog.lane (queue, job_name) values ('q', 'n')");
    sql_value("insert into joblog.job (id, run_time, lane_id, max_attempts, priority, owner, source_type, source_id,"
              " payload) select joblog.id_floor(now() - i * interval '1 min') + i, now(), 1, 1, 0, 'o' || i % 2,"
              " case when i % 2000 = 1999 then 'Few' when i between 1000 and 8000 then 'Order' else 'Other' end, i,"
              " '{}' from generate_series(1, 100000) i");
    sql_value("insert into joblog.job_state (id, revision, last_token, run_time, lane_id, attempt, attempts_left,"
              " status) select id, 3 << 20, id, now(), 1, 1, 0, case when source_id = '1999' then 4 else 3 end from"
              " joblog.job");
    sql_value("vacuum analyze joblog.job");
    assert_int_equal(found_by(1, s, none), 0);
    assert_int_equal(found_by(1, s, few), 50);
    failed_few.status_mask = 1u << JOB_FAILED;
    assert_int_equal(found_by(5, s, failed_few), 1); /* it may be slow to look at the states of 50 */
    mine.owner = SPAN_LIT("o0");                     /* they all are the other's */
    assert_int_equal(found_by(1, s, mine), 0);
    assert_int_equal(first_of(s, many), sql_int("select max(id) from joblog.job where source_type = 'Order'"));
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filters_combined_find_what_there_is),
        cmocka_unit_test(test_a_backlog_is_not_in_the_way),
        cmocka_unit_test(test_types_that_hardly_any_job_has),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
