/* bench_raw_echo: prints `figure raw_echo_<in flight> <calls a second> calls/s`.
 * bench_raw_echo --serve: its server alone, over TCP, for another client: prints its address, ends with its input. */
#include <stdio.h>
#include <string.h>

#include "raw_echo.h"

static double measure(const struct echo_options *o, const char *target)
{
    return raw_echo_client(o, target, RAW_ECHO_PATH);
}

static int serve_alone(void)
{
    struct echo_options o = {.tcp = 1};
    struct echo_server server;
    echo_server_start(&server, &o, raw_echo_serve);
    puts(server.target);
    fflush(stdout);
    while (getchar() != EOF) {
    }
    echo_server_stop(&server);
    return 0;
}

int main(int argc, char **argv)
{
    struct echo_options o;
    struct echo_server server;
    if (argc == 2 && strcmp(argv[1], "--serve") == 0)
        return serve_alone();
    echo_options_parse(&o, NULL, argc, argv);
    echo_server_start(&server, &o, raw_echo_serve);
    printf("figure raw_echo_%u %.0f calls/s\n", o.in_flight, echo_in_child(measure, &o, server.target));
    echo_server_stop(&server);
    return 0;
}
