/* The fixture around the handlers of echo_server.c: what they tell the test, waiting for it, server and channel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "echo_handlers.h"

/* ---- what the handlers tell the test ---- */

void echo_count_up(struct echo *e, unsigned *counter)
{
    pthread_mutex_lock(&e->mu);
    (*counter)++;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->mu);
}

static void wait_for(struct echo *e, const unsigned *counter, unsigned n, const char *what)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    int rc = 0;
    pthread_mutex_lock(&e->mu);
    while (*counter < n && rc == 0)
        rc = pthread_cond_timedwait(&e->changed, &e->mu, &until);
    unsigned got = *counter;
    pthread_mutex_unlock(&e->mu);
    if (got < n)
        fail_msg("waited for %u %s, got %u", n, what, got);
}

#define WAIT_FOR(name, counter, what)                                                                                  \
    void echo_wait_##name(struct echo *e, unsigned n)                                                                  \
    {                                                                                                                  \
        wait_for(e, &e->counter, n, what);                                                                             \
    }
WAIT_FOR(done, n_done, "calls done")
WAIT_FOR(tags, n_tags, "tags")
WAIT_FOR(gone, n_gone, "cancels seen")
WAIT_FOR(received, n_received, "messages received")
WAIT_FOR(sent, n_sent, "messages sent")
WAIT_FOR(released, n_released, "bytes given back")

void echo_give_tag(struct echo *e, struct tag *tag)
{
    pthread_mutex_lock(&e->mu);
    e->tags[e->n_tags % ECHO_TAGS] = tag;
    e->n_tags++;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->mu);
}

void echo_forget_tag(struct echo *e, const struct tag *tag)
{
    pthread_mutex_lock(&e->mu);
    for (unsigned i = 0; i < ECHO_TAGS; i++)
        if (e->tags[i] == tag)
            e->tags[i] = NULL;
    pthread_mutex_unlock(&e->mu);
}

bool echo_post(struct echo *e, unsigned i, bool ok, bool once)
{
    pthread_mutex_lock(&e->mu);
    struct tag *tag = e->tags[i % ECHO_TAGS];
    if (tag)
        tag_post(tag, ok); /* under the mutex, so never after the call's done() */
    if (once)
        e->tags[i % ECHO_TAGS] = NULL;
    pthread_mutex_unlock(&e->mu);
    return tag != NULL;
}

void echo_refuse(struct echo *e, unsigned n)
{
    pthread_mutex_lock(&e->mu);
    e->n_refuse = n;
    pthread_mutex_unlock(&e->mu);
}

unsigned echo_read(struct echo *e, const unsigned *counter)
{
    pthread_mutex_lock(&e->mu);
    unsigned n = *counter;
    pthread_mutex_unlock(&e->mu);
    return n;
}

unsigned echo_said(struct echo *e)
{
    return echo_read(e, &e->n_said);
}

/* ---- fixture ---- */

static int listen_on(struct echo *e, const char *address, struct crpc_server_credentials *credentials, struct err *err)
{
    if (!address)
        address = "127.0.0.1:0";
    return credentials ? crpc_server_listen_tls(e->server, address, credentials, &e->port, err)
                       : crpc_server_listen(e->server, address, &e->port, err);
}

void echo_start_with(struct echo *e, const struct crpc_server_options *options, const char *address,
                     struct crpc_server_credentials *credentials, const struct crpc_channel_options *channel_options)
{
    struct crpc_server_options o = options ? *options : (struct crpc_server_options){.error_domain = "echo.test"};
    struct err err = ERR_NONE;
    *e = (struct echo){.port = 0};
    pthread_mutex_init(&e->mu, NULL);
    pthread_cond_init(&e->changed, NULL);
    e->server = crpc_server_new(&o, &err);
    if (!e->server || crpc_test_v1_echo_service_mount(e->server, &ECHO_HANDLERS, e, &err) < 0 ||
        listen_on(e, address, credentials, &err) < 0 || crpc_server_start(e->server, &err) < 0)
        fail_msg("server: %s", err.msg);
    if (e->port)
        snprintf(e->target, sizeof e->target, "127.0.0.1:%d", e->port);
    else
        snprintf(e->target, sizeof e->target, "%s", address);
    e->channel = crpc_channel_new(e->target, channel_options, &err);
    if (!e->channel)
        fail_msg("channel: %s", err.msg);
}

void echo_start(struct echo *e, const struct crpc_server_options *options, const char *address)
{
    echo_start_with(e, options, address, NULL, NULL);
}

void echo_stop(struct echo *e, int64_t grace_ms)
{
    crpc_channel_free(e->channel);
    crpc_server_drain(e->server, grace_ms);
    assert_int_equal(crpc_server_calls(e->server), 0);
    crpc_server_free(e->server);
    pthread_cond_destroy(&e->changed);
    pthread_mutex_destroy(&e->mu);
}

int echo_setup(void **state)
{
    struct echo *e = malloc(sizeof *e);
    echo_start(e, NULL, NULL);
    *state = e;
    return 0;
}

int echo_teardown(void **state)
{
    echo_stop(*state, 10000);
    free(*state);
    return 0;
}

void echo_hand_over(void)
{
    static atomic_uint n;
    atomic_fetch_add(&n, 1);
}
