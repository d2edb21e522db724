/* What libjoblog's tests stand on: a PostgreSQL, a joblogd on a database of it, and a client of that, one of each for a
 * test program. Main thread; not for product code. Use as a group fixture:
 *
 *     cmocka_run_group_tests(tests, client_fixture_setup, client_fixture_teardown) */
#ifndef SUPPORT_CLIENT_FIXTURE_H
#define SUPPORT_CLIENT_FIXTURE_H

#include <joblog/joblog.h>

#include "support/pg_fixture.h"
#include "support/server_fixture.h"

extern struct server_fixture *server;
extern struct joblog_client *client;
/* Of the test's own calls. Each file has one: libc has a function of this name, which a symbol would take the place of.
 */
static struct joblog_error error __attribute__((unused));

/* Fails the test with what the server said. */
#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) < 0)                                                                                                \
            fail_msg("%s: %s %s", #call, joblog_code_name(error.code), error.message);                                 \
    } while (0)

int client_fixture_setup(void **state);
/* The same with further arguments of joblogd (NULL-terminated; copied). */
int client_fixture_start(const char *const *args);
/* URI of the database, which is made when it is first asked for: before client_fixture_start for what must be there
 * when joblogd starts. NULL when that fails. Borrowed. */
const char *client_fixture_database(void);
/* Runs SQL on it that gives no rows. False after a line to stderr. */
bool client_fixture_sql(const char *sql);
/* A dispatcher of `of`; fails the test when there is none. */
struct joblog_dispatcher *client_fixture_dispatcher(struct joblog_client *of, size_t max_open);
/* The job once it has ended, for joblog_job_free; fails the test after 30 s. */
struct joblog_job *client_fixture_wait(int64_t id);
/* How many jobs wait in the queue; 0 while the server cannot say. */
int64_t client_fixture_waiting(const char *queue);
/* Returns once a job has been dispatched into the queue. */
void client_fixture_await_job(const char *queue);
/* Fails when joblogd ends with another code than 0. */
int client_fixture_teardown(void **state);

#endif
