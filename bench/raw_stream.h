/* The ceiling of streaming: a server stream of small messages on gRPC core's C API alone, one completion queue and one
 * thread on each side. Made of the same parts as raw_echo. */
#ifndef BENCH_RAW_STREAM_H
#define BENCH_RAW_STREAM_H

#include "raw_echo.h"

#define RAW_STREAM_PATH "/bench.v1.StreamService/Flow"

enum { STREAM_PAYLOAD_MAX = 1 << 20 };

/* What the servers of the bench do; set before echo_server_start. */
struct stream_options {
    size_t payload_bytes;
    /* The payloads are as many different bytes, one after the other, which come from memory where they are more than
     * the processor's cache; 0: the same bytes again and again. */
    size_t source_bytes;
    int idle; /* one message, and then nothing until the client goes */
};
extern struct stream_options stream_options;

/* For echo_server_start. */
void raw_stream_serve(const char *address, int ready_fd);
/* Messages per second over all streams (in_flight many), with any server of that path. */
double raw_stream_client(const struct echo_options *o, const char *target);
/* Opens in_flight streams, waits for the first message of each, and gives how many bytes of memory the process
 * `server_pid` (stream_server_pid) has taken for each of them. */
double raw_stream_idle_client(const struct echo_options *o, const char *target);
extern pid_t stream_server_pid;

#endif
