/* Applies the embedded migrations, one transaction each, under an advisory lock so that replicas may start together.
 * Runs in store_open, on a connection of its own. Whoever asks for a table waits behind a migration that waits for it,
 * so one that does not get its lock lets go and comes again. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "migrations/migrations.h"
#include "store/engine.h"

static const char *const bootstrap =
    "select pg_advisory_lock(19022, 0);"
    "create schema if not exists joblog;"
    "create table if not exists joblog.migration (number int primary key, name text not null, sha256 text not null,"
    " time timestamptz not null default now());";

static int read_applied(struct pg_conn *pg, struct pg_result **ret, struct err *ret_err)
{
    int rc = pg_prepare(pg, "migration_list", "select number, sha256 from joblog.migration order by number", ret_err);

    if (rc < 0)
        return rc;
    *ret = pg_run(pg, "migration_list", NULL, ret_err);
    return *ret ? 0 : -(int)ret_err->code;
}

/* What is applied must be what this binary knows, from the first on. */
static int check_applied(const struct pg_result *r, struct err *ret_err)
{
    for (int i = 0; i < pg_rows(r); i++) {
        int number = (int)pg_int(r, i, 0);
        if (number > (int)migration_count)
            return err_set(ret_err, ERR_FAILED_PRECONDITION, "DATABASE_NEWER",
                           "the database has migration %d, this program knows only %zu: use a newer program", number,
                           migration_count);
        if (number != i + 1)
            return err_set(ret_err, ERR_FAILED_PRECONDITION, "MIGRATION_MISSING",
                           "migration %d of the database is missing before %d", i + 1, number);
        if (!span_eq(pg_text(r, i, 1), span_str(migrations[i].sha256)))
            return err_set(ret_err, ERR_FAILED_PRECONDITION, "MIGRATION_CHANGED",
                           "migration %d (%s) was applied with other contents than this program has", number,
                           migrations[i].name);
    }
    return 0;
}

enum { LOCK_TRIES = 60 };
static const char lock_sql[] = "set lock_timeout = '1s'";
static const struct timespec lock_pause = {.tv_sec = 1};

static int apply(struct pg_conn *pg, const struct migration *m, struct err *ret_err)
{
    struct buf sql = BUF_INIT;
    int rc;

    buf_add_str(&sql, "begin;\n");
    buf_add_str(&sql, m->sql);
    /* Name and checksum are of [a-z0-9_] by the build. */
    buf_printf(&sql, "\n;insert into joblog.migration (number, name, sha256) values (%d, '%s', '%s'); commit;",
               m->number, m->name, m->sha256);
    if (sql.failed) {
        buf_done(&sql);
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    }
    rc = pg_exec(pg, sql.data, ret_err);
    buf_done(&sql);
    if (rc < 0)
        return err_set(ret_err, ERR_FAILED_PRECONDITION, "MIGRATION_FAILED",
                       "migration %d (%s) failed and was undone; the log has the database's text", m->number, m->name);
    log_info("migration applied number=%d name=%s", m->number, m->name);
    return 0;
}

static int apply_when_free(struct pg_conn *pg, const struct migration *m, struct err *ret_err)
{
    int rc;
    pg_expect(pg, "55P03");
    for (int i = 0; (rc = apply(pg, m, ret_err)) != 0 && strcmp(pg_sqlstate(pg), "55P03") == 0; i++) {
        if (i == LOCK_TRIES) {
            rc = err_set(ret_err, ERR_FAILED_PRECONDITION, "MIGRATION_LOCKED",
                         "migration %d (%s) was not applied: for two minutes somebody has held a table that it needs "
                         "(pg_locks tells who, a pg_dump for one)",
                         m->number, m->name);
            break;
        }
        if (i == 0)
            log_warning("migration waits for a table that somebody holds number=%d name=%s", m->number, m->name);
        struct err undone = ERR_NONE;
        if (pg_exec(pg, "rollback", &undone) != 0)
            break;
        nanosleep(&lock_pause, NULL);
    }
    pg_expect(pg, NULL);
    return rc;
}

/* A migration leaves a constraint unvalidated rather than keep the server from starting. */
static int tell_unvalidated(struct pg_conn *pg, struct err *ret_err)
{
    static const char sql[] = "select distinct conrelid::regclass::text, conname::text from pg_constraint"
                              " where connamespace = 'joblog'::regnamespace and conparentid = 0 and not convalidated";
    int rc = pg_prepare(pg, "migration_unvalidated", sql, ret_err);
    struct pg_result *r = rc == 0 ? pg_run(pg, "migration_unvalidated", NULL, ret_err) : NULL;
    for (int i = 0; r && i < pg_rows(r); i++) {
        struct span table = pg_text(r, i, 0), name = pg_text(r, i, 1);
        log_warning(
            "rows of before break a constraint, which holds for new ones only: mend them, and ALTER TABLE VALIDATE"
            " CONSTRAINT table=%.*s constraint=%.*s",
            (int)table.len, table.data, (int)name.len, name.data);
    }
    rc = r ? 0 : -(int)ret_err->code;
    pg_free(r);
    return rc;
}

int migrate(struct pg_conn *pg, struct err *ret_err)
{
    struct pg_result *r = NULL;
    int rc = pg_exec(pg, bootstrap, ret_err);

    if (rc == 0)
        rc = pg_exec(pg, lock_sql, ret_err);
    if (rc == 0)
        rc = read_applied(pg, &r, ret_err);
    if (rc == 0)
        rc = check_applied(r, ret_err);
    for (size_t i = r ? (size_t)pg_rows(r) : 0; rc == 0 && i < migration_count; i++)
        rc = apply_when_free(pg, &migrations[i], ret_err);
    if (rc == 0)
        rc = tell_unvalidated(pg, ret_err);
    pg_free(r);
    /* The connection ends here, and the lock with it. */
    return rc;
}
