/* How many durable dispatches a second through libjoblog's dispatcher, N without an answer at a time, and how long each
 * takes: what a program in C gets that does not wait for one before it adds the next. As bench_dispatch, whose calls
 * are unary. With `ids` each job has a request id, so that it may be sent again (libjoblog's default). The main thread
 * waits; the callbacks add.
 *
 *     JOBLOG_TOKEN_FILE=FILE bench_dispatcher ADDRESS N SECONDS [ids] */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <joblog/joblog.h>

enum { LATENCIES_MAX = 8 * 1000 * 1000 };

static const struct joblog_spec SPEC = {
    .job_name = "bench.noop",
    .queue = "bench",
    .owner = "bench",
    .source_type = "User",
    .source_id = "42",
    .payload = "{\"file\":\"/srv/in/2026-01-31.csv\",\"mode\":\"full\",\"notify\":[\"a@example.org\"],\"n\":12345}"};

struct load {
    struct joblog_dispatcher *dispatcher;
    int64_t end_us; /* add no more */
    size_t n_done, n_failed;
    uint32_t *latencies; /* microseconds */
    struct joblog_error error;
};

struct slot {
    struct load *load;
    int64_t start_us;
};

static int64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void on_answer(void *user, const struct joblog_outcome *outcome)
{
    struct slot *slot = user;
    struct load *load = slot->load;
    int64_t now = now_us();
    if (outcome->code != JOBLOG_OK) {
        if (load->n_failed++ == 0)
            snprintf(load->error.message, sizeof load->error.message, "%s", outcome->message);
        return;
    }
    if (load->n_done < LATENCIES_MAX)
        load->latencies[load->n_done] = (uint32_t)(now - slot->start_us);
    load->n_done++;
    slot->start_us = now;
    if (now < load->end_us && load->n_failed == 0)
        load->n_failed += joblog_dispatcher_add(load->dispatcher, &SPEC, on_answer, slot, &load->error) != 0;
}

static int by_value(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
    int n = argc >= 4 ? atoi(argv[2]) : 0, seconds = argc >= 4 ? atoi(argv[3]) : 0;
    bool ids = argc == 5 && strcmp(argv[4], "ids") == 0;
    const struct joblog_options options = {.no_retry = !ids};
    if (n < 1 || n > 100000 || seconds < 1 || argc > 4 + ids) {
        fprintf(stderr, "usage: bench_dispatcher ADDRESS N SECONDS [ids]\n");
        return 2;
    }
    struct load load = {.latencies = calloc(LATENCIES_MAX, sizeof *load.latencies)};
    struct slot *slots = calloc((size_t)n, sizeof *slots);
    struct joblog_client *client = joblog_connect(argv[1], &options, &load.error);
    load.dispatcher = client ? joblog_dispatcher_new(client, (size_t)n, &load.error) : NULL;
    if (!load.latencies || !slots || !load.dispatcher) {
        fprintf(stderr, "bench_dispatcher: could not start: %s\n", load.error.message);
        exit(1);
    }
    int64_t began = now_us();
    load.end_us = began + (int64_t)seconds * 1000000;
    for (int i = 0; i < n; i++) {
        slots[i] = (struct slot){&load, now_us()};
        joblog_dispatcher_add(load.dispatcher, &SPEC, on_answer, &slots[i], &load.error);
    }
    sleep((unsigned)seconds); /* the callbacks do the rest */
    joblog_dispatcher_free(load.dispatcher);
    double took = (double)(now_us() - began) / 1e6;
    joblog_close(client);
    if (load.n_failed || load.n_done == 0) {
        fprintf(stderr, "bench_dispatcher: %zu jobs failed, first: %s\n", load.n_failed, load.error.message);
        return 1;
    }
    size_t kept = load.n_done < LATENCIES_MAX ? load.n_done : LATENCIES_MAX;
    qsort(load.latencies, kept, sizeof *load.latencies, by_value);
    const char *name = ids ? "_ids" : "";
    printf("figure dispatcher%s_%d %.0f jobs/s\n", name, n, (double)load.n_done / took);
    size_t half = kept / 2, most = kept - 1 - kept / 100;
    printf("figure dispatcher%s_%d_p50 %.3f ms\n", name, n, load.latencies[half] / 1e3);
    printf("figure dispatcher%s_%d_p99 %.3f ms\n", name, n, load.latencies[most] / 1e3);
    free(load.latencies);
    free(slots);
    return 0;
}
