/* grpc.reflection.v1.ServerReflection, and the same under the name v1alpha. What it knows is fixed when it is mounted,
 * so the streams on all workers read it without a lock, and an answer points into it: none needs memory of its own.
 *
 *   start -> (recv) answer -> (send) next -> (recv) answer ... -> finish
 *     '-> watch: waits for the end of the server */
#include "crpc/reflection.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "crpc/server.h"
#include "grpc/reflection/v1/reflection.crpc.h"
#include "grpc/reflection/v1alpha/reflection.crpc.h"
#include "reflection_answer.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest request_t;
typedef Grpc__Reflection__V1__ServiceResponse service_t;

/* One stream. */
struct stream {
    struct crpc_signal stop;
    struct stream *next, **link; /* link NULL: not in the list */
};

struct crpc_reflection {
    struct reflection_index index;
    service_t *services; /* sorted by name when mounted */
    service_t **list;    /* to each of services */
    size_t n_services;
    bool finished;
    /* v1alpha, with the messages of v1: on the wire they are the same. */
    struct crpc_service alpha;
    struct crpc_method alpha_method;
    pthread_mutex_t mu; /* the rest */
    struct stream *streams;
    bool stopped;
};

struct crpc_reflection *crpc_reflection_new(void)
{
    struct crpc_reflection *r = mem_zalloc(sizeof *r);
    if (!r)
        return NULL;
    index_init(&r->index);
    pthread_mutex_init(&r->mu, NULL);
    const struct crpc_method *method = &grpc_reflection_v1_server_reflection.methods[0];
    r->alpha = grpc_reflection_v1alpha_server_reflection;
    r->alpha_method = r->alpha.methods[0];
    r->alpha_method.input = method->input;
    r->alpha_method.output = method->output;
    r->alpha.methods = &r->alpha_method;
    return r;
}

void crpc_reflection_free(struct crpc_reflection *reflection)
{
    if (!reflection)
        return;
    index_done(&reflection->index);
    pthread_mutex_destroy(&reflection->mu);
    mem_free(reflection->services);
    mem_free(reflection->list);
    mem_free(reflection);
}

static int no_memory(struct err *ret_err)
{
    return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

int crpc_reflection_add_file(struct crpc_reflection *reflection, const struct crpc_file *file, struct err *ret_err)
{
    if (reflection->finished)
        return err_set(ret_err, ERR_FAILED_PRECONDITION, "MOUNTED", "reflection is mounted already");
    return index_add(&reflection->index, file, ret_err);
}

int crpc_reflection_add(struct crpc_reflection *reflection, const struct crpc_service *service, struct err *ret_err)
{
    struct crpc_reflection *r = reflection;
    int rc = crpc_reflection_add_file(r, service->file, ret_err);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < r->n_services; i++)
        if (strcmp(r->services[i].name, service->full_name) == 0)
            return 0;
    service_t *services = mem_realloc(r->services, (r->n_services + 1) * sizeof *services);
    if (!services)
        return no_memory(ret_err);
    r->services = services;
    grpc__reflection__v1__service_response__init(&services[r->n_services]);
    services[r->n_services++].name = (char *)(uintptr_t)service->full_name; /* only ever packed */
    return 0;
}

static int compare_services(const void *a, const void *b)
{
    return strcmp(((const service_t *)a)->name, ((const service_t *)b)->name);
}

static int finish(struct crpc_reflection *r, struct err *ret_err)
{
    int rc = crpc_reflection_add(r, &grpc_reflection_v1_server_reflection, ret_err);
    if (rc == 0)
        rc = crpc_reflection_add(r, &grpc_reflection_v1alpha_server_reflection, ret_err);
    if (rc != 0 || (rc = index_finish(&r->index, ret_err)) != 0)
        return rc;
    r->list = mem_alloc(r->n_services * sizeof(service_t *));
    if (!r->list)
        return no_memory(ret_err);
    qsort(r->services, r->n_services, sizeof *r->services, compare_services);
    for (size_t i = 0; i < r->n_services; i++)
        r->list[i] = &r->services[i];
    r->finished = true;
    return 0;
}

/* ---- the stream ---- */

static enum crpc_next stream_next(struct crpc_call *call);
static const struct crpc_step STREAM_NEXT = {"stream_next", stream_next};

static enum crpc_next stream_answer(struct crpc_call *call)
{
    const request_t *request = grpc_reflection_v1_server_reflection_server_reflection_info_received(call);
    if (!request)
        return crpc_finish(call, NULL);
    struct answer answer;
    const struct crpc_reflection *r = crpc_call_user(call);
    const struct answer_source source = {&r->index, r->list, r->n_services};
    answer_to(&answer, &source, (request_t *)(uintptr_t)request);
    return grpc_reflection_v1_server_reflection_server_reflection_info_send(call, &answer.response, &STREAM_NEXT);
}

static const struct crpc_step STREAM_ANSWER = {"stream_answer", stream_answer};

static enum crpc_next stream_stop(struct crpc_call *call)
{
    struct crpc_reflection *r = crpc_call_user(call);
    struct err err = ERR_NONE;
    pthread_mutex_lock(&r->mu);
    bool stopped = r->stopped;
    pthread_mutex_unlock(&r->mu);
    if (!stopped)
        return crpc_end(call); /* the other chain has ended the call */
    err_set(&err, ERR_UNAVAILABLE, "SHUTTING_DOWN", "the server is shutting down");
    return crpc_finish(call, &err);
}

static enum crpc_next stream_watch(struct crpc_call *call)
{
    static const struct crpc_step stop = {"stream_stop", stream_stop};
    struct stream *s = crpc_call_state(call);
    return crpc_await_signal(call, &s->stop, &stop);
}

static enum crpc_next stream_start(struct crpc_call *call)
{
    static const struct crpc_step watch = {"stream_watch", stream_watch};
    struct crpc_reflection *r = crpc_call_user(call);
    struct stream *s = crpc_call_state(call);
    crpc_signal_init(call, &s->stop);
    pthread_mutex_lock(&r->mu);
    s->next = r->streams;
    s->link = &r->streams;
    if (s->next)
        s->next->link = &s->next;
    r->streams = s;
    if (r->stopped)
        crpc_signal_raise(&s->stop);
    pthread_mutex_unlock(&r->mu);
    crpc_fork(call, &watch);
    return crpc_recv(call, &STREAM_ANSWER);
}

static void stream_done(struct crpc_call *call)
{
    struct crpc_reflection *r = crpc_call_user(call);
    struct stream *s = crpc_call_state(call);
    pthread_mutex_lock(&r->mu);
    if (s->link) {
        *s->link = s->next;
        if (s->next)
            s->next->link = s->link;
    }
    pthread_mutex_unlock(&r->mu);
}

void crpc_reflection_stop(struct crpc_reflection *reflection)
{
    pthread_mutex_lock(&reflection->mu);
    reflection->stopped = true;
    for (struct stream *s = reflection->streams; s; s = s->next)
        tag_post(&s->stop.tag, true);
    pthread_mutex_unlock(&reflection->mu);
}

static enum crpc_next stream_next(struct crpc_call *call)
{
    return crpc_call_sent(call) ? crpc_recv(call, &STREAM_ANSWER) : crpc_finish(call, NULL);
}

int crpc_reflection_mount(struct crpc_reflection *reflection, struct crpc_server *server, struct err *ret_err)
{
    static const struct crpc_step start = {"stream_start", stream_start};
    static const struct crpc_handler handler = {
        .first = &start, .state_size = sizeof(struct stream), .done = stream_done};
    static const struct crpc_handler *const handlers[] = {&handler};
    int rc = reflection->finished ? 0 : finish(reflection, ret_err);
    if (rc == 0)
        rc = crpc_server_mount(server, &grpc_reflection_v1_server_reflection, handlers, reflection, ret_err);
    if (rc == 0)
        rc = crpc_server_mount(server, &reflection->alpha, handlers, reflection, ret_err);
    return rc;
}
