/* The server that the tests call, in the same process: its handlers tell the test where they are, so that no test has
 * to sleep. */
#ifndef TESTS_CRPC_ECHO_SERVER_H
#define TESTS_CRPC_ECHO_SERVER_H

#include <pthread.h>

#include "base/tag.h"
#include "crpc/client.h"
#include "crpc/credentials.h"
#include "crpc/server.h"
#include "echo.crpc.h"

enum { ECHO_TAGS = 512, ECHO_TIMES = 16 };

/* In the metadata of every call's answer: ECHO_INITIAL "yes" with the first, ECHO_TRAILING with the status. What Say is
 * asked for by metadata_key comes back under that key with "-echo" behind its name in both (before a "-bin"), and in
 * the response as metadata, or as data when the key is binary. */
#define ECHO_INITIAL  "x-echo"
#define ECHO_TRAILING "x-echo-end-bin"

struct echo {
    struct crpc_server *server;
    struct crpc_channel *channel; /* to it */
    char target[128];
    int port;
    void (*on_answer)(struct echo *e); /* before Defer answers, on its worker; NULL: nothing */

    pthread_mutex_t mu; /* the rest */
    pthread_cond_t changed;
    struct tag *tags[ECHO_TAGS]; /* of handlers that wait for a post; NULL: taken or gone */
    unsigned n_tags;             /* ever given */
    unsigned n_done;             /* done() of Defer, Count, Sum and Chat */
    unsigned n_cancelled;        /* of those, cancelled */
    unsigned n_gone;             /* cancels seen by the second chain of Defer with an event */
    unsigned n_sent;             /* messages that went out of Count and Chat */
    unsigned n_released;         /* bytes of crpc_send_bytes that were given back */
    unsigned n_received;         /* messages that came in, of Sum and Chat */
    unsigned n_ends;             /* ends of the client's stream, of Sum */
    unsigned n_said;             /* calls of Say */
    unsigned n_refuse;           /* so many more of Say fail with UNAVAILABLE */
    int64_t said_at_ms[ECHO_TIMES];
};

/* options NULL: defaults, with the domain echo.test. address NULL: 127.0.0.1:0. Fails the test on an error. */
void echo_start(struct echo *e, const struct crpc_server_options *options, const char *address);
/* The same with credentials for the server (NULL: plaintext) and options for the channel (NULL: defaults). */
void echo_start_with(struct echo *e, const struct crpc_server_options *options, const char *address,
                     struct crpc_server_credentials *credentials, const struct crpc_channel_options *channel_options);
/* Drains with the grace given, frees. */
void echo_stop(struct echo *e, int64_t grace_ms);

/* Wait for the handlers; each fails the test after 20 s. */
void echo_wait_done(struct echo *e, unsigned n);
void echo_wait_tags(struct echo *e, unsigned n);
void echo_wait_gone(struct echo *e, unsigned n);
void echo_wait_received(struct echo *e, unsigned n);
void echo_wait_sent(struct echo *e, unsigned n);
void echo_wait_released(struct echo *e, unsigned n);
/* Posts to the i-th tag ever given; false when its call is gone. once: forgets it. */
bool echo_post(struct echo *e, unsigned i, bool ok, bool once);

/* The next n calls of Say fail with UNAVAILABLE. */
void echo_refuse(struct echo *e, unsigned n);

/* One of the counters above, as it is now: handlers write them on other threads. */
unsigned echo_read(struct echo *e, const unsigned *counter);
/* Calls of Say so far. */
unsigned echo_said(struct echo *e);

/* Between what the test and an interceptor write for each other: core orders the two, but ThreadSanitizer does not see
 * into it. */
void echo_hand_over(void);

/* CMocka set-up and tear-down of a struct echo with defaults. */
int echo_setup(void **state);
int echo_teardown(void **state);

#endif
