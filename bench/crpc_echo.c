/* bench_crpc_echo: the same echo through generated stubs, client and server, next to gRPC core alone. Rounds alternate
 * and the median counts, since figures of one machine wander. For raw_echo, crpc_echo and crpc_server_echo (crpc's
 * server, the raw client) it prints calls a second and CPU time a call of both processes together, and for the last two
 * the ratio to the first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench_echo.crpc.h"
#include "crpc/client.h"
#include "crpc/server.h"
#include "raw_echo.h"

enum { ROUNDS_MAX = 99 };

static int echo(struct crpc_call *call, const ProtobufCMessage *request, ProtobufCMessage *ret_response,
                struct err *ret_err)
{
    (void)call;
    (void)ret_err;
    ((Bench__V1__EchoResponse *)ret_response)->payload = ((const Bench__V1__EchoRequest *)request)->payload;
    return 0;
}

static void serve(const char *address, int ready_fd)
{
    static const struct bench_v1_echo_service_handlers handlers = {.echo = {.simple = echo}};
    struct err err = ERR_NONE;
    int port = 0;
    struct crpc_server *server = crpc_server_new(NULL, &err);
    if (!server || bench_v1_echo_service_mount(server, &handlers, NULL, &err) < 0 ||
        crpc_server_listen(server, address, &port, &err) < 0 || crpc_server_start(server, &err) < 0 ||
        write(ready_fd, &port, sizeof port) != sizeof port) {
        fprintf(stderr, "echo: %s\n", err.msg);
        _exit(1);
    }
    for (;;)
        pause();
}

struct client {
    struct crpc_channel *channel;
    struct crpc_loop *loop;
    Bench__V1__EchoRequest request;
    unsigned long n;
};

static void start(struct client *c);

static void done(void *user, const ProtobufCMessage *response, const struct err *status)
{
    struct client *c = user;
    if (status->code != ERR_OK || ((const Bench__V1__EchoResponse *)response)->payload.len != c->request.payload.len) {
        fprintf(stderr, "echo: a call failed: %s\n", status->msg);
        _exit(1);
    }
    c->n++;
    start(c);
}

static void start(struct client *c)
{
    struct err err;
    if (bench_v1_echo_service_echo_start(c->channel, c->loop, NULL, &c->request, done, c, &err) < 0) {
        fprintf(stderr, "echo: %s\n", err.msg);
        _exit(1);
    }
}

static double crpc_client(const struct echo_options *o, const char *target)
{
    struct client c = {.request = BENCH__V1__ECHO_REQUEST__INIT};
    struct err err = ERR_NONE;
    c.channel = crpc_channel_new(target, NULL, &err);
    c.loop = crpc_loop_new();
    c.request.payload.data = calloc(1, o->payload_bytes + 1);
    c.request.payload.len = o->payload_bytes;
    memset(c.request.payload.data, 'x', o->payload_bytes);
    for (unsigned i = 0; i < o->in_flight; i++)
        start(&c);
    int64_t us = (int64_t)(o->seconds * 1e6), from = clock_mono_us() + (int64_t)(o->seconds * ECHO_WARM_UP * 1e6),
            until = from + us, t = from - 1;
    unsigned long warm = 0;
    while (t < until) {
        crpc_loop_run(c.loop, -1);
        if ((c.n & 63) == 0 || o->in_flight == 1)
            t = clock_mono_us();
        if (t < from)
            warm = c.n;
    }
    free(c.request.payload.data); /* the calls in flight have their own copy; the process ends with them */
    return (double)(c.n - warm) / ((double)(t - from) / 1e6);
}

static double raw_to_crpc(const struct echo_options *o, const char *target)
{
    return raw_echo_client(o, target, bench_v1_echo_service.methods[0].path);
}

static double raw_to_raw(const struct echo_options *o, const char *target)
{
    return raw_echo_client(o, target, RAW_ECHO_PATH);
}

/* One pair of server and client, its rounds. */
struct pair {
    const char *name;
    void (*server)(const char *address, int ready_fd);
    double (*client)(const struct echo_options *o, const char *target);
    double rate[ROUNDS_MAX], cpu_us[ROUNDS_MAX];
};

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

int main(int argc, char **argv)
{
    static struct pair pairs[] = {
        {.name = "raw_echo", .server = raw_echo_serve, .client = raw_to_raw},
        {.name = "crpc_echo", .server = serve, .client = crpc_client},
        {.name = "crpc_server_echo", .server = serve, .client = raw_to_crpc},
    };
    struct echo_options o;
    int rounds = 3;
    echo_options_parse(&o, &rounds, argc, argv);
    if (rounds < 1 || rounds > ROUNDS_MAX)
        rounds = 3;
    for (int i = 0; i < rounds; i++)
        for (int k = 0; k < 3; k++)
            run(&pairs[k], &o, i);
    double rate[3], cpu_us[3];
    for (int k = 0; k < 3; k++) {
        rate[k] = median(pairs[k].rate, rounds);
        cpu_us[k] = median(pairs[k].cpu_us, rounds);
        printf("figure %s_%u %.0f calls/s\n", pairs[k].name, o.in_flight, rate[k]);
        printf("figure %s_cpu_%u %.2f us/call\n", pairs[k].name, o.in_flight, cpu_us[k]);
    }
    for (int k = 1; k < 3; k++) {
        printf("figure %s_ratio_%u %.3f ratio\n", pairs[k].name, o.in_flight, rate[k] / rate[0]);
        printf("figure %s_cpu_ratio_%u %.3f ratio\n", pairs[k].name, o.in_flight, cpu_us[0] / cpu_us[k]);
    }
    return 0;
}
