/* See rights_rig.h. The server's workers look callers up under a lock. */
#include "support/rights_rig.h"

#include <pthread.h>
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

#include "base/clock.h"
#include "crpc/health.h"
#include "crpc/reflection.h"
#include "export/export.h"
#include "rpc/access.h"
#include "rpc/service.h"
#include "support/pg_fixture.h"

enum { CALLERS_MAX = 64 };

struct rig_identity {
    struct identity identity; /* first: that is what calls have */
    char name[40], actor[48];
    bool current; /* the one that its name means now */
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
    pthread_mutex_t lock;
    struct rig_identity callers[CALLERS_MAX];
    size_t n_callers;
} rig = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- callers ---- */

static void free_nothing(struct identity *identity)
{
    (void)identity;
}

/* With the lock. */
static struct rig_identity *find(struct span name)
{
    for (size_t i = 0; i < rig.n_callers; i++)
        if (rig.callers[i].current && span_eq(span_str(rig.callers[i].name), name))
            return &rig.callers[i];
    return NULL;
}

void rig_caller(const char *name, const struct identity *identity)
{
    pthread_mutex_lock(&rig.lock);
    struct rig_identity *before = find(span_str(name)), *c = &rig.callers[rig.n_callers++];
    assert_true(rig.n_callers <= CALLERS_MAX);
    if (before)
        before->current = false;
    c->identity = *identity;
    snprintf(c->name, sizeof c->name, "%s", name);
    snprintf(c->actor, sizeof c->actor, "token:%s", name);
    c->identity.actor = span_str(c->actor);
    c->identity.free = free_nothing;
    atomic_store(&c->identity.refs, 1);
    c->current = true;
    pthread_mutex_unlock(&rig.lock);
}

void rig_revoke(const char *name)
{
    pthread_mutex_lock(&rig.lock);
    struct rig_identity *c = find(span_str(name));
    assert_non_null(c);
    atomic_store(&c->identity.revoked, true);
    pthread_mutex_unlock(&rig.lock);
}

int rig_references(void)
{
    int sum = 0;
    pthread_mutex_lock(&rig.lock);
    for (size_t i = 0; i < rig.n_callers; i++)
        sum += atomic_load(&rig.callers[i].identity.refs) - 1;
    pthread_mutex_unlock(&rig.lock);
    return sum;
}

static int identify(struct auth *auth, const struct auth_evidence *evidence, struct identity **ret, struct err *ret_err)
{
    int rc = 0;
    (void)auth;
    pthread_mutex_lock(&rig.lock);
    struct rig_identity *c = evidence->bearer.len > 0 ? find(evidence->bearer) : NULL;
    if (c && identity_is_valid(&c->identity, clock_wall_us()))
        *ret = identity_ref(&c->identity);
    else
        rc = err_set(ret_err, ERR_UNAUTHENTICATED, "CREDENTIALS_INVALID", "the credentials are not valid");
    pthread_mutex_unlock(&rig.lock);
    return rc;
}

struct crpc_channel *rig_channel(const char *name, const char *user)
{
    char bearer[64];
    struct crpc_metadata metadata[2];
    struct crpc_channel_options options = {.metadata = metadata, .max_reconnect_ms = 200};
    struct err err = ERR_NONE;
    snprintf(bearer, sizeof bearer, "Bearer %s", name ? name : "");
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
        .uri = uri, .observer = service_observer(rig.service.hub), .lease_timeout_ms = 2000};
    rig.service.store = store_open(&options, err);
    if (!rig.service.store)
        return -(int)err->code;
    struct export_options exports = {
        .uri = uri, .store = rig.service.store, .types = rig.types, .n_workers = 2, .ttl_ms = 3600000};
    return export_start(&exports, &rig.service.exports, err);
}

static int start_server(struct err *err)
{
    rig.access = (struct access){.identify = identify};
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
    store_close(rig.service.store);
    crpc_server_free(rig.server);
    crpc_health_free(rig.health);
    crpc_reflection_free(rig.reflection);
    hub_free(rig.service.hub);
    drain_done(&rig.service.drain);
    export_types_free(rig.types);
    pg_fixture_stop();
    /* Every call has given its identity back. */
    return rig_references() == 0 ? 0 : -1;
}
