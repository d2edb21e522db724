/* The connection to a server. */
#ifndef JOBLOG_CLIENT_H
#define JOBLOG_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "joblog/error.h"

JOBLOG_BEGIN_DECLS

struct joblog_client;

struct joblog_options {
    /* The user on whose behalf it calls, which credentials must allow: jobs and exports belong to that one. NULL:
     * nobody else's; of a client without credentials user@host:program, for the audit trail. */
    const char *actor;
    int64_t timeout_ms; /* of each unary call, retries included; 0: 30000 */
    bool no_retry;      /* do not repeat calls that failed with UNAVAILABLE */
    /* While calls are under way: a connection on which nothing has come for keepalive_ms is asked whether it lives, and
     * is lost when nothing comes for keepalive_timeout_ms then. 0: 7000 and 8000, so that a worker is back, and goes on
     * with its jobs, within a lease time-out of 30 s; with a shorter one half of it in all. The server ends connections
     * that ask more often than every 5 s and say nothing else. With less than 6000 of keepalive_timeout_ms a connection
     * is lost, too, when the program reads none of its streams for that long. */
    int64_t keepalive_ms, keepalive_timeout_ms;

    /* Who calls, to the server: a token, or the text of the file token_file, which is read again when it changes. Both
     * NULL: $JOBLOG_TOKEN_FILE, else $JOBLOG_TOKEN, else that of the login for the address (`joblog login`), else, of a
     * server that this user runs on this machine, the administrator's. no_token: none at all. */
    const char *token, *token_file;
    bool no_token;
    /* TLS is used when tls or any of the texts is set, here, in $JOBLOG_TLS (1), $JOBLOG_TLS_CA, $JOBLOG_TLS_CERT,
     * $JOBLOG_TLS_KEY, $JOBLOG_TLS_SERVER_NAME, or in the login; never for unix sockets. All files are PEM. */
    bool tls;
    const char *ca_file;              /* who signs servers; NULL: the system's */
    const char *cert_file, *key_file; /* a client certificate; NULL: none */
    const char *server_name;          /* that the server's certificate must bear; NULL: the host of the address */
    /* A token is not sent unencrypted to another machine (FAILED_PRECONDITION, reason PLAINTEXT_REFUSED) unless this or
     * $JOBLOG_DANGEROUSLY_ALLOW_PLAINTEXT (1) is set. */
    bool allow_plaintext;
};

/* address: "HOST:PORT" or "unix:PATH"; NULL: $JOBLOG_SERVER, else the server of the last `joblog login`, else
 * "127.0.0.1:7420". Does not connect yet: a server that is away is an error of the first call. Borrows options (NULL:
 * defaults). Gives the client (joblog_close). NULL on failure. */
JOBLOG_API struct joblog_client *joblog_connect(const char *address, const struct joblog_options *options,
                                                struct joblog_error *error);
/* After every watch, worker, dispatcher and download of it has been freed. Takes NULL. */
JOBLOG_API void joblog_close(struct joblog_client *client);

JOBLOG_END_DECLS

#endif
