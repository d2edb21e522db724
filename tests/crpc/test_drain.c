/* What a drain must wait for although no call is under way yet: a call that core has handed to a worker which has not
 * come round to it. The test holds a worker between two events, so it looks into the server. */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "echo_server.h"
#include "server_priv.h"

enum { CONNECTIONS_MAX = 64 };

struct hold {
    struct crpc_mail mail;
    sem_t held, let_go;
};

struct drain {
    struct crpc_server *server;
    atomic_bool drained, late;
};

static void hold_open(struct crpc_mail *mail)
{
    struct hold *hold = CONTAINER_OF(mail, struct hold, mail);
    sem_post(&hold->held);
    sem_wait(&hold->let_go);
}

static int before(struct crpc_call *call, void *user, struct err *ret_err)
{
    (void)call, (void)ret_err;
    struct drain *drain = user;
    if (atomic_load(&drain->drained))
        atomic_store(&drain->late, true);
    return 0;
}

static void *drain_main(void *arg)
{
    struct drain *drain = arg;
    crpc_server_drain(drain->server, 0);
    atomic_store(&drain->drained, true);
    return NULL;
}

/* A call of a client that goes away again; its status. Each connection has a worker of its own. */
static int say_briefly(const char *target)
{
    Crpc__Test__V1__SayRequest q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    Crpc__Test__V1__SayResponse *r = NULL;
    struct crpc_channel *channel = crpc_channel_new(target, NULL, NULL);
    int rc = crpc_test_v1_echo_service_say(channel, &(struct crpc_call_options){.timeout_ms = 200}, &q, &r, NULL);
    if (rc == 0)
        crpc_message_free(&r->base);
    crpc_channel_free(channel);
    return rc;
}

static void test_no_call_after_drain(void **state)
{
    (void)state;
    struct echo e;
    struct drain drain = {.drained = false};
    struct crpc_interceptor witness = {.before = before, .user = &drain};
    struct hold hold = {.mail.open = hold_open};
    sem_init(&hold.held, 0, 0);
    sem_init(&hold.let_go, 0, 0);
    echo_start(&e, &(struct crpc_server_options){.n_workers = 2, .interceptors = &witness, .n_interceptors = 1}, NULL);
    drain.server = e.server;
    worker_post(&e.server->stations[1].worker, &hold.mail);
    sem_wait(&hold.held);
    int rc = 0;
    for (int i = 0; rc == 0 && i < CONNECTIONS_MAX; i++)
        rc = say_briefly(e.target);
    assert_int_equal(rc, -ERR_DEADLINE_EXCEEDED); /* it has come to the worker that is held */

    pthread_t thread;
    pthread_create(&thread, NULL, drain_main, &drain);
    /* Time for a drain that does not wait to end; were it too short, a fault would be missed, never invented. */
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += 1;
    bool ended = pthread_timedjoin_np(thread, NULL, &at) == 0;
    sem_post(&hold.let_go);
    if (!ended)
        pthread_join(thread, NULL);
    echo_stop(&e, 0);
    assert_false(atomic_load(&drain.late));
    sem_destroy(&hold.held);
    sem_destroy(&hold.let_go);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_call_after_drain)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
