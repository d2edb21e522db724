/* Channels; see channel.h. */
#include "channel.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/compression.h>
#include <grpc/grpc_security.h>

#include "base/alloc.h"
#include "credentials.h"
#include "status.h"

enum {
    RECONNECT_FIRST_MS = 100,
    CONNECT_MS = 10000,
    RECONNECT_MS = 5000,
    KEEPALIVE_MS = 60000,
    PING_TIMEOUT_MS = 20000
};

static grpc_arg int_arg(const char *key, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value};
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

static grpc_channel *create_core(const char *target, const struct crpc_channel_options *o)
{
    const char *name = channel_credentials_name(o->credentials);
    int max_reconnect = o->max_reconnect_ms > 0 ? o->max_reconnect_ms : RECONNECT_MS;
    int first = max_reconnect < RECONNECT_FIRST_MS ? max_reconnect : RECONNECT_FIRST_MS;
    size_t max_message = o->max_message_bytes ? o->max_message_bytes : 4 << 20;
    grpc_arg args[] = {
        int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, max_message > INT_MAX ? INT_MAX : (int)max_message),
        /* Core inflates a message whole before it looks at the limit: a thousand times the size, outside any quota. */
        int_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1U << GRPC_COMPRESS_NONE),
        int_arg(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
        int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, o->keepalive_ms > 0 ? o->keepalive_ms : KEEPALIVE_MS),
        int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, PING_TIMEOUT_MS),
        int_arg(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        int_arg(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, first),
        int_arg(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, CONNECT_MS), /* so core calls how long an attempt may take */
        int_arg(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, max_reconnect),
        /* Channels of one process do not share connections, nor each other's back-off. */
        int_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
        int_arg(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
        /* Last: left out when there is none. */
        {.type = GRPC_ARG_STRING, .key = (char *)GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, .value.string = (char *)name},
    };
    size_t n_args = sizeof args / sizeof *args - !name;
    grpc_channel_credentials *creds = channel_credentials_core(o->credentials);
    grpc_channel *core = grpc_channel_create(target, creds, &(grpc_channel_args){n_args, args});
    grpc_channel_credentials_release(creds);
    return core;
}

static int copy_entry(const struct crpc_metadata *from, grpc_metadata *ret, struct err *ret_err)
{
    grpc_slice k = grpc_slice_from_copied_string(from->key);
    grpc_slice v = grpc_slice_from_copied_buffer(from->value.data, from->value.len);
    if (!grpc_header_key_is_legal(k) || strncmp(from->key, "grpc-", 5) == 0 ||
        (!grpc_is_binary_header(k) && !grpc_header_nonbin_value_is_legal(v))) {
        grpc_slice_unref(k);
        grpc_slice_unref(v);
        return err_field(ret_err, "metadata", "illegal metadata for key %.64s", from->key);
    }
    *ret = (grpc_metadata){.key = k, .value = v};
    return 0;
}

static void drop_entries(grpc_metadata *md, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        grpc_slice_unref(md[i].key);
        grpc_slice_unref(md[i].value);
    }
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
        int rc = copy_entry(&o->metadata[channel->n_metadata], &channel->metadata[channel->n_metadata], ret_err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

struct crpc_channel *crpc_channel_new(const char *target, const struct crpc_channel_options *options,
                                      struct err *ret_err)
{
    struct crpc_channel_options o = options ? *options : (struct crpc_channel_options){0};
    if (!target || !target_ok(target)) {
        err_field(ret_err, "target", "%.100s is no HOST:PORT, unix:PATH or dns:///HOST:PORT", target ? target : "");
        return NULL;
    }
    if (o.credentials && strncmp(target, "unix:", 5) == 0) {
        err_field(ret_err, "credentials", "TLS is not for unix sockets, which nobody else can read");
        return NULL;
    }
    struct crpc_channel *channel = mem_zalloc(sizeof *channel);
    if (!channel) {
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
        return NULL;
    }
    pthread_mutex_init(&channel->mu, NULL);
    /* Core starts threads of its own; signals are for the caller's. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    grpc_init();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (copy_metadata(channel, &o, ret_err) < 0) {
        crpc_channel_free(channel);
        return NULL;
    }
    channel->core = create_core(target, &o);
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
    drop_entries(channel->metadata, channel->n_metadata);
    mem_free(channel->metadata);
    grpc_shutdown();
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

int channel_metadata_init(struct call_metadata *md, const struct crpc_channel *channel,
                          const struct crpc_call_options *options, struct err *ret_err)
{
    size_t n = options ? options->n_metadata : 0;
    md->n = md->n_shared = channel->n_metadata;
    if (n > CHANNEL_METADATA_MAX - md->n)
        return err_field(ret_err, "metadata", "more than %d metadata entries", CHANNEL_METADATA_MAX);
    if (md->n)
        memcpy(md->entries, channel->metadata, md->n * sizeof *md->entries);
    for (size_t i = 0; i < n; i++) {
        int rc = copy_entry(&options->metadata[i], &md->entries[md->n], ret_err);
        if (rc < 0) {
            channel_metadata_done(md);
            return rc;
        }
        md->n++;
    }
    return 0;
}

void channel_metadata_done(struct call_metadata *md)
{
    drop_entries(md->entries + md->n_shared, md->n - md->n_shared);
}

grpc_call *channel_call(struct crpc_channel *channel, const struct crpc_method *method,
                        const struct crpc_call_options *options, grpc_completion_queue *cq)
{
    int64_t ms = options ? options->timeout_ms : 0;
    gpr_timespec deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    if (ms > 0)
        deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(ms, GPR_TIMESPAN));
    return grpc_channel_create_call(channel->core, NULL, GRPC_PROPAGATE_DEFAULTS, cq,
                                    grpc_slice_from_static_string(method->path), NULL, deadline, NULL);
}

grpc_op channel_initial_op(const struct crpc_call_options *options, struct call_metadata *md)
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
