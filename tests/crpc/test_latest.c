/* Conflation: a reader that does not read gets the newest in the end, and not all that was before it; one that reads
 * gets everything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "crpc/client.h"
#include "crpc/latest.h"
#include "crpc/server.h"
#include "echo.crpc.h"

enum { NEWS = 5000, BYTES = 4096 };

/* ---- a service of one method, Count: each frame that the test puts ---- */

struct ticker {
    struct crpc_latest latest;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct ticker *subscribed; /* NULL: nobody */
static unsigned n_sent;

static enum crpc_next ticker_next(struct crpc_call *call);
static enum crpc_next ticker_sent(struct crpc_call *call);
static const struct crpc_step NEXT = {"next", ticker_next};
static const struct crpc_step SENT = {"sent", ticker_sent};

static enum crpc_next ticker_start(struct crpc_call *call)
{
    struct ticker *t = crpc_call_state(call);
    crpc_latest_init(call, &t->latest);
    pthread_mutex_lock(&lock);
    subscribed = t;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return crpc_goto(call, &NEXT);
}

static enum crpc_next ticker_next(struct crpc_call *call)
{
    struct ticker *t = crpc_call_state(call);
    struct crpc_frame *frame = crpc_latest_take(&t->latest);
    if (!frame)
        return crpc_call_ended(call) ? crpc_finish(call, NULL) : crpc_latest_await(call, &t->latest, &NEXT);
    enum crpc_next next = crpc_send_frame(call, frame, &SENT);
    crpc_frame_unref(frame);
    return next;
}

static enum crpc_next ticker_sent(struct crpc_call *call)
{
    pthread_mutex_lock(&lock);
    n_sent++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return crpc_call_sent(call) ? crpc_goto(call, &NEXT) : crpc_finish(call, NULL);
}

static void ticker_done(struct crpc_call *call)
{
    struct ticker *t = crpc_call_state(call);
    pthread_mutex_lock(&lock);
    subscribed = NULL;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    crpc_latest_done(&t->latest);
}

static const struct crpc_step START = {"start", ticker_start};
static const struct crpc_handler handler = {.first = &START, .state_size = sizeof(struct ticker), .done = ticker_done};
static const struct crpc_handler *const handlers[] = {&handler};

/* ---- the test's side ---- */

struct rig {
    struct crpc_service service;
    struct crpc_server *server;
    struct crpc_channel *channel;
    struct crpc_stream *stream;
};

static int setup(void **state)
{
    static struct rig rig;
    char target[64];
    int port = 0;
    rig = (struct rig){.service = crpc_test_v1_echo_service};
    rig.service.methods = &crpc_test_v1_echo_service.methods[CRPC_TEST_V1_ECHO_SERVICE_COUNT];
    rig.service.n_methods = 1;
    rig.server = crpc_server_new(NULL, NULL);
    if (!rig.server || crpc_server_mount(rig.server, &rig.service, handlers, NULL, NULL) != 0 ||
        crpc_server_listen(rig.server, "127.0.0.1:0", &port, NULL) != 0 || crpc_server_start(rig.server, NULL) != 0)
        return -1;
    snprintf(target, sizeof target, "127.0.0.1:%d", port);
    rig.channel = crpc_channel_new(target, NULL, NULL);
    Crpc__Test__V1__CountRequest request = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    rig.stream = crpc_test_v1_echo_service_count_open(rig.channel, NULL, &request, NULL);
    if (!rig.stream)
        return -1;
    pthread_mutex_lock(&lock);
    n_sent = 0;
    while (!subscribed)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    crpc_stream_cancel(rig->stream);
    crpc_stream_free(rig->stream);
    pthread_mutex_lock(&lock);
    while (subscribed)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    crpc_channel_free(rig->channel);
    crpc_server_drain(rig->server, 1000);
    crpc_server_free(rig->server);
    return 0;
}

/* Did it replace one that waited? */
static bool put(int number)
{
    static uint8_t data[BYTES];
    Crpc__Test__V1__CountResponse message = CRPC__TEST__V1__COUNT_RESPONSE__INIT;
    message.number = number;
    message.data = (ProtobufCBinaryData){.len = BYTES, .data = data};
    struct crpc_frame *frame = crpc_frame_encode(&message.base);
    assert_non_null(frame);
    pthread_mutex_lock(&lock);
    assert_non_null(subscribed);
    bool replaced = crpc_latest_put(&subscribed->latest, frame);
    pthread_mutex_unlock(&lock);
    crpc_frame_unref(frame);
    return replaced;
}

static int read_number(struct rig *rig)
{
    Crpc__Test__V1__CountResponse *message = NULL;
    struct err err = ERR_NONE;
    if (crpc_test_v1_echo_service_count_read(rig->stream, &message, &err) != 1)
        fail_msg("the stream has ended: %s", err.msg);
    int number = message->number;
    crpc_message_free(&message->base);
    return number;
}

static void who_reads_gets_everything(void **state)
{
    for (int i = 1; i <= 200; i++) {
        assert_false(put(i));
        assert_int_equal(read_number(*state), i);
    }
}

static void who_does_not_read_gets_the_newest_in_the_end(void **state)
{
    int n_replaced = 0, n_read = 0, last = 0;
    for (int i = 1; i <= NEWS; i++)
        n_replaced += put(i);
    while (last < NEWS) {
        int number = read_number(*state);
        assert_true(number > last);
        last = number;
        n_read++;
    }
    /* What went out, what was replaced: together all. And a window of HTTP/2 is far smaller than 20 MB. */
    assert_int_equal(n_read + n_replaced, NEWS);
    assert_true(n_replaced > NEWS / 2);
}

/* The end drops what nobody took; AddressSanitizer would see it otherwise. */
static void what_is_left_is_freed(void **state)
{
    (void)state;
    while (!put(1))
        ;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_reads_gets_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(who_does_not_read_gets_the_newest_in_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_left_is_freed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
