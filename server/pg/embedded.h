/* A private PostgreSQL under a directory: `joblogd --embedded DIR`. Makes the cluster when there is none, runs
 * `postgres` as a child on a unix socket only, and stops it. Also used by the tests. Not thread-safe; call from the
 * main thread, before any other thread starts: the child is tied to the life of the thread that made it.
 *
 *   DIR/pg       the cluster; its joblog.conf is written anew at each start, its postgresql.conf is the operator's
 *   DIR/pg.log   what initdb and postgres say
 *   DIR/run      a link to the directory with the socket, while it runs: psql -h DIR/run joblog joblog
 *   DIR/lock     held while joblogd runs
 *
 * As root, everything runs under the owner of DIR/pg, at first the account `postgres` or else `nobody`. DIR may lie
 * where that account cannot go, such as below /root: postgres gets its directory as an open descriptor. */
#ifndef PG_EMBEDDED_H
#define PG_EMBEDDED_H

#include <sys/types.h>

#include "base/err.h"

struct embedded_pg;

enum embedded_pg_flags {
    EMBEDDED_PG_VOLATILE = 1, /* no fsync: a power failure destroys the cluster. For tests. */
};

/* Makes dir (borrowed) and its parents if need be, then the cluster and the database `joblog` if need be; starts
 * postgres and waits until it answers. Copes with what a killed joblogd or a killed postgres left behind: half-made
 * clusters are made again, a postgres that still runs on dir is stopped first. Should joblogd die, the kernel stops
 * postgres in an orderly way.
 * Gives *ret (embedded_pg_stop). 0 or -code: FAILED_PRECONDITION when the directory is in use, cannot be used or no
 * fitting PostgreSQL is installed, UNAVAILABLE when postgres does not come up. err's text is for the operator: it holds
 * paths and must not reach a client. */
int embedded_pg_start(const char *dir, struct embedded_pg **ret, struct err *err);
int embedded_pg_start_flags(const char *dir, unsigned flags, struct embedded_pg **ret, struct err *err);

/* Connection URI of the superuser `joblog` on the database `joblog`. Borrowed from e. */
const char *embedded_pg_uri(const struct embedded_pg *e);

/* Of the postmaster. Becomes a zombie when it dies before embedded_pg_stop: see it with a pidfd, do not reap it. */
pid_t embedded_pg_pid(const struct embedded_pg *e);

/* Fast shutdown: transactions that are open roll back, a checkpoint follows. Waits for the end, forces it after a
 * minute; then gives up socket and lock. Takes e; NULL is fine. */
void embedded_pg_stop(struct embedded_pg *e);

#endif
