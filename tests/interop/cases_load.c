/* Interop cases of many calls, or of one channel for long. The threads of a case live no longer than it. */
#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "interop_cases.h"

enum { THREADS = 20, CALLS_EACH = 50 };

static void *calls_of_one_thread(void *channel)
{
    for (int i = 0; i < CALLS_EACH; i++)
        interop_large_unary(channel, LARGE_RESPONSE);
    return NULL;
}

/* A thousand large_unary on one channel. */
static void concurrent_large_unary(const struct interop *t)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        INTEROP_CHECK(pthread_create(&threads[i], NULL, calls_of_one_thread, t->channel) == 0);
    for (int i = 0; i < THREADS; i++)
        INTEROP_CHECK(pthread_join(threads[i], NULL) == 0);
}

static void pause_ms(int64_t ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    while (ms > 0 && nanosleep(&pause, &pause) != 0)
        ;
}

/* large_unary again and again, each in time; with a channel for each, or the case's. */
static void soak(const struct interop *t, bool new_channels)
{
    int failures = 0;
    int64_t start = clock_mono_us();
    for (int i = 0; i < t->iterations; i++) {
        simple_request_t q = GRPC__TESTING__SIMPLE_REQUEST__INIT;
        simple_response_t *r = NULL;
        struct err err = ERR_NONE;
        struct crpc_channel *channel = new_channels ? t->connect() : t->channel;
        q.response_size = LARGE_RESPONSE;
        int64_t began = clock_mono_us();
        int rc = interop_unary(channel, NULL, &q, &r, &err);
        int64_t took_ms = (clock_mono_us() - began) / 1000;
        if (rc == 0)
            interop_check_payload(r->payload, LARGE_RESPONSE);
        if (rc != 0 || took_ms > t->max_latency_ms)
            failures++;
        crpc_message_free(r ? &r->base : NULL);
        if (new_channels)
            crpc_channel_free(channel);
        pause_ms(t->interval_ms - took_ms);
    }
    INTEROP_CHECK(failures <= t->max_failures);
    INTEROP_CHECK((clock_mono_us() - start) / 1000 <= t->overall_ms);
}

static void rpc_soak(const struct interop *t)
{
    soak(t, false);
}

static void channel_soak(const struct interop *t)
{
    soak(t, true);
}

/* The pause is what is tested here: the channel has nothing to do meanwhile, and works afterwards. */
static void long_lived_channel(const struct interop *t)
{
    for (int i = 0; i < 3; i++) {
        if (i > 0)
            pause_ms(500);
        interop_large_unary(t->channel, LARGE_RESPONSE);
    }
}

const struct interop_case interop_load_cases[] = {
    {"concurrent_large_unary", concurrent_large_unary}, {"rpc_soak", rpc_soak}, {"channel_soak", channel_soak},
    {"long_lived_channel", long_lived_channel},         {NULL, NULL},
};
