/* The model check of the promises: clients, workers and watchers at two replicas on one database, through proxies that
 * cut connections; at the end what all of them saw is compared with the histories, and meanwhile and at the end the
 * database with itself. docs/model-check.md says what is checked, and how to run it for long.
 *
 *     test_model [--seed N] [--ops N]
 *
 * The main thread starts everything, audits, and judges. Exit code 1: a promise is broken. */
#include <getopt.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "clients.h"
#include "cut_proxy.h"
#include "joblog/v1/worker.crpc.h"
#include "support/channel.h"
#include "support/pg_fixture.h"
#include "support/server_fixture.h"

struct run {
    struct model model;
    struct model_actors actors;
    struct server_fixture *servers[REPLICAS];
    struct cut_proxy *proxies[REPLICAS];
    struct crpc_channel *channel; /* straight to the first replica */
    PGconn *db;
};

/* ---- the database with itself: each must be 0 at every moment, in one snapshot ---- */

static const struct {
    const char *what, *sql;
} audits[] = {
    {"lanes whose counters differ from a count of their jobs",
     "select count(*) from (select lane_id, status, count(*) n from joblog.job_now group by 1, 2) a"
     " full join (select lane_id, status, sum(n) n from joblog.tally_now group by 1, 2 having sum(n) <> 0) b"
     " using (lane_id, status) where a.n is distinct from b.n"},
    {"jobs more or less than were counted as dispatched",
     "select (select coalesce(sum(dispatched), 0) from joblog.minute_now) - (select count(*) from joblog.job)"},
    {"pending jobs that wait nowhere, or others that wait",
     "select count(*) from (select id from joblog.job_now where status = 1) a full join (select id from joblog.waiting"
     " union all select id from joblog.scheduled) b using (id) where a.id is null or b.id is null"},
    {"unique keys with several jobs that are not final",
     "select count(*) from (select 1 from joblog.job_now where status < 3 and (extra->>'unique_scope')::int = 1"
     " group by job_name, extra->>'unique_key' having count(*) > 1) a"},
    {"unique keys with several pending jobs that no attempt had",
     "select count(*) from (select 1 from joblog.job_now where status = 1 and attempt = 0"
     " and (extra->>'unique_scope')::int = 2 group by job_name, extra->>'unique_key' having count(*) > 1) a"},
    {"changes of status that are not allowed",
     "select count(*) from joblog.transition t where t.from_status <> 0 and not"
     " joblog.transition_allowed(t.from_status, t.to_status)"},
};

static void audit(struct run *run)
{
    enum { N = sizeof audits / sizeof *audits };
    char sql[4096] = "select";
    for (size_t i = 0; i < N; i++)
        snprintf(sql + strlen(sql), sizeof sql - strlen(sql), "%s (%s)", i ? "," : "", audits[i].sql);
    PGresult *r = PQexec(run->db, sql);
    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        model_complain(&run->model, "the audit failed: %s", PQerrorMessage(run->db));
    for (int i = 0; i < N && PQntuples(r) == 1; i++)
        if (strcmp(PQgetvalue(r, 0, i), "0") != 0)
            model_complain(&run->model, "%s %s", PQgetvalue(r, 0, i), audits[i].what);
    PQclear(r);
}

/* ---- the end ---- */

/* Ids of jobs; free. */
static int64_t *ids_of(struct run *run, const char *where, size_t *ret_n)
{
    char sql[200];
    snprintf(sql, sizeof sql, "select id from joblog.job_now where %s order by id", where);
    PGresult *r = PQexec(run->db, sql);
    *ret_n = (size_t)PQntuples(r);
    int64_t *ids = calloc(*ret_n + 1, sizeof *ids);
    for (size_t i = 0; i < *ret_n; i++)
        ids[i] = strtoll(PQgetvalue(r, (int)i, 0), NULL, 10);
    PQclear(r);
    return ids;
}

/* Until every job is final. False: one did not become so. */
static bool await_final(struct run *run)
{
    static const struct crpc_call_options options = {.timeout_ms = 60000};
    size_t n = 1;
    while (n > 0) {
        int64_t *ids = ids_of(run, "status < 3", &n);
        for (size_t i = 0; i < n; i++) {
            Joblog__V1__WaitJobRequest request = JOBLOG__V1__WAIT_JOB_REQUEST__INIT;
            Google__Protobuf__Duration timeout = GOOGLE__PROTOBUF__DURATION__INIT;
            Joblog__V1__Job *job = NULL;
            timeout.seconds = 30;
            request.id = ids[i];
            request.timeout = &timeout;
            joblog_v1_job_log_service_wait_job(run->channel, &options, &request, &job, NULL);
            bool final = job && job->status >= JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED;
            if (!final)
                model_complain(&run->model, "job %" PRId64 " does not come to an end: status %d", ids[i],
                               job ? (int)job->status : 0);
            if (job)
                crpc_message_free(&job->base);
            if (!final) {
                free(ids);
                return false;
            }
        }
        free(ids);
    }
    return true;
}

/* The last job, which every watcher of many must see fail. It matches all their filters. */
static void sentinel(struct run *run)
{
    Joblog__V1__StartJobRequest start = JOBLOG__V1__START_JOB_REQUEST__INIT;
    Joblog__V1__StartJobResponse *started = NULL;
    Joblog__V1__FailJobRequest fail = JOBLOG__V1__FAIL_JOB_REQUEST__INIT;
    Joblog__V1__JobSpec spec = JOBLOG__V1__JOB_SPEC__INIT;
    Joblog__V1__JobSpec__LabelsEntry label = JOBLOG__V1__JOB_SPEC__LABELS_ENTRY__INIT, *labels = &label;
    Joblog__V1__Job *job = NULL;
    struct watch_filter filters[JOBS_WATCHERS];
    for (int i = 0; i < JOBS_WATCHERS; i++)
        jobs_watcher_filter(i, &filters[i]);
    spec.queue = filters[0].queue;
    spec.job_name = filters[1].name;
    label.key = filters[2].label.key;
    label.value = filters[2].label.value;
    spec.labels = &labels;
    spec.n_labels = 1;
    start.job = &spec;
    joblog_v1_worker_service_start_job(run->channel, NULL, &start, &started, NULL);
    if (!started) {
        model_complain(&run->model, "the last job could not be %s", "started");
        return;
    }
    fail.job_id = started->job->id;
    fail.lease_token = started->lease_token;
    joblog_v1_worker_service_fail_job(run->channel, NULL, &fail, &job, NULL);
    if (job)
        crpc_message_free(&job->base);
    crpc_message_free(&started->base);
}

/* What is counted by the minute, against the histories. */
static void check_counters(struct run *run, const struct histories *h)
{
    int64_t counted[5] = {0}, told[5];
    for (size_t i = 0; i < histories_count(h); i++) {
        const Joblog__V1__Job *job = history_at(h, i);
        size_t ended = 0; /* attempts */
        for (size_t k = 0; k < job->n_transitions; k++) {
            int to = (int)job->transitions[k]->to_status, from = (int)job->transitions[k]->from_status;
            counted[0] += k == 0;
            if (to >= 3)
                counted[to - 2]++;
            if (from == 2 && ended < job->n_attempts) {
                int outcome = (int)job->attempts[ended++]->outcome;
                counted[4] += to == 1 && outcome != JOBLOG__V1__ATTEMPT__OUTCOME__OUTCOME_RELEASED;
            }
        }
    }
    PGresult *r = PQexec(run->db, "select sum(dispatched), sum(completed), sum(failed), sum(cancelled), sum(retried)"
                                  " from joblog.minute_now");
    for (int i = 0; i < 5; i++) {
        told[i] = PQntuples(r) == 1 ? strtoll(PQgetvalue(r, 0, i), NULL, 10) : -1;
        if (told[i] != counted[i])
            model_complain(&run->model, "counter %d of the minutes is %" PRId64 ", the histories give %" PRId64, i,
                           told[i], counted[i]);
    }
    PQclear(r);
    Joblog__V1__GetJobStatsRequest request = JOBLOG__V1__GET_JOB_STATS_REQUEST__INIT;
    Joblog__V1__JobStats *stats = NULL;
    joblog_v1_job_log_service_get_job_stats(run->channel, NULL, &request, &stats, NULL);
    if (!stats || stats->total->dispatched != counted[0] || stats->total->completed != counted[1])
        model_complain(&run->model, "GetJobStats tells %" PRId64 " dispatched, the histories give %" PRId64,
                       stats ? stats->total->dispatched : -1, counted[0]);
    if (stats)
        crpc_message_free(&stats->base);
}

static void judge(struct run *run)
{
    size_t n;
    int64_t *ids = ids_of(run, "true", &n);
    struct histories *h = histories_read(&run->model, run->channel, ids, n);
    check_lives(&run->model, h);
    check_calls(&run->model, &run->actors, h);
    check_writes(&run->model, &run->actors, h);
    check_watches(&run->model, &run->actors, h);
    check_counters(run, h);
    histories_free(h);
    free(ids);
}

/* ---- the run ---- */

static bool set_up(struct run *run)
{
    static const char *const args[] = {"--lease-timeout-ms=1000", "--log-level=error", NULL};
    struct model *model = &run->model;
    const char *uri = pg_fixture_start();
    if (!uri)
        return false;
    pthread_mutex_init(&model->lock, NULL);
    pthread_cond_init(&model->more, NULL);
    model->known = calloc(KNOWN_MAX, sizeof *model->known);
    for (int i = 0; i < REPLICAS; i++) {
        run->servers[i] = server_fixture_start(&(struct server_fixture_options){.database = uri, .args = args});
        if (!run->servers[i])
            return false;
        run->proxies[i] =
            cut_proxy_start(server_fixture_address(run->servers[i]), chance_of(model->seed, 'p', (uint64_t)i));
        if (!run->proxies[i])
            return false;
        snprintf(model->address[i], sizeof model->address[i], "%s", cut_proxy_address(run->proxies[i]));
    }
    model->token = server_fixture_token(run->servers[0]);
    run->channel = channel_open(run->servers[0], NULL);
    run->db = PQconnectdb(uri);
    return run->channel && PQstatus(run->db) == CONNECTION_OK;
}

static void start(struct run *run, struct actor *actors, int n, const char *kind, void *(*body)(void *))
{
    for (int i = 0; i < n; i++) {
        actors[i].model = &run->model;
        actors[i].number = i;
        snprintf(actors[i].name, sizeof actors[i].name, "%s-%d", kind, i);
        actors[i].chance = chance_of(run->model.seed, (uint64_t)kind[0] << 8 | (uint64_t)kind[3], (uint64_t)i);
        pthread_create(&actors[i].thread, NULL, body, &actors[i]);
    }
}

static void join(struct actor *actors, int n)
{
    for (int i = 0; i < n; i++)
        pthread_join(actors[i].thread, NULL);
}

struct auditor {
    struct run *run;
    atomic_bool stop;
};

static void *auditor_run(void *arg)
{
    enum { EVERY_MS = 250 };
    struct auditor *auditor = arg;
    while (!atomic_load(&auditor->stop)) {
        audit(auditor->run);
        pause_ms(EVERY_MS);
    }
    return NULL;
}

static void run_all(struct run *run)
{
    struct model *model = &run->model;
    struct model_actors *a = &run->actors;
    struct auditor auditor = {.run = run};
    pthread_t audits_thread;
    start(run, a->jobs_watchers, JOBS_WATCHERS, "many", jobs_watcher_run);
    start(run, a->job_watchers, JOB_WATCHERS, "one-job", job_watcher_run);
    start(run, a->workers, WORKERS, "worker", worker_run);
    start(run, a->clients, CLIENTS, "client", client_run);
    pthread_create(&audits_thread, NULL, auditor_run, &auditor);
    join(a->clients, CLIENTS);
    for (int i = 0; i < REPLICAS; i++)
        cut_proxy_harm(run->proxies[i], false);
    model_set_phase(model, PHASE_SETTLE);
    atomic_store(&auditor.stop, true);
    pthread_join(audits_thread, NULL);
    await_final(run);
    model_set_phase(model, PHASE_WATCH);
    sentinel(run);
    join(a->jobs_watchers, JOBS_WATCHERS);
    join(a->job_watchers, JOB_WATCHERS);
    join(a->workers, WORKERS);
    model_set_phase(model, PHASE_OVER);
}

static void sum_up(const struct run *run)
{
    const struct model_actors *a = &run->actors;
    size_t n_calls = 0, n_writes = 0, n_refused = 0, n_events = 0, n_streams = 0, n_anew = 0;
    int n_cut, n_stalled;
    for (int i = 0; i < CLIENTS; i++)
        n_calls += a->clients[i].facts.calls.n;
    for (int i = 0; i < WORKERS; i++)
        for (size_t k = 0; k < a->workers[i].facts.writes.n; k++) {
            n_writes++;
            n_refused += a->workers[i].facts.writes.at[k].answer == ANSWER_REFUSED;
        }
    for (int i = 0; i < JOB_WATCHERS + JOBS_WATCHERS; i++) {
        const struct facts *f =
            i < JOB_WATCHERS ? &a->job_watchers[i].facts : &a->jobs_watchers[i - JOB_WATCHERS].facts;
        n_events += f->events.n;
        n_streams += f->streams.n;
        for (size_t k = 1; i >= JOB_WATCHERS && k < f->streams.n; k++)
            n_anew += f->streams.at[k].begin == BEGIN_NOWHERE;
    }
    printf("model: %zu dispatches, %zu writes of workers (%zu refused), %zu events in %zu watches (%zu anew)\n",
           n_calls, n_writes, n_refused, n_events, n_streams, n_anew);
    for (int i = 0; i < REPLICAS; i++) {
        cut_proxy_count(run->proxies[i], &n_cut, &n_stalled);
        printf("model: replica %d: %d connections cut, %d stalled\n", i, n_cut, n_stalled);
    }
}

static int tear_down(struct run *run)
{
    struct actor *all = (struct actor *)&run->actors;
    int code = 0;
    for (size_t i = 0; i < sizeof run->actors / sizeof *all; i++) {
        for (int k = 0; k < REPLICAS; k++)
            crpc_channel_free(all[i].channels[k]);
        facts_free(&all[i].facts);
    }
    crpc_channel_free(run->channel);
    PQfinish(run->db);
    for (int i = 0; i < REPLICAS; i++) {
        cut_proxy_stop(run->proxies[i]);
        code |= run->servers[i] ? server_fixture_stop(run->servers[i]) : -1;
        server_fixture_free(run->servers[i]);
    }
    free(run->model.known);
    pg_fixture_stop();
    return code;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'}, {"ops", required_argument, NULL, 'o'}, {0}};
    static struct run run;
    int c;
    run.model.seed = (uint64_t)clock_wall_us() % 1000000;
    run.model.ops = 100;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 's')
            run.model.seed = strtoull(optarg, NULL, 10);
        else if (c == 'o')
            run.model.ops = atoi(optarg);
        if (c == '?' || run.model.ops < 1) {
            fprintf(stderr, "usage: test_model [--seed N] [--ops N]\n");
            return 2;
        }
    }
    printf("model: --seed %" PRIu64 " --ops %d\n", run.model.seed, run.model.ops);
    fflush(stdout);
    bool ready = set_up(&run);
    if (ready) {
        run_all(&run);
        audit(&run);
        judge(&run);
        sum_up(&run);
    }
    int broken = atomic_load(&run.model.n_complaints);
    int code = tear_down(&run);
    printf("model: %s: %d complaints\n", broken ? "BROKEN" : ready ? "kept" : "did not start", broken);
    return !ready || broken > 0 || code != 0;
}
