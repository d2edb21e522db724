/* Streams of all kinds from several threads, left at random moments in random ways: none may stay behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "echo_server.h"

typedef Crpc__Test__V1__CountRequest count_request;
typedef Crpc__Test__V1__CountResponse count_response;
typedef Crpc__Test__V1__SumRequest sum_request;
typedef Crpc__Test__V1__SumResponse sum_response;
typedef Crpc__Test__V1__ChatRequest chat_request;
typedef Crpc__Test__V1__ChatResponse chat_response;

enum { STORM_THREADS = 4, STORM_CALLS = 60 };

struct storm {
    struct echo *e;
    unsigned seed;
    int wrong;
};

static void count_some(struct storm *st, int leave)
{
    count_request q = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    count_response *r = NULL;
    q.upto = 50;
    q.size = 20000;
    struct crpc_stream *s = crpc_test_v1_echo_service_count_open(st->e->channel, NULL, &q, NULL);
    for (int i = 0; i < leave * 10; i++) {
        if (crpc_test_v1_echo_service_count_read(s, &r, NULL) == 1)
            crpc_message_free(&r->base);
        else
            st->wrong++;
    }
    crpc_stream_free(s);
}

static void sum_some(struct storm *st, int leave)
{
    sum_request q = CRPC__TEST__V1__SUM_REQUEST__INIT;
    sum_response *r = NULL;
    struct crpc_stream *s = crpc_test_v1_echo_service_sum_open(st->e->channel, NULL, NULL);
    q.number = 1;
    for (int i = 0; i < 20; i++)
        st->wrong += crpc_test_v1_echo_service_sum_write(s, &q, NULL) != 0;
    if (leave == 0) {
        crpc_stream_close_write(s, NULL);
        st->wrong += crpc_test_v1_echo_service_sum_read(s, &r, NULL) != 1 || r->sum != 20;
        crpc_message_free(r ? &r->base : NULL);
    }
    crpc_stream_free(s);
}

static void chat_some(struct storm *st, int leave)
{
    static const int want[] = {0, -ERR_ABORTED, 0, -ERR_CANCELLED};
    chat_request q = CRPC__TEST__V1__CHAT_REQUEST__INIT;
    chat_response *r = NULL;
    int rc = 1;
    struct crpc_stream *s = crpc_test_v1_echo_service_chat_open(st->e->channel, NULL, NULL);
    q.answers = 5;
    q.size = 10000;
    q.finish_code = leave == 1 ? ERR_ABORTED : 0;
    q.writer_finishes = leave == 2;
    st->wrong += crpc_test_v1_echo_service_chat_write(s, &q, NULL) != 0;
    if (leave == 3)
        crpc_stream_cancel(s);
    while (leave > 0 && (rc = crpc_test_v1_echo_service_chat_read(s, &r, NULL)) == 1)
        crpc_message_free(&r->base);
    st->wrong += leave > 0 && rc != want[leave];
    crpc_stream_free(s);
}

/* One stream of a random kind, left at a random moment in a random way. */
static void storm_call(struct storm *st)
{
    static void (*const kinds[])(struct storm *, int) = {count_some, sum_some, chat_some};
    int kind = rand_r(&st->seed) % 3, leave = rand_r(&st->seed) % 4;
    kinds[kind](st, leave);
}

static void *storm_main(void *arg)
{
    for (int i = 0; i < STORM_CALLS; i++)
        storm_call(arg);
    return NULL;
}

static void test_storm(void **state)
{
    (void)state;
    struct echo e;
    struct storm storms[STORM_THREADS];
    pthread_t threads[STORM_THREADS];
    echo_start(&e, &(struct crpc_server_options){.n_workers = 2}, NULL);
    for (unsigned i = 0; i < STORM_THREADS; i++) {
        storms[i] = (struct storm){.e = &e, .seed = i + 1};
        pthread_create(&threads[i], NULL, storm_main, &storms[i]);
    }
    for (unsigned i = 0; i < STORM_THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(storms[i].wrong, 0);
    }
    echo_stop(&e, 20000);
    assert_true(e.n_done > 0); /* and none is left, says echo_stop */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_storm)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
