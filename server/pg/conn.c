/* A connection in pipeline mode; see pg.h. Runs on the thread of its owner and must not be shared. Non-blocking inside:
 * while it waits for room to send it reads what arrives, since a server that cannot send stops reading. */
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "pg/aside.h"
#include "pg/pg.h"
#include "pg/sqlstate.h"

enum { GATHER_NS = 50000 };

struct pg_conn {
    PGconn *c;
    PGcancel *cancel;
    bool lost, failed;
    bool ended;   /* the end of the transaction has been sent */
    bool gathers; /* a long result is being read */
    int n_unread; /* statements sent whose results nobody read */
    char sqlstate[6];
    const char *expected; /* a SQLSTATE that is no fault at present */
};

static void log_result(const struct pg_conn *pg, const PGresult *r)
{
    const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    bool expected = state && (sqlstate_is_routine(state) || (pg->expected && strcmp(state, pg->expected) == 0));
    log_write(expected ? LOG_DEBUG : LOG_WARNING, "statement failed sqlstate=%s text=\"%.1000s\" detail=\"%.1000s\"",
              state ? state : "", text ? text : "", detail ? detail : "");
}

static void set_lost(struct pg_conn *pg, const char *doing)
{
    bool expected = pg->lost || (pg->expected && strcmp(pg->expected, PG_LOST) == 0);
    log_write(expected ? LOG_DEBUG : LOG_WARNING, "connection to the database lost doing=%s text=\"%s\"", doing,
              PQerrorMessage(pg->c));
    pg->lost = true;
    snprintf(pg->sqlstate, sizeof pg->sqlstate, PG_LOST);
}

/* While the database is away many threads try many times: the same failure is told once in five seconds. */
static void tell_refused(const char *text)
{
    enum { AGAIN_MS = 5000 };
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static uint32_t told_sum;
    static int64_t told_ms;
    uint32_t sum = crc32c(0, text, strlen(text));
    int64_t now_ms = clock_mono_ms();

    pthread_mutex_lock(&lock);
    bool again = told_ms > 0 && sum == told_sum && now_ms - told_ms < AGAIN_MS;
    if (!again) {
        told_sum = sum;
        told_ms = now_ms;
    }
    pthread_mutex_unlock(&lock);
    log_write(again ? LOG_DEBUG : LOG_WARNING, "cannot connect to the database text=\"%s\"", text);
}

static void notice(void *user, const PGresult *r)
{
    (void)user;
    log_debug("notice from the database text=\"%s\"", PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY));
}

struct patience {
    bool (*goes_on)(void *user); /* NULL: to the end */
    void *user;
};

/* False: it goes on no more. */
static bool connect_to(struct pg_conn *pg, const char *const *keys, const char *const *values,
                       const struct patience *patience)
{
    enum { ASK_MS = 50 };
    if (!patience->goes_on) {
        pg->c = PQconnectdbParams(keys, values, 1);
        return true;
    }
    struct pg_aside *aside = pg_aside_connect(keys, values);
    bool goes_on = true;
    while (aside && !pg_aside_wait(aside, ASK_MS) && goes_on)
        goes_on = patience->goes_on(patience->user);
    if (aside && goes_on)
        pg->c = pg_aside_connection(aside);
    pg_aside_drop(aside);
    return goes_on;
}

static int open_conn(const char *uri, const char *name, const struct patience *patience, struct pg_conn **ret,
                     struct err *ret_err)
{
    /* Later keywords win over earlier ones, and dbname is expanded when it holds a URI or a keyword string. A host that
     * vanishes without a word is noticed within about 25 s, idle or not. */
    const char *const keys[] = {"fallback_application_name",
                                "connect_timeout",
                                "keepalives_idle",
                                "keepalives_interval",
                                "keepalives_count",
                                "tcp_user_timeout",
                                "dbname",
                                "client_encoding",
                                NULL};
    const char *const values[] = {name, "5", "10", "5", "3", "25000", uri, "UTF8", NULL};
    struct pg_conn *pg = mem_zalloc(sizeof *pg);

    if (!pg)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    if (!connect_to(pg, keys, values, patience)) {
        pg_close(pg);
        return err_set(ret_err, ERR_CANCELLED, NULL, "connecting was given up");
    }
    if (!pg->c || PQstatus(pg->c) != CONNECTION_OK) {
        tell_refused(pg->c ? PQerrorMessage(pg->c) : "out of memory");
        pg_close(pg);
        return err_set(ret_err, ERR_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database cannot be reached");
    }
    PQsetNoticeReceiver(pg->c, notice, NULL);
    pg->cancel = PQgetCancel(pg->c);
    if (PQsetnonblocking(pg->c, 1) != 0 || PQenterPipelineMode(pg->c) != 1) {
        pg_close(pg);
        return err_set(ret_err, ERR_INTERNAL, NULL, "the connection takes no pipeline");
    }
    *ret = pg;
    return 0;
}

int pg_open(const char *uri, const char *name, struct pg_conn **ret, struct err *ret_err)
{
    return open_conn(uri, name, &(struct patience){NULL, NULL}, ret, ret_err);
}

int pg_open_while(const char *uri, const char *name, bool (*goes_on)(void *user), void *user, struct pg_conn **ret,
                  struct err *ret_err)
{
    return open_conn(uri, name, &(struct patience){goes_on, user}, ret, ret_err);
}

void pg_close(struct pg_conn *pg)
{
    if (!pg)
        return;
    PQfreeCancel(pg->cancel);
    PQfinish(pg->c);
    mem_free(pg);
}

bool pg_lost(const struct pg_conn *pg)
{
    return pg->lost;
}

bool pg_failed(const struct pg_conn *pg)
{
    return pg->failed || pg->lost;
}

void pg_expect(struct pg_conn *pg, const char *sqlstate)
{
    pg->expected = sqlstate;
}

const char *pg_sqlstate(const struct pg_conn *pg)
{
    return pg->sqlstate;
}

int pg_backend_pid(const struct pg_conn *pg)
{
    return PQbackendPID(pg->c);
}

int pg_socket(const struct pg_conn *pg)
{
    return PQsocket(pg->c);
}

static void set_failed(struct pg_conn *pg, const PGresult *r)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    if (!pg->failed) {
        snprintf(pg->sqlstate, sizeof pg->sqlstate, "%s", state ? state : "XX000");
        if (strcmp(pg->sqlstate, "JL001") != 0)
            log_result(pg, r);
    }
    pg->failed = true;
    if (PQstatus(pg->c) == CONNECTION_BAD)
        set_lost(pg, "reading");
}

int pg_exec(struct pg_conn *pg, const char *sql, struct err *ret_err)
{
    int rc = 0;
    if (pg->lost || PQexitPipelineMode(pg->c) != 1 || PQsetnonblocking(pg->c, 0) != 0) {
        set_lost(pg, "leaving the pipeline");
        return sqlstate_err(pg->sqlstate, ret_err);
    }
    PGresult *r = PQexec(pg->c, sql);
    if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK) {
        set_failed(pg, r);
        rc = sqlstate_err(pg->sqlstate, ret_err);
    }
    PQclear(r);
    pg->failed = false;
    if (PQstatus(pg->c) != CONNECTION_OK || PQsetnonblocking(pg->c, 1) != 0 || PQenterPipelineMode(pg->c) != 1) {
        set_lost(pg, "entering the pipeline");
        return sqlstate_err(pg->sqlstate, ret_err);
    }
    return rc;
}

/* PostgreSQL sends 8 KiB at a time. Who waits for each of them is woken for each, which costs both sides more than the
 * bytes do; the socket has room for what comes meanwhile. */
static void gather(void)
{
    nanosleep(&(struct timespec){.tv_nsec = GATHER_NS}, NULL);
}

/* Sends what is buffered, reading what arrives meanwhile. want_input: returns only when something arrived. */
static bool pump(struct pg_conn *pg, bool want_input)
{
    for (;;) {
        int unsent = PQflush(pg->c);
        if (unsent < 0) {
            set_lost(pg, "sending");
            return false;
        }
        if (unsent == 0 && !want_input)
            return true;
        struct pollfd p = {.fd = PQsocket(pg->c), .events = (short)(unsent ? POLLIN | POLLOUT : POLLIN)};
        if (poll(&p, 1, -1) < 0 && errno != EINTR) {
            set_lost(pg, "waiting");
            return false;
        }
        if (p.revents & ~POLLOUT) {
            if (PQconsumeInput(pg->c) != 1) {
                set_lost(pg, "reading");
                return false;
            }
            if (want_input && !PQisBusy(pg->c))
                return true;
            if (want_input && pg->gathers)
                gather();
        }
    }
}

/* Next PGresult; NULL at the end of a statement's results or when lost. */
static PGresult *get_result(struct pg_conn *pg)
{
    while (PQisBusy(pg->c)) {
        if (!pump(pg, true))
            return NULL;
    }
    return PQgetResult(pg->c);
}

void pg_send_prepare(struct pg_conn *pg, const char *name, const char *sql)
{
    if (pg->lost || PQsendPrepare(pg->c, name, sql, 0, NULL) != 1)
        set_lost(pg, "preparing");
    else
        pg->n_unread++;
}

int pg_prepare(struct pg_conn *pg, const char *name, const char *sql, struct err *ret_err)
{
    pg_send_prepare(pg, name, sql);
    return pg_commit(pg, ret_err);
}

void pg_send(struct pg_conn *pg, const char *name, struct pg_params *params)
{
    const char *values[PG_PARAMS_MAX];
    int lengths[PG_PARAMS_MAX], formats[PG_PARAMS_MAX];
    int n = params ? params->n : 0;
    if (pg->lost || pg->failed)
        return;
    if (n) {
        pg_params_finish(params);
        if (pg_params_failed(params)) {
            pg->failed = true;
            snprintf(pg->sqlstate, sizeof pg->sqlstate, "53200");
            return;
        }
    }
    for (int i = 0; i < n; i++) {
        values[i] = params->v[i].is_null ? NULL : params->v[i].buf.data ? params->v[i].buf.data : "";
        lengths[i] = (int)params->v[i].buf.len;
        formats[i] = 1;
    }
    if (PQsendQueryPrepared(pg->c, name, n, values, lengths, formats, 1) != 1) {
        set_lost(pg, name);
        return;
    }
    /* libpq sends by itself once 64 KiB have piled up; the rest leaves with pg_flush or pg_commit. */
    pg->n_unread++;
}

void pg_flush(struct pg_conn *pg)
{
    if (pg->lost)
        return;
    if (PQsendFlushRequest(pg->c) != 1) {
        set_lost(pg, "asking for results");
        return;
    }
    pump(pg, false);
}

void pg_push(struct pg_conn *pg)
{
    if (!pg->lost)
        pump(pg, false);
}

struct pg_result *pg_read(struct pg_conn *pg)
{
    if (pg->lost || pg->n_unread == 0)
        return NULL;
    PGresult *r = get_result(pg);
    if (!r) {
        set_lost(pg, "reading");
        return NULL;
    }
    pg->n_unread--;
    ExecStatusType status = PQresultStatus(r);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        if (status != PGRES_PIPELINE_ABORTED || !pg->failed)
            set_failed(pg, r);
        PQclear(r);
        r = NULL;
    }
    if (!pg->lost) {
        PGresult *end = get_result(pg);
        if (end) { /* a statement gives one result */
            PQclear(end);
            set_lost(pg, "reading the end of a result");
        }
    }
    return (struct pg_result *)r;
}

void pg_skip(struct pg_conn *pg, int n_left)
{
    while (!pg->lost && pg->n_unread > n_left)
        pg_free(pg_read(pg));
}

struct pg_result *pg_read_long(struct pg_conn *pg)
{
    pg->gathers = true;
    struct pg_result *r = pg_read(pg);
    pg->gathers = false;
    return r;
}

/* Sync, then everything up to its answer. */
static void finish_transaction(struct pg_conn *pg)
{
    if (pg->lost)
        return;
    if (!pg->ended && PQpipelineSync(pg->c) != 1) {
        set_lost(pg, "committing");
        return;
    }
    pg->ended = false;
    while (!pg->lost && pg->n_unread > 0)
        pg_free(pg_read(pg));
    while (!pg->lost) {
        PGresult *r = get_result(pg);
        ExecStatusType status = r ? PQresultStatus(r) : PGRES_COMMAND_OK;
        if (r && status != PGRES_PIPELINE_SYNC)
            set_failed(pg, r); /* the commit itself failed */
        PQclear(r);
        if (status == PGRES_PIPELINE_SYNC)
            return;
        if (!r && PQstatus(pg->c) != CONNECTION_OK)
            set_lost(pg, "committing");
    }
}

void pg_send_commit(struct pg_conn *pg)
{
    if (pg->lost || pg->failed)
        return;
    pg->ended = PQpipelineSync(pg->c) == 1;
    if (!pg->ended)
        set_lost(pg, "committing");
    else
        pump(pg, false);
}

void pg_interrupt(struct pg_conn *pg)
{
    char text[256];
    if (pg->cancel && !PQcancel(pg->cancel, text, sizeof text))
        log_debug("the database was not told to stop text=\"%s\"", text);
}

/* Until something can be read, or until_ms has come. */
static bool pump_until(struct pg_conn *pg, int64_t until_ms)
{
    int unsent = PQflush(pg->c);
    int64_t left_ms = until_ms - clock_mono_ms();
    struct pollfd p = {.fd = PQsocket(pg->c), .events = (short)(unsent ? POLLIN | POLLOUT : POLLIN)};
    if (unsent < 0 || left_ms <= 0 || (poll(&p, 1, (int)left_ms) < 0 && errno != EINTR))
        return false;
    return !(p.revents & ~POLLOUT) || PQconsumeInput(pg->c) == 1;
}

bool pg_answers(struct pg_conn *pg, int ms)
{
    int64_t until_ms = clock_mono_ms() + ms;
    bool ok = !pg->lost && PQpipelineSync(pg->c) == 1, said = false;
    while (ok && !said) {
        while (ok && PQisBusy(pg->c))
            ok = pump_until(pg, until_ms);
        PGresult *r = ok ? PQgetResult(pg->c) : NULL;
        said = PQresultStatus(r) == PGRES_PIPELINE_SYNC;
        ok = ok && (said || PQstatus(pg->c) == CONNECTION_OK) && (!r || said);
        PQclear(r);
    }
    if (!ok)
        set_lost(pg, "asking whether it is there");
    return ok;
}

int pg_commit(struct pg_conn *pg, struct err *ret_err)
{
    bool failed_here = pg->failed && !pg->ended; /* perhaps without the server's knowledge */

    if (failed_here) {
        pg_rollback(pg);
        return sqlstate_err(pg->sqlstate, ret_err);
    }
    finish_transaction(pg);
    pg->n_unread = 0;
    if (!pg->failed && !pg->lost)
        return 0;
    pg->failed = false;
    return sqlstate_err(pg->sqlstate, ret_err);
}

void pg_rollback(struct pg_conn *pg)
{
    if (!pg->lost) {
        if (PQsendQueryParams(pg->c, "rollback", 0, NULL, NULL, NULL, NULL, 1) != 1)
            set_lost(pg, "rolling back");
        else
            pg->n_unread++;
    }
    finish_transaction(pg);
    pg->n_unread = 0;
    pg->failed = false;
}

struct pg_result *pg_run(struct pg_conn *pg, const char *name, struct pg_params *params, struct err *ret_err)
{
    pg_send(pg, name, params);
    pg_flush(pg);
    struct pg_result *r = pg_read(pg);
    if (pg_commit(pg, ret_err) == 0 && r)
        return r;
    pg_free(r);
    return NULL;
}

bool pg_notified(struct pg_conn *pg, const char *channel, bool *ret_on_channel)
{
    bool others = false;
    *ret_on_channel = false;

    if (pg->lost)
        return false;
    if (PQconsumeInput(pg->c) != 1 || PQstatus(pg->c) != CONNECTION_OK) {
        set_lost(pg, "listening");
        return false;
    }
    for (PGnotify *n; (n = PQnotifies(pg->c)) != NULL; PQfreemem(n)) {
        if (strcmp(n->relname, channel) == 0)
            *ret_on_channel = true;
        else
            others |= n->be_pid != PQbackendPID(pg->c);
    }
    return others;
}
