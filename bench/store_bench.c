/* The commit engine alone, without gRPC: durable dispatches with 1, 64 and 256 in flight, and the full life of a job
 * (dispatched, handed to a worker, completed). Own embedded cluster in a temporary directory, or --database URI.
 * Producers and consumers run on the main thread, which waits on a semaphore that the store's tags post.
 *
 *     bench_store [--database URI] [--seconds S] [--only NAME] */
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "pg/embedded.h"
#include "store/store.h"

enum { SLOTS_MAX = 4096, LATENCIES_MAX = 4 << 20, CREDIT = 2000 };

struct slot {
    struct tag tag;
    struct mpsc_node node;
    struct bench *bench;
    struct dispatch_item item;
    struct store_dispatch dispatch;
    struct store_finish finish;
    int64_t start_us;
};

struct bench {
    struct store *store;
    struct mpsc ready; /* slots whose command is done */
    sem_t wake;
    uint32_t *latencies;
    size_t n_latencies;
};

static void on_done(struct tag *tag, bool ok)
{
    struct slot *s = (struct slot *)tag;

    (void)ok;
    if (mpsc_push(&s->bench->ready, &s->node))
        sem_post(&s->bench->wake);
}

static struct slot *slot_of(struct mpsc_node *node)
{
    return (struct slot *)((char *)node - offsetof(struct slot, node));
}

static void die(const char *what, const struct err *err)
{
    fprintf(stderr, "bench_store: %s: %s\n", what, err->msg);
    exit(1);
}

static void start_dispatch(struct slot *s, const char *queue)
{
    struct err err;

    s->item = (struct dispatch_item){
        .job = {.name = SPAN_LIT("send_newsletter"),
                .queue = span_str(queue),
                .owner = SPAN_LIT("user-1"),
                .creator = SPAN_LIT("bench"),
                .payload = SPAN_LIT("{\"template\": \"welcome\", \"recipient\": \"someone@example.com\", \"n\": 42}"),
                .retry = {3, 1000000, 600000000, 2, 0}}};
    s->dispatch =
        (struct store_dispatch){.cmd = {.op = STORE_DISPATCH, .done = &s->tag}, .items = &s->item, .n_items = 1};
    s->start_us = clock_mono_us();
    if (store_submit(s->bench->store, &s->dispatch.cmd, &err) < 0)
        die("dispatch", &err);
}

static struct mpsc_node *wait_ready(struct bench *b)
{
    struct mpsc_node *list;

    while (!(list = mpsc_take_all(&b->ready)))
        sem_wait(&b->wake);
    return list;
}

static int compare(const void *a, const void *b)
{
    return (*(const uint32_t *)a > *(const uint32_t *)b) - (*(const uint32_t *)a < *(const uint32_t *)b);
}

static void report_latency(struct bench *b, const char *name)
{
    if (b->n_latencies == 0)
        return;
    qsort(b->latencies, b->n_latencies, sizeof *b->latencies, compare);
    size_t half = b->n_latencies / 2, most = b->n_latencies * 99 / 100;
    printf("figure %s_p50 %.3f ms\n", name, b->latencies[half] / 1000.0);
    printf("figure %s_p99 %.3f ms\n", name, b->latencies[most] / 1000.0);
}

static void bench_dispatch(struct bench *b, struct slot *slots, int in_flight, double seconds)
{
    int64_t start = clock_mono_us(), end = start + (int64_t)(seconds * 1e6);
    uint64_t n = 0;
    int open = in_flight;
    char name[64];

    b->n_latencies = 0;
    for (int i = 0; i < in_flight; i++)
        start_dispatch(&slots[i], "bench");
    while (open > 0) {
        struct mpsc_node *next;
        for (struct mpsc_node *node = wait_ready(b); node; node = next) {
            struct slot *s = slot_of(node);
            int64_t now = clock_mono_us();
            next = node->next;
            if (s->dispatch.cmd.err.code || s->item.err.code)
                die("dispatch", s->dispatch.cmd.err.code ? &s->dispatch.cmd.err : &s->item.err);
            n++;
            if (b->n_latencies < LATENCIES_MAX)
                b->latencies[b->n_latencies++] = (uint32_t)(now - s->start_us);
            if (now < end)
                start_dispatch(s, "bench");
            else
                open--;
        }
    }
    snprintf(name, sizeof name, "store_dispatch_%d", in_flight);
    printf("figure %s %.0f jobs/s\n", name, (double)n * 1e6 / (double)(clock_mono_us() - start));
    report_latency(b, name);
}

/* ---- claim and complete ---- */

struct consumer {
    struct tag wake;
    struct bench *bench;
    struct store_session *session;
};

static void on_wake(struct tag *tag, bool ok)
{
    (void)ok;
    sem_post(&((struct consumer *)tag)->bench->wake);
}

static void run_cmd(struct bench *b, struct slot *s, struct store_cmd *cmd)
{
    struct err err;

    cmd->done = &s->tag;
    if (store_submit(b->store, cmd, &err) < 0)
        die("command", &err);
    wait_ready(b);
    if (cmd->err.code)
        die("command", &cmd->err);
}

static void give_credit(struct bench *b, struct slot *s, struct consumer *c, int32_t n)
{
    struct store_session_credit credit = {.cmd.op = STORE_SESSION_CREDIT, .session = c->session, .add = n};

    run_cmd(b, s, &credit.cmd);
}

static void open_consumer(struct bench *b, struct slot *s, struct consumer *c, const char *queue)
{
    static struct span queues[1];
    queues[0] = span_str(queue);
    struct store_session_open open = {
        .cmd.op = STORE_SESSION_OPEN, .worker = SPAN_LIT("bench"), .queues = queues, .n_queues = 1, .wake = &c->wake};

    c->wake.post = on_wake;
    c->bench = b;
    run_cmd(b, s, &open.cmd);
    c->session = open.session;
}

/* n jobs wait already; the worker takes them with a credit of CREDIT and completes each at once. Credit is given back
 * by a command for every round of completions. */
static void bench_complete(struct bench *b, struct slot *slots, int64_t n)
{
    struct consumer c = {0};
    struct slot *control = &slots[SLOTS_MAX - 1];
    struct slot *idle[SLOTS_MAX];
    struct store_session_credit credit = {.cmd = {.op = STORE_SESSION_CREDIT, .done = &control->tag}};
    size_t n_idle = 0;
    int64_t done = 0, start;
    int32_t owed = 0;
    bool crediting = false;
    struct err err;

    open_consumer(b, control, &c, "full");
    for (size_t i = 0; i < CREDIT; i++)
        idle[n_idle++] = &slots[i];
    start = clock_mono_us();
    give_credit(b, control, &c, CREDIT);
    while (done < n) {
        struct delivery *d;
        struct mpsc_node *next, *node = mpsc_take_all(&b->ready);
        bool idle_round = node == NULL;
        for (; node; node = next) {
            struct slot *s = slot_of(node);
            next = node->next;
            if (s == control) {
                crediting = false;
                continue;
            }
            if (s->finish.cmd.err.code)
                die("finish", &s->finish.cmd.err);
            idle[n_idle++] = s;
            done++;
            owed++;
        }
        if (owed && !crediting) {
            credit.session = c.session;
            credit.add = owed;
            owed = 0;
            crediting = true;
            if (store_submit(b->store, &credit.cmd, &err) < 0)
                die("credit", &err);
        }
        while (n_idle && (d = store_session_take(c.session)) != NULL) {
            struct slot *s = idle[--n_idle];
            s->finish = (struct store_finish){.cmd = {.op = STORE_FINISH, .done = &s->tag},
                                              .job_id = d->job_id,
                                              .token = d->token,
                                              .outcome = ATTEMPT_COMPLETED,
                                              .result = SPAN_LIT("{\"ok\": true}")};
            delivery_free(d);
            idle_round = false;
            if (store_submit(b->store, &s->finish.cmd, &err) < 0)
                die("finish", &err);
        }
        if (idle_round && done < n)
            sem_wait(&b->wake);
    }
    printf("figure store_claim_complete %.0f jobs/s\n", (double)n * 1e6 / (double)(clock_mono_us() - start));
    while (crediting) {
        for (struct mpsc_node *node = wait_ready(b); node; node = node->next)
            crediting = crediting && slot_of(node) != control;
    }
    struct store_session_close close_cmd = {.cmd.op = STORE_SESSION_CLOSE, .session = c.session};
    run_cmd(b, control, &close_cmd.cmd);
}

static void fill(struct bench *b, struct slot *slots, int64_t n)
{
    int64_t started = 0, done = 0;

    for (; started < 1000; started++)
        start_dispatch(&slots[started], "full");
    while (done < n) {
        struct mpsc_node *next;
        for (struct mpsc_node *node = wait_ready(b); node; node = next) {
            next = node->next;
            done++;
            if (started++ < n)
                start_dispatch(slot_of(node), "full");
        }
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"database", required_argument, NULL, 'd'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"only", required_argument, NULL, 'o'},
                                            {NULL, 0, NULL, 0}};
    const char *uri = NULL, *only = NULL;
    double seconds = 5;
    int option;
    char dir[] = "/tmp/joblog-bench-store.XXXXXX";
    struct embedded_pg *pg = NULL;
    struct err err = ERR_NONE;
    struct bench b = {0};
    struct slot *slots;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'd')
            uri = optarg;
        else if (option == 's')
            seconds = atof(optarg);
        else if (option == 'o')
            only = optarg;
        else
            return 2;
    }
    if (!uri) {
        if (!mkdtemp(dir) || embedded_pg_start(dir, &pg, &err) < 0)
            die("embedded PostgreSQL", &err);
        uri = embedded_pg_uri(pg);
    }
    sem_init(&b.wake, 0, 0);
    slots = calloc(SLOTS_MAX, sizeof *slots);
    b.latencies = malloc(LATENCIES_MAX * sizeof *b.latencies);
    if (!slots || !b.latencies)
        exit(1);
    for (int i = 0; i < SLOTS_MAX; i++) {
        slots[i].tag.post = on_done;
        slots[i].bench = &b;
    }
    struct store_options store_options = {.uri = uri};
    b.store = store_open(&store_options, &err);
    if (!b.store)
        die("store", &err);
    for (int i = 0, n[] = {1, 64, 256, 1000}; i < 4 && (!only || strcmp(only, "dispatch") == 0); i++)
        bench_dispatch(&b, slots, n[i], seconds);
    if (!only || strcmp(only, "complete") == 0) {
        int64_t n = (int64_t)(seconds * 40000);
        fill(&b, slots, n);
        bench_complete(&b, slots, n);
    }
    store_close(b.store);
    if (pg) {
        char command[128];
        embedded_pg_stop(pg);
        snprintf(command, sizeof command, "rm -rf %s", dir);
        if (system(command) != 0)
            fprintf(stderr, "bench_store: cannot remove %s\n", dir);
    }
    free(b.latencies);
    free(slots);
    return 0;
}
