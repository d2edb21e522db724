/* bench_crpc_echo: the same echo through generated stubs, client and server, next to gRPC core alone. Rounds alternate
 * and the median counts, since figures of one machine wander. Prints
 *   figure raw_echo_<n> ..., figure crpc_echo_<n> ..., figure crpc_server_echo_<n> ... (crpc's server, the raw client),
 *   figure crpc_echo_ratio_<n>, figure crpc_server_echo_ratio_<n> */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "crpc/client.h"
#include "crpc/server.h"
#include "echo.crpc.h"
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
    int64_t us = (int64_t)(o->seconds * 1e6), from = clock_mono_us() + us / 10, until = from + us, t = from - 1;
    unsigned long warm = 0;
    while (t < until) {
        crpc_loop_run(c.loop, -1);
        if ((c.n & 63) == 0 || o->in_flight == 1)
            t = clock_mono_us();
        if (t < from)
            warm = c.n;
    }
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

static double run(const struct echo_options *o, void (*server)(const char *, int),
                  double (*client)(const struct echo_options *, const char *))
{
    struct echo_server s;
    echo_server_start(&s, o, server);
    double rate = echo_in_child(client, o, s.target);
    echo_server_stop(&s);
    return rate;
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
    struct echo_options o;
    int rounds = 3;
    static double raw[ROUNDS_MAX], both[ROUNDS_MAX], server[ROUNDS_MAX];
    echo_options_parse(&o, &rounds, argc, argv);
    if (rounds < 1 || rounds > ROUNDS_MAX)
        rounds = 3;
    for (int i = 0; i < rounds; i++) {
        raw[i] = run(&o, raw_echo_serve, raw_to_raw);
        both[i] = run(&o, serve, crpc_client);
        server[i] = run(&o, serve, raw_to_crpc);
    }
    double r = median(raw, rounds), b = median(both, rounds), s = median(server, rounds);
    printf("figure raw_echo_%u %.0f calls/s\n", o.in_flight, r);
    printf("figure crpc_echo_%u %.0f calls/s\n", o.in_flight, b);
    printf("figure crpc_server_echo_%u %.0f calls/s\n", o.in_flight, s);
    printf("figure crpc_echo_ratio_%u %.3f ratio\n", o.in_flight, b / r);
    printf("figure crpc_server_echo_ratio_%u %.3f ratio\n", o.in_flight, s / r);
    return 0;
}
