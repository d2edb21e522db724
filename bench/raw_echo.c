/* Echo on gRPC core alone; see raw_echo.h. Client and server are single-threaded. */
#include "raw_echo.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>

enum { SERVER_REQUESTS = 512 };

static void die(const char *what)
{
    fprintf(stderr, "echo: %s\n", what);
    exit(1);
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double cpu;

static void reap(pid_t pid)
{
    struct rusage u;
    if (wait4(pid, NULL, 0, &u) == pid)
        cpu +=
            (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

double echo_cpu_take(void)
{
    double taken = cpu;
    cpu = 0;
    return taken;
}

void echo_options_parse(struct echo_options *o, int *rounds, int argc, char **argv)
{
    static const struct option options[] = {{"in-flight", 1, 0, 'n'},
                                            {"seconds", 1, 0, 's'},
                                            {"bytes", 1, 0, 'b'},
                                            {"tcp", 0, 0, 't'},
                                            {"rounds", 1, 0, 'r'},
                                            {"source", 1, 0, 'o'},
                                            {0}};
    *o = (struct echo_options){.in_flight = 64, .seconds = 3, .payload_bytes = 200};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'n')
            o->in_flight = (unsigned)atoi(optarg);
        else if (c == 's')
            o->seconds = atof(optarg);
        else if (c == 'b')
            o->payload_bytes = (size_t)atol(optarg);
        else if (c == 'o')
            o->source_bytes = (size_t)atoll(optarg);
        else if (c == 't')
            o->tcp = 1;
        else if (c == 'r' && rounds)
            *rounds = atoi(optarg);
        else
            die("options: --in-flight N --seconds S --bytes N --source N --tcp --rounds N");
    }
    if (o->in_flight < 1 || o->in_flight > 100000 || o->seconds <= 0 || optind < argc)
        die("want at least one call in flight and a time above zero");
}

void echo_server_start(struct echo_server *s, const struct echo_options *o,
                       void (*serve)(const char *address, int ready_fd))
{
    static int number;
    int fds[2], port = 0;
    if (pipe(fds) < 0)
        die("no pipe");
    snprintf(s->target, sizeof s->target, "unix:/tmp/bench-echo-%d-%d", (int)getpid(), ++number);
    s->pid = fork();
    if (s->pid < 0)
        die("no process");
    if (s->pid == 0) {
        close(fds[0]);
        serve(o->tcp ? "127.0.0.1:0" : s->target, fds[1]);
        _exit(1);
    }
    close(fds[1]);
    if (read(fds[0], &port, sizeof port) != sizeof port)
        die("the server did not start");
    close(fds[0]);
    if (o->tcp)
        snprintf(s->target, sizeof s->target, "127.0.0.1:%d", port);
}

void echo_server_stop(struct echo_server *s)
{
    kill(s->pid, SIGKILL);
    reap(s->pid);
    if (strncmp(s->target, "unix:", 5) == 0)
        unlink(s->target + 5);
}

double echo_in_child(double (*measure)(const struct echo_options *o, const char *target), const struct echo_options *o,
                     const char *target)
{
    int fds[2];
    double rate = 0;
    if (pipe(fds) < 0)
        die("no pipe");
    pid_t pid = fork();
    if (pid < 0)
        die("no process");
    if (pid == 0) {
        rate = measure(o, target);
        _exit(write(fds[1], &rate, sizeof rate) == sizeof rate ? 0 : 1);
    }
    close(fds[1]);
    if (read(fds[0], &rate, sizeof rate) != sizeof rate)
        die("the client failed");
    close(fds[0]);
    reap(pid);
    return rate;
}

/* ---- server ---- */

struct served {
    grpc_call *call;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload;
    int cancelled;
    int answering;
};

static void request(grpc_server *server, void *method, grpc_completion_queue *cq, struct served *c)
{
    c->answering = 0;
    c->metadata.count = 0;
    if (grpc_server_request_registered_call(server, method, &c->call, &c->deadline, &c->metadata, &c->payload, cq, cq,
                                            c) != GRPC_CALL_OK)
        die("request");
}

static void answer(struct served *c)
{
    grpc_op ops[4] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},
                      {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = c->payload},
                      {.op = GRPC_OP_SEND_STATUS_FROM_SERVER},
                      {.op = GRPC_OP_RECV_CLOSE_ON_SERVER, .data.recv_close_on_server.cancelled = &c->cancelled}};
    c->answering = 1;
    if (grpc_call_start_batch(c->call, ops, 4, c, NULL) != GRPC_CALL_OK)
        die("answer");
}

void raw_echo_serve(const char *address, int ready_fd)
{
    grpc_init();
    grpc_completion_queue *cq = grpc_completion_queue_create_for_next(NULL);
    grpc_server *server = grpc_server_create(NULL, NULL);
    grpc_server_register_completion_queue(server, cq, NULL);
    void *method =
        grpc_server_register_method(server, RAW_ECHO_PATH, NULL, GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
    int port = grpc_server_add_http2_port(server, address, grpc_insecure_server_credentials_create());
    if (port == 0)
        die("listen");
    grpc_server_start(server);
    struct served *calls = calloc(SERVER_REQUESTS, sizeof *calls);
    for (int i = 0; i < SERVER_REQUESTS; i++) {
        grpc_metadata_array_init(&calls[i].metadata);
        request(server, method, cq, &calls[i]);
    }
    if (write(ready_fd, &port, sizeof port) != sizeof port)
        die("ready");
    for (;;) {
        grpc_event ev = grpc_completion_queue_next(cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        struct served *c = ev.tag;
        if (!c->answering && c->payload) {
            answer(c);
            continue;
        }
        if (c->payload) /* else its client went away */
            grpc_byte_buffer_destroy(c->payload);
        grpc_call_unref(c->call);
        request(server, method, cq, c);
    }
}

/* ---- client ---- */

struct sent {
    grpc_call *call;
    grpc_byte_buffer *in;
    grpc_metadata_array initial, trailing;
    grpc_status_code code;
    grpc_slice msg;
};

static void start(grpc_channel *channel, grpc_completion_queue *cq, const char *path, grpc_slice payload,
                  struct sent *c)
{
    c->call = grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, cq, grpc_slice_from_static_string(path),
                                       NULL, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_byte_buffer *out = grpc_raw_byte_buffer_create(&payload, 1);
    c->in = NULL;
    c->initial.count = c->trailing.count = 0;
    grpc_op ops[6] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = out},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_INITIAL_METADATA, .data.recv_initial_metadata.recv_initial_metadata = &c->initial},
        {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &c->in},
        {.op = GRPC_OP_RECV_STATUS_ON_CLIENT, .data.recv_status_on_client = {&c->trailing, &c->code, &c->msg, NULL}}};
    if (grpc_call_start_batch(c->call, ops, 6, c, NULL) != GRPC_CALL_OK)
        die("start");
    grpc_byte_buffer_destroy(out);
}

static void finish(struct sent *c)
{
    if (c->code != GRPC_STATUS_OK || !c->in)
        die("a call failed");
    grpc_byte_buffer_destroy(c->in);
    grpc_slice_unref(c->msg);
    grpc_call_unref(c->call);
}

/* A protobuf message of one bytes field, number 1, so that crpc's server understands it too. */
static grpc_slice make_payload(size_t bytes)
{
    grpc_slice s = grpc_slice_malloc(bytes + 8);
    uint8_t *p = GRPC_SLICE_START_PTR(s);
    size_t n = 0;
    p[n++] = 1 << 3 | 2;
    for (size_t v = bytes; n == 1 || v; v >>= 7)
        p[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
    memset(p + n, 'x', bytes);
    grpc_slice_unref(grpc_slice_split_tail(&s, n + bytes));
    return s;
}

double raw_echo_client(const struct echo_options *o, const char *target, const char *path)
{
    grpc_init();
    grpc_channel *channel = grpc_channel_create(target, grpc_insecure_credentials_create(), NULL);
    grpc_completion_queue *cq = grpc_completion_queue_create_for_next(NULL);
    grpc_slice payload = make_payload(o->payload_bytes);
    struct sent *calls = calloc(o->in_flight, sizeof *calls);
    for (unsigned i = 0; i < o->in_flight; i++) {
        grpc_metadata_array_init(&calls[i].initial);
        grpc_metadata_array_init(&calls[i].trailing);
        start(channel, cq, path, payload, &calls[i]);
    }
    double begin = now(), from = begin + o->seconds * ECHO_WARM_UP, until = from + o->seconds, t = begin;
    unsigned long n = 0, warm = 0;
    while (t < until) {
        grpc_event ev = grpc_completion_queue_next(cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        finish(ev.tag);
        start(channel, cq, path, payload, ev.tag);
        if ((++n & 63) == 0 || o->in_flight == 1)
            t = now();
        if (t < from)
            warm = n;
    }
    return (double)(n - warm) / (t - from);
}
