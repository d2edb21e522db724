/* Applies the embedded migrations, one transaction each, under an advisory lock so that replicas may start together.
 * Runs in store_open, on a connection of its own. */
#include <inttypes.h>

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

int migrate(struct pg_conn *pg, struct err *ret_err)
{
    struct pg_result *r = NULL;
    int rc = pg_exec(pg, bootstrap, ret_err);

    if (rc == 0)
        rc = read_applied(pg, &r, ret_err);
    if (rc == 0)
        rc = check_applied(r, ret_err);
    for (size_t i = r ? (size_t)pg_rows(r) : 0; rc == 0 && i < migration_count; i++)
        rc = apply(pg, &migrations[i], ret_err);
    pg_free(r);
    /* The connection ends here, and the lock with it. */
    return rc;
}
