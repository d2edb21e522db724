/* The files and processes below embedded.c: the directory, its lock, the account, the programs of PostgreSQL, initdb,
 * and how a child is started. Private to server/pg. Same thread rules as embedded.h. */
#ifndef PG_EMBEDDED_CLUSTER_H
#define PG_EMBEDDED_CLUSTER_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct pg_cluster {
    char dir[PATH_MAX - 32]; /* absolute */
    char bin[64];            /* directory of initdb and postgres */
    char data[PATH_MAX];     /* what the programs get as -D */
    int dir_fd, lock_fd, log_fd;
    int data_fd; /* DIR/pg */
    uid_t uid;   /* under which postgres runs */
    gid_t gid;
    bool as_root; /* we are root: change to uid and gid, -D by descriptor */
    bool is_volatile;
};

/* Opens and locks dir, makes the cluster when there is none, writes joblog.conf. 0 or -code as embedded_pg_start.
 * On failure nothing is left open. */
int pg_cluster_open(struct pg_cluster *c, const char *dir, unsigned flags, struct err *err);

/* Closes what open opened and so gives up the lock. */
void pg_cluster_close(struct pg_cluster *c);

/* Starts argv (NULL-terminated, argv[0] a path) under the cluster's account, in a session of its own, with output to
 * DIR/pg.log, a bare environment and no descriptor but data_fd as 3. The kernel sends it death_signal when this thread
 * ends. The pid, or -1 with errno. data_fd is the directory that data names. */
pid_t pg_cluster_spawn(const struct pg_cluster *c, int data_fd, char *const argv[], int death_signal);

/* Waits for the end of a process (need not be a child) for so long. True when it has ended. */
bool pg_process_wait(pid_t pid, int timeout_ms);

/* Logs the last lines of pg.log as errors: the directory may be a temporary one that goes with the failed start. */
void pg_cluster_log_tail(const struct pg_cluster *c);

/* Stops a postmaster that a former joblogd left running on this cluster. False when it cannot be stopped. */
bool pg_cluster_stop_orphan(const struct pg_cluster *c);

#endif
