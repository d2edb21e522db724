/* A real joblogd as a child process, for tests: started on a free port (and a unix socket), waited for by its ready
 * line, stopped by SIGTERM or killed. Main thread; not for product code. The child dies with the thread that started
 * it.
 */
#ifndef SUPPORT_SERVER_FIXTURE_H
#define SUPPORT_SERVER_FIXTURE_H

#include <stdbool.h>
#include <sys/types.h>

struct server_fixture;

struct server_fixture_options {
    const char *database;    /* connection URI (pg_fixture_database); NULL: --embedded on a directory */
    const char *dir;         /* of --embedded; NULL: a temporary one that server_fixture_free removes */
    bool unix_socket;        /* listen on one as well */
    const char *const *args; /* further arguments, NULL-terminated; NULL: none. Such as "--lease-timeout-ms=500" */
};

/* Starts joblogd and waits until it is ready. The first start points XDG_CONFIG_HOME and XDG_STATE_HOME of this process
 * to a temporary directory, so that libjoblog finds the tokens of these servers and none of the user's own. options
 * (NULL: defaults) are copied. NULL on failure, after a line to stderr. The log of the server goes to stderr when
 * JOBLOG_TEST_LOG is set, else to a file that is printed when the server does not come up or ends with a code other
 * than 0. */
struct server_fixture *server_fixture_start(const struct server_fixture_options *options);
/* "127.0.0.1:PORT"; the same after a restart. Borrowed. */
const char *server_fixture_address(const struct server_fixture *f);
/* "unix:PATH"; NULL without unix_socket. Borrowed. */
const char *server_fixture_unix_address(const struct server_fixture *f);
/* Its directory: the log "joblogd.log", the socket, and without `database` and `dir` "data". Borrowed. */
const char *server_fixture_dir(const struct server_fixture *f);
/* The administrator's token of its database. Borrowed. */
const char *server_fixture_token(const struct server_fixture *f);
/* What calls with it stand as in records: "token:admin-…". Borrowed. */
const char *server_fixture_actor(const struct server_fixture *f);
/* The file that holds it. Borrowed. */
const char *server_fixture_token_file(const struct server_fixture *f);
/* 0 while it is down. */
pid_t server_fixture_pid(const struct server_fixture *f);
/* Text of the log file so far; gives it (free). NULL when there is none. */
char *server_fixture_log(const struct server_fixture *f);

/* SIGTERM, waits for the end. Exit code; 128 + signal when a signal ended it. */
int server_fixture_stop(struct server_fixture *f);
/* SIGTERM only. */
void server_fixture_terminate(struct server_fixture *f);
/* Waits for the end; as server_fixture_stop. */
int server_fixture_wait(struct server_fixture *f);
/* SIGKILL, waits for the end. */
void server_fixture_kill(struct server_fixture *f);
/* After stop or kill: starts it again with the same arguments, on the same directory and port. False on failure. */
bool server_fixture_restart(struct server_fixture *f);
/* Stops it if it runs, removes what is temporary. Takes NULL. */
void server_fixture_free(struct server_fixture *f);

/* Runs joblogd with args (NULL-terminated) to its end, for tests of its command line. Exit code; gives what it wrote
 * to stderr (free) if ret_stderr is not NULL. */
int server_fixture_run(const char *const *args, char **ret_stderr);

#endif
