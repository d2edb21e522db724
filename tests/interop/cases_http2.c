/* The client's half of the gRPC project's negative HTTP/2 cases; http2_server.py is the other. Its answers are of 1024
 * bytes. The threads of a case live no longer than it. */
#include <pthread.h>

#include "interop_cases.h"

enum { ANSWER = 1024, THREADS = 10 };

/* Twice: the second call comes after the server's GOAWAY. */
static void goaway(const struct interop *t)
{
    interop_large_unary(t->channel, ANSWER);
    interop_large_unary(t->channel, ANSWER);
}

static void reset(const struct interop *t)
{
    simple_request_t q = GRPC__TESTING__SIMPLE_REQUEST__INIT;
    simple_response_t *r = NULL;
    struct err err = ERR_NONE;
    q.response_size = LARGE_RESPONSE;
    int rc = interop_unary(t->channel, NULL, &q, &r, &err);
    INTEROP_CHECK(rc != 0 && !r);
    INTEROP_CHECK(err.code == (enum err_code) - rc && err.msg[0]);
}

static void ping(const struct interop *t)
{
    interop_large_unary(t->channel, ANSWER);
}

/* An answer of the usual size in frames that are mostly padding. */
static void data_frame_padding(const struct interop *t)
{
    interop_large_unary(t->channel, LARGE_RESPONSE);
}

static void *one_call(void *channel)
{
    interop_large_unary(channel, ANSWER);
    return NULL;
}

static void max_streams(const struct interop *t)
{
    pthread_t threads[THREADS];
    interop_large_unary(t->channel, ANSWER); /* the server's settings have come with its answer */
    for (int i = 0; i < THREADS; i++)
        INTEROP_CHECK(pthread_create(&threads[i], NULL, one_call, t->channel) == 0);
    for (int i = 0; i < THREADS; i++)
        INTEROP_CHECK(pthread_join(threads[i], NULL) == 0);
}

const struct interop_case interop_http2_cases[] = {
    {"goaway", goaway},
    {"rst_after_header", reset},
    {"rst_during_data", reset},
    {"rst_after_data", reset},
    {"ping", ping},
    {"max_streams", max_streams},
    {"data_frame_padding", data_frame_padding},
    {NULL, NULL},
};
