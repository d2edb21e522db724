/* From the dispatch of a job to the start of its handler, on an idle server: one worker, one job at a time, one
 * process, one clock. The main thread dispatches and waits for the handler; the handler runs on the worker's thread.
 *
 *     bench_latency --server ADDR --jobs N */
#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <joblog/joblog.h>

struct meeting {
    pthread_mutex_t lock;
    pthread_cond_t met;
    int64_t handler_ns; /* 0: not yet */
    bool finished;      /* the server has accepted the end */
};

static int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int handler(struct joblog_context *context, void *user)
{
    struct meeting *m = user;
    int64_t now = now_ns();

    (void)context;
    pthread_mutex_lock(&m->lock);
    m->handler_ns = now;
    pthread_cond_signal(&m->met);
    pthread_mutex_unlock(&m->lock);
    return 0;
}

static void finished(void *user, const struct joblog_job *job, enum joblog_status status)
{
    struct meeting *m = user;

    (void)job;
    (void)status;
    pthread_mutex_lock(&m->lock);
    m->finished = true;
    pthread_cond_signal(&m->met);
    pthread_mutex_unlock(&m->lock);
}

static void *run_worker(void *arg)
{
    struct joblog_error error;

    if (joblog_worker_run(arg, &error) < 0)
        fprintf(stderr, "bench_latency: worker: %s\n", error.message);
    return NULL;
}

/* Dispatches one job and waits for its handler. Nanoseconds, or negative. */
static int64_t once(struct joblog_client *client, struct meeting *m)
{
    struct joblog_spec spec = {.job_name = "bench.latency", .queue = "bench-latency", .payload = "{\"n\": 1}"};
    struct joblog_error error;
    struct timespec idle = {.tv_nsec = 3000000};
    int64_t id, start, seen;

    m->handler_ns = 0;
    m->finished = false;
    start = now_ns();
    if (joblog_dispatch(client, &spec, &id, &error) < 0) {
        fprintf(stderr, "bench_latency: %s\n", error.message);
        return -1;
    }
    pthread_mutex_lock(&m->lock);
    while (m->handler_ns == 0 || !m->finished)
        pthread_cond_wait(&m->met, &m->lock);
    seen = m->handler_ns;
    pthread_mutex_unlock(&m->lock);
    nanosleep(&idle, NULL);
    return seen - start;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int run(const char *server, int jobs)
{
    static const char *const queues[] = {"bench-latency"};
    struct meeting m = {.lock = PTHREAD_MUTEX_INITIALIZER, .met = PTHREAD_COND_INITIALIZER};
    struct joblog_worker_options options = {
        .queues = queues, .n_queues = 1, .concurrency = 1, .on_finished = finished, .hook_user = &m};
    struct joblog_error error;
    struct joblog_client *client = joblog_connect(server, NULL, &error);
    struct joblog_worker *worker = client ? joblog_worker_new(client, &options, &error) : NULL;
    int64_t *taken = calloc((size_t)jobs, sizeof *taken);
    pthread_t thread;
    int bad = 0;

    if (!worker || !taken || joblog_worker_handle(worker, "bench.latency", handler, &m, &error) < 0 ||
        pthread_create(&thread, NULL, run_worker, worker) != 0) {
        fprintf(stderr, "bench_latency: could not start: %s\n", error.message);
        exit(1);
    }
    for (int i = 0; i < 50 && !bad; i++) /* warm caches and plans */
        bad = once(client, &m) < 0;
    for (int i = 0; i < jobs && !bad; i++)
        bad = (taken[i] = once(client, &m)) < 0;
    joblog_worker_stop(worker);
    pthread_join(thread, NULL);
    if (!bad) {
        qsort(taken, (size_t)jobs, sizeof *taken, by_value);
        int half = jobs / 2, most = jobs - 1 - jobs / 100;
        printf("figure dispatch_to_start_p50 %.3f ms\n", (double)taken[half] / 1e6);
        printf("figure dispatch_to_start_p99 %.3f ms\n", (double)taken[most] / 1e6);
    }
    joblog_worker_free(worker);
    joblog_close(client);
    free(taken);
    return bad;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"server", required_argument, NULL, 's'}, {"jobs", required_argument, NULL, 'n'}, {0}};
    const char *server = "127.0.0.1:7420";
    int jobs = 2000, c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 's')
            server = optarg;
        else if (c == 'n')
            jobs = atoi(optarg);
        else
            return 2;
    }
    if (jobs < 1) {
        fprintf(stderr, "usage: bench_latency --server ADDR --jobs N\n");
        return 2;
    }
    return run(server, jobs);
}
