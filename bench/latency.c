/* From the dispatch of a job to the start of its handler, on an idle server: one worker, one job at a time, two
 * processes, as a service that dispatches and one that works, and one clock. The parent dispatches and waits for what
 * the child's worker tells through a pipe.
 *
 *     bench_latency --server ADDR --jobs N */
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <joblog/joblog.h>

enum { WAIT_MS = 30000 };

/* What the worker tells of a job. */
struct word {
    int64_t id;
    int64_t handler_ns; /* when its handler began; 0: the server has accepted its end */
};

static int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void tell(int fd, struct word word)
{
    if (write(fd, &word, sizeof word) != sizeof word)
        _exit(1); /* the parent has gone */
}

static int handler(struct joblog_context *context, void *user)
{
    int64_t now = now_ns();

    tell(*(int *)user, (struct word){.id = joblog_job_info(context)->id, .handler_ns = now});
    return 0;
}

static void finished(void *user, const struct joblog_job *job, enum joblog_status status)
{
    if (status == JOBLOG_COMPLETED)
        tell(*(int *)user, (struct word){.id = job->id});
}

/* The child: works until it is killed. */
static int work(const char *server, int fd)
{
    static const char *const queues[] = {"bench-latency"};
    struct joblog_worker_options options = {
        .queues = queues, .n_queues = 1, .concurrency = 1, .on_finished = finished, .hook_user = &fd};
    struct joblog_error error;
    struct joblog_client *client = joblog_connect(server, NULL, &error);
    struct joblog_worker *worker = client ? joblog_worker_new(client, &options, &error) : NULL;

    if (!worker || joblog_worker_handle(worker, "bench.latency", handler, &fd, &error) < 0 ||
        joblog_worker_run(worker, &error) < 0)
        fprintf(stderr, "bench_latency: worker: %s\n", error.message);
    joblog_worker_free(worker);
    joblog_close(client);
    return 1;
}

/* Dispatches one job and waits for its handler and its end. Nanoseconds, or negative. */
static int64_t once(struct joblog_client *client, int fd)
{
    struct joblog_spec spec = {.job_name = "bench.latency", .queue = "bench-latency", .payload = "{\"n\": 1}"};
    struct joblog_error error;
    struct timespec idle = {.tv_nsec = 3000000};
    struct pollfd waits = {.fd = fd, .events = POLLIN};
    struct word word;
    int64_t id, start = now_ns(), took = -1;

    if (joblog_dispatch(client, &spec, &id, &error) < 0) {
        fprintf(stderr, "bench_latency: %s\n", error.message);
        return -1;
    }
    do {
        if (poll(&waits, 1, WAIT_MS) <= 0 || read(fd, &word, sizeof word) != sizeof word) {
            fprintf(stderr, "bench_latency: the worker has not done the job\n");
            return -1;
        }
        if (word.id == id && word.handler_ns)
            took = word.handler_ns - start;
    } while (word.id != id || word.handler_ns);
    nanosleep(&idle, NULL);
    return took;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int run(const char *server, int jobs, int fd)
{
    struct joblog_error error;
    struct joblog_client *client = joblog_connect(server, NULL, &error);
    int64_t *taken = client ? calloc((size_t)jobs, sizeof *taken) : NULL;
    int bad = 0;

    if (!taken) {
        fprintf(stderr, "bench_latency: could not start: %s\n", client ? "out of memory" : error.message);
        joblog_close(client);
        return 1;
    }
    for (int i = 0; i < 50 && !bad; i++) /* warm caches and plans */
        bad = once(client, fd) < 0;
    for (int i = 0; i < jobs && !bad; i++)
        bad = (taken[i] = once(client, fd)) < 0;
    if (!bad) {
        qsort(taken, (size_t)jobs, sizeof *taken, by_value);
        int half = jobs / 2, most = jobs - 1 - jobs / 100;
        printf("figure dispatch_to_start_p50 %.3f ms\n", (double)taken[half] / 1e6);
        printf("figure dispatch_to_start_p99 %.3f ms\n", (double)taken[most] / 1e6);
    }
    joblog_close(client);
    free(taken);
    return bad;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"server", required_argument, NULL, 's'}, {"jobs", required_argument, NULL, 'n'}, {0}};
    const char *server = "127.0.0.1:7420";
    int jobs = 2000, c, ends[2];
    pid_t child;

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
    if (pipe(ends) < 0 || (child = fork()) < 0) {
        perror("bench_latency");
        return 1;
    }
    if (child == 0) {
        close(ends[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(work(server, ends[1]));
    }
    close(ends[1]);
    int bad = run(server, jobs, ends[0]);
    kill(child, SIGTERM);
    waitpid(child, NULL, 0);
    return bad;
}
