/* What the store's tests share: a store on a fresh database of the fixture's cluster, and its commands made blocking.
 * Functions that end in _ok fail the test when the command fails. Main thread. */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store.h"

/* A tag that can be waited for, any number of times. */
struct waiter {
    struct tag tag;
    void *state;
};

struct waiter *waiter_new(void);
void waiter_free(struct waiter *w);
/* False after 20 seconds. */
bool waiter_wait(struct waiter *w);

/* A fresh database and a store on it. options NULL: defaults with a lease time-out of 30 s. */
struct store *store_fresh(const struct store_options *options);
/* On the database of the last store_fresh. */
struct store *store_again(const struct store_options *options);
const char *store_uri(void);
/* From now on store_again uses this database. */
void store_use(const char *uri);
int store_group_setup(void **state);
int store_group_teardown(void **state);

/* SQL on a connection of the test's own; one value as text, "" for none. In a static buffer. */
const char *sql_value(const char *sql);
int64_t sql_int(const char *sql);
/* Waits until the statement gives 1: for what a thread of the store does by itself and tells nobody. */
void await_sql(const char *sql);

/* Submits and waits. 0 or -code. */
int run_cmd(struct store *s, struct store_cmd *cmd);

/* A job with name, queue "q" and payload {}. */
struct job a_job(const char *name);
int64_t dispatch_ok(struct store *s, struct job job);
/* StartJob; gives the token. */
int64_t start_ok(struct store *s, struct job job, int64_t *ret_token);
struct store_finish finish(struct store *s, int64_t id, int64_t token, enum attempt_outcome outcome);
/* FULL; its texts live until the end of the test program. */
struct job get_ok(struct store *s, int64_t id);

struct worker {
    struct store *store;
    struct store_session *session;
    int64_t id;
    struct waiter *wake;
};

struct worker worker_open(struct store *s, const char *name, const char *queue);
void worker_credit(struct worker *w, int32_t add);
void worker_close(struct worker *w, bool keep_leases);
/* Waits for the next delivery; fails the test after 20 seconds. */
struct delivery *worker_next(struct worker *w);
/* The next delivery must be a lease: gives job and token. */
int64_t worker_lease(struct worker *w, int64_t *ret_token);

/* Counters equal a recount of the tables. */
void assert_counters_exact(void);

#endif
