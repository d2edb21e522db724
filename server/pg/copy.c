/* Reading by COPY; see copy.h. On the thread of its owner. The socket is polled here so that a cancel is seen while the
 * server still counts, sorts or waits for a lock. */
#include "pg/copy.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "pg/aside.h"
#include "pg/sqlstate.h"

enum {
    SILENT_MAX = 2, /* one may be lost, or come to a host that is short of something */
    WAIT_MS = 100,
    CANCEL_MS = 500,
    REST_MS = 500,
    RESUME_MS = 1000,
    NAME_BYTES = 64,              /* as PostgreSQL keeps them */
    REST_ROW_BYTES = 1 << 20,     /* libpq keeps twice the longest row for as long as it has the connection */
    GATHER_AFTER_BYTES = 1 << 20, /* of rows: there are many of them, and they come fast */
    GATHER_NS = 200000            /* PostgreSQL writes some 32 KiB of rows meanwhile; the socket has room for more */
};

struct pg_copy {
    PGconn *c;
    struct pg_copy_options options;
    char *row;      /* of libpq; the one given last */
    size_t n_bytes; /* of rows so far */
    size_t longest; /* of them */
    bool rests;
    unsigned silent; /* questions in a row that the server did not answer; SILENT_MAX: it is gone */
    struct pg_aside *ping;
    char sqlstate[6];
};

/* For its lines in the log. */
static const char *about(const struct pg_copy *copy)
{
    return copy->options.about ? copy->options.about : "";
}

/* libpq says so when the server is gone and there is no result to tell it. */
static int lost(struct pg_copy *copy, const char *doing, struct err *err)
{
    log_warning("connection to the database lost %sdoing=%s text=\"%s\"", about(copy), doing, PQerrorMessage(copy->c));
    snprintf(copy->sqlstate, sizeof copy->sqlstate, "08006");
    return sqlstate_err(copy->sqlstate, err);
}

static int failed(struct pg_copy *copy, const PGresult *r, struct err *err)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    if (!state && PQstatus(copy->c) != CONNECTION_OK)
        return lost(copy, "reading", err);
    snprintf(copy->sqlstate, sizeof copy->sqlstate, "%s", state ? state : "XX000");
    log_warning("statement failed %ssqlstate=%s text=\"%s\"", about(copy), copy->sqlstate,
                text ? text : PQerrorMessage(copy->c));
    return sqlstate_err(copy->sqlstate, err);
}

/* A connection that says nothing may be one whose statement takes long, or whose server is gone without a word: behind
 * a proxy that holds the socket and forwards nothing, keepalives are answered. Another connection to the same server
 * tells. *io_since_ms: since when nothing has come, or when the server has answered since. */
static int listen_for_life(struct pg_copy *copy, int64_t *io_since_ms, struct err *err)
{
    int64_t now_ms = clock_mono_ms();
    if (copy->ping && pg_aside_wait(copy->ping, 0)) {
        copy->silent = pg_aside_answered(copy->ping) ? 0 : copy->silent + 1;
        pg_aside_drop(copy->ping);
        copy->ping = NULL;
        if (copy->silent == 0) /* else it is asked again at once */
            *io_since_ms = now_ms;
    }
    if (copy->silent >= SILENT_MAX) {
        log_warning("the database answers nothing any more %sms=%lld", about(copy),
                    (long long)copy->options.silence_ms);
        snprintf(copy->sqlstate, sizeof copy->sqlstate, "08006");
        return sqlstate_err(copy->sqlstate, err);
    }
    if (copy->options.silence_ms > 0 && !copy->ping && now_ms - *io_since_ms >= copy->options.silence_ms) {
        /* The host of this connection, not the first of a list that is there; the last word on each counts. */
        const char *const keys[] = {"connect_timeout", "dbname", "host", "hostaddr", "port", NULL};
        const char *address = PQhostaddr(copy->c);
        const char *const values[] = {
            "5", copy->options.uri, PQhost(copy->c), address && *address ? address : NULL, PQport(copy->c), NULL};
        copy->ping = pg_aside_ping(keys, values);
        *io_since_ms = now_ms;
    }
    return 0;
}

static int take_input(struct pg_copy *copy, struct err *err)
{
    pg_aside_drop(copy->ping); /* whatever it says */
    copy->ping = NULL;
    copy->silent = 0;
    return PQconsumeInput(copy->c) == 1 ? 0 : lost(copy, "reading", err);
}

/* Until something can be read, or has been sent. Returns 0, -code, or what tick gave. */
static int wait_input(struct pg_copy *copy, struct err *err)
{
    int64_t since_ms = clock_mono_ms();
    for (;;) {
        int rc = copy->options.tick(copy->options.user);
        if (rc == 0)
            rc = listen_for_life(copy, &since_ms, err);
        if (rc != 0)
            return rc;
        int unsent = PQflush(copy->c);
        if (unsent < 0)
            return lost(copy, "sending", err);
        struct pollfd p = {.fd = PQsocket(copy->c), .events = (short)(unsent ? POLLIN | POLLOUT : POLLIN)};
        if (poll(&p, 1, WAIT_MS) < 0 && errno != EINTR)
            return lost(copy, "waiting", err);
        if (p.revents & ~POLLOUT)
            return take_input(copy, err);
    }
}

/* The next result of what was sent; *ret NULL at the end. */
static int next_result(struct pg_copy *copy, PGresult **ret, struct err *err)
{
    while (PQisBusy(copy->c)) {
        int rc = wait_input(copy, err);
        if (rc != 0)
            return rc;
    }
    *ret = PQgetResult(copy->c);
    return 0;
}

/* Sends sql and reads to its end; each result is shown to look, if there is one. */
static int run(struct pg_copy *copy, const char *sql, void (*look)(const PGresult *r, void *user), void *user,
               struct err *err)
{
    if (PQsendQuery(copy->c, sql) != 1)
        return lost(copy, "sending", err);
    for (;;) {
        PGresult *r;
        int rc = next_result(copy, &r, err);
        if (rc != 0)
            return rc;
        if (!r)
            break;
        ExecStatusType status = PQresultStatus(r);
        if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
            rc = failed(copy, r, err);
        else if (look)
            look(r, user);
        PQclear(r);
        if (rc != 0)
            return rc;
    }
    return 0;
}

struct integer {
    int64_t value;
    bool found;
};

static void look_at_integer(const PGresult *r, void *user)
{
    struct integer *integer = user;
    if (PQntuples(r) == 0)
        return;
    integer->value = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    integer->found = true;
}

/* ---- columns ---- */

struct description {
    struct pg_copy_column *columns;
    size_t n;
};

static void look_at_columns(const PGresult *r, void *user)
{
    struct description *d = user;
    if (PQresultStatus(r) != PGRES_TUPLES_OK || d->columns)
        return;
    d->n = (size_t)PQnfields(r);
    d->columns = mem_zalloc(d->n * sizeof *d->columns);
    for (size_t i = 0; d->columns && i < d->n; i++)
        d->columns[i].type = PQftype(r, (int)i);
}

static void look_at_types(const PGresult *r, void *user)
{
    struct description *d = user;
    for (int row = 0; row < PQntuples(r); row++) {
        uint32_t type = (uint32_t)strtoul(PQgetvalue(r, row, 0), NULL, 10);
        for (size_t i = 0; i < d->n; i++)
            if (d->columns[i].type == type) {
                d->columns[i].category = *PQgetvalue(r, row, 1);
                d->columns[i].kind = *PQgetvalue(r, row, 2);
            }
    }
}

int pg_copy_describe(struct pg_copy *copy, const char *sql, struct pg_copy_column **ret, size_t *ret_n,
                     struct err *ret_err)
{
    struct description d = {0};
    struct buf types = BUF_INIT;
    int rc = run(copy, sql, look_at_columns, &d, ret_err);
    if (rc == 0 && !d.columns)
        rc = err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    buf_add_str(&types, "SELECT oid, typcategory, typtype FROM pg_catalog.pg_type WHERE oid IN (0");
    for (size_t i = 0; rc == 0 && i < d.n; i++)
        buf_printf(&types, ", %u", d.columns[i].type);
    buf_add_char(&types, ')');
    if (rc == 0 && types.failed)
        rc = err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    if (rc == 0)
        rc = run(copy, types.data, look_at_types, &d, ret_err);
    buf_done(&types);
    if (rc != 0) {
        mem_free(d.columns);
        return rc;
    }
    *ret = d.columns;
    *ret_n = d.n;
    return 0;
}

/* libpq's own receiver writes to standard error, which is the log; a caller's filter can provoke notices. */
static void notice(void *user, const PGresult *r)
{
    (void)user;
    log_debug("notice from the database text=\"%s\"", PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY));
}

static const char *idle_name(const struct pg_copy_options *options, char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "%s, idle", options->name);
    return name;
}

/* Into copy->c, NULL when not even that could be tried. 0, or what tick gave. */
static int connect_aside(struct pg_copy *copy, const char *const *keys, const char *const *values)
{
    struct pg_aside *aside = pg_aside_connect(keys, values);
    int rc = 0;
    while (aside && rc == 0 && !pg_aside_wait(aside, WAIT_MS))
        rc = copy->options.tick(copy->options.user);
    if (aside && rc == 0)
        copy->c = pg_aside_connection(aside);
    pg_aside_drop(aside);
    return rc;
}

/* The same file whatever the database's or the role's own settings are; for this transaction, so that one round trip
 * does for all of it. An application's name that the URI has stays. */
static void begin_sql(const struct pg_copy *copy, struct buf *out)
{
    char idle[NAME_BYTES];
    const char *name = PQparameterStatus(copy->c, "application_name");
    buf_add_str(out, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
                     "SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'postgres'; "
                     "SET LOCAL timezone = 'UTC'; SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1; "
                     "SET LOCAL xmloption = 'content'; SET LOCAL idle_in_transaction_session_timeout = 0");
    if (name && strcmp(name, idle_name(&copy->options, idle)) == 0)
        buf_printf(out, "; SET LOCAL application_name = '%s'", copy->options.name);
}

static int begin(struct pg_copy *copy, struct err *err)
{
    struct buf sql = BUF_INIT;
    begin_sql(copy, &sql);
    int rc =
        sql.failed ? err_set(err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory") : run(copy, sql.data, NULL, NULL, err);
    buf_done(&sql);
    return rc;
}

int pg_copy_open(const struct pg_copy_options *options, struct pg_copy **ret, struct err *ret_err)
{
    /* As pg_open's: a host that vanishes without a word is noticed within about 25 s, by a cancel as well. */
    const char *const keys[] = {"fallback_application_name",
                                "connect_timeout",
                                "keepalives_idle",
                                "keepalives_interval",
                                "keepalives_count",
                                "tcp_user_timeout",
                                "dbname",
                                "client_encoding",
                                NULL};
    char name[NAME_BYTES];
    const char *const values[] = {idle_name(options, name), "5", "10", "5", "3", "25000", options->uri, "UTF8", NULL};
    struct pg_copy *copy = mem_zalloc(sizeof *copy);
    if (!copy)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    copy->options = *options;
    int rc = connect_aside(copy, keys, values);
    if (rc != 0) {
        pg_copy_close(copy);
        return rc;
    }
    if (!copy->c || PQstatus(copy->c) != CONNECTION_OK || PQsetnonblocking(copy->c, 1) != 0) {
        log_warning("cannot connect to the database %stext=\"%s\"", about(copy),
                    copy->c ? PQerrorMessage(copy->c) : "out of memory");
        pg_copy_close(copy);
        return err_set(ret_err, ERR_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database cannot be reached");
    }
    PQsetNoticeReceiver(copy->c, notice, NULL);
    rc = begin(copy, ret_err);
    if (rc != 0) {
        pg_copy_close(copy);
        return rc;
    }
    *ret = copy;
    return 0;
}

/* ---- between two snapshots ---- */

/* Reads what was sent to its end. False: it failed, or has not ended by then. */
static bool settle(struct pg_copy *copy, int64_t until_ms)
{
    bool ok = true;
    for (;;) {
        while (PQisBusy(copy->c)) {
            int unsent = PQflush(copy->c);
            int64_t left_ms = until_ms - clock_mono_ms();
            struct pollfd p = {.fd = PQsocket(copy->c), .events = (short)(unsent ? POLLIN | POLLOUT : POLLIN)};
            if (unsent < 0 || left_ms <= 0 || (poll(&p, 1, (int)left_ms) < 0 && errno != EINTR))
                return false;
            if ((p.revents & ~POLLOUT) && PQconsumeInput(copy->c) != 1)
                return false;
        }
        PGresult *r = PQgetResult(copy->c);
        if (!r)
            return ok;
        ok = ok && PQresultStatus(r) == PGRES_COMMAND_OK;
        PQclear(r);
    }
}

bool pg_copy_rest(struct pg_copy *copy)
{
    if (copy->row)
        PQfreemem(copy->row);
    copy->row = NULL;
    pg_aside_drop(copy->ping);
    copy->ping = NULL;
    copy->options.about = NULL;
    copy->rests = copy->longest <= REST_ROW_BYTES && PQtransactionStatus(copy->c) == PQTRANS_INTRANS &&
                  PQsendQuery(copy->c, "COMMIT") == 1 && settle(copy, clock_mono_ms() + REST_MS) &&
                  PQsendQuery(copy->c, "DISCARD ALL") == 1 && PQflush(copy->c) >= 0; /* who resumes reads the answer */
    return copy->rests;
}

bool pg_copy_resume(struct pg_copy *copy, const struct pg_copy_options *options)
{
    struct buf sql = BUF_INIT;
    int64_t until_ms = clock_mono_ms() + RESUME_MS;
    copy->options = *options;
    copy->n_bytes = 0;
    copy->silent = 0;
    copy->sqlstate[0] = '\0';
    bool ok = settle(copy, until_ms);
    begin_sql(copy, &sql);
    ok = ok && !sql.failed && PQsendQuery(copy->c, sql.data) == 1 && settle(copy, until_ms);
    buf_done(&sql);
    copy->rests = !ok;
    return ok;
}

void pg_copy_close(struct pg_copy *copy)
{
    if (!copy)
        return;
    if (copy->row)
        PQfreemem(copy->row);
    pg_aside_drop(copy->ping);
    if (copy->c && !copy->rests && PQtransactionStatus(copy->c) == PQTRANS_ACTIVE && copy->silent < SILENT_MAX) {
        struct pg_aside *cancel = pg_aside_cancel(copy->c);
        if (cancel && !pg_aside_wait(cancel, CANCEL_MS))
            log_warning("the database does not take a cancel");
        pg_aside_drop(cancel);
    }
    PQfinish(copy->c);
    mem_free(copy);
}

int pg_copy_exec(struct pg_copy *copy, const char *sql, struct err *ret_err)
{
    return run(copy, sql, NULL, NULL, ret_err);
}

int pg_copy_int(struct pg_copy *copy, const char *sql, int64_t *ret, struct err *ret_err)
{
    struct integer integer = {0};
    int rc = run(copy, sql, look_at_integer, &integer, ret_err);
    if (rc == 0 && !integer.found)
        rc = err_set(ret_err, ERR_INTERNAL, NULL, "the database gave no row");
    if (rc == 0)
        *ret = integer.value;
    return rc;
}

int pg_copy_start(struct pg_copy *copy, const char *sql, struct err *ret_err)
{
    PGresult *r = NULL;
    if (PQsendQuery(copy->c, sql) != 1)
        return lost(copy, "sending", ret_err);
    int rc = next_result(copy, &r, ret_err);
    if (rc != 0)
        return rc;
    if (!r)
        return lost(copy, "reading", ret_err);
    if (PQresultStatus(r) != PGRES_COPY_OUT)
        rc = failed(copy, r, ret_err);
    PQclear(r);
    return rc;
}

/* After the last row: did it end well? */
static int end_of_rows(struct pg_copy *copy, struct err *err)
{
    PGresult *r = NULL;
    int rc = next_result(copy, &r, err);
    if (rc != 0)
        return rc;
    if (!r)
        return lost(copy, "reading", err);
    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        rc = failed(copy, r, err);
    PQclear(r);
    while (rc == 0) {
        rc = next_result(copy, &r, err);
        if (rc != 0 || !r)
            break;
        PQclear(r);
    }
    return rc;
}

/* PostgreSQL sends 8 KiB at a time. Who waits for each of them is woken for each, and to wake costs the process that
 * copies, which is the one that all wait for, as much as to send: so a little is let come together. */
static int wait_rows(struct pg_copy *copy, struct err *err)
{
    if (copy->n_bytes < GATHER_AFTER_BYTES)
        return wait_input(copy, err);
    nanosleep(&(struct timespec){.tv_nsec = GATHER_NS}, NULL);
    return wait_input(copy, err);
}

int pg_copy_next(struct pg_copy *copy, struct span *ret_row, struct err *ret_err)
{
    bool looked = false; /* at what has arrived */
    if (copy->row) {
        PQfreemem(copy->row);
        copy->row = NULL;
    }
    for (;;) {
        int len = PQgetCopyData(copy->c, &copy->row, 1);
        if (len > 0) {
            *ret_row = span_of(copy->row, (size_t)len);
            copy->n_bytes += (size_t)len;
            copy->longest = (size_t)len > copy->longest ? (size_t)len : copy->longest;
            return 1;
        }
        if (len == -1)
            return end_of_rows(copy, ret_err);
        if (len < 0)
            return lost(copy, "reading rows", ret_err);
        int rc = 0;
        if (!looked && PQconsumeInput(copy->c) != 1)
            return lost(copy, "reading rows", ret_err);
        if (looked)
            rc = wait_rows(copy, ret_err);
        if (rc != 0)
            return rc;
        looked = !looked;
    }
}

int pg_copy_backend_pid(const struct pg_copy *copy)
{
    return PQbackendPID(copy->c);
}

const char *pg_copy_sqlstate(const struct pg_copy *copy)
{
    return copy->sqlstate;
}
