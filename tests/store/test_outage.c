/* PostgreSQL goes away and comes back, or only the connection does, while commands are under way: nothing that was
 * acknowledged is lost, nothing is done twice. */
#include "store_fixture.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ftw.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "pg/pg.h"

enum { IN_FLIGHT = 64, TOTAL = 6000 };

/* A cluster of its own, since it is stopped and started: by the account postgres when the test runs as root. */
static char dir[] = "/tmp/joblog-outage-XXXXXX";

static void shell(const char *what)
{
    char command[1024];

    snprintf(command, sizeof command, "%s sh -c 'PATH=$PATH:$(pg_config --bindir); cd %s; %s' >>%s.log 2>&1",
             geteuid() == 0 ? "runuser -u postgres --" : "", dir, what, dir);
    if (system(command) != 0)
        fail_msg("%s failed, see %s.log", what, dir);
}

static int cluster_setup(void **state)
{
    char command[200];

    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(command, sizeof command, "chown postgres %s", dir);
    if (geteuid() == 0 && system(command) != 0)
        return -1;
    shell("initdb -D pg -U joblog -A trust -N");
    shell("printf \"fsync = off\\nlisten_addresses = \\047\\047\\nunix_socket_directories = \\047%s\\047\\n\" \"$PWD\" "
          ">>pg/postgresql.conf");
    shell("pg_ctl -D pg -l pg.log -w start");
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int cluster_teardown(void **state)
{
    char log[100];

    (void)state;
    shell("pg_ctl -D pg -m immediate -w stop");
    nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    snprintf(log, sizeof log, "%s.log", dir);
    remove(log);
    return 0;
}

/* A fresh database of it, and a store on that. */
static struct store *fresh_with(const struct store_options *options)
{
    static int n;
    char uri[200];

    snprintf(uri, sizeof uri, "host=%s user=joblog dbname=postgres", dir);
    store_use(uri);
    snprintf(uri, sizeof uri, "create database o%d", ++n);
    sql_value(uri);
    snprintf(uri, sizeof uri, "host=%s user=joblog dbname=o%d", dir, n);
    store_use(uri);
    return store_again(options);
}

static struct store *fresh(void)
{
    return fresh_with(NULL);
}

struct load {
    struct store *store;
    atomic_int n_started, n_done, n_acknowledged, n_failed;
    struct waiter *end;
};

struct slot {
    struct tag tag;
    struct load *load;
    struct dispatch_item item;
    struct store_dispatch dispatch;
};

/* Sends the next one or, with none left, reports the end. Runs on the store's thread. */
static void next(struct slot *s)
{
    struct load *l = s->load;
    struct err err;

    if (atomic_fetch_add(&l->n_started, 1) >= TOTAL) {
        if (atomic_fetch_add(&l->n_done, 1) + 1 == IN_FLIGHT)
            tag_post(&l->end->tag, true);
        return;
    }
    s->item = (struct dispatch_item){.job = a_job("mail")};
    s->dispatch =
        (struct store_dispatch){.cmd = {.op = STORE_DISPATCH, .done = &s->tag}, .items = &s->item, .n_items = 1};
    if (store_submit(l->store, &s->dispatch.cmd, &err) < 0)
        abort();
}

static void done(struct tag *tag, bool ok)
{
    struct slot *s = (struct slot *)tag;

    (void)ok;
    atomic_fetch_add(s->item.err.code || s->dispatch.cmd.err.code ? &s->load->n_failed : &s->load->n_acknowledged, 1);
    next(s);
}

static void run_load(struct load *l, struct slot *slots)
{
    memset(l, 0, sizeof *l);
    l->end = waiter_new();
    for (int i = 0; i < IN_FLIGHT; i++) {
        slots[i].tag.post = done;
        slots[i].load = l;
    }
}

static void start_load(struct slot *slots)
{
    for (int i = 0; i < IN_FLIGHT; i++)
        next(&slots[i]);
}

static void wait_for_acknowledged(struct load *l, int n)
{
    while (atomic_load(&l->n_acknowledged) < n)
        sched_yield();
}

static void check_load(struct load *l)
{
    assert_true(waiter_wait(l->end));
    assert_int_equal(l->n_acknowledged, TOTAL);
    assert_int_equal(l->n_failed, 0);
    assert_int_equal(sql_int("select count(*) from joblog.job"), TOTAL);
    assert_counters_exact();
    waiter_free(l->end);
}

static void test_connection_is_cut_again_and_again(void **state)
{
    struct slot *slots = calloc(IN_FLIGHT, sizeof *slots);
    struct load l;

    (void)state;
    run_load(&l, slots);
    l.store = fresh();
    start_load(slots);
    for (int i = 1; i <= 8; i++) {
        wait_for_acknowledged(&l, i * 400);
        sql_value(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'joblog writer'");
    }
    check_load(&l);
    store_close(l.store);
    free(slots);
}

static void test_postgres_restarts(void **state)
{
    struct slot *slots = calloc(IN_FLIGHT, sizeof *slots);
    static const char *const how[] = {"pg_ctl -D pg -l pg.log -m fast -w restart",
                                      "pg_ctl -D pg -l pg.log -m immediate -w restart"};
    struct load l;

    (void)state;
    for (int i = 0; i < 2; i++) {
        run_load(&l, slots);
        l.store = fresh();
        start_load(slots);
        wait_for_acknowledged(&l, 1000);
        shell(how[i]);
        check_load(&l);
        /* Readers come back too. */
        int64_t id = dispatch_ok(l.store, a_job("mail"));
        assert_int_equal(get_ok(l.store, id).status, JOB_PENDING);
        store_close(l.store);
    }
    free(slots);
}

static void test_leases_survive_a_restart(void **state)
{
    struct store *s = fresh();
    struct worker w = worker_open(s, "w1", "q");
    int64_t token, id;

    (void)state;
    worker_credit(&w, 2);
    id = dispatch_ok(s, a_job("mail"));
    worker_lease(&w, &token);
    shell("pg_ctl -D pg -l pg.log -m immediate -w restart");
    assert_int_equal(finish(s, id, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    id = dispatch_ok(s, a_job("mail"));
    assert_int_equal(worker_lease(&w, &token), id);
    assert_int_equal(finish(s, id, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    assert_counters_exact();
    worker_close(&w, false);
    store_close(s);
}

/* Stops the process that takes the log to the disk by itself some time later; while it sleeps, so that it holds no lock
 * that a commit waits for. */
static pid_t stop_flusher(void)
{
    static const char asleep[] = "select count(*) from pg_stat_activity"
                                 " where backend_type = 'walwriter' and wait_event = 'WalWriterMain'";
    pid_t flusher = (pid_t)sql_int("select pid from pg_stat_activity where backend_type = 'walwriter'");

    assert_true(flusher > 1);
    for (;;) {
        assert_int_equal(kill(flusher, SIGSTOP), 0);
        if (sql_int(asleep) == 1)
            return flusher;
        assert_int_equal(kill(flusher, SIGCONT), 0);
    }
}

/* Chunks do not wait for the disk; the answer does. */
static void test_what_was_deleted_stays_away(void **state)
{
    struct store *s = fresh();
    struct worker w = worker_open(s, "w1", "q");
    struct store_cleanup c = {.cmd.op = STORE_CLEANUP,
                              .status_mask = 1u << JOB_COMPLETED,
                              .before_us = clock_wall_us() + 60 * INT64_C(1000000),
                              .limit = 1000};
    int64_t token, id;
    pid_t flusher;
    int rc;

    (void)state;
    worker_credit(&w, 1);
    id = dispatch_ok(s, a_job("mail"));
    worker_lease(&w, &token);
    assert_int_equal(finish(s, id, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    flusher = stop_flusher();
    rc = run_cmd(s, &c.cmd);
    assert_int_equal(kill(flusher, SIGKILL), 0);
    assert_int_equal(rc, 0);
    shell("pg_ctl -D pg -l pg.log -m immediate -w restart");
    assert_int_equal(c.counts[JOB_COMPLETED], 1);
    assert_int_equal(sql_int("select count(*) from joblog.job"), 0);
    worker_close(&w, false);
    store_close(s);
}

static void test_the_end_does_not_wait_for_the_database(void **state)
{
    struct store *s = fresh();
    struct dispatch_item item = {.job = a_job("mail")};
    struct store_dispatch d = {.cmd.op = STORE_DISPATCH, .items = &item, .n_items = 1};

    (void)state;
    shell("pg_ctl -D pg -m immediate -w stop");
    store_hurry(s);
    /* Sooner than a waiter loses its patience, which is before reconnect_ms. */
    assert_int_equal(run_cmd(s, &d.cmd), -ERR_UNAVAILABLE);
    store_close(s);
    shell("pg_ctl -D pg -l pg.log -w start");
}

/* A batch waits for a lock while the database goes: whether it was done nobody knows, where an idle store may find the
 * connection lost with nothing under way. */
static void stop_in_mid_batch(struct store *s, struct store_cmd *cmd)
{
    PGconn *c = PQconnectdb(store_uri());
    struct waiter *answer = waiter_new();
    PGresult *r = PQexec(c, "begin; lock table joblog.job in access exclusive mode");

    assert_int_equal(PQresultStatus(r), PGRES_COMMAND_OK);
    PQclear(r);
    cmd->done = &answer->tag;
    assert_int_equal(store_submit(s, cmd, NULL), 0);
    await_sql("select (count(*) > 0)::int from pg_locks where relation = 'joblog.job'::regclass and not granted");
    shell("pg_ctl -D pg -m immediate -w stop");
    assert_true(waiter_wait(answer));
    assert_int_equal(cmd->err.code, ERR_UNAVAILABLE);
    waiter_free(answer);
    PQfinish(c);
}

static void test_database_stays_away(void **state)
{
    struct store_options o = {.reconnect_ms = 300};
    struct store *s = fresh_with(&o);
    struct worker w = worker_open(s, "w1", "q");
    struct dispatch_item item = {.job = a_job("mail")};
    struct store_dispatch d = {.cmd.op = STORE_DISPATCH, .items = &item, .n_items = 1};
    int64_t held, stray, token, got[2];
    char sql[300];

    (void)state;
    worker_credit(&w, 1);
    held = dispatch_ok(s, a_job("mail"));
    assert_int_equal(worker_lease(&w, &token), held);
    /* As if a claim had been committed whose answer never came. */
    stray = dispatch_ok(s, a_job("mail"));
    snprintf(sql, sizeof sql,
             "with w as (delete from joblog.waiting returning id, lane_id) insert into joblog.lease (job_id, token, "
             "session_id,"
             " start_time, lane_id) select id, 1, %lld, now(), lane_id from w",
             (long long)w.id);
    sql_value(sql);
    stop_in_mid_batch(s, &d.cmd);
    assert_int_equal(item.err.code, ERR_UNAVAILABLE);
    shell("pg_ctl -D pg -l pg.log -w start");
    /* The store finds back by itself, and gives the stray job to somebody who knows of it. */
    worker_credit(&w, 2);
    do {
        item = (struct dispatch_item){.job = a_job("mail")};
        run_cmd(s, &d.cmd);
    } while (d.cmd.err.code == ERR_UNAVAILABLE);
    assert_int_equal(d.cmd.err.code, ERR_OK);
    for (int i = 0; i < 2; i++) {
        int64_t t;
        got[i] = worker_lease(&w, &t);
        assert_int_equal(finish(s, got[i], t, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    }
    assert_true(got[0] == stray || got[1] == stray);
    /* What is held and known is left alone. */
    assert_int_equal(finish(s, held, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    worker_close(&w, false);
    store_close(s);
}

/* Whoever is in want of the database tries many times a second. */
static void test_what_cannot_be_reached_is_told_once(void **state)
{
    char uri[64], log[8192] = "";
    struct pg_conn *pg;
    struct err err = ERR_NONE;
    int fds[2], lines = 0;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    log_set_fd(fds[1]);
    for (int i = 0; i < 20; i++) {
        snprintf(uri, sizeof uri, "host=%s/nowhere%d dbname=x", dir, i < 10 ? 1 : 2);
        assert_int_equal(pg_open(uri, "test", &pg, &err), -ERR_UNAVAILABLE);
    }
    log_set_fd(2);
    close(fds[1]);
    assert_true(read(fds[0], log, sizeof log - 1) > 0);
    close(fds[0]);
    for (const char *at = log; (at = strstr(at, "cannot connect")); at++)
        lines++;
    assert_int_equal(lines, 2);
    assert_non_null(strstr(log, "nowhere1"));
    assert_non_null(strstr(log, "nowhere2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connection_is_cut_again_and_again),
        cmocka_unit_test(test_postgres_restarts),
        cmocka_unit_test(test_leases_survive_a_restart),
        cmocka_unit_test(test_what_was_deleted_stays_away),
        cmocka_unit_test(test_the_end_does_not_wait_for_the_database),
        cmocka_unit_test(test_database_stays_away),
        cmocka_unit_test(test_what_cannot_be_reached_is_told_once),
    };

    return cmocka_run_group_tests(tests, cluster_setup, cluster_teardown);
}
