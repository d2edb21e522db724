/* Server streams on gRPC core alone; see raw_stream.h. Client and server are single-threaded. */
#include "raw_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>

struct stream_options stream_options = {.payload_bytes = 120};
pid_t stream_server_pid;

static void die(const char *what)
{
    fprintf(stderr, "stream: %s\n", what);
    exit(1);
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* What the next message says. */
static const uint8_t *next_payload(void)
{
    static uint8_t payload[STREAM_PAYLOAD_MAX], *source;
    static size_t at;
    size_t len = stream_options.payload_bytes, n = len ? stream_options.source_bytes / len : 0;
    if (n < 2)
        return payload;
    if (!source) {
        source = malloc(n * len);
        if (!source)
            die("memory");
        memset(source, 'x', n * len);
    }
    at = at + 1 < n ? at + 1 : 0;
    return source + at * len;
}

/* A protobuf message of one bytes field, number 1, made anew for each send: a program has something new to say. */
static grpc_slice make_message(void)
{
    size_t len = stream_options.payload_bytes, n = 0;
    size_t header = 2;
    for (size_t v = len; v > 0x7f; v >>= 7)
        header++;
    grpc_slice s = grpc_slice_malloc(len + header);
    uint8_t *p = GRPC_SLICE_START_PTR(s);
    p[n++] = 1 << 3 | 2;
    for (size_t v = len; n == 1 || v; v >>= 7)
        p[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
    memcpy(p + n, next_payload(), len);
    return s;
}

/* ---- server ---- */

struct flow;
struct tag {
    void (*done)(struct flow *flow, int ok);
    struct flow *flow;
};
struct flow {
    struct tag accepted, sent, closed;
    grpc_call *call;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload, *out;
    int cancelled, pending, first;
};

static grpc_server *server;
static grpc_completion_queue *server_queue;
static void *server_method;

static void accept_flow(void);

static void flow_release(struct flow *f)
{
    if (--f->pending)
        return;
    grpc_metadata_array_destroy(&f->metadata);
    grpc_call_unref(f->call);
    free(f);
}

static void flow_send(struct flow *f)
{
    grpc_op ops[2] = {{.op = GRPC_OP_SEND_INITIAL_METADATA}};
    grpc_op *message = &ops[f->first];
    grpc_slice slice = make_message();
    f->out = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    *message = (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = f->out};
    if (grpc_call_start_batch(f->call, ops, (size_t)f->first + 1, &f->sent, NULL) != GRPC_CALL_OK)
        die("send");
    f->first = 0;
    f->pending++;
}

static void flow_sent(struct flow *f, int ok)
{
    grpc_byte_buffer_destroy(f->out);
    if (ok && !stream_options.idle)
        flow_send(f);
    flow_release(f);
}

static void flow_closed(struct flow *f, int ok)
{
    (void)ok;
    flow_release(f);
}

static void flow_accepted(struct flow *f, int ok)
{
    if (!ok)
        die("accept");
    accept_flow();
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server.cancelled = &f->cancelled};
    f->pending++;
    if (grpc_call_start_batch(f->call, &op, 1, &f->closed, NULL) != GRPC_CALL_OK)
        die("close");
    if (f->payload)
        grpc_byte_buffer_destroy(f->payload);
    flow_send(f);
}

static void accept_flow(void)
{
    struct flow *f = calloc(1, sizeof *f);
    f->first = 1;
    f->accepted = (struct tag){flow_accepted, f};
    f->sent = (struct tag){flow_sent, f};
    f->closed = (struct tag){flow_closed, f};
    grpc_metadata_array_init(&f->metadata);
    if (grpc_server_request_registered_call(server, server_method, &f->call, &f->deadline, &f->metadata, &f->payload,
                                            server_queue, server_queue, &f->accepted) != GRPC_CALL_OK)
        die("request");
}

void raw_stream_serve(const char *address, int ready_fd)
{
    grpc_init();
    server_queue = grpc_completion_queue_create_for_next(NULL);
    server = grpc_server_create(NULL, NULL);
    grpc_server_register_completion_queue(server, server_queue, NULL);
    server_method =
        grpc_server_register_method(server, RAW_STREAM_PATH, NULL, GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
    int port = grpc_server_add_http2_port(server, address, grpc_insecure_server_credentials_create());
    if (port == 0)
        die("listen");
    grpc_server_start(server);
    for (int i = 0; i < 2; i++)
        accept_flow();
    if (write(ready_fd, &port, sizeof port) != sizeof port)
        die("ready");
    for (;;) {
        grpc_event ev = grpc_completion_queue_next(server_queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        struct tag *tag = ev.tag;
        tag->done(tag->flow, ev.success);
    }
}

/* ---- client ---- */

struct stream {
    grpc_call *call;
    grpc_byte_buffer *in;
    grpc_metadata_array initial, trailing;
    grpc_status_code code;
    grpc_slice msg;
    char status_tag, open_tag;
};

static void stream_recv(struct stream *s)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &s->in};
    if (grpc_call_start_batch(s->call, &op, 1, s, NULL) != GRPC_CALL_OK)
        die("receive");
}

static void stream_open(struct stream *s, grpc_channel *channel, grpc_completion_queue *cq)
{
    grpc_metadata_array_init(&s->initial);
    grpc_metadata_array_init(&s->trailing);
    s->call = grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, cq,
                                       grpc_slice_from_static_string(RAW_STREAM_PATH), NULL,
                                       gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_byte_buffer *out = grpc_raw_byte_buffer_create(NULL, 0);
    grpc_op ops[4] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = out},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_INITIAL_METADATA, .data.recv_initial_metadata.recv_initial_metadata = &s->initial}};
    grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                      .data.recv_status_on_client = {&s->trailing, &s->code, &s->msg, NULL}};
    if (grpc_call_start_batch(s->call, &status, 1, &s->status_tag, NULL) != GRPC_CALL_OK ||
        grpc_call_start_batch(s->call, ops, 4, &s->open_tag, NULL) != GRPC_CALL_OK)
        die("open");
    grpc_byte_buffer_destroy(out);
    stream_recv(s);
}

struct client {
    grpc_channel *channel;
    grpc_completion_queue *cq;
    struct stream *streams;
    unsigned n;
};

static void client_init(struct client *c, const struct echo_options *o, const char *target)
{
    grpc_init();
    c->n = o->in_flight;
    c->channel = grpc_channel_create(target, grpc_insecure_credentials_create(), NULL);
    c->cq = grpc_completion_queue_create_for_next(NULL);
    c->streams = calloc(c->n, sizeof *c->streams);
}

/* 1 when the event was a message, which is gone now and whose stream is returned. */
static struct stream *client_next(struct client *c)
{
    grpc_event ev = grpc_completion_queue_next(c->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    char *tag = ev.tag, *first = (char *)c->streams;
    struct stream *s = &c->streams[(size_t)(tag - first) / sizeof *s];
    if (tag == &s->status_tag)
        die("a stream ended");
    if (tag == &s->open_tag)
        return NULL;
    if (!s->in)
        die("a stream has no more messages");
    grpc_byte_buffer_destroy(s->in);
    s->in = NULL;
    return s;
}

double raw_stream_client(const struct echo_options *o, const char *target)
{
    struct client c;
    client_init(&c, o, target);
    for (unsigned i = 0; i < c.n; i++)
        stream_open(&c.streams[i], c.channel, c.cq);
    double begin = now(), from = begin + o->seconds * ECHO_WARM_UP, until = from + o->seconds, t = begin;
    unsigned long n = 0, warm = 0;
    while (t < until) {
        struct stream *s = client_next(&c);
        if (!s)
            continue;
        stream_recv(s);
        if ((++n & 63) == 0)
            t = now();
        if (t < from)
            warm = n;
    }
    return (double)(n - warm) / (t - from);
}

/* ---- memory ---- */

/* Private memory of a process, in bytes. */
static double memory_of(pid_t pid)
{
    char path[64], line[256];
    double kib = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *in = fopen(path, "re");
    if (!in)
        die(path);
    while (fgets(line, sizeof line, in)) {
        unsigned long n;
        if (sscanf(line, "Private_Dirty: %lu kB", &n) == 1)
            kib += (double)n;
    }
    fclose(in);
    return kib * 1024;
}

static void wait_for_first(struct client *c, unsigned n)
{
    while (n)
        n -= client_next(c) != NULL;
}

double raw_stream_idle_client(const struct echo_options *o, const char *target)
{
    enum { WARM = 20 }; /* what the first streams cost is not theirs: the connection, the pools */
    struct client c;
    struct echo_options more = *o;
    more.in_flight += WARM;
    client_init(&c, &more, target);
    for (unsigned i = 0; i < WARM; i++)
        stream_open(&c.streams[i], c.channel, c.cq);
    wait_for_first(&c, WARM);
    double before = memory_of(stream_server_pid);
    for (unsigned i = WARM; i < c.n; i++)
        stream_open(&c.streams[i], c.channel, c.cq);
    wait_for_first(&c, c.n - WARM);
    return (memory_of(stream_server_pid) - before) / o->in_flight;
}
