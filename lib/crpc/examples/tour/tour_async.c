/* Calls from a program with an event loop of its own: `tour_async TARGET`. The main thread polls, as any such program
 * does; a second one runs crpc's loop. The main thread hands tasks over and wakes it; it hands answers back by an
 * eventfd. See docs/crpc.md. */
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tour.crpc.h"

enum { DIVISIONS = 3 };

struct division {
    struct bridge *bridge;
    int32_t dividend, divisor, quotient;
    struct err status;
    struct division *next;
};

struct bridge {
    struct crpc_channel *channel;
    struct crpc_loop *loop;
    pthread_t thread;
    int answers_fd;
    pthread_mutex_t mu; /* the next three */
    struct division *tasks, *answers;
    bool stop;
};

static void push(struct bridge *b, struct division **list, struct division *d)
{
    pthread_mutex_lock(&b->mu);
    d->next = *list;
    *list = d;
    pthread_mutex_unlock(&b->mu);
}

static struct division *take_all(struct bridge *b, struct division **list)
{
    pthread_mutex_lock(&b->mu);
    struct division *all = *list;
    *list = NULL;
    pthread_mutex_unlock(&b->mu);
    return all;
}

/* ---- on the thread of crpc's loop ---- */

static void answer(struct division *d)
{
    push(d->bridge, &d->bridge->answers, d);
    eventfd_write(d->bridge->answers_fd, 1);
}

static void divided(void *user, const ProtobufCMessage *response, const struct err *status)
{
    struct division *d = user;
    d->status = *status;
    if (response)
        d->quotient = tour_v1_tour_service_divide_message(response)->quotient;
    answer(d);
}

static void divide(struct division *d)
{
    const struct crpc_call_options options = {.timeout_ms = 5000, .wait_for_ready = true};
    Tour__V1__DivideRequest request = TOUR__V1__DIVIDE_REQUEST__INIT;
    request.dividend = d->dividend;
    request.divisor = d->divisor;
    if (tour_v1_tour_service_divide_start(d->bridge->channel, d->bridge->loop, &options, &request, divided, d,
                                          &d->status) != 0)
        answer(d); /* it was not even started */
}

static bool stopping(struct bridge *b)
{
    pthread_mutex_lock(&b->mu);
    bool stop = b->stop;
    pthread_mutex_unlock(&b->mu);
    return stop;
}

static void *bridge_main(void *arg)
{
    struct bridge *b = arg;
    crpc_loop_hold(b->loop); /* it waits also when no call is under way */
    while (!stopping(b)) {
        for (struct division *d = take_all(b, &b->tasks), *next; d; d = next) {
            next = d->next;
            divide(d);
        }
        crpc_loop_run(b->loop, -1);
    }
    crpc_loop_release(b->loop);
    return NULL;
}

/* ---- on the main thread ---- */

static void show(const struct division *d)
{
    if (d->status.code == ERR_OK)
        printf("%" PRId32 " / %" PRId32 " = %" PRId32 "\n", d->dividend, d->divisor, d->quotient);
    else
        printf("%" PRId32 " / %" PRId32 ": %s\n", d->dividend, d->divisor, err_code_name(d->status.code));
}

/* A program of its own would poll more than this. */
static void poll_answers(struct bridge *b, int n)
{
    while (n > 0) {
        struct pollfd p = {.fd = b->answers_fd, .events = POLLIN};
        eventfd_t count;
        poll(&p, 1, -1);
        eventfd_read(b->answers_fd, &count);
        for (const struct division *d = take_all(b, &b->answers); d; d = d->next, n--)
            show(d);
    }
}

int main(int argc, char **argv)
{
    struct err err = ERR_NONE;
    struct bridge b = {.mu = PTHREAD_MUTEX_INITIALIZER, .answers_fd = eventfd(0, EFD_CLOEXEC)};
    b.channel = crpc_channel_new(argc > 1 ? argv[1] : "127.0.0.1:50051", NULL, &err);
    if (!b.channel)
        return fprintf(stderr, "tour_async: %s\n", err.msg), 1;
    b.loop = crpc_loop_new();
    if (!b.loop || b.answers_fd < 0 || pthread_create(&b.thread, NULL, bridge_main, &b) != 0)
        return fprintf(stderr, "tour_async: no loop\n"), 1;
    struct division d[DIVISIONS] = {{.dividend = 42, .divisor = 6}, {.dividend = 1}, {.dividend = 9, .divisor = 2}};
    for (int i = 0; i < DIVISIONS; i++) {
        d[i].bridge = &b;
        push(&b, &b.tasks, &d[i]);
        crpc_loop_wake(b.loop);
    }
    poll_answers(&b, DIVISIONS);
    pthread_mutex_lock(&b.mu);
    b.stop = true;
    pthread_mutex_unlock(&b.mu);
    crpc_loop_wake(b.loop);
    pthread_join(b.thread, NULL);
    crpc_loop_free(b.loop);
    crpc_channel_free(b.channel);
    close(b.answers_fd);
    return 0;
}
