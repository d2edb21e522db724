/* Connections that nobody uses at present: those that write files, and those that read rows. A new process of
 * PostgreSQL takes a page fault for each page of shared memory that it touches, which was a fifth of what it took to
 * store the chunks of a file; and to connect, and to fill its caches, takes some 40 ms. Any thread. */
#ifndef EXPORT_IDLE_H
#define EXPORT_IDLE_H

#include <stdbool.h>
#include <stdint.h>

struct export_idle;

enum { EXPORT_IDLE_MS = 120000 /* longer than this none is kept */ };

/* close: takes a connection. Gives it (export_idle_free); NULL: out of memory. */
struct export_idle *export_idle_new(void (*close)(void *conn));
/* Closes what is there. Takes NULL. */
void export_idle_free(struct export_idle *idle);
/* Gives the one that was used last (close, or export_idle_put); it may be broken. NULL: there is none, or idle is
 * NULL. */
void *export_idle_take(struct export_idle *idle);
/* Takes conn, between transactions, if there is room for it; false: there are enough, or idle is NULL, and it is still
 * the caller's. */
bool export_idle_put(struct export_idle *idle, void *conn, int64_t now_ms);
/* Closes those that have been there for EXPORT_IDLE_MS. Takes NULL. */
void export_idle_trim(struct export_idle *idle, int64_t now_ms);

#endif
