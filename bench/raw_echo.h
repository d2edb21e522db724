/* The ceiling: a unary echo on gRPC core's C API alone, one completion queue and one thread on each side, in two
 * processes. The client half also drives a server of crpc, so that both servers meet the same client. */
#ifndef BENCH_RAW_ECHO_H
#define BENCH_RAW_ECHO_H

#include <stddef.h>
#include <sys/types.h>

struct echo_options {
    unsigned in_flight;
    double seconds;
    size_t payload_bytes;
    size_t source_bytes; /* of bench_raw_stream, see stream_options */
    int tcp;             /* else a unix socket */
};

/* A server process of the bench and where it listens. */
struct echo_server {
    pid_t pid;
    char target[128];
};

/* Part of the time added in front, not measured. */
#define ECHO_WARM_UP  0.1
#define RAW_ECHO_PATH "/bench.v1.EchoService/Echo"

/* --in-flight, --seconds, --bytes, --tcp; exits on a bad one. rounds may be NULL. */
void echo_options_parse(struct echo_options *o, int *rounds, int argc, char **argv);
/* Forks; serve runs in the child, writes the port (0 for a unix socket) to ready_fd when it listens, and never returns.
 * gRPC must not have been initialized before. */
void echo_server_start(struct echo_server *s, const struct echo_options *o,
                       void (*serve)(const char *address, int ready_fd));
void echo_server_stop(struct echo_server *s);
/* For echo_server_start. */
void raw_echo_serve(const char *address, int ready_fd);
/* Calls per second of the raw client, in a process of its own. */
double raw_echo_client(const struct echo_options *o, const char *target, const char *path);
/* Runs measure in a child process, since gRPC and fork do not mix, and gives what it returned. */
double echo_in_child(double (*measure)(const struct echo_options *o, const char *target), const struct echo_options *o,
                     const char *target);

/* CPU time of all processes of the bench that have ended since the last call, in seconds: steadier than a rate on a
 * machine that does other things as well. */
double echo_cpu_take(void);

#endif
