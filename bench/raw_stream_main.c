/* bench_raw_stream: server streams on gRPC core alone. Prints `figure raw_stream_<in flight> <rate> messages/s`
 * and `figure raw_stream_bytes_<in flight> <rate> MB/s`. */
#include <stdio.h>

#include "keep_memory.h"
#include "raw_stream.h"

int main(int argc, char **argv)
{
    struct echo_options o;
    struct echo_server server;
    keep_memory();
    echo_options_parse(&o, NULL, argc, argv);
    stream_options.payload_bytes = o.payload_bytes;
    stream_options.source_bytes = o.source_bytes;
    echo_server_start(&server, &o, raw_stream_serve);
    double rate = echo_in_child(raw_stream_client, &o, server.target);
    printf("figure raw_stream_%u %.0f messages/s\n", o.in_flight, rate);
    printf("figure raw_stream_bytes_%u %.0f MB/s\n", o.in_flight, rate * (double)o.payload_bytes / 1e6);
    echo_server_stop(&server);
    return 0;
}
