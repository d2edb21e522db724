/* See rights_rig.h. */
#include "support/rights_rig.h"

#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <libpq-fe.h>

#include "auth/auth.h"
#include "base/clock.h"
#include "crpc/health.h"
#include "crpc/reflection.h"
#include "export/export.h"
#include "rpc/access.h"
#include "rpc/service.h"
#include "store/access.h"
#include "support/pg_fixture.h"

enum { TOKENS_MOST = 64 };

struct rig_token {
    char name[40];
    struct token_text text;
};

static struct {
    struct service service;
    struct access access;
    struct crpc_interceptor interceptors[2];
    struct crpc_health *health;
    struct crpc_reflection *reflection;
    struct crpc_server *server;
    struct export_types *types;
    char address[64], types_path[64];
    struct rig_token tokens[TOKENS_MOST];
    size_t n_tokens;
} rig;

/* ---- callers ---- */

struct waiter {
    struct tag tag;
    sem_t done;
};

static void waiter_post(struct tag *tag, bool ok)
{
    (void)ok;
    sem_post(&((struct waiter *)tag)->done);
}

static int ask(struct store_cmd *cmd, struct err *ret_err)
{
    struct waiter waiter = {.tag = {.post = waiter_post}};
    sem_init(&waiter.done, 0, 0);
    cmd->done = &waiter.tag;
    int rc = store_submit(rig.service.store, cmd, ret_err);
    if (rc != 0)
        return rc;
    sem_wait(&waiter.done);
    sem_destroy(&waiter.done);
    *ret_err = cmd->err;
    return -(int)cmd->err.code;
}

static struct rig_token *find(const char *name)
{
    for (size_t i = rig.n_tokens; i > 0; i--)
        if (strcmp(rig.tokens[i - 1].name, name) == 0)
            return &rig.tokens[i - 1];
    fail_msg("there is no caller %s", name);
    return NULL;
}

void rig_caller(const char *name, const struct identity *i)
{
    struct rig_token *token = &rig.tokens[rig.n_tokens++];
    struct err err = ERR_NONE;
    assert_true(rig.n_tokens <= TOKENS_MOST);
    snprintf(token->name, sizeof token->name, "%s", name);
    assert_int_equal(token_make(&token->text, &err), 0);
    struct store_token_create create = {
        .cmd = {.op = STORE_TOKEN_CREATE},
        .token = {.id = span_str(token->text.id),
                  .hash = span_of((const char *)token->text.hash, TOKEN_HASH_LEN),
                  .name = span_str(name),
                  .roles = i->roles,
                  .queues = i->queues,
                  .job_names = i->job_names,
                  .owners = i->owners,
                  .n_queues = i->n_queues,
                  .n_job_names = i->n_job_names,
                  .n_owners = i->n_owners,
                  .owner = i->owner,
                  .own_only = i->own_only,
                  .may_delegate = i->may_delegate,
                  .creator = SPAN_LIT("test"),
                  .create_us = clock_wall_us(),
                  .expire_us = i->expire_us},
    };
    if (ask(&create.cmd, &err) != 0)
        fail_msg("token %s: %s", name, err.msg);
    auth_token_made(rig.service.auth, &create.token);
}

/* In the database only, as another replica would do it: the server finds out by itself. */
void rig_revoke(const char *name)
{
    struct err err = ERR_NONE;
    struct store_token_revoke revoke = {.cmd = {.op = STORE_TOKEN_REVOKE},
                                        .id = span_str(find(name)->text.id),
                                        .actor = SPAN_LIT("test"),
                                        .now_us = clock_wall_us()};
    if (ask(&revoke.cmd, &err) != 0)
        fail_msg("revoke %s: %s", name, err.msg);
}

const char *rig_bearer(const char *name)
{
    return find(name)->text.text;
}

struct crpc_channel *rig_channel(const char *name, const char *user)
{
    char bearer[100];
    struct crpc_metadata metadata[2];
    struct crpc_channel_options options = {.metadata = metadata, .max_reconnect_ms = 200};
    struct err err = ERR_NONE;
    snprintf(bearer, sizeof bearer, "Bearer %s", name ? rig_bearer(name) : "");
    if (name)
        metadata[options.n_metadata++] = (struct crpc_metadata){"authorization", span_str(bearer)};
    if (user)
        metadata[options.n_metadata++] = (struct crpc_metadata){"joblog-actor", span_str(user)};
    struct crpc_channel *channel = crpc_channel_new(rig.address, &options, &err);
    if (!channel)
        fail_msg("channel: %s", err.msg);
    return channel;
}

/* ---- the server ---- */

const char *rig_address(void)
{
    return rig.address;
}

static int start_parts(struct err *err)
{
    static const char types[] = "{\"export_types\": [{\"name\": \"lanes\", \"title\": \"Lanes\","
                                " \"relation\": \"joblog.lane\", \"columns\": [{\"name\": \"lane_id\"}]},"
                                " {\"name\": \"slow\", \"title\": \"Slow\", \"relation\": \"public.slow\","
                                "  \"columns\": [{\"name\": \"nap\"}]},"
                                " {\"name\": \"long\", \"title\": \"Long\", \"relation\": \"public.long\","
                                "  \"columns\": [{\"name\": \"line\"}]}]}";
    strcpy(rig.types_path, "/tmp/joblog-rights-XXXXXX");
    int fd = mkstemp(rig.types_path);
    if (fd < 0 || write(fd, types, sizeof types - 1) != sizeof types - 1 || close(fd) != 0)
        return err_set(err, ERR_INTERNAL, NULL, "no temporary file");
    int rc = export_types_load(rig.types_path, &rig.types, err);
    unlink(rig.types_path);
    if (rc != 0)
        return rc;
    const char *uri = pg_fixture_start() ? pg_fixture_database("rights") : NULL;
    if (!uri)
        return err_set(err, ERR_INTERNAL, NULL, "no PostgreSQL");
    PGconn *db = PQconnectdb(uri);
    PGresult *made = PQexec(db, "CREATE VIEW public.slow AS SELECT pg_sleep(60)::text AS nap;"
                                "CREATE VIEW public.long AS"
                                " SELECT repeat('x', 1000) AS line FROM generate_series(1, 24000)");
    bool good = PQresultStatus(made) == PGRES_COMMAND_OK;
    PQclear(made);
    PQfinish(db);
    if (!good)
        return err_set(err, ERR_INTERNAL, NULL, "no views to export");
    drain_init(&rig.service.drain);
    rig.service.hub = hub_new();
    struct store_options options = {
        .uri = uri, .observer = service_observer(rig.service.hub), .lease_timeout_ms = 10000};
    rig.service.store = store_open(&options, err);
    if (!rig.service.store)
        return -(int)err->code;
    struct auth_options auth = {.store = rig.service.store};
    if (!(rig.service.auth = auth_new(&auth, err)))
        return -(int)err->code;
    struct export_options exports = {
        .uri = uri, .store = rig.service.store, .types = rig.types, /* taken */ .n_workers = 2, .ttl_ms = 3600000};
    return export_start(&exports, &rig.service.exports, err);
}

static int start_server(struct err *err)
{
    rig.access = (struct access){.auth = rig.service.auth};
    rig.interceptors[0] = access_log;
    rig.interceptors[1] = access_interceptor(&rig.access);
    struct crpc_server_options options = {
        .error_domain = "joblog", .interceptors = rig.interceptors, .n_interceptors = 2};
    int rc = 0, port = 0;
    rig.health = crpc_health_new();
    rig.reflection = crpc_reflection_new();
    rig.server = crpc_server_new(&options, err);
    if (!rig.server)
        return -(int)err->code;
    if ((rc = job_log_service_mount(rig.server, &rig.service, err)) != 0 ||
        (rc = worker_service_mount(rig.server, &rig.service, err)) != 0 ||
        (rc = access_service_mount(rig.server, &rig.service, err)) != 0 ||
        (rc = export_service_mount(rig.server, &rig.service, err)) != 0 ||
        (rc = crpc_health_mount(rig.health, rig.server, err)) != 0 ||
        (rc = services_reflect(rig.reflection, err)) != 0 ||
        (rc = crpc_reflection_mount(rig.reflection, rig.server, err)) != 0 ||
        (rc = crpc_server_listen(rig.server, "127.0.0.1:0", &port, err)) != 0)
        return rc;
    snprintf(rig.address, sizeof rig.address, "127.0.0.1:%d", port);
    return crpc_server_start(rig.server, err);
}

int rig_start(void **state)
{
    struct err err = ERR_NONE;
    (void)state;
    if (start_parts(&err) == 0 && start_server(&err) == 0)
        return 0;
    fprintf(stderr, "rights_rig: %s\n", err.msg);
    return -1;
}

int rig_stop(void **state)
{
    (void)state;
    crpc_health_stop(rig.health);
    drain_begin(&rig.service.drain);
    crpc_server_drain(rig.server, 5000);
    export_stop(rig.service.exports);
    auth_stop(rig.service.auth);
    store_close(rig.service.store);
    crpc_server_free(rig.server);
    auth_free(rig.service.auth);
    crpc_health_free(rig.health);
    crpc_reflection_free(rig.reflection);
    hub_free(rig.service.hub);
    drain_done(&rig.service.drain);
    pg_fixture_stop();
    return 0;
}
