/* The model check: actors at two replicas of joblogd, through proxies that cut connections; see docs/model-check.md.
 * Each actor is a thread with facts of its own; what they share is here. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include <pthread.h>
#include <stdatomic.h>

#include "chance.h"
#include "crpc/client.h"
#include "facts.h"
#include "joblog/v1/job_log.crpc.h"

enum { REPLICAS = 2, CLIENTS = 4, WORKERS = 6, JOB_WATCHERS = 4, JOBS_WATCHERS = 6 };
enum { LEASE_TIMEOUT_MS = 1000, CALL_MS = 4000, KNOWN_MAX = 1 << 20, QUEUES = 3 };
/* Labelled so: jobs of the end, which no call of a client asked for. */
#define SENTINEL "sentinel"

enum phase {
    PHASE_CHAOS,  /* everything happens */
    PHASE_SETTLE, /* no cuts; workers only complete; no more dispatches */
    PHASE_WATCH,  /* all jobs are final: watchers go on to their sentinel */
    PHASE_OVER
};

struct model {
    uint64_t seed;
    int ops; /* of each client */
    const char *token;
    char address[REPLICAS][32]; /* of the proxies */
    _Atomic enum phase phase;
    atomic_int n_complaints;
    /* Jobs that clients may choose from. */
    pthread_mutex_t lock;
    pthread_cond_t more;
    int64_t *known;
    size_t n_known;
};

struct actor {
    struct model *model;
    int number;      /* among its kind */
    char name[16];   /* worker-3 */
    uint64_t chance; /* its row of decisions */
    struct crpc_channel *channels[REPLICAS];
    struct facts facts;
    pthread_t thread;
};

/* Threads. The argument is a struct actor. */
void *client_run(void *actor);
void *worker_run(void *actor);
void *job_watcher_run(void *actor);
void *jobs_watcher_run(void *actor);

/* What WatchJobs watcher `number` asks for; texts are static or in *room. statuses: whether it restricts them. */
struct watch_filter {
    Joblog__V1__JobFilter filter;
    char *name, *queue, *color;
    Joblog__V1__JobFilter__LabelsEntry label, *labels[1];
    Joblog__V1__JobStatus statuses[2];
};
void jobs_watcher_filter(int number, struct watch_filter *ret);
/* Whether a job with this name, queue and label is for it, statuses apart. */
bool jobs_watcher_wants(int number, const Joblog__V1__Job *job);

/* A promise is broken. */
void model_complain(struct model *model, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void model_know(struct model *model, int64_t id);
/* One of the jobs known, of the newest `recent` (0: of all); 0 when there is none. */
int64_t model_choose(struct model *model, uint64_t *chance, size_t recent);
/* Blocks until more than n jobs are known or the phase is another than chaos. */
void model_await_known(struct model *model, size_t n);
void model_set_phase(struct model *model, enum phase phase);
/* A channel of this actor's own connection: cuts of others do not hit it. */
struct crpc_channel *actor_channel(struct actor *actor);

/* The spec of a call, from its number: everything but run_time, which is the caller's. */
struct call_spec {
    Joblog__V1__JobSpec spec;
    Joblog__V1__RetryPolicy retry;
    Joblog__V1__UniqueKey unique;
    Google__Protobuf__Duration backoff, start_timeout, run_timeout;
    Google__Protobuf__Timestamp run_time;
    Joblog__V1__JobSpec__LabelsEntry labels[2], *label_list[2];
    char call[24], payload[64], key[8];
};
void call_spec_make(struct call_spec *ret, uint64_t seed, uint64_t call, int64_t run_us);
/* Whether the call asks for a job of the future. */
bool call_is_delayed(uint64_t seed, uint64_t call);
/* The call's number, from the label of a job; 0 for the sentinel. */
uint64_t call_of_job(const Joblog__V1__Job *job);

/* When all is over: every job of the database, compared with what the actors saw. */
struct model_actors {
    struct actor clients[CLIENTS], workers[WORKERS], job_watchers[JOB_WATCHERS], jobs_watchers[JOBS_WATCHERS];
};
struct histories;
/* Reads every job (FULL) through one channel. */
struct histories *histories_read(struct model *model, struct crpc_channel *channel, const int64_t *ids, size_t n);
const Joblog__V1__Job *history_of(const struct histories *h, int64_t id);
size_t histories_count(const struct histories *h);
const Joblog__V1__Job *history_at(const struct histories *h, size_t i);
void histories_free(struct histories *h);
void check_lives(struct model *model, const struct histories *h);
void check_calls(struct model *model, const struct model_actors *actors, const struct histories *h);
void check_writes(struct model *model, const struct model_actors *actors, const struct histories *h);
void check_watches(struct model *model, const struct model_actors *actors, const struct histories *h);

#endif
