/* What libjoblog's worker costs: a handler that does nothing, over a backlog that was dispatched before; processor time
 * of this process from the first job to the last, all its threads. The main thread dispatches and waits.
 *
 *     bench_worker --server ADDR --jobs N */
#include <getopt.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <joblog/joblog.h>

struct bench {
    atomic_int n, jobs;
    sem_t over;
};

static int handler(struct joblog_context *context, void *user)
{
    struct bench *b = user;
    (void)context;
    if (atomic_fetch_add(&b->n, 1) + 1 == atomic_load(&b->jobs))
        sem_post(&b->over);
    return 0;
}

static double cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void *run_worker(void *arg)
{
    struct joblog_error error;
    if (joblog_worker_run(arg, &error) < 0)
        fprintf(stderr, "bench_worker: %s\n", error.message);
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"server", required_argument, NULL, 's'}, {"jobs", required_argument, NULL, 'n'}, {0}};
    static const char *const queues[] = {"bench-worker"};
    static struct bench bench;
    const char *server = "127.0.0.1:7420";
    struct joblog_spec spec = {.job_name = "bench.noop", .queue = "bench-worker", .payload = "{\"n\": 1}"};
    struct joblog_worker_options worker_options = {.queues = queues, .n_queues = 1, .concurrency = 1};
    struct joblog_error error;
    pthread_t thread;
    int jobs = 50000, c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 's')
            server = optarg;
        else if (c == 'n')
            jobs = atoi(optarg);
        else
            return 2;
    }
    sem_init(&bench.over, 0, 0);
    atomic_store(&bench.jobs, jobs);
    struct joblog_client *client = joblog_connect(server, NULL, &error);
    struct joblog_worker *worker = client ? joblog_worker_new(client, &worker_options, &error) : NULL;
    int64_t id;
    if (!worker || jobs < 1 || joblog_worker_handle(worker, "bench.noop", handler, &bench, &error) < 0) {
        fprintf(stderr, "bench_worker: %s\n", error.message);
        return 1;
    }
    for (int i = 0; i < jobs; i++)
        if (joblog_dispatch(client, &spec, &id, &error) < 0) {
            fprintf(stderr, "bench_worker: %s\n", error.message);
            return 1;
        }
    double before = cpu_us();
    pthread_create(&thread, NULL, run_worker, worker);
    sem_wait(&bench.over);
    printf("figure worker_cpu %.1f us\n", (cpu_us() - before) / jobs);
    joblog_worker_stop(worker);
    pthread_join(thread, NULL);
    joblog_worker_free(worker);
    joblog_close(client);
    return 0;
}
