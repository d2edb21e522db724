/* grpc.health.v1.Health. The table of services is under a mutex, as crpc_health_set may come from any thread; the
 * streams run on their workers.
 *
 *   watch: start -> look -> send -> look ... -> wait (raised by a change) -> look ... -> finish */
#include "crpc/health.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "crpc/server.h"
#include "grpc/health/v1/health.crpc.h"

typedef Grpc__Health__V1__HealthCheckRequest request_t;
typedef Grpc__Health__V1__HealthCheckResponse response_t;
typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus status_t;

#define SERVING         GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING     GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define SERVICE_UNKNOWN GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN

struct service {
    struct service *next;
    bool serving;
    char name[];
};

/* State of a Watch stream. */
struct watch {
    struct crpc_signal changed;
    struct watch *next, **link; /* of health->watches; link NULL: not in it */
    int last;                   /* status sent; -1: none */
};

struct crpc_health {
    pthread_mutex_t mu;
    struct service *services;
    struct watch *watches;
    bool stopped;
};

struct crpc_health *crpc_health_new(void)
{
    struct crpc_health *health = mem_zalloc(sizeof *health);
    if (!health)
        return NULL;
    pthread_mutex_init(&health->mu, NULL);
    if (crpc_health_set(health, "", false, NULL) < 0) {
        crpc_health_free(health);
        return NULL;
    }
    return health;
}

void crpc_health_free(struct crpc_health *health)
{
    if (!health)
        return;
    for (struct service *s = health->services, *next; s; s = next) {
        next = s->next;
        mem_free(s);
    }
    pthread_mutex_destroy(&health->mu);
    mem_free(health);
}

static struct service *find(struct crpc_health *health, const char *name)
{
    for (struct service *s = health->services; s; s = s->next)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

static void tell_watches(struct crpc_health *health)
{
    for (struct watch *w = health->watches; w; w = w->next)
        tag_post(&w->changed.tag, true);
}

int crpc_health_set(struct crpc_health *health, const char *service, bool serving, struct err *ret_err)
{
    int rc = 0;
    size_t len = strlen(service);
    pthread_mutex_lock(&health->mu);
    struct service *s = find(health, service);
    if (!s && (s = mem_alloc(sizeof *s + len + 1))) {
        memcpy(s->name, service, len + 1);
        s->next = health->services;
        health->services = s;
    }
    if (s) {
        s->serving = serving;
        tell_watches(health);
    } else {
        rc = err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    }
    pthread_mutex_unlock(&health->mu);
    return rc;
}

void crpc_health_stop(struct crpc_health *health)
{
    pthread_mutex_lock(&health->mu);
    health->stopped = true;
    tell_watches(health);
    pthread_mutex_unlock(&health->mu);
}

static status_t look_up(struct crpc_health *health, const char *name, bool *ret_stopped)
{
    pthread_mutex_lock(&health->mu);
    const struct service *s = find(health, name);
    *ret_stopped = health->stopped;
    status_t status = !s ? SERVICE_UNKNOWN : s->serving && !health->stopped ? SERVING : NOT_SERVING;
    pthread_mutex_unlock(&health->mu);
    return status;
}

static int check(struct crpc_call *call, const ProtobufCMessage *request, ProtobufCMessage *ret_response,
                 struct err *ret_err)
{
    const char *name = ((const request_t *)request)->service;
    bool stopped;
    status_t status = look_up(crpc_call_user(call), name, &stopped);
    if (status == SERVICE_UNKNOWN)
        return err_set(ret_err, ERR_NOT_FOUND, "SERVICE_UNKNOWN", "unknown service %s", name);
    ((response_t *)ret_response)->status = status;
    return 0;
}

static enum crpc_next watch_look(struct crpc_call *call);
static const struct crpc_step WATCH_LOOK = {"watch_look", watch_look};

static enum crpc_next watch_start(struct crpc_call *call)
{
    struct crpc_health *health = crpc_call_user(call);
    struct watch *w = crpc_call_state(call);
    crpc_signal_init(call, &w->changed);
    w->last = -1;
    pthread_mutex_lock(&health->mu);
    w->next = health->watches;
    w->link = &health->watches;
    if (w->next)
        w->next->link = &w->next;
    health->watches = w;
    pthread_mutex_unlock(&health->mu);
    return crpc_goto(call, &WATCH_LOOK);
}

static enum crpc_next watch_look(struct crpc_call *call)
{
    struct watch *w = crpc_call_state(call);
    bool stopped;
    status_t status = look_up(crpc_call_user(call), grpc_health_v1_health_watch_request(call)->service, &stopped);
    if (crpc_call_cancelled(call))
        return crpc_finish(call, NULL);
    if (w->last != (int)status) {
        response_t response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
        response.status = status;
        w->last = (int)status;
        return grpc_health_v1_health_watch_send(call, &response, &WATCH_LOOK);
    }
    if (stopped) {
        struct err err;
        err_set(&err, ERR_UNAVAILABLE, "SHUTTING_DOWN", "the server is shutting down");
        return crpc_finish(call, &err);
    }
    return crpc_await_signal(call, &w->changed, &WATCH_LOOK);
}

static void watch_done(struct crpc_call *call)
{
    struct crpc_health *health = crpc_call_user(call);
    struct watch *w = crpc_call_state(call);
    pthread_mutex_lock(&health->mu);
    if (w->link) {
        *w->link = w->next;
        if (w->next)
            w->next->link = w->link;
    }
    pthread_mutex_unlock(&health->mu);
}

int crpc_health_mount(struct crpc_health *health, struct crpc_server *server, struct err *ret_err)
{
    static const struct crpc_step start = {"watch_start", watch_start};
    static const struct grpc_health_v1_health_handlers handlers = {
        .check = {.simple = check},
        .watch = {.first = &start, .state_size = sizeof(struct watch), .done = watch_done},
    };
    return grpc_health_v1_health_mount(server, &handlers, health, ret_err);
}
