/* A server with everything around it: TLS, health, reflection, an end in good order. `tour_server ADDRESS [CERT KEY]`
 * serves until SIGINT or SIGTERM. See docs/grpc-in-c.md, which shows this file. */
#include <signal.h>
#include <stdio.h>

#include "crpc/credentials.h"
#include "crpc/health.h"
#include "crpc/reflection.h"
#include "tour_handlers.h"

struct tour {
    struct crpc_server_credentials *tls;
    struct crpc_server *server;
    struct crpc_health *health;
    struct crpc_reflection *reflection;
    int port;
};

static int tour_listen(struct tour *t, const char *address, const char *cert, const char *key, struct err *ret_err)
{
    if (!cert || !key)
        return crpc_server_listen(t->server, address, &t->port, ret_err);
    t->tls =
        crpc_server_credentials_tls(&(struct crpc_tls_server_options){.cert_file = cert, .key_file = key}, ret_err);
    return t->tls ? crpc_server_listen_tls(t->server, address, t->tls, &t->port, ret_err) : -1;
}

static int tour_start(struct tour *t, const char *address, const char *cert, const char *key, struct err *ret_err)
{
    const struct crpc_server_options options = {.error_domain = "tour.example", .max_message_bytes = 1 << 20};
    t->server = crpc_server_new(&options, ret_err);
    t->health = crpc_health_new();
    t->reflection = crpc_reflection_new();
    if (!t->server || !t->health || !t->reflection)
        return -1;
    if (tour_v1_tour_service_mount(t->server, &tour_handlers, NULL, ret_err) != 0 ||
        crpc_health_mount(t->health, t->server, ret_err) != 0 ||
        crpc_reflection_add(t->reflection, &tour_v1_tour_service, ret_err) != 0 ||
        crpc_reflection_add(t->reflection, &grpc_health_v1_health, ret_err) != 0 ||
        crpc_reflection_mount(t->reflection, t->server, ret_err) != 0 ||
        tour_listen(t, address, cert, key, ret_err) != 0 || crpc_server_start(t->server, ret_err) != 0)
        return -1;
    return crpc_health_set(t->health, "", true, ret_err);
}

static void tour_end(struct tour *t)
{
    crpc_health_stop(t->health); /* who watches hears that we go */
    crpc_reflection_stop(t->reflection);
    crpc_server_drain(t->server, 5000);
}

static void tour_free(struct tour *t)
{
    crpc_server_free(t->server);
    crpc_reflection_free(t->reflection);
    crpc_health_free(t->health);
    crpc_server_credentials_free(t->tls);
}

int main(int argc, char **argv)
{
    struct err err = ERR_NONE;
    struct tour t = {.port = 0};
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    int rc = tour_start(&t, argc > 1 ? argv[1] : "127.0.0.1:50051", argc > 3 ? argv[2] : NULL,
                        argc > 3 ? argv[3] : NULL, &err);
    if (rc == 0) {
        printf("serving on port %d\n", t.port);
        fflush(stdout);
        sigwait(&stop, &(int){0});
        tour_end(&t);
    } else {
        fprintf(stderr, "tour_server: %s\n", err.code ? err.msg : "out of memory");
    }
    tour_free(&t);
    return rc != 0;
}
