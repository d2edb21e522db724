/* Scopes: whatever a caller's scope and its filter are, the list of the database has exactly the jobs that
 * job_filter_matches lets through in memory; and statistics count no others. */
#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/list_ids.h"

enum { N_JOBS = 160, N_ROUNDS = 1500, PICKS_MAX = 3 };

static struct arena arena;
static unsigned seed;

static unsigned below(unsigned n)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 16) % n;
}

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* With all that LIKE would take for more than itself. */
static const char *const queues[] = {"mail",  "mail.fast",      "m%il",     "m_il",
                                     "sms\\", "joblog.exports", "joblog_x", "correo-ñ"};
static const char *const names[] = {"send", "send.now", "se%nd", "x_y", "joblog.export"};
static const char *const owners[] = {"", "ana", "ana.1", "an_", "an%", "bo", "ñandú"};
static const char *const patterns[] = {"*",   "mail*", "m%il", "m_il", "*\\", "joblog*", "*a*", "send", "s*d",
                                       "an_", "an%",   "ana*", "ana",  "bo",  "*ñ*",     "",    "x*y",  "*.*"};

static struct span pick(const char *const *of, size_t n)
{
    return span_str(of[below((unsigned)n)]);
}

static size_t pick_some(const char *const *of, size_t n, struct span *ret)
{
    size_t k = below(2) ? 0 : 1 + below(PICKS_MAX);
    for (size_t i = 0; i < k; i++)
        ret[i] = pick(of, n);
    return k;
}

static void make_jobs(struct store *s)
{
    for (int i = 0; i < N_JOBS; i++) {
        struct job j = a_job("");
        int64_t token;
        j.name = pick(names, COUNT(names));
        j.queue = pick(queues, COUNT(queues));
        j.owner = pick(owners, COUNT(owners));
        if (below(4) == 0)
            j.batch = SPAN_LIT("some");
        if (below(4) == 0)
            j.source_type = SPAN_LIT("User");
        if (below(2)) {
            int64_t id = start_ok(s, j, &token);
            if (below(4))
                finish(s, id, token, below(2) ? ATTEMPT_COMPLETED : ATTEMPT_FAILED);
        } else {
            j.run_us = below(2) ? clock_wall_us() + INT64_C(3600000000) : 0;
            dispatch_ok(s, j);
        }
    }
}

struct question {
    struct span queues[PICKS_MAX], names[PICKS_MAX], f_queues[PICKS_MAX], f_names[PICKS_MAX], owners[PICKS_MAX];
    int64_t ids[20];
    struct job_filter filter;
};

static void make_question(struct question *q, const struct job *jobs, size_t n_jobs)
{
    struct job_filter *f = &q->filter;
    memset(q, 0, sizeof *q);
    f->scope = (struct job_scope){.bounded = below(8) != 0,
                                  .own_only = below(3) == 0,
                                  .own = pick(owners, COUNT(owners)),
                                  .queues = q->queues,
                                  .job_names = q->names,
                                  .owners = q->owners};
    f->scope.n_queues = pick_some(patterns, COUNT(patterns), q->queues);
    f->scope.n_job_names = pick_some(patterns, COUNT(patterns), q->names);
    f->scope.n_owners =
        below(2) ? pick_some(patterns, COUNT(patterns), q->owners) : pick_some(owners, COUNT(owners), q->owners);
    f->names = q->f_names;
    f->queues = q->f_queues;
    f->ids = q->ids;
    if (below(3) == 0)
        f->n_names = pick_some(names, COUNT(names), q->f_names);
    if (below(3) == 0)
        f->n_queues = pick_some(queues, COUNT(queues), q->f_queues);
    if (below(4) == 0)
        f->owner = pick(owners, COUNT(owners));
    if (below(2))
        f->status_mask = 2 * below(32);
    if (below(5) == 0)
        f->batch = SPAN_LIT("some");
    if (below(5) == 0)
        f->source_type = SPAN_LIT("User");
    for (f->n_ids = below(5) ? 0 : 20; n_jobs && f->n_ids && q->ids[19] == 0;)
        for (size_t i = 0; i < 20; i++)
            q->ids[i] = jobs[below((unsigned)n_jobs)].id;
}

static struct store_list list(struct store *s, const struct job_filter *f, int64_t before, int32_t limit)
{
    struct store_list l = {.cmd.op = STORE_LIST, .filter = *f, .before_id = before, .limit = limit, .arena = &arena};
    if (run_cmd(s, &l.cmd) < 0)
        fail_msg("list: %s", l.cmd.err.msg);
    return l;
}

static void test_lists(void **state)
{
    struct store *s = store_fresh(NULL);
    size_t shown = 0, hidden = 0;
    (void)state;
    seed = 4711;
    make_jobs(s);
    struct job_filter none = {0};
    struct arena kept = arena;
    struct store_list all = list(s, &none, 0, 1000);
    assert_int_equal(all.n_jobs, N_JOBS);
    kept = arena;
    arena = (struct arena){0};
    for (int round = 0; round < N_ROUNDS; round++) {
        struct question q;
        make_question(&q, all.jobs, all.n_jobs);
        int64_t before = 0;
        size_t at = 0;
        /* Page by page: the order and the gaps count too. */
        for (bool more = true; more;) {
            int32_t limit = 1 + (int32_t)below(60);
            int64_t start_us = clock_mono_us();
            struct store_list l = list(s, &q.filter, before, limit);
            /* Nothing changes meanwhile: a short page would mean that the statement took too many, or that the time was
             * up. */
            if (l.more && l.n_jobs < (size_t)limit && clock_mono_us() - start_us < LIST_US)
                fail_msg("round %d: a page of %zu of %d jobs, and more to come", round, l.n_jobs, limit);
            for (size_t i = 0; i < l.n_jobs; i++, at++, shown++) {
                for (; at < all.n_jobs && !job_filter_matches(&q.filter, &all.jobs[at]); at++)
                    hidden++;
                if (at == all.n_jobs || all.jobs[at].id != l.jobs[i].id)
                    fail_msg("round %d: the database has a job too much, or memory one that it lacks", round);
            }
            more = l.more;
            before = l.next_before_id;
        }
        for (; at < all.n_jobs; at++)
            if (job_filter_matches(&q.filter, &all.jobs[at]))
                fail_msg("round %d: the database lacks a job", round);
        arena_reset(&arena);
    }
    assert_true(shown > N_ROUNDS && hidden > N_ROUNDS);
    arena_done(&kept);
    store_close(s);
}

static void test_stats(void **state)
{
    struct store *s = store_fresh(NULL);
    (void)state;
    seed = 42;
    make_jobs(s);
    struct job_filter none = {0};
    struct store_list all = list(s, &none, 0, 1000);
    for (int round = 0; round < 100; round++) {
        struct question q;
        make_question(&q, all.jobs, all.n_jobs);
        struct job_scope *scope = &q.filter.scope;
        scope->own_only = false;
        scope->n_owners = 0;
        struct store_stats stats = {.cmd.op = STORE_STATS,
                                    .names = q.f_names,
                                    .n_names = q.filter.n_names,
                                    .scope = *scope,
                                    .to_us = clock_wall_us() + 60000000,
                                    .from_us = clock_wall_us() - INT64_C(3600000000),
                                    .arena = &arena};
        if (run_cmd(s, &stats.cmd) < 0)
            fail_msg("stats: %s", stats.cmd.err.msg);
        int64_t counted = 0, dispatched = 0, expected = 0;
        for (size_t i = 0; i < stats.n_rows; i++) {
            assert_true(job_scope_holds_lane(scope, stats.rows[i].queue, stats.rows[i].name));
            dispatched += stats.rows[i].sums.dispatched;
            for (int k = 0; k < JOB_STATUS_COUNT; k++)
                counted += stats.rows[i].counts[k];
        }
        struct job_filter by_name = {.names = q.f_names, .n_names = q.filter.n_names};
        for (size_t i = 0; i < all.n_jobs; i++)
            expected += job_filter_matches(&by_name, &all.jobs[i]) &&
                        job_scope_holds_lane(scope, all.jobs[i].queue, all.jobs[i].name);
        assert_int_equal(counted, expected);
        assert_int_equal(dispatched, expected);
    }
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lists), cmocka_unit_test(test_stats)};
    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
