/* Connections for files that nobody uses at present. A new process of PostgreSQL takes a page fault for each page of
 * shared memory that it touches, which was a fifth of what it took to store the chunks of a file. Any thread. */
#ifndef EXPORT_IDLE_H
#define EXPORT_IDLE_H

#include <stdint.h>

struct pg_conn;
struct export_idle;

enum { EXPORT_IDLE_MS = 120000 /* longer than this none is kept */ };

/* Gives it (export_idle_free); NULL: out of memory. */
struct export_idle *export_idle_new(void);
/* Closes what is there. Takes NULL. */
void export_idle_free(struct export_idle *idle);
/* Gives the one that was used last (pg_close, or export_idle_put); it may be broken. NULL: there is none, or idle is
 * NULL. */
struct pg_conn *export_idle_take(struct export_idle *idle);
/* Takes pg, between transactions; closes it when there are enough, or idle is NULL. */
void export_idle_put(struct export_idle *idle, struct pg_conn *pg, int64_t now_ms);
/* Closes those that have been there for EXPORT_IDLE_MS. */
void export_idle_trim(struct export_idle *idle, int64_t now_ms);

#endif
