/* The server: its options, what it serves, its start, drain and end. Runs on the caller's threads; the calls run on the
 * workers (worker.c). */
#include <assert.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <grpc/grpc_security.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "core_log.h"
#include "credentials.h"
#include "server_priv.h"

/* Keepalive: a client may ping an idle connection every 10 s, so half of that is tolerated. */
enum { PING_MIN_MS = 5000, WORKERS_MAX = 256, CORE_OF_151 = 29 };
/* Core's own default is 8 KiB; a token of some claims, and what a proxy adds, need more. */
enum { METADATA_BYTES = 16384 };
/* How much core means to read from one connection before it looks at the next; its own default is 4 MiB, which would be
 * tens of thousands of tiny frames in one go. It may read more: what bounds it is the socket's buffer (connections.c).
 */
enum { READ_CHUNK_MAX = 256 * 1024 };

/* Core stops to listen for good when accept finds no descriptor, so connections get half of them. */
static unsigned connections_possible(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur / 2 > INT_MAX)
        return INT_MAX;
    return (unsigned)limit.rlim_cur / 2;
}

static void set_limits(struct crpc_server_options *o)
{
    unsigned possible = connections_possible();
    if (o->keepalive_timeout_ms <= 0)
        o->keepalive_timeout_ms = 20000;
    if (o->handshake_timeout_ms <= 0)
        o->handshake_timeout_ms = 20000;
    if (o->max_connections == 0)
        o->max_connections = 10000;
    if (o->max_connections > possible)
        o->max_connections = possible;
    if (o->max_metadata_bytes == 0)
        o->max_metadata_bytes = METADATA_BYTES;
    if (o->max_metadata_bytes > INT_MAX)
        o->max_metadata_bytes = INT_MAX;
    if (o->max_decoded_bytes == 0)
        o->max_decoded_bytes = (size_t)256 << 20;
    if (o->max_cancels == 0)
        o->max_cancels = 5000;
}

static void set_defaults(struct crpc_server_options *o)
{
    if (!o->error_domain)
        o->error_domain = "crpc";
    if (o->n_workers == 0)
        o->n_workers = 1;
    if (o->n_workers > WORKERS_MAX)
        o->n_workers = WORKERS_MAX;
    if (o->max_message_bytes == 0)
        o->max_message_bytes = 4 << 20;
    if (o->max_message_bytes > INT_MAX)
        o->max_message_bytes = INT_MAX;
    if (o->max_calls == 0)
        o->max_calls = 100000;
    if (o->max_streams == 0)
        o->max_streams = 4000;
    if (o->max_streams > INT_MAX)
        o->max_streams = INT_MAX;
    if (o->memory_bytes == 0)
        o->memory_bytes = (size_t)1 << 30;
    if (o->keepalive_ms <= 0)
        o->keepalive_ms = 60000;
    set_limits(o);
}

static grpc_arg int_arg(const char *key, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value};
}

/* 0 is core's own default: none. */
static int ms_or_none(int ms)
{
    return ms > 0 ? ms : INT_MAX;
}

static grpc_server *create_core(const struct crpc_server_options *o, grpc_resource_quota *quota,
                                struct connections *connections)
{
    grpc_arg args[] = {
        /* Else a second server shares the port in silence. */
        int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0),
        int_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, (int)o->max_streams),
        int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)o->max_message_bytes),
        /* Core inflates a message whole before it looks at the limit: a thousand times the size, outside any quota. So
         * messages are handed up as they came, and opened by bytes.c. */
        int_arg(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
        int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, o->keepalive_ms),
        int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, o->keepalive_timeout_ms),
        int_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        int_arg(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, PING_MIN_MS),
        int_arg(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, o->handshake_timeout_ms),
        int_arg(GRPC_ARG_MAX_METADATA_SIZE, (int)o->max_metadata_bytes),
        int_arg(GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE, READ_CHUNK_MAX),
        int_arg(GRPC_ARG_MAX_CONNECTION_IDLE_MS, ms_or_none(o->max_connection_idle_ms)),
        int_arg(GRPC_ARG_MAX_CONNECTION_AGE_MS, ms_or_none(o->max_connection_age_ms)),
        int_arg(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, ms_or_none(o->max_connection_age_grace_ms)),
        connections_arg(connections),
        {.type = GRPC_ARG_POINTER,
         .key = (char *)GRPC_ARG_RESOURCE_QUOTA,
         .value.pointer = {quota, grpc_resource_quota_arg_vtable()}},
    };
    return grpc_server_create(&(grpc_channel_args){sizeof args / sizeof *args, args}, NULL);
}

/* gRPC core starts threads of its own; signals are for the caller's. */
static void init_core(void)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    core_log_take();
    grpc_init();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void stopped(struct op *op, bool ok)
{
    (void)ok;
    struct crpc_server *server = CONTAINER_OF(op, struct crpc_server, op_stopped);
    pthread_mutex_lock(&server->mu);
    server->stopped = true;
    pthread_cond_broadcast(&server->cond);
    pthread_mutex_unlock(&server->mu);
}

struct crpc_server *crpc_server_new(const struct crpc_server_options *options, struct err *ret_err)
{
    struct crpc_server *server = mem_zalloc(sizeof *server);
    if (!server)
        goto fail;
    if (options)
        server->options = *options;
    set_defaults(&server->options);
    server->stations = mem_zalloc(server->options.n_workers * sizeof *server->stations);
    if (!server->stations)
        goto fail_stations;
    server->connections = connections_new(server->options.max_connections);
    if (!server->connections)
        goto fail_connections;
    server->decoded.max = server->options.max_decoded_bytes;
    server->last_method = &server->methods;
    server->op_stopped.done = stopped;
    pthread_mutex_init(&server->mu, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&server->cond, &attr);
    pthread_condattr_destroy(&attr);

    init_core();
    /* Later cores refuse such batches (gRFC L104); core 29 is gRPC 1.51. */
    server->close_with_status = atoi(grpc_version_string()) <= CORE_OF_151;
    server->quota = grpc_resource_quota_create("crpc");
    grpc_resource_quota_resize(server->quota, server->options.memory_bytes);
    server->core = create_core(&server->options, server->quota, server->connections);
    for (unsigned i = 0; i < server->options.n_workers; i++) {
        struct station *st = &server->stations[i];
        st->server = server;
        worker_init(&st->worker, i, st, server->connections);
        grpc_server_register_completion_queue(server->core, st->worker.cq, NULL);
    }
    return server;

fail_connections:
    mem_free(server->stations);
fail_stations:
    mem_free(server);
fail:
    err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    return NULL;
}

static int check_handler(const struct crpc_method *m, const struct crpc_handler *h, struct err *ret_err)
{
    if (!h || (!h->first && !h->simple))
        return err_set(ret_err, ERR_INVALID_ARGUMENT, NULL, "no handler for %s", m->path);
    if (h->simple && (h->first || m->kind != CRPC_UNARY))
        return err_set(ret_err, ERR_INVALID_ARGUMENT, NULL, "%s: simple is for unary methods, and alone", m->path);
    if (h->ignores_cancel && m->kind != CRPC_UNARY)
        return err_set(ret_err, ERR_INVALID_ARGUMENT, NULL, "%s: only a unary method can ignore cancels", m->path);
    return 0;
}

int crpc_server_mount(struct crpc_server *server, const struct crpc_service *service,
                      const struct crpc_handler *const *handlers, void *user, struct err *ret_err)
{
    if (server->started)
        return err_set(ret_err, ERR_FAILED_PRECONDITION, NULL, "the server has been started");
    for (size_t i = 0; i < service->n_methods; i++) {
        int rc = check_handler(&service->methods[i], handlers[i], ret_err);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < service->n_methods; i++) {
        const struct crpc_method *desc = &service->methods[i];
        bool first = desc->kind == CRPC_UNARY || desc->kind == CRPC_SERVER_STREAM;
        struct method *m = mem_zalloc(sizeof *m);
        if (!m)
            return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
        *m = (struct method){.desc = desc, .handler = handlers[i], .user = user};
        m->registered =
            grpc_server_register_method(server->core, desc->path, NULL,
                                        first ? GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER : GRPC_SRM_PAYLOAD_NONE, 0);
        if (!m->registered) {
            mem_free(m);
            return err_set(ret_err, ERR_ALREADY_EXISTS, NULL, "%s is served already", desc->path);
        }
        *server->last_method = m;
        server->last_method = &m->next;
        server->n_methods++;
    }
    return 0;
}

static int check_listen(const struct crpc_server *server, const char *address, char *ret_core_address, size_t room,
                        struct err *ret_err)
{
    if (server->started)
        return err_set(ret_err, ERR_FAILED_PRECONDITION, NULL, "the server has been started");
    return listen_check(address, ret_core_address, room, ret_err);
}

/* Takes creds. */
static int add_port(struct crpc_server *server, const char *address, const char *core_address,
                    grpc_server_credentials *creds, int *ret_port, struct err *ret_err)
{
    int port = grpc_server_add_http2_port(server->core, core_address, creds);
    grpc_server_credentials_release(creds);
    if (port <= 0)
        return listen_failed(address, ret_err);
    if (ret_port)
        *ret_port = strncmp(address, "unix:", 5) == 0 ? 0 : port;
    return 0;
}

int crpc_server_listen(struct crpc_server *server, const char *address, int *ret_port, struct err *ret_err)
{
    char core_address[300];
    int rc = check_listen(server, address, core_address, sizeof core_address, ret_err);
    if (rc < 0)
        return rc;
    return add_port(server, address, core_address, grpc_insecure_server_credentials_create(), ret_port, ret_err);
}

int crpc_server_listen_tls(struct crpc_server *server, const char *address, struct crpc_server_credentials *credentials,
                           int *ret_port, struct err *ret_err)
{
    char core_address[300];
    if (strncmp(address, "unix:", 5) == 0)
        return err_field(ret_err, "address", "TLS is not for unix sockets, which nobody else can read");
    int rc = check_listen(server, address, core_address, sizeof core_address, ret_err);
    if (rc < 0)
        return rc;
    grpc_server_credentials *creds = server_credentials_core(credentials);
    if (!creds)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    return add_port(server, address, core_address, creds, ret_port, ret_err);
}

int crpc_server_start(struct crpc_server *server, struct err *ret_err)
{
    if (server->started)
        return err_set(ret_err, ERR_FAILED_PRECONDITION, NULL, "the server has been started");
    if (server->failed)
        return err_set(ret_err, ERR_FAILED_PRECONDITION, NULL, "the server could not be started");
    server->failed = true;
    int rc = accept_init(server, ret_err);
    for (unsigned i = 0; rc == 0 && i < server->options.n_workers; i++)
        rc = worker_start(&server->stations[i].worker, ret_err);
    if (rc == 0)
        rc = watchdog_start(server, &server->watchdog, ret_err);
    if (rc < 0)
        return rc;
    server->failed = false;
    server->started = true;
    grpc_server_start(server->core);
    accept_start(server);
    return 0;
}

unsigned crpc_server_calls(const struct crpc_server *server)
{
    unsigned n = 0;
    for (unsigned i = 0; i < server->options.n_workers; i++)
        n += atomic_load(&server->stations[i].calls);
    return n;
}

uint64_t crpc_server_shed(const struct crpc_server *server)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < server->options.n_workers; i++)
        n += atomic_load_explicit(&server->stations[i].shed, memory_order_relaxed);
    return n;
}

uint64_t crpc_server_cut(const struct crpc_server *server)
{
    return connections_were_cut(server->connections);
}

unsigned crpc_server_connections(const struct crpc_server *server)
{
    return connections_count(server->connections);
}

uint64_t crpc_server_connections_refused(const struct crpc_server *server)
{
    return connections_refused(server->connections);
}

size_t crpc_server_decoded_bytes(const struct crpc_server *server)
{
    return atomic_load_explicit(&server->decoded.used, memory_order_relaxed);
}

void server_call_ended(struct crpc_server *server)
{
    pthread_mutex_lock(&server->mu);
    pthread_cond_broadcast(&server->cond);
    pthread_mutex_unlock(&server->mu);
}

void crpc_server_drain(struct crpc_server *server, int64_t grace_ms)
{
    if (!server->started || server->drained)
        return;
    int64_t until = clock_mono_us() + (grace_ms > 0 ? grace_ms : 0) * 1000;
    struct timespec at = {.tv_sec = until / 1000000, .tv_nsec = until % 1000000 * 1000};
    bool cancelled = false;
    atomic_store(&server->draining, true);
    grpc_server_shutdown_and_notify(server->core, server->stations[0].worker.cq, &server->op_stopped);
    pthread_mutex_lock(&server->mu);
    /* Calls can outlive core's part of them: an event may still be on its way. And a worker may have one before it that
     * core has handed over and finished with; that is looked at first, as it becomes a call under way. */
    while (!server->stopped || !accept_over(server) || crpc_server_calls(server) > 0) {
        if (cancelled) {
            pthread_cond_wait(&server->cond, &server->mu);
        } else if (pthread_cond_timedwait(&server->cond, &server->mu, &at) != 0) {
            cancelled = true;
            pthread_mutex_unlock(&server->mu);
            grpc_server_cancel_all_calls(server->core);
            pthread_mutex_lock(&server->mu);
        }
    }
    pthread_mutex_unlock(&server->mu);
    server->drained = true;
}

/* Core wants its shutdown all the same. */
static void stop_unstarted(struct crpc_server *server)
{
    struct worker *w = &server->stations[0].worker;
    grpc_server_shutdown_and_notify(server->core, w->cq, &server->op_stopped);
    if (!w->running) {
        worker_run_until(w, &server->stopped);
        return;
    }
    pthread_mutex_lock(&server->mu);
    while (!server->stopped)
        pthread_cond_wait(&server->cond, &server->mu);
    pthread_mutex_unlock(&server->mu);
}

void crpc_server_free(struct crpc_server *server)
{
    if (!server)
        return;
    if (server->started)
        crpc_server_drain(server, 0);
    else
        stop_unstarted(server);
    watchdog_stop(server->watchdog);
    grpc_server_destroy(server->core);
    for (unsigned i = 0; i < server->options.n_workers; i++)
        worker_stop(&server->stations[i].worker);
    accept_done(server);
    for (unsigned i = 0; i < server->options.n_workers; i++)
        for (int size_class = 0; size_class < CALL_CLASSES; size_class++)
            for (struct crpc_call *c = server->stations[i].idle[size_class], *next; c; c = next) {
                next = c->next_idle;
                call_free(c);
            }
    for (struct method *m = server->methods, *next; m; m = next) {
        next = m->next;
        mem_free(m);
    }
    grpc_resource_quota_unref(server->quota);
    grpc_shutdown();
    connections_free(server->connections);
    pthread_cond_destroy(&server->cond);
    pthread_mutex_destroy(&server->mu);
    mem_free(server->stations);
    mem_free(server);
}
