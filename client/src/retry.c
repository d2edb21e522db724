/* Unary calls that are repeated while the server is away, back-off, request ids. Runs on the caller's thread and may
 * block it for the client's timeout_ms; no state, so any number of threads at once. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/clock.h"
#include "client_priv.h"
#include "deadline.h"

enum { PAUSE_PART_MS = 50 }; /* a cancel or a stop is not felt to wait for it */

static void random_bytes(void *data, size_t len)
{
    char *at = data;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        } else if (n < 0 && errno != EINTR) {
            break; /* a kernel without getrandom: what is on the stack and the clock must do */
        }
    }
    if (len >= sizeof(int64_t)) {
        int64_t now = clock_mono_us() ^ clock_wall_us();
        memcpy(at, &now, sizeof now);
    }
}

void request_id_make(char id[REQUEST_ID_SIZE])
{
    unsigned char b[16] = {0};
    int64_t us = clock_wall_us(), ms = us / 1000, fraction = us % 1000 * 4096 / 1000;
    random_bytes(b + 8, sizeof b - 8);
    for (int i = 0; i < 6; i++)
        b[i] = (unsigned char)(ms >> (8 * (5 - i)));
    b[6] = (unsigned char)(0x70 | fraction >> 8);
    b[7] = (unsigned char)fraction;
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(id, REQUEST_ID_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

int64_t backoff_next_ms(struct backoff *b, int64_t at_least_ms)
{
    if (b->next_ms == 0)
        b->next_ms = b->first_ms;
    uint32_t dice = 0;
    random_bytes(&dice, sizeof dice);
    int64_t pause = b->next_ms / 2 + (int64_t)(dice % (uint32_t)(b->next_ms / 2 + 1));
    b->next_ms = b->next_ms * 2 > b->max_ms ? b->max_ms : b->next_ms * 2;
    return pause > at_least_ms ? pause : at_least_ms;
}

bool call_may_pass(const struct err *e)
{
    if (e->code == ERR_UNAVAILABLE)
        return true;
    /* The server shed load or lost a race and says when to come again. */
    return (e->code == ERR_RESOURCE_EXHAUSTED || e->code == ERR_ABORTED) && e->retry_after_ms > 0;
}

bool stream_was_cut(const struct err *e)
{
    /* Its credentials have ended while it lived; the file may hold newer ones. If not, the next try is told otherwise.
     */
    if (e->code == ERR_UNAUTHENTICATED && strcmp(e->reason, "CREDENTIALS_ENDED") == 0)
        return true;
    /* CANCELLED by the other side: a server that stops cancels what is left after its grace. */
    return call_may_pass(e) || e->code == ERR_ABORTED || e->code == ERR_CANCELLED;
}

bool message_too_large(const struct err *e)
{
    /* gRPC has no code for it alone: "Received message larger than max (…)", of core; "… larger than … bytes once it is
     * decompressed", of crpc. */
    return e->code == ERR_RESOURCE_EXHAUSTED && strstr(e->msg, " larger than ") != NULL;
}

static void nap(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR) {
    }
}

void call_pause_part(struct joblog_client *client, int64_t left_ms)
{
    int64_t ms = left_ms < PAUSE_PART_MS ? left_ms : PAUSE_PART_MS;
    enum crpc_channel_state state = crpc_channel_state(client->channel);
    bool connects = state == CRPC_CHANNEL_CONNECTING || state == CRPC_CHANNEL_FAILED;
    if (!connects || (crpc_channel_wait_state(client->channel, state, ms) &&
                      crpc_channel_state(client->channel) == state)) /* one that never works does not wait */
        nap(ms);
}

void call_pause(struct joblog_client *client, int64_t ms)
{
    int64_t until = deadline_in_ms(ms);
    for (int64_t left = ms; left > 0; left = until - clock_mono_ms())
        call_pause_part(client, left);
}

int call_unary_within(struct joblog_client *client, const struct crpc_method *method, const ProtobufCMessage *request,
                      int64_t timeout_ms, int *ret_tries, ProtobufCMessage **ret_response, struct err *ret_err)
{
    int64_t deadline = deadline_in_ms(timeout_ms);
    struct backoff backoff = BACKOFF_CALL;
    struct err first = ERR_NONE;
    for (int tries = 1;; tries++) {
        int64_t left = deadline - clock_mono_ms();
        struct call_options options;
        struct err e = ERR_NONE;
        call_options_init(&options, &client->credentials, left > 1 ? left : 1);
        int rc = crpc_unary(client->channel, method, &options.options, request, ret_response, &e);
        call_options_done(&options);
        if (ret_tries)
            *ret_tries = tries;
        if (rc == 0)
            return 0;
        if (e.code == ERR_DEADLINE_EXCEEDED && first.code != ERR_OK)
            e = first; /* why it had to be repeated says more than that time ran out */
        if (call_may_pass(&e))
            first = e;
        int64_t pause = backoff_next_ms(&backoff, e.retry_after_ms);
        if (!client->retry || !call_may_pass(&e) || clock_mono_ms() + pause >= deadline) {
            if (ret_err)
                *ret_err = e;
            return -(int)e.code;
        }
        call_pause(client, pause);
    }
}

int call_unary_once(struct joblog_client *client, const struct crpc_method *method, const ProtobufCMessage *request,
                    ProtobufCMessage **ret_response, struct err *ret_err)
{
    struct call_options options;
    call_options_init(&options, &client->credentials, client->timeout_ms);
    int rc = crpc_unary(client->channel, method, &options.options, request, ret_response, ret_err);
    call_options_done(&options);
    return rc;
}

int call_unary(struct joblog_client *client, const struct crpc_method *method, const ProtobufCMessage *request,
               int *ret_tries, ProtobufCMessage **ret_response, struct err *ret_err)
{
    return call_unary_within(client, method, request, client->timeout_ms, ret_tries, ret_response, ret_err);
}
