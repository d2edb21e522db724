/* See store_fixture.h. */
#include "store_fixture.h"

#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/pg_fixture.h"

enum { PATIENCE_S = 20 };

struct waiter_state {
    pthread_mutex_t lock;
    pthread_cond_t fired;
    int n;
};

static char uri[1024];
static char sql_uri[sizeof uri]; /* what sql_conn is connected to */
static PGconn *sql_conn;
static int n_databases;
static struct arena texts; /* zeroed: an arena without a first buffer */

static void post(struct tag *tag, bool ok)
{
    struct waiter_state *s = ((struct waiter *)tag)->state;

    (void)ok;
    pthread_mutex_lock(&s->lock);
    s->n++;
    pthread_cond_signal(&s->fired);
    pthread_mutex_unlock(&s->lock);
}

struct waiter *waiter_new(void)
{
    struct waiter *w = calloc(1, sizeof *w);
    struct waiter_state *s = calloc(1, sizeof *s);

    assert_non_null(w);
    assert_non_null(s);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->fired, NULL);
    w->tag.post = post;
    w->state = s;
    return w;
}

void waiter_free(struct waiter *w)
{
    struct waiter_state *s = w->state;

    /* The poster may be about to leave the lock. */
    pthread_mutex_lock(&s->lock);
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->fired);
    free(s);
    free(w);
}

bool waiter_wait(struct waiter *w)
{
    struct waiter_state *s = w->state;
    struct timespec until;
    int rc = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&s->lock);
    while (s->n == 0 && rc == 0)
        rc = pthread_cond_timedwait(&s->fired, &s->lock, &until);
    if (s->n > 0)
        s->n--;
    pthread_mutex_unlock(&s->lock);
    return rc == 0;
}

int store_group_setup(void **state)
{
    (void)state;
    return pg_fixture_start() ? 0 : -1;
}

int store_group_teardown(void **state)
{
    (void)state;
    arena_done(&texts);
    PQfinish(sql_conn);
    sql_conn = NULL;
    pg_fixture_stop(); /* nothing when it was not started */
    return 0;
}

struct store *store_again(const struct store_options *options)
{
    struct store_options o = options ? *options : (struct store_options){0};
    struct err err = ERR_NONE;
    struct store *s;

    o.uri = uri;
    s = store_open(&o, &err);
    if (!s)
        fail_msg("store_open: %s", err.msg);
    return s;
}

struct store *store_fresh(const struct store_options *options)
{
    char name[32];
    const char *fresh;

    snprintf(name, sizeof name, "t%d", n_databases++);
    fresh = pg_fixture_database(name);
    assert_non_null(fresh);
    snprintf(uri, sizeof uri, "%s", fresh);
    return store_again(options);
}

void store_use(const char *other)
{
    snprintf(uri, sizeof uri, "%s", other);
}

const char *store_uri(void)
{
    return uri;
}

/* A connection that ended while nothing was asked of it is readable. */
static bool alive(PGconn *c)
{
    struct pollfd fd = {.fd = PQsocket(c), .events = POLLIN};

    return PQstatus(c) == CONNECTION_OK && poll(&fd, 1, 0) == 0;
}

/* To the database of the moment; kept, since to make one takes PostgreSQL longer than most statements. */
static PGconn *own_connection(void)
{
    if (sql_conn && (strcmp(sql_uri, uri) != 0 || !alive(sql_conn))) {
        PQfinish(sql_conn);
        sql_conn = NULL;
    }
    if (!sql_conn) {
        sql_conn = PQconnectdb(uri);
        snprintf(sql_uri, sizeof sql_uri, "%s", uri);
    }
    return sql_conn;
}

const char *sql_value(const char *sql)
{
    static char value[4096];
    PGconn *c = own_connection();
    PGresult *r = PQexec(c, sql);

    if (PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(c));
    snprintf(value, sizeof value, "%s", PQntuples(r) ? PQgetvalue(r, 0, 0) : "");
    PQclear(r);
    return value;
}

int64_t sql_int(const char *sql)
{
    return strtoll(sql_value(sql), NULL, 10);
}

void await_sql(const char *sql)
{
    for (int i = 0; i < 2000; i++) {
        if (sql_int(sql) == 1)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    fail_msg("did not come true: %s", sql);
}

int run_cmd(struct store *s, struct store_cmd *cmd)
{
    struct waiter *w = waiter_new();
    int rc;

    cmd->done = &w->tag;
    rc = store_submit(s, cmd, &cmd->err);
    if (rc == 0) {
        if (!waiter_wait(w))
            fail_msg("command %d was not answered", cmd->op);
        rc = -(int)cmd->err.code;
    }
    waiter_free(w);
    return rc;
}

struct job a_job(const char *name)
{
    return (struct job){
        .name = span_str(name),
        .queue = SPAN_LIT("q"),
        .payload = SPAN_LIT("{}"),
        .retry = {.max_attempts = 1, .initial_backoff_us = 1000000, .max_backoff_us = 600000000, .multiplier = 2}};
}

int64_t dispatch_ok(struct store *s, struct job job)
{
    struct dispatch_item item = {.job = job};
    struct store_dispatch d = {.cmd.op = STORE_DISPATCH, .items = &item, .n_items = 1};

    if (run_cmd(s, &d.cmd) < 0 || item.err.code)
        fail_msg("dispatch: %s %s", d.cmd.err.msg, item.err.msg);
    assert_true(item.job.id > 0);
    return item.job.id;
}

int64_t start_ok(struct store *s, struct job job, int64_t *ret_token)
{
    struct dispatch_item item = {.job = job, .start = true};
    struct store_dispatch d = {.cmd.op = STORE_DISPATCH, .items = &item, .n_items = 1};

    item.job.worker = SPAN_LIT("self");
    if (run_cmd(s, &d.cmd) < 0 || item.err.code)
        fail_msg("start: %s %s", d.cmd.err.msg, item.err.msg);
    assert_int_equal(item.job.status, JOB_RUNNING);
    *ret_token = item.lease_token;
    return item.job.id;
}

struct store_finish finish(struct store *s, int64_t id, int64_t token, enum attempt_outcome outcome)
{
    struct store_finish f = {.cmd.op = STORE_FINISH, .job_id = id, .token = token, .outcome = outcome};

    if (outcome == ATTEMPT_FAILED)
        f.error = (struct job_error){SPAN_LIT("Boom"), SPAN_LIT("it broke"), SPAN_LIT("at main.c:1")};
    run_cmd(s, &f.cmd);
    return f;
}

struct job get_ok(struct store *s, int64_t id)
{
    struct store_get g = {.cmd.op = STORE_GET, .id = id, .full = true, .arena = &texts};

    if (run_cmd(s, &g.cmd) < 0)
        fail_msg("get: %s", g.cmd.err.msg);
    return g.job;
}

struct worker worker_open(struct store *s, const char *name, const char *queue)
{
    struct worker w = {.store = s, .wake = waiter_new()};
    struct span queues = span_str(queue);
    struct store_session_open o = {.cmd.op = STORE_SESSION_OPEN,
                                   .worker = span_str(name),
                                   .version = SPAN_LIT("1"),
                                   .host = SPAN_LIT("here"),
                                   .pid = 7,
                                   .queues = &queues,
                                   .n_queues = 1,
                                   .wake = &w.wake->tag};

    if (run_cmd(s, &o.cmd) < 0)
        fail_msg("session: %s", o.cmd.err.msg);
    w.session = o.session;
    w.id = o.session_id;
    return w;
}

void worker_credit(struct worker *w, int32_t add)
{
    struct store_session_credit c = {.cmd.op = STORE_SESSION_CREDIT, .session = w->session, .add = add};

    assert_int_equal(run_cmd(w->store, &c.cmd), 0);
}

void worker_close(struct worker *w, bool keep_leases)
{
    struct store_session_close c = {.cmd.op = STORE_SESSION_CLOSE, .session = w->session, .keep_leases = keep_leases};

    assert_int_equal(run_cmd(w->store, &c.cmd), 0);
    waiter_free(w->wake);
}

struct delivery *worker_next(struct worker *w)
{
    struct delivery *d;

    while (!(d = store_session_take(w->session))) {
        if (!waiter_wait(w->wake))
            fail_msg("no delivery came");
    }
    return d;
}

int64_t worker_lease(struct worker *w, int64_t *ret_token)
{
    struct delivery *d = worker_next(w);
    int64_t id = d->job_id;

    assert_int_equal(d->kind, DELIVERY_LEASE);
    assert_int_equal(d->snapshot->job.id, id);
    assert_int_equal(d->snapshot->job.status, JOB_RUNNING);
    *ret_token = d->token;
    delivery_free(d);
    return id;
}

void assert_counters_exact(void)
{
    assert_string_equal(
        sql_value(
            "select count(*) from (select lane_id, status, count(*) n from joblog.job_now group by 1, 2) a"
            " full join (select lane_id, status, sum(n) n from joblog.tally_now group by 1, 2 having sum(n) <> 0) b"
            " using (lane_id, status) where a.n is distinct from b.n"),
        "0");
    assert_string_equal(sql_value("select (select coalesce(sum(dispatched), 0) from joblog.minute_now)"
                                  " - (select count(*) from joblog.job)"),
                        "0");
    /* Every pending job waits in exactly one place, and nothing else does. */
    assert_string_equal(
        sql_value("select count(*) from (select id from joblog.job_now where status = 1) a full join"
                  " (select id from joblog.waiting union all select id from joblog.scheduled) b using (id)"
                  " where a.id is null or b.id is null"),
        "0");
}
