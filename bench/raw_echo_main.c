/* bench_raw_echo: prints `figure raw_echo_<in flight> <calls a second> calls/s`. */
#include <stdio.h>

#include "raw_echo.h"

static double measure(const struct echo_options *o, const char *target)
{
    return raw_echo_client(o, target, RAW_ECHO_PATH);
}

int main(int argc, char **argv)
{
    struct echo_options o;
    struct echo_server server;
    echo_options_parse(&o, NULL, argc, argv);
    echo_server_start(&server, &o, raw_echo_serve);
    printf("figure raw_echo_%u %.0f calls/s\n", o.in_flight, echo_in_child(measure, &o, server.target));
    echo_server_stop(&server);
    return 0;
}
