/* Channels; see channel.h. */
#include "channel.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/grpc_security.h>

#include "base/alloc.h"
#include "credentials.h"
#include "service_config.h"
#include "status.h"

enum {
    RECONNECT_FIRST_MS = 100,
    CONNECT_MS = 10000,
    RECONNECT_MS = 5000,
    KEEPALIVE_MS = 60000,
    PING_TIMEOUT_MS = 20000,
    MESSAGE_BYTES = 4 << 20
};

/* Arguments for core; what they point to is borrowed. */
struct args {
    grpc_arg list[24];
    size_t n;
};

static void add_int(struct args *args, const char *key, int value)
{
    args->list[args->n++] = (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value};
}

/* NULL: left out. */
static void add_text(struct args *args, const char *key, const char *value)
{
    if (value)
        args->list[args->n++] = (grpc_arg){.type = GRPC_ARG_STRING, .key = (char *)key, .value.string = (char *)value};
}

/* Core accepts nearly everything and fails at the first call. */
static bool target_ok(const char *target)
{
    if (strncmp(target, "unix:", 5) == 0)
        return target[5] != '\0' && strlen(target) <= 5 + 107;
    if (strncmp(target, "dns:", 4) == 0) {
        target += 4;
        while (*target == '/')
            target++;
    }
    const char *colon = strrchr(target, ':');
    if (!colon || colon == target || strpbrk(target, " \t\r\n/?#"))
        return false;
    size_t digits = strspn(colon + 1, "0123456789");
    int port = digits > 0 && digits <= 5 ? atoi(colon + 1) : 0;
    return !colon[1 + digits] && port > 0 && port <= 65535;
}

static bool is_unix(const char *target)
{
    return strncmp(target, "unix:", 5) == 0;
}

static int bounded(size_t n)
{
    return n > INT_MAX ? INT_MAX : (int)n;
}

static void add_keepalive(struct args *args, const struct crpc_channel_options *o)
{
    int every = o->keepalive_ms > 0 ? o->keepalive_ms : o->keepalive_ms < 0 ? INT_MAX : KEEPALIVE_MS;
    add_int(args, GRPC_ARG_KEEPALIVE_TIME_MS, every);
    add_int(args, GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
            o->keepalive_timeout_ms > 0 ? o->keepalive_timeout_ms : PING_TIMEOUT_MS);
    add_int(args, GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, o->keepalive_without_calls);
    add_int(args, GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
}

static void add_reconnect(struct args *args, const struct crpc_channel_options *o)
{
    int max = o->max_reconnect_ms > 0 ? o->max_reconnect_ms : RECONNECT_MS;
    add_int(args, GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, max < RECONNECT_FIRST_MS ? max : RECONNECT_FIRST_MS);
    add_int(args, GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, CONNECT_MS); /* so core calls how long an attempt may take */
    add_int(args, GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, max);
}

static grpc_channel *create_core(const char *target, const struct crpc_channel_options *o, const char *service_config,
                                 struct sockets *sockets)
{
    struct args args = {.n = 0};
    add_int(&args, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, bounded(o->max_message_bytes));
    add_int(&args, GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, o->max_send_bytes ? bounded(o->max_send_bytes) : -1);
    /* Core inflates a message whole before it looks at the limit: a thousand times the size, outside any quota. So
     * messages are handed up as they came, and opened by bytes.c. */
    add_int(&args, GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
    add_keepalive(&args, o);
    add_reconnect(&args, o);
    /* Channels of one process do not share connections, nor each other's back-off. */
    add_int(&args, GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    add_int(&args, GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    args.list[args.n++] = sockets_arg(sockets);
    add_text(&args, GRPC_ARG_PRIMARY_USER_AGENT_STRING, o->user_agent);
    add_text(&args, GRPC_ARG_DEFAULT_AUTHORITY, o->authority);
    add_text(&args, GRPC_ARG_SERVICE_CONFIG, service_config);
    add_text(&args, GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, channel_credentials_name(o->credentials));
    grpc_channel_credentials *creds = channel_credentials_core(o->credentials);
    grpc_channel *core = grpc_channel_create(target, creds, &(grpc_channel_args){args.n, args.list});
    grpc_channel_credentials_release(creds);
    return core;
}

static bool header_value_ok(const char *s)
{
    grpc_slice slice = grpc_slice_from_static_string(s);
    return grpc_header_nonbin_value_is_legal(slice) != 0;
}

static int check_options(const char *target, const struct crpc_channel_options *o, struct err *ret_err)
{
    if (!target || !target_ok(target))
        return err_field(ret_err, "target", "%.100s is no HOST:PORT, unix:PATH or dns:///HOST:PORT",
                         target ? target : "");
    if (o->credentials && is_unix(target))
        return err_field(ret_err, "credentials", "TLS is not for unix sockets, which nobody else can read");
    if (o->user_agent && (!*o->user_agent || !header_value_ok(o->user_agent)))
        return err_field(ret_err, "user_agent", "user_agent must be printable ASCII");
    if (o->authority && (!*o->authority || !header_value_ok(o->authority) || strpbrk(o->authority, " /?#")))
        return err_field(ret_err, "authority", "authority must be HOST or HOST:PORT");
    return 0;
}

static int copy_metadata(struct crpc_channel *channel, const struct crpc_channel_options *o, struct err *ret_err)
{
    if (o->n_metadata > CHANNEL_METADATA_MAX)
        return err_field(ret_err, "metadata", "more than %d metadata entries", CHANNEL_METADATA_MAX);
    if (o->n_metadata == 0)
        return 0;
    channel->metadata = mem_alloc(o->n_metadata * sizeof *channel->metadata);
    if (!channel->metadata)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    for (; channel->n_metadata < o->n_metadata; channel->n_metadata++) {
        const struct crpc_metadata *from = &o->metadata[channel->n_metadata];
        int rc = metadata_entry(from->key, from->value, &channel->metadata[channel->n_metadata], ret_err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Creates channel->core. Core answers a service config that it cannot read with a channel that has failed from the
 * start, where any other is idle. */
static int connect_core(struct crpc_channel *channel, const char *target, const struct crpc_channel_options *o,
                        struct err *ret_err)
{
    struct buf rendered = BUF_INIT;
    int rc = service_config_render(o, &rendered, ret_err);
    if (rc == 0) {
        channel->core = create_core(target, o, rendered.len ? rendered.data : o->service_config, channel->sockets);
        if (o->service_config && crpc_channel_state(channel) != CRPC_CHANNEL_IDLE)
            rc = err_field(ret_err, "service_config", "service_config is no service config in JSON");
    }
    buf_done(&rendered);
    return rc;
}

struct crpc_channel *crpc_channel_new(const char *target, const struct crpc_channel_options *options,
                                      struct err *ret_err)
{
    struct crpc_channel_options o = options ? *options : (struct crpc_channel_options){0};
    if (o.max_message_bytes == 0)
        o.max_message_bytes = MESSAGE_BYTES;
    if (check_options(target, &o, ret_err) < 0)
        return NULL;
    struct crpc_channel *channel = mem_zalloc(sizeof *channel);
    if (!channel || !(channel->sockets = sockets_new())) {
        mem_free(channel);
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
        return NULL;
    }
    pthread_mutex_init(&channel->mu, NULL);
    channel->is_private = o.credentials || is_unix(target);
    channel->max_message_bytes = o.max_message_bytes;
    channel->compression = o.compression;
    channel->has_credentials = o.call_credentials != NULL;
    if (o.call_credentials)
        channel->credentials = *o.call_credentials;
    /* Core starts threads of its own; signals are for the caller's. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    grpc_init();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (copy_metadata(channel, &o, ret_err) < 0 || connect_core(channel, target, &o, ret_err) < 0) {
        crpc_channel_free(channel);
        return NULL;
    }
    return channel;
}

static void queue_free(struct channel_queue *q)
{
    grpc_completion_queue_shutdown(q->cq);
    /* Nothing is outstanding, so this returns the shutdown event. */
    grpc_completion_queue_pluck(q->cq, NULL, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_completion_queue_destroy(q->cq);
    mem_free(q);
}

void crpc_channel_free(struct crpc_channel *channel)
{
    if (!channel)
        return;
    for (struct channel_queue *q = channel->queues, *next; q; q = next) {
        next = q->next;
        queue_free(q);
    }
    if (channel->core)
        grpc_channel_destroy(channel->core);
    metadata_drop(channel->metadata, channel->n_metadata);
    mem_free(channel->metadata);
    grpc_shutdown();
    sockets_free(channel->sockets);
    pthread_mutex_destroy(&channel->mu);
    mem_free(channel);
}

struct channel_queue *channel_queue_take(struct crpc_channel *channel)
{
    pthread_mutex_lock(&channel->mu);
    struct channel_queue *q = channel->queues;
    if (q)
        channel->queues = q->next;
    pthread_mutex_unlock(&channel->mu);
    if (!q) {
        q = mem_alloc(sizeof *q);
        if (q)
            q->cq = grpc_completion_queue_create_for_pluck(NULL);
    }
    return q;
}

void channel_queue_give(struct crpc_channel *channel, struct channel_queue *queue)
{
    pthread_mutex_lock(&channel->mu);
    queue->next = channel->queues;
    channel->queues = queue;
    pthread_mutex_unlock(&channel->mu);
}

/* ---- state ---- */

/* A channel that core made lame says that it is shut down: it never works. */
enum crpc_channel_state channel_state_of(grpc_connectivity_state state)
{
    switch (state) {
    case GRPC_CHANNEL_IDLE:
        return CRPC_CHANNEL_IDLE;
    case GRPC_CHANNEL_CONNECTING:
        return CRPC_CHANNEL_CONNECTING;
    case GRPC_CHANNEL_READY:
        return CRPC_CHANNEL_READY;
    default:
        return CRPC_CHANNEL_FAILED;
    }
}

grpc_connectivity_state channel_state_for(enum crpc_channel_state state)
{
    switch (state) {
    case CRPC_CHANNEL_IDLE:
        return GRPC_CHANNEL_IDLE;
    case CRPC_CHANNEL_CONNECTING:
        return GRPC_CHANNEL_CONNECTING;
    case CRPC_CHANNEL_READY:
        return GRPC_CHANNEL_READY;
    default:
        return GRPC_CHANNEL_TRANSIENT_FAILURE;
    }
}

enum crpc_channel_state crpc_channel_state(struct crpc_channel *channel)
{
    return channel_state_of(grpc_channel_check_connectivity_state(channel->core, 0));
}

void crpc_channel_connect(struct crpc_channel *channel)
{
    grpc_channel_check_connectivity_state(channel->core, 1);
}

gpr_timespec channel_until(int64_t timeout_ms)
{
    if (timeout_ms < 0)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
}

static bool watch(struct crpc_channel *channel, struct channel_queue *queue, enum crpc_channel_state last,
                  gpr_timespec until)
{
    grpc_channel_watch_connectivity_state(channel->core, channel_state_for(last), until, queue->cq, queue);
    return grpc_completion_queue_pluck(queue->cq, queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).success;
}

bool crpc_channel_wait_state(struct crpc_channel *channel, enum crpc_channel_state last, int64_t timeout_ms)
{
    struct channel_queue *queue = channel_queue_take(channel);
    if (!queue)
        return crpc_channel_state(channel) != last;
    bool changed = watch(channel, queue, last, channel_until(timeout_ms));
    channel_queue_give(channel, queue);
    return changed;
}

int crpc_channel_wait_ready(struct crpc_channel *channel, int64_t timeout_ms, struct err *ret_err)
{
    struct channel_queue *queue = channel_queue_take(channel);
    if (!queue)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    gpr_timespec until = channel_until(timeout_ms);
    bool in_time = true;
    enum crpc_channel_state state;
    while ((state = crpc_channel_state(channel)) != CRPC_CHANNEL_READY && in_time) {
        crpc_channel_connect(channel); /* a connection that is lost leaves the channel idle */
        in_time = watch(channel, queue, state, until);
    }
    channel_queue_give(channel, queue);
    return state == CRPC_CHANNEL_READY
               ? 0
               : err_set(ret_err, ERR_DEADLINE_EXCEEDED, "NOT_CONNECTED", "the channel was not ready in time");
}

/* ---- calls ---- */

grpc_call *channel_call(struct crpc_channel *channel, const struct crpc_method *method,
                        const struct crpc_call_options *options, grpc_completion_queue *cq)
{
    int64_t ms = options ? options->timeout_ms : 0;
    gpr_timespec deadline = ms == 0  ? gpr_inf_future(GPR_CLOCK_MONOTONIC)
                            : ms < 0 ? gpr_inf_past(GPR_CLOCK_MONOTONIC)
                                     : channel_until(ms);
    grpc_slice host = grpc_slice_from_static_string(options && options->authority ? options->authority : "");
    return grpc_channel_create_call(channel->core, NULL, GRPC_PROPAGATE_DEFAULTS, cq,
                                    grpc_slice_from_static_string(method->path),
                                    options && options->authority ? &host : NULL, deadline, NULL);
}

grpc_op channel_initial_op(const struct crpc_call_options *options, struct crpc_call_metadata *md)
{
    grpc_op op = {.op = GRPC_OP_SEND_INITIAL_METADATA};
    if (options && options->wait_for_ready)
        op.flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY | GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET;
    op.data.send_initial_metadata.count = md->n;
    op.data.send_initial_metadata.metadata = md->entries;
    return op;
}

static struct span span_of_slice(const grpc_slice *s)
{
    return span_of((const char *)GRPC_SLICE_START_PTR(*s), GRPC_SLICE_LENGTH(*s));
}

int channel_status(grpc_status_code code, grpc_slice msg, const grpc_metadata_array *trailing, struct err *ret_err)
{
    enum err_code c = code >= GRPC_STATUS_OK && code <= GRPC_STATUS_UNAUTHENTICATED ? (enum err_code)code : ERR_UNKNOWN;
    if (c == ERR_OK || !ret_err)
        return -(int)c;
    *ret_err = (struct err){.code = c};
    status_set_msg(ret_err, span_of_slice(&msg));
    for (size_t i = 0; i < trailing->count; i++)
        if (span_eq(span_of_slice(&trailing->metadata[i].key), SPAN_LIT("grpc-status-details-bin")))
            status_decode(span_of_slice(&trailing->metadata[i].value), ret_err);
    return -(int)c;
}
