/* See daemon.h. The order of the start is the order of need, and the stop is its reverse with one exception: streams
 * are told before the gRPC server drains, and the store outlives the drain, since calls wait for its answers. The gRPC
 * server is freed last of those three: nothing may post to its queues after that. */
#include "daemon.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "announce.h"
#include "auth/auth.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "crpc/credentials.h"
#include "crpc/health.h"
#include "crpc/reflection.h"
#include "crpc/server.h"
#include "export/export.h"
#include "listen.h"
#include "pg/embedded.h"
#include "probe.h"
#include "rpc/access.h"
#include "rpc/limit_calls.h"
#include "rpc/service.h"

#define HOUR_MS INT64_C(3600000)

struct daemon {
    const struct config *cfg;
    struct embedded_pg *pg;
    const char *uri;
    struct export_types *types;
    struct service service;
    struct access access;
    struct limit_calls limit_calls;
    struct crpc_interceptor interceptors[2 + LIMIT_INTERCEPTORS];
    char *admin_token_file; /* NULL: none */
    struct announcement *announcement;
    struct crpc_health *health;
    struct crpc_reflection *reflection;
    struct crpc_server_credentials *credentials; /* NULL: no TLS */
    struct crpc_server *server;
    struct probe *probe; /* NULL: none */
    atomic_bool serving; /* from the start of the server to the begin of the end */
    struct buf addresses;
};

static int start_store(struct daemon *d, struct err *ret_err)
{
    const struct config *cfg = d->cfg;
    if (!(d->service.hub = hub_new()))
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    struct store_options options = {.uri = d->uri,
                                    .observer = service_observer(d->service.hub),
                                    .n_readers = (unsigned)cfg->readers,
                                    .poll_only = !cfg->change_hints,
                                    .minute_days = cfg->minute_counter_days,
                                    .batch_max = (unsigned)cfg->batch_max,
                                    .lease_timeout_ms = cfg->lease_timeout_ms,
                                    .held_bytes = ((int64_t)cfg->memory_mb << 20) / 16,
                                    .log_bytes = cfg->job_log_kilobytes * 1024,
                                    .request_ttl_ms = cfg->request_id_ttl_hours * HOUR_MS};
    d->service.store = store_open(&options, ret_err);
    return d->service.store ? 0 : -(int)ret_err->code;
}

/* The embedded database is in our hands alone, so that its directory is the place for the key to it. */
static int start_auth(struct daemon *d, struct err *ret_err)
{
    const struct config *cfg = d->cfg;
    struct auth_options options = {.store = d->service.store,
                                   .off = cfg->dangerously_disable_authentication,
                                   .jwt = {.jwks_file = cfg->jwt_jwks_file,
                                           .issuer = cfg->jwt_issuer,
                                           .audience = cfg->jwt_audience,
                                           .roles_claim = cfg->jwt_roles_claim,
                                           .scope_claim = cfg->jwt_scope_claim,
                                           .owner_claim = cfg->jwt_owner_claim},
                                   .certificate_rules = cfg->certificate_rules};
    struct buf path = BUF_INIT;
    if (cfg->admin_token_file)
        buf_add_str(&path, cfg->admin_token_file);
    else if (cfg->embedded)
        buf_printf(&path, "%s/admin-token", cfg->embedded);
    d->admin_token_file = path.data;
    if (path.failed)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    options.admin_token_file = d->admin_token_file;
    if (options.off)
        log_warning("authentication is off, whoever reaches this server may do everything");
    d->service.auth = auth_new(&options, ret_err);
    return d->service.auth ? 0 : -(int)ret_err->code;
}

static int start_exports(struct daemon *d, struct err *ret_err)
{
    const struct config *cfg = d->cfg;
    struct export_options options = {.uri = d->uri,
                                     .store = d->service.store,
                                     .types = d->types,
                                     .types_path = cfg->export_types,
                                     .directory = cfg->export_directory,
                                     .is_embedded = cfg->embedded != NULL,
                                     .n_attempts = (int32_t)cfg->export_attempts,
                                     .n_workers = (unsigned)cfg->export_workers,
                                     .silence_ms = cfg->export_silence_ms,
                                     .download_bytes = ((int64_t)cfg->memory_mb << 20) / 8,
                                     .ttl_ms = cfg->export_ttl_hours * HOUR_MS,
                                     .limits = {.running = cfg->export_owner_running,
                                                .per_day = cfg->export_owner_per_day,
                                                .max_bytes = cfg->export_owner_megabytes * 1024 * 1024}};
    d->types = NULL; /* taken */
    d->service.download_stall_ms = cfg->download_stall_ms;
    return export_start(&options, &d->service.exports, ret_err);
}

static int mount_all(struct daemon *d, struct err *ret_err)
{
    int rc = job_log_service_mount(d->server, &d->service, ret_err);
    if (rc != 0 || (rc = worker_service_mount(d->server, &d->service, ret_err)) != 0 ||
        (rc = access_service_mount(d->server, &d->service, ret_err)) != 0)
        return rc;
#ifdef JOBLOG_EXPORTS
    if ((rc = export_service_mount(d->server, &d->service, ret_err)) != 0)
        return rc;
#endif
    if ((rc = crpc_health_mount(d->health, d->server, ret_err)) != 0 ||
        (rc = services_reflect(d->reflection, ret_err)) != 0 ||
        (rc = crpc_reflection_add(d->reflection, &grpc_health_v1_health, ret_err)) != 0)
        return rc;
    return crpc_reflection_mount(d->reflection, d->server, ret_err);
}

static int say_serving(struct daemon *d, struct err *ret_err)
{
    static const char *const names[] = {"", "joblog.v1.JobLogService", "joblog.v1.WorkerService",
                                        "joblog.v1.ExportService", "joblog.v1.AccessService"};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof names / sizeof *names; i++)
        rc = crpc_health_set(d->health, names[i], true, ret_err);
    return rc;
}

/* What callers may have, all of them together and each. -1: out of memory. */
static int set_limits(struct daemon *d, struct crpc_server_options *options)
{
    const struct config *cfg = d->cfg;
    struct limits_rules rules = {.calls_per_s = cfg->caller_calls_per_second,
                                 .burst = cfg->caller_burst,
                                 .calls = cfg->caller_calls,
                                 .streams = cfg->caller_streams,
                                 .sessions = cfg->caller_sessions,
                                 .max_wait_ms = cfg->max_wait_ms};
    size_t memory = (size_t)cfg->memory_mb << 20;
    options->process_bytes = memory;
    options->memory_bytes = memory / 8; /* under attack gRPC core takes three and a half times as much */
    options->max_decoded_bytes = memory / 4;
    options->max_connections = (unsigned)cfg->max_connections;
    options->max_streams = (unsigned)cfg->max_streams;
    options->max_metadata_bytes = (size_t)cfg->max_metadata_bytes;
    options->max_cancels = (unsigned)cfg->max_cancels;
    options->max_connection_age_ms = (int)cfg->connection_age_s * 1000;
    options->max_connection_age_grace_ms = (int)cfg->connection_age_grace_s * 1000;
    options->handshake_timeout_ms = (int)cfg->handshake_timeout_ms;
    d->limit_calls = (struct limit_calls){.limits = limits_new(&rules), .store = d->service.store};
    limit_calls_interceptors(&d->limit_calls, d->interceptors + 2);
    return d->limit_calls.limits ? 0 : -1;
}

static int start_server(struct daemon *d, struct err *ret_err)
{
    struct crpc_server_options options = {.error_domain = "joblog",
                                          .n_workers = (unsigned)d->cfg->workers,
                                          .max_message_bytes = (size_t)d->cfg->max_message_bytes,
                                          .max_calls = (unsigned)d->cfg->max_calls,
                                          .interceptors = d->interceptors,
                                          .n_interceptors = sizeof d->interceptors / sizeof *d->interceptors};
    int rc = 0;
    d->access = (struct access){.auth = d->service.auth, .is_anonymous = auth_is_off(d->service.auth)};
    d->interceptors[0] = access_log;
    d->interceptors[1] = access_interceptor(&d->access);
    if (set_limits(d, &options) != 0)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    if (!(d->health = crpc_health_new()) || !(d->reflection = crpc_reflection_new()))
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    d->server = crpc_server_new(&options, ret_err);
    if (!d->server)
        return -(int)ret_err->code;
    if ((rc = listen_credentials(d->cfg, &d->credentials, ret_err)) != 0 || (rc = mount_all(d, ret_err)) != 0 ||
        (rc = listen_all(d->cfg, d->server, d->credentials, &d->addresses, ret_err)) != 0 ||
        (rc = say_serving(d, ret_err)) != 0)
        return rc;
    if ((rc = crpc_server_start(d->server, ret_err)) == 0)
        atomic_store(&d->serving, true);
    return rc;
}

/* The probe's thread. The parts that it looks at are there before serving is set, and until the probe has stopped. */
static bool is_ready(void *user)
{
    struct daemon *d = user;
    return atomic_load(&d->serving) && auth_is_fresh(d->service.auth);
}

int daemon_start(const struct config *cfg, struct daemon **ret, struct err *ret_err)
{
    struct daemon *d = mem_zalloc(sizeof *d);
    int rc = 0;
    if (!d)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    d->cfg = cfg;
    drain_init(&d->service.drain);
    d->uri = cfg->database;
    /* Before any thread: the child is tied to the life of the one that made it. */
    if ((rc = export_types_load(cfg->export_types, &d->types, ret_err)) != 0) {
        ret_err->code = ERR_INVALID_ARGUMENT; /* the setting is at fault, whatever is wrong with the file */
        snprintf(ret_err->field, sizeof ret_err->field, "export-types");
        rc = -ERR_INVALID_ARGUMENT;
    }
    if (rc == 0 && cfg->embedded && (rc = embedded_pg_start(cfg->embedded, &d->pg, ret_err)) == 0)
        d->uri = embedded_pg_uri(d->pg);
    if (rc == 0 && cfg->probe_listen)
        rc = probe_start(cfg->probe_listen, is_ready, d, &d->probe, ret_err);
    if (rc == 0 && (rc = start_store(d, ret_err)) == 0 && (rc = start_auth(d, ret_err)) == 0 &&
        (rc = start_exports(d, ret_err)) == 0)
        rc = start_server(d, ret_err);
    if (rc == 0 && d->admin_token_file && !auth_is_off(d->service.auth))
        d->announcement = announce(d->addresses.data, d->admin_token_file);
    if (rc != 0) {
        daemon_stop(d);
        return rc;
    }
    *ret = d;
    return 0;
}

void daemon_reload(struct daemon *d)
{
    struct err err = ERR_NONE;
    if (d->credentials && crpc_server_credentials_reload(d->credentials, &err) != 0)
        log_error("certificate not loaded, the old one stays in force error=\"%s\"", err.msg);
    if (d->cfg->export_types)
        export_reload(d->service.exports);
}

const char *daemon_addresses(const struct daemon *d)
{
    return d->addresses.data;
}

const char *daemon_probe_address(const struct daemon *d)
{
    return d->probe ? probe_address(d->probe) : NULL;
}

pid_t daemon_postgres_pid(const struct daemon *d)
{
    return d->pg ? embedded_pg_pid(d->pg) : 0;
}

/* What was refused since the start, on one line. */
void daemon_log_refused(const struct daemon *d)
{
    struct limits_counts n;
    if (!d->server || !d->limit_calls.limits)
        return;
    limits_read(d->limit_calls.limits, &n);
    log_info("refused since the start connections=%" PRIu64 " cut=%" PRIu64 " max_calls=%" PRIu64 " rate=%" PRIu64
             " calls=%" PRIu64 " streams=%" PRIu64 " sessions=%" PRIu64 " overload=%" PRIu64 " turns=%" PRIu64
             " now connections=%u calls=%u callers=%zu",
             crpc_server_connections_refused(d->server), crpc_server_cut(d->server), crpc_server_shed(d->server),
             n.rate, n.calls, n.streams, n.sessions, n.overload, n.turns, crpc_server_connections(d->server),
             crpc_server_calls(d->server), n.callers);
}

void daemon_stop(struct daemon *d)
{
    atomic_store(&d->serving, false);
    announcement_end(d->announcement);
    if (d->service.store)
        store_hurry(d->service.store);
    if (d->server) {
        crpc_health_stop(d->health);
        crpc_reflection_stop(d->reflection);
        drain_begin(&d->service.drain);
        crpc_server_drain(d->server, d->cfg->shutdown_grace_ms);
    }
    export_stop(d->service.exports);
    auth_stop(d->service.auth);
    store_close(d->service.store);
    daemon_log_refused(d);
    crpc_server_free(d->server);
    crpc_server_credentials_free(d->credentials);
    probe_stop(d->probe); /* late: alive is what a server is that stops */
    auth_free(d->service.auth);
    crpc_health_free(d->health);
    crpc_reflection_free(d->reflection);
    hub_free(d->service.hub);
    limits_free(d->limit_calls.limits);
    drain_done(&d->service.drain);
    export_types_free(d->types);
    embedded_pg_stop(d->pg);
    buf_done(&d->addresses);
    mem_free(d->admin_token_file);
    mem_free(d);
}
