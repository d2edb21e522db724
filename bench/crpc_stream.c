/* bench_crpc_stream: server streams of small messages through generated stubs, next to gRPC core alone. Rounds
 * alternate and the median counts. For raw_stream, crpc_server_stream (crpc's server, the raw client) and crpc_stream
 * (both halves crpc's) it prints messages a second over all streams and CPU time a message of both processes together,
 * and for the last two the ratio to the first. With --idle: the memory that a stream takes at the server on which
 * nothing happens. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench_echo.crpc.h"
#include "crpc/server.h"
#include "raw_stream.h"

enum { ROUNDS_MAX = 99 };

/* ---- server ---- */

static enum crpc_next flow_next(struct crpc_call *call);
static enum crpc_next flow_end(struct crpc_call *call);
static const struct crpc_step FLOW_NEXT = {"flow_next", flow_next};
static const struct crpc_step FLOW_END = {"flow_end", flow_end};
static uint8_t payload[4096];

static enum crpc_next send_one(struct crpc_call *call)
{
    Bench__V1__FlowResponse response = BENCH__V1__FLOW_RESPONSE__INIT;
    response.payload = (ProtobufCBinaryData){stream_options.payload_bytes, payload};
    return bench_v1_stream_service_flow_send(call, &response, &FLOW_NEXT);
}

static enum crpc_next flow_next(struct crpc_call *call)
{
    if (!crpc_call_sent(call))
        return crpc_finish(call, NULL);
    if (!stream_options.idle)
        return send_one(call);
    struct crpc_signal *never = crpc_call_state(call);
    crpc_signal_init(call, never);
    return crpc_await_signal(call, never, &FLOW_END);
}

static enum crpc_next flow_end(struct crpc_call *call)
{
    return crpc_finish(call, NULL);
}

static void serve(const char *address, int ready_fd)
{
    static const struct crpc_step first = {"send_one", send_one};
    static const struct bench_v1_stream_service_handlers handlers = {
        .flow = {.first = &first, .state_size = sizeof(struct crpc_signal)}};
    struct err err = ERR_NONE;
    int port = 0;
    struct crpc_server *server = crpc_server_new(NULL, &err);
    if (!server || bench_v1_stream_service_mount(server, &handlers, NULL, &err) < 0 ||
        crpc_server_listen(server, address, &port, &err) < 0 || crpc_server_start(server, &err) < 0 ||
        write(ready_fd, &port, sizeof port) != sizeof port) {
        fprintf(stderr, "stream: %s\n", err.msg);
        _exit(1);
    }
    for (;;)
        pause();
}

/* ---- client ---- */

static unsigned long received;

static void on_message(struct crpc_async *stream, const ProtobufCMessage *msg)
{
    (void)stream;
    if (((const Bench__V1__FlowResponse *)msg)->payload.len != stream_options.payload_bytes)
        _exit(1);
    received++;
}

static void on_end(struct crpc_async *stream, const struct err *status, const struct crpc_metadata_list *trailing)
{
    (void)stream, (void)trailing;
    fprintf(stderr, "stream: one ended: %s\n", status->msg);
    _exit(1);
}

static double crpc_client(const struct echo_options *o, const char *target)
{
    static const struct crpc_async_events events = {.on_message = on_message, .on_end = on_end};
    struct err err = ERR_NONE;
    struct crpc_channel *channel = crpc_channel_new(target, NULL, &err);
    struct crpc_loop *loop = crpc_loop_new();
    Bench__V1__FlowRequest request = BENCH__V1__FLOW_REQUEST__INIT;
    for (unsigned i = 0; i < o->in_flight; i++)
        if (!bench_v1_stream_service_flow_start(channel, loop, NULL, &request, &events, NULL, &err)) {
            fprintf(stderr, "stream: %s\n", err.msg);
            _exit(1);
        }
    int64_t us = (int64_t)(o->seconds * 1e6), from = clock_mono_us() + (int64_t)(o->seconds * ECHO_WARM_UP * 1e6),
            until = from + us, t = from - 1;
    unsigned long warm = 0;
    while (t < until) {
        crpc_loop_run(loop, -1);
        if ((received & 63) == 0)
            t = clock_mono_us();
        if (t < from)
            warm = received;
    }
    return (double)(received - warm) / ((double)(t - from) / 1e6);
}

/* ---- rounds ---- */

/* One pair of server and client, its rounds. */
struct pair {
    const char *name;
    void (*server)(const char *address, int ready_fd);
    double (*client)(const struct echo_options *o, const char *target);
    double rate[ROUNDS_MAX], cpu_us[ROUNDS_MAX];
};

static struct pair pairs[] = {
    {.name = "raw_stream", .server = raw_stream_serve, .client = raw_stream_client},
    {.name = "crpc_server_stream", .server = serve, .client = raw_stream_client},
    {.name = "crpc_stream", .server = serve, .client = crpc_client},
};
enum { PAIRS = sizeof pairs / sizeof *pairs };

static void run(struct pair *p, const struct echo_options *o, int round)
{
    struct echo_server s;
    echo_server_start(&s, o, p->server);
    p->rate[round] = echo_in_child(p->client, o, s.target);
    echo_server_stop(&s);
    p->cpu_us[round] = echo_cpu_take() * 1e6 / (p->rate[round] * o->seconds * (1 + ECHO_WARM_UP));
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, compare);
    return v[n / 2];
}

static void flow(const struct echo_options *o, int rounds)
{
    for (int i = 0; i < rounds; i++)
        for (int k = 0; k < PAIRS; k++)
            run(&pairs[k], o, i);
    double rate[PAIRS], cpu_us[PAIRS];
    for (int k = 0; k < PAIRS; k++) {
        rate[k] = median(pairs[k].rate, rounds);
        cpu_us[k] = median(pairs[k].cpu_us, rounds);
        printf("figure %s_%u %.0f messages/s\n", pairs[k].name, o->in_flight, rate[k]);
        printf("figure %s_cpu_%u %.2f us/message\n", pairs[k].name, o->in_flight, cpu_us[k]);
    }
    for (int k = 1; k < PAIRS; k++)
        printf("figure %s_cpu_ratio_%u %.3f ratio\n", pairs[k].name, o->in_flight, cpu_us[0] / cpu_us[k]);
}

static void idle(const struct echo_options *o)
{
    stream_options.idle = 1;
    for (int k = 0; k < 2; k++) {
        struct echo_server s;
        echo_server_start(&s, o, pairs[k].server);
        stream_server_pid = s.pid;
        printf("figure %s_idle_stream_bytes %.0f bytes\n", k ? "crpc" : "raw",
               echo_in_child(raw_stream_idle_client, o, s.target));
        echo_server_stop(&s);
    }
}

int main(int argc, char **argv)
{
    struct echo_options o;
    int rounds = 3;
    bool is_idle = argc > 1 && strcmp(argv[1], "--idle") == 0;
    echo_options_parse(&o, &rounds, argc - is_idle, argv + is_idle);
    if (rounds < 1 || rounds > ROUNDS_MAX)
        rounds = 3;
    if (is_idle)
        idle(&o);
    else
        flow(&o, rounds);
    return 0;
}
