/* Interop server: grpc.testing.TestService, health and reflection. Takes the flags of the gRPC project's servers;
 * prints "ready PORT" once it takes calls; SIGTERM ends it in an orderly way, with exit status 0. Main thread; handlers
 * run on the workers. */
#include <signal.h>

#include "crpc/credentials.h"
#include "crpc/health.h"
#include "crpc/reflection.h"
#include "grpc/testing/test.crpc.h"
#include "interop_options.h"
#include "interop_orca.h"
#include "interop_service.h"
#include "xds/service/orca/v3/orca.crpc.h"

enum flag { ADDRESS, PORT, USE_TLS, CERTS };

static struct interop_flag flags[] = {
    [ADDRESS] = {"address", NULL}, /* instead of port: HOST:PORT or unix:PATH */
    [PORT] = {"port", "0"},        /* on 127.0.0.1; 0: any free one */
    [USE_TLS] = {"use_tls", "false"},
    [CERTS] = {"certs", "."}, /* where server1.pem and server1.key are */
    {NULL, NULL},
};

static void must(bool ok, const struct err *err)
{
    if (ok)
        return;
    fprintf(stderr, "interop_server: %s: %s\n", err_code_name(err->code), err->msg);
    exit(1);
}

static struct crpc_reflection *reflect(struct crpc_server *server, struct err *err)
{
    struct crpc_reflection *reflection = crpc_reflection_new();
    must(reflection && crpc_reflection_add(reflection, &grpc_testing_test_service, err) == 0 &&
             crpc_reflection_add(reflection, &xds_service_orca_v3_open_rca_service, err) == 0 &&
             crpc_reflection_add(reflection, &grpc_health_v1_health, err) == 0 &&
             crpc_reflection_mount(reflection, server, err) == 0,
         err);
    return reflection;
}

/* Gives the credentials, NULL without TLS, by ret_credentials. Returns the port. */
static int listen_there(struct crpc_server *server, struct crpc_server_credentials **ret_credentials, struct err *err)
{
    char address[128], cert[256], key[256];
    int port = 0;
    *ret_credentials = NULL;
    if (flags[ADDRESS].value)
        snprintf(address, sizeof address, "%s", flags[ADDRESS].value);
    else
        snprintf(address, sizeof address, "127.0.0.1:%s", flags[PORT].value);
    if (!interop_true(&flags[USE_TLS])) {
        must(crpc_server_listen(server, address, &port, err) == 0, err);
        return port;
    }
    snprintf(cert, sizeof cert, "%s/server1.pem", flags[CERTS].value);
    snprintf(key, sizeof key, "%s/server1.key", flags[CERTS].value);
    struct crpc_tls_server_options tls = {.cert_file = cert, .key_file = key};
    *ret_credentials = crpc_server_credentials_tls(&tls, err);
    must(*ret_credentials && crpc_server_listen_tls(server, address, *ret_credentials, &port, err) == 0, err);
    return port;
}

int main(int argc, char **argv)
{
    (void)argc;
    interop_flags(flags, argv);
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    sigaddset(&end, SIGINT);
    sigprocmask(SIG_BLOCK, &end, NULL);

    struct err err = ERR_NONE;
    struct crpc_server_options options = {.n_workers = 2};
    struct crpc_server *server = crpc_server_new(&options, &err);
    must(server && interop_service_mount(server, &err) == 0 && interop_orca_mount(server, &err) == 0, &err);
    struct crpc_reflection *reflection = reflect(server, &err);
    struct crpc_health *health = crpc_health_new();
    must(health && crpc_health_mount(health, server, &err) == 0, &err);
    struct crpc_server_credentials *credentials;
    int port = listen_there(server, &credentials, &err);
    must(crpc_server_start(server, &err) == 0, &err);
    must(crpc_health_set(health, "", true, &err) == 0 &&
             crpc_health_set(health, grpc_testing_test_service.full_name, true, &err) == 0,
         &err);
    printf("ready %d\n", port);
    fflush(stdout);

    int sig;
    sigwait(&end, &sig);
    crpc_health_stop(health);
    crpc_server_drain(server, 5000);
    crpc_server_free(server);
    crpc_server_credentials_free(credentials);
    crpc_health_free(health);
    crpc_reflection_free(reflection);
    return 0;
}
