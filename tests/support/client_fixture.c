/* See client_fixture.h. */
#include "support/client_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libpq-fe.h>
#include <stdio.h>

struct server_fixture *server;
struct joblog_client *client;

static char database[256];

const char *client_fixture_database(void)
{
    const char *made = NULL;
    if (!database[0] && pg_fixture_start() && (made = pg_fixture_database("client")))
        snprintf(database, sizeof database, "%s", made);
    return database[0] ? database : NULL;
}

bool client_fixture_sql(const char *sql)
{
    PGconn *conn = PQconnectdb(client_fixture_database());
    PGresult *result = PQexec(conn, sql);
    bool ok = PQresultStatus(result) == PGRES_COMMAND_OK;
    if (!ok)
        fprintf(stderr, "client_fixture: %.200s: %s", sql, PQerrorMessage(conn));
    PQclear(result);
    PQfinish(conn);
    return ok;
}

int client_fixture_start(const char *const *args)
{
    struct server_fixture_options options = {.database = client_fixture_database(), .args = args};
    server = options.database ? server_fixture_start(&options) : NULL;
    client = server ? joblog_connect(server_fixture_address(server), NULL, &error) : NULL;
    return client ? 0 : -1;
}

int client_fixture_setup(void **state)
{
    (void)state;
    return client_fixture_start(NULL);
}

struct joblog_job *client_fixture_wait(int64_t id)
{
    struct joblog_job *job = NULL;
    assert_ok(joblog_wait(client, id, 30000, &job, &error));
    return job;
}

struct joblog_dispatcher *client_fixture_dispatcher(struct joblog_client *of, size_t max_open)
{
    struct joblog_dispatcher *d = joblog_dispatcher_new(of, max_open, &error);
    if (!d)
        fail_msg("%s", error.message);
    return d;
}

int64_t client_fixture_waiting(const char *queue)
{
    struct joblog_queue *queues = NULL;
    size_t n_queues = 0;
    int64_t n = 0;
    if (joblog_list_queues(client, &queue, 1, &queues, &n_queues, NULL) >= 0 && n_queues == 1)
        n = queues[0].waiting;
    joblog_queues_free(queues);
    return n;
}

void client_fixture_await_job(const char *queue)
{
    const struct joblog_filter filter = {.queues = &queue, .n_queues = 1};
    struct joblog_watch *watch = joblog_watch_jobs(client, &filter, false, &error);
    const struct joblog_job *job = NULL;
    if (!watch || joblog_watch_next(watch, &job, &error) != 1)
        fail_msg("%s", error.message);
    joblog_watch_free(watch);
}

int client_fixture_teardown(void **state)
{
    (void)state;
    joblog_close(client);
    int code = server && server_fixture_pid(server) > 0 ? server_fixture_stop(server) : 0;
    server_fixture_free(server);
    pg_fixture_stop();
    database[0] = '\0';
    return code;
}
