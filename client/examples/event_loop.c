/* A worker in a program with a loop of its own: one thread, one poll(2) over the worker, a timer and the signals, and
 * any number of jobs at once. Each job "cook" is done a step with each tick of the timer.
 *
 *     event-loop [CONCURRENCY]        until SIGTERM or SIGINT */
#include <inttypes.h>
#include <joblog/joblog.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { JOBS_MAX = 100, STEPS = 5, TICK_MS = 20 };

struct cooking {
    struct joblog_context *job; /* NULL: a free place */
    int step;
};

struct program {
    struct joblog_worker *worker;
    struct cooking cooking[JOBS_MAX];
    int timer_fd, signal_fd;
    bool over;
    int status;
};

static void begin(struct program *p, struct joblog_context *job)
{
    for (int i = 0; i < JOBS_MAX; i++)
        if (!p->cooking[i].job) { /* there is one: no more than `concurrency` jobs come */
            p->cooking[i] = (struct cooking){.job = job};
            return;
        }
}

static struct cooking *find(struct program *p, const struct joblog_context *job)
{
    struct cooking *c = p->cooking;
    while (c->job != job)
        c++;
    return c;
}

/* Its place is free, the job is not ours any more. */
static void end(struct cooking *c, int returned)
{
    joblog_job_end(c->job, returned);
    c->job = NULL;
}

static void on_event(struct program *p, const struct joblog_event *event)
{
    switch (event->kind) {
    case JOBLOG_EVENT_JOB:
        begin(p, event->context);
        break;
    case JOBLOG_EVENT_CANCEL:
    case JOBLOG_EVENT_LEASE_LOST:
        end(find(p, event->context), -1);
        break;
    case JOBLOG_EVENT_DRAIN:
        printf("no more jobs\n");
        break;
    case JOBLOG_EVENT_OVER:
        p->over = true;
        p->status = event->error.code != JOBLOG_OK;
        if (p->status)
            fprintf(stderr, "%s: %s\n", joblog_code_name(event->error.code), event->error.message);
        break;
    }
    fflush(stdout);
}

static void on_tick(struct program *p)
{
    uint64_t ticks;
    if (read(p->timer_fd, &ticks, sizeof ticks) != sizeof ticks)
        return;
    for (struct cooking *c = p->cooking; c < p->cooking + JOBS_MAX; c++) {
        if (!c->job)
            continue;
        joblog_job_set_progress(c->job, ++c->step, STEPS, "steps");
        if (c->step == STEPS)
            end(c, 0);
    }
}

/* A hook, called within joblog_worker_next: the server has accepted the end. */
static void on_finished(void *user, const struct joblog_job *job, enum joblog_status status)
{
    (void)user;
    printf("job %" PRId64 " %s\n", job->id, joblog_status_name(status));
}

static void on_ready(void *user)
{
    (void)user;
    printf("worker ready\n");
    fflush(stdout);
}

static void loop(struct program *p)
{
    struct pollfd fds[] = {{.fd = joblog_worker_fd(p->worker), .events = POLLIN},
                           {.fd = p->timer_fd, .events = POLLIN},
                           {.fd = p->signal_fd, .events = POLLIN}};
    struct signalfd_siginfo info;
    struct joblog_event event;
    while (!p->over) {
        if (poll(fds, 3, -1) < 0)
            continue;
        while (fds[0].revents && joblog_worker_next(p->worker, &event))
            on_event(p, &event);
        if (fds[1].revents)
            on_tick(p);
        if (fds[2].revents && read(p->signal_fd, &info, sizeof info) == sizeof info)
            joblog_worker_stop(p->worker);
    }
}

int main(int argc, char **argv)
{
    struct program p = {.status = 1};
    struct joblog_error error;
    struct itimerspec tick = {.it_interval.tv_nsec = TICK_MS * 1000000L, .it_value.tv_nsec = TICK_MS * 1000000L};
    struct joblog_worker_options options = {
        .concurrency = argc > 1 ? atoi(argv[1]) : 10, .on_ready = on_ready, .on_finished = on_finished};
    sigset_t signals;
    if (options.concurrency < 1 || options.concurrency > JOBS_MAX) {
        fprintf(stderr, "usage: event-loop [CONCURRENCY from 1 to %d]\n", JOBS_MAX);
        return 2;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    p.signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
    p.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    timerfd_settime(p.timer_fd, 0, &tick, NULL);
    struct joblog_client *client = joblog_connect(NULL, NULL, &error);
    p.worker = client ? joblog_worker_new(client, &options, &error) : NULL;
    if (p.worker && joblog_worker_handle(p.worker, "cook", NULL, NULL, &error) == 0 &&
        joblog_worker_start(p.worker, &error) == 0)
        loop(&p);
    else
        fprintf(stderr, "%s: %s\n", joblog_code_name(error.code), error.message);
    joblog_worker_free(p.worker);
    joblog_close(client);
    return p.status;
}
