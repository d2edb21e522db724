/* Calls of libpq that may block for longer than their caller can, such as those to a host that accepts a connection and
 * then says nothing. Each runs on a thread of its own; who waits for it may give it up, and then it ends by itself,
 * however long that takes. One thread a struct pg_aside but for its own. */
#ifndef PG_ASIDE_H
#define PG_ASIDE_H

#include <libpq-fe.h>
#include <stdbool.h>

struct pg_aside;

/* Each gives it (pg_aside_drop); NULL: out of memory or threads, or too many are under way. */

/* PQconnectdbParams, names expanded; both are copied. */
struct pg_aside *pg_aside_connect(const char *const *keys, const char *const *values);
/* PQpingParams, likewise. */
struct pg_aside *pg_aside_ping(const char *const *keys, const char *const *values);
/* PQcancel of what runs on c, which may be finished meanwhile. */
struct pg_aside *pg_aside_cancel(PGconn *c);

/* Has it ended? Waits for it, ms at most. */
bool pg_aside_wait(struct pg_aside *aside, int ms);
/* Of one that has ended: gives the connection, which may have failed (PQfinish; NULL: out of memory). */
PGconn *pg_aside_connection(struct pg_aside *aside);
/* Of one that has ended: did the server say anything, or was it not even asked (PQPING_NO_ATTEMPT)? */
bool pg_aside_answered(const struct pg_aside *aside);
/* Takes NULL, and what is still under way. */
void pg_aside_drop(struct pg_aside *aside);

#endif
