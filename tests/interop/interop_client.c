/* Interop client: the cases of the gRPC project's interop-test-descriptions. Takes the flags of its clients, with names
 * of several cases joined by commas; prints "pass NAME" for each. Exit status 0: all of them passed; 3: there is no
 * such case. Main thread; some cases start more. */
#include <stdarg.h>

#include "crpc/credentials.h"
#include "interop_cases.h"
#include "interop_options.h"

enum flag {
    HOST,
    PORT,
    TARGET,
    OVERRIDE,
    USE_TLS,
    USE_TEST_CA,
    CERTS,
    TEST_CASE,
    SOAK_ITERATIONS,
    SOAK_MAX_FAILURES,
    SOAK_MAX_LATENCY,
    SOAK_OVERALL,
    SOAK_INTERVAL
};

static struct interop_flag flags[] = {
    [HOST] = {"server_host", "127.0.0.1"},
    [PORT] = {"server_port", "8080"},
    [TARGET] = {"target", NULL}, /* instead of the two: unix:PATH or whatever crpc_channel_new takes */
    [OVERRIDE] = {"server_host_override", NULL},
    [USE_TLS] = {"use_tls", "false"},
    [USE_TEST_CA] = {"use_test_ca", "false"},
    [CERTS] = {"certs", "."}, /* where ca.pem is */
    [TEST_CASE] = {"test_case", "large_unary"},
    [SOAK_ITERATIONS] = {"soak_iterations", "10"},
    [SOAK_MAX_FAILURES] = {"soak_max_failures", "0"},
    [SOAK_MAX_LATENCY] = {"soak_per_iteration_max_acceptable_latency_ms", "1000"},
    [SOAK_OVERALL] = {"soak_overall_timeout_seconds", "10"},
    [SOAK_INTERVAL] = {"soak_min_time_ms_between_rpcs", "0"},
    {NULL, NULL},
};

void interop_fail(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("interop_client: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

void interop_want_code(int got, enum err_code want, const struct err *err)
{
    if (got != -(int)want)
        interop_fail("status %s (%s), not %s", err_code_name(-got), got ? err->msg : "", err_code_name((int)want));
}

static struct crpc_channel *connect_there(void)
{
    char target[256], ca[256];
    struct err err = ERR_NONE;
    struct crpc_channel_options options = {0};
    struct crpc_channel_credentials *credentials = NULL;
    if (flags[TARGET].value)
        snprintf(target, sizeof target, "%s", flags[TARGET].value);
    else
        snprintf(target, sizeof target, "%s:%s", flags[HOST].value, flags[PORT].value);
    if (interop_true(&flags[USE_TLS])) {
        snprintf(ca, sizeof ca, "%s/ca.pem", flags[CERTS].value);
        struct crpc_tls_client_options tls = {.ca_file = interop_true(&flags[USE_TEST_CA]) ? ca : NULL,
                                              .server_name = flags[OVERRIDE].value};
        credentials = crpc_channel_credentials_tls(&tls, &err);
        if (!credentials)
            interop_fail("credentials: %s", err.msg);
        options.credentials = credentials;
    }
    struct crpc_channel *channel = crpc_channel_new(target, &options, &err);
    if (!channel)
        interop_fail("channel to %s: %s", target, err.msg);
    crpc_channel_credentials_free(credentials);
    return channel;
}

static const struct interop_case *find_case(const char *name)
{
    static const struct interop_case *const all[] = {
        interop_unary_cases,    interop_stream_cases, interop_end_cases,        interop_load_cases, interop_orca_cases,
        interop_metadata_cases, interop_own_cases,    interop_compressed_cases, interop_http2_cases};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (const struct interop_case *c = all[i]; c->name; c++)
            if (strcmp(c->name, name) == 0)
                return c;
    return NULL;
}

int main(int argc, char **argv)
{
    (void)argc;
    interop_flags(flags, argv);
    struct interop t = {
        .connect = connect_there,
        .iterations = atoi(flags[SOAK_ITERATIONS].value),
        .max_failures = atoi(flags[SOAK_MAX_FAILURES].value),
        .max_latency_ms = atoll(flags[SOAK_MAX_LATENCY].value),
        .overall_ms = atoll(flags[SOAK_OVERALL].value) * 1000,
        .interval_ms = atoll(flags[SOAK_INTERVAL].value),
    };
    char *names = strdup(flags[TEST_CASE].value), *rest = names;
    for (char *name = strsep(&rest, ","); name; name = strsep(&rest, ",")) {
        const struct interop_case *c = find_case(name);
        if (!c) {
            fprintf(stderr, "interop_client: there is no case called %s\n", name);
            exit(3);
        }
        t.channel = connect_there();
        c->run(&t);
        crpc_channel_free(t.channel);
        printf("pass %s\n", name);
        fflush(stdout);
    }
    free(names);
    return 0;
}
