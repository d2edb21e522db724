/* What rights mean beyond the table: streams that end with their credentials, calls on behalf of somebody, lists and
 * workers within a scope. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "joblog/v1/export.crpc.h"
#include "support/calls.h"
#include "support/rights_rig.h"

#define L(s) SPAN_LIT(s)

static const struct crpc_call_options options = {.timeout_ms = CALL_TIMEOUT_MS, .wait_for_ready = true};
static struct crpc_channel *admin;

static int setup(void **state)
{
    static const struct identity root = {.owner = SPAN_LIT("root"), .roles = ROLE_ADMIN};
    if (rig_start(state) != 0)
        return -1;
    rig_caller("admin", &root);
    admin = rig_channel("admin", NULL);
    return 0;
}

static int teardown(void **state)
{
    crpc_channel_free(admin);
    return rig_stop(state);
}

static struct crpc_channel *caller(const char *name, struct identity identity)
{
    rig_caller(name, &identity);
    return rig_channel(name, NULL);
}

static int64_t dispatch(struct crpc_channel *as, const char *name, const char *queue, const char *owner)
{
    Joblog__V1__JobSpec spec = spec_of(name, queue);
    spec.owner = (char *)owner;
    return must_dispatch(as, &spec);
}

static void expect(const struct err *err, enum err_code code, const char *reason)
{
    if (err->code != code || strcmp(err->reason, reason) != 0)
        fail_msg("%s %s: %s", err_code_name((int)err->code), err->reason, err->msg);
}

/* ---- streams ---- */

static int64_t start_export(struct crpc_channel *as, const char *type)
{
    Joblog__V1__StartExportRequest request = JOBLOG__V1__START_EXPORT_REQUEST__INIT;
    Joblog__V1__StartExportResponse *response = NULL;
    struct err err = ERR_NONE;
    request.export_type = (char *)type;
    if (joblog_v1_export_service_start_export(as, &options, &request, &response, &err) != 0)
        fail_msg("%s", err.msg);
    int64_t id = response->export->job->id;
    crpc_message_free(&response->base);
    return id;
}

static struct crpc_stream *watch_export(struct crpc_channel *as, int64_t id)
{
    Joblog__V1__WatchExportRequest request = JOBLOG__V1__WATCH_EXPORT_REQUEST__INIT;
    struct err err = ERR_NONE;
    request.id = id;
    return joblog_v1_export_service_watch_export_open(as, &options, &request, &err);
}

static struct crpc_stream *watch_all(struct crpc_channel *as)
{
    Joblog__V1__WatchJobsRequest request = JOBLOG__V1__WATCH_JOBS_REQUEST__INIT;
    struct err err = ERR_NONE;
    return joblog_v1_job_log_service_watch_jobs_open(as, &options, &request, &err);
}

/* A download that has begun and of which nothing more is read. */
static struct crpc_stream *begin_download(struct crpc_channel *as)
{
    Joblog__V1__DownloadExportRequest request = JOBLOG__V1__DOWNLOAD_EXPORT_REQUEST__INIT;
    ProtobufCMessage *message = NULL;
    struct err err = ERR_NONE;
    request.id = start_export(as, "long");
    struct crpc_stream *watch = watch_export(as, request.id);
    int rc;
    while ((rc = crpc_stream_read(watch, &message, &err)) == 1)
        crpc_message_free(message);
    assert_int_equal(rc, 0);
    crpc_stream_free(watch);
    struct crpc_stream *stream = joblog_v1_export_service_download_export_open(as, &options, &request, &err);
    assert_int_equal(crpc_stream_read(stream, &message, &err), 1);
    crpc_message_free(message);
    return stream;
}

/* Reads to the end, which must be that of the credentials. Messages read on the way. */
static size_t expect_ended(struct crpc_stream *stream)
{
    ProtobufCMessage *message = NULL;
    struct err err = ERR_NONE;
    size_t n = 0;
    while (crpc_stream_read(stream, &message, &err) == 1) {
        crpc_message_free(message);
        n++;
    }
    expect(&err, ERR_UNAUTHENTICATED, "CREDENTIALS_ENDED");
    crpc_stream_free(stream);
    return n;
}

static void streams_end_with_their_credentials(void **state)
{
    struct crpc_channel *all = caller("all", (struct identity){.owner = L("all"),
                                                               .roles = ROLE_DISPATCHER | ROLE_VIEWER | ROLE_EXPORTER}),
                        *works = caller("works", (struct identity){.owner = L("w"), .roles = ROLE_WORKER});
    int64_t later = dispatch(admin, "later", "nobody-works-here", "");
    struct err err = ERR_NONE;
    (void)state;
    struct test_worker *w = worker_open(works, "w", "q-live", 1);
    Joblog__V1__JobSpec spec = spec_of("leased", "q-live");
    Joblog__V1__RetryPolicy twice = JOBLOG__V1__RETRY_POLICY__INIT;
    Google__Protobuf__Duration soon = GOOGLE__PROTOBUF__DURATION__INIT;
    soon.nanos = 1000000;
    twice.max_attempts = 2;
    twice.initial_backoff = &soon;
    spec.retry_policy = &twice;
    int64_t id = must_dispatch(admin, &spec);
    struct test_lease lease = worker_lease(w);
    assert_int_equal(lease.job_id, id);
    struct crpc_stream *download = begin_download(all);
    struct crpc_channel *brief = caller(
        "brief", (struct identity){.owner = L("b"), .roles = ROLE_VIEWER, .expire_us = clock_wall_us() + 3000000});
    struct crpc_stream *streams[] = {must_watch(all, later, 0, false), watch_all(all),
                                     watch_export(all, start_export(all, "slow")), must_watch(brief, later, 0, true)};
    for (size_t i = 0; i < 4; i++) {
        ProtobufCMessage *message = NULL;
        assert_int_equal(crpc_stream_read(streams[i], &message, &err), 1);
        crpc_message_free(message);
    }
    int64_t begin_us = clock_mono_us();
    rig_revoke("all");
    rig_revoke("works");
    /* Until the server knows. */
    do {
        Joblog__V1__Job *still = call_get(all, later, false, &err);
        job_free(still);
        assert_true(still || err.code == ERR_UNAUTHENTICATED);
    } while (err.code == ERR_OK && clock_mono_us() - begin_us < 10000000);
    assert_int_equal(err.code, ERR_UNAUTHENTICATED);
    /* What the worker still writes is not taken. */
    worker_complete(w, lease, "{}");
    assert_int_equal(worker_end(w, false, &err), ERR_UNAUTHENTICATED);
    for (size_t i = 0; i < 4; i++)
        expect_ended(streams[i]);
    /* 24 MB are more than what was under way. */
    assert_true(expect_ended(download) < 90);
    assert_true(clock_mono_us() - begin_us < 30000000);

    /* The lease is a lost worker's: it waits for the worker's return, then another one gets the job. */
    struct crpc_channel *next = caller("next", (struct identity){.owner = L("w"), .roles = ROLE_WORKER});
    w = worker_open(next, "next", "q-live", 1);
    lease = worker_lease(w);
    assert_int_equal(lease.job_id, id);
    assert_int_equal(lease.job->attempt, 2);
    assert_int_equal(worker_answer(w, worker_complete(w, lease, "{}"), NULL), ERR_OK);
    Joblog__V1__Job *job = call_get(admin, id, true, &err);
    assert_int_equal(job->attempts[0]->outcome, JOBLOG__V1__ATTEMPT__OUTCOME__OUTCOME_LOST);
    job_free(job);
    assert_int_equal(worker_end(w, true, NULL), ERR_OK);
    crpc_channel_free(next);
    crpc_channel_free(all);
    crpc_channel_free(works);
    crpc_channel_free(brief);
}

static void credentials_must_be_a_bearer_token(void **state)
{
    static const char *const wrong[] = {"", "Basic YTpi", "Bearer", "Bearer ", "Bearer    ", "admin", "Token x"};
    struct crpc_call_options o = options;
    struct crpc_metadata metadata = {"authorization", {NULL, 0}};
    struct crpc_channel *channel = rig_channel(NULL, NULL);
    Joblog__V1__ListJobStatusesRequest request = JOBLOG__V1__LIST_JOB_STATUSES_REQUEST__INIT;
    Joblog__V1__ListJobStatusesResponse *response = NULL;
    struct err err = ERR_NONE;
    (void)state;
    o.metadata = &metadata;
    o.n_metadata = 1;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        metadata.value = span_str(wrong[i]);
        err = ERR_NONE;
        joblog_v1_job_log_service_list_job_statuses(channel, &o, &request, &response, &err);
        expect(&err, ERR_UNAUTHENTICATED, "CREDENTIALS_INVALID");
    }
    metadata.value = L("Bearer jlt_nobody's");
    joblog_v1_job_log_service_list_job_statuses(channel, &o, &request, &response, &err);
    expect(&err, ERR_UNAUTHENTICATED, "TOKEN_NOT_VALID");
    /* The scheme is written in any case (RFC 9110). */
    char good[100];
    snprintf(good, sizeof good, "bEARER   %s", rig_bearer("admin"));
    metadata.value = span_str(good);
    assert_int_equal(joblog_v1_job_log_service_list_job_statuses(channel, &o, &request, &response, &err), 0);
    crpc_message_free(&response->base);
    /* A proxy may look at the last one of two. The same for the user of a gateway. */
    struct crpc_metadata two[] = {metadata, {"authorization", L("Bearer jlt_nobody's")}, {"joblog-actor", L("bob")}};
    o.metadata = two;
    o.n_metadata = 2;
    joblog_v1_job_log_service_list_job_statuses(channel, &o, &request, &response, &err);
    expect(&err, ERR_UNAUTHENTICATED, "CREDENTIALS_INVALID");
    two[1] = (struct crpc_metadata){"joblog-actor", L("alice")};
    o.n_metadata = 3;
    joblog_v1_job_log_service_list_job_statuses(channel, &o, &request, &response, &err);
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "joblog-actor");
    crpc_channel_free(channel);
}

/* ---- on behalf of somebody ---- */

static void a_gateway_calls_for_its_users(void **state)
{
    struct identity gateway = {
        .owner = L("gateway"), .roles = ROLE_DISPATCHER | ROLE_EXPORTER, .own_only = true, .may_delegate = true};
    struct crpc_channel *plain = caller("plain", (struct identity){.owner = L("p"), .roles = ROLE_DISPATCHER}),
                        *claims = rig_channel("plain", "alice"), *itself = caller("gateway", gateway),
                        *alice = rig_channel("gateway", "alice"), *bob = rig_channel("gateway", "bob"),
                        *blank = rig_channel("gateway", "   ");
    struct err err = ERR_NONE;
    (void)state;
    int64_t hers = dispatch(alice, "mail", "q", ""), its = dispatch(itself, "mail", "q", "");
    Joblog__V1__Job *job = call_get(alice, hers, true, &err);
    assert_string_equal(job->owner, "alice");
    assert_string_equal(job->creator, "token:gateway for alice");
    job_free(job);
    job = call_get(itself, its, true, &err);
    assert_string_equal(job->owner, "gateway");
    assert_string_equal(job->creator, "token:gateway");
    job_free(job);
    assert_null(call_get(bob, hers, false, &err));
    expect(&err, ERR_NOT_FOUND, "JOB_NOT_FOUND");
    assert_null(call_get(itself, hers, false, &err));
    assert_null(call_cancel(bob, hers, "", &err));
    expect(&err, ERR_NOT_FOUND, "JOB_NOT_FOUND");
    job_free(call_cancel(alice, hers, "changed her mind", &err));
    job = call_get(alice, hers, true, &err);
    assert_string_equal(job->transitions[1]->actor, "token:gateway for alice");
    job_free(job);
    /* Her exports are hers, not the gateway's. */
    int64_t export = start_export(alice, "lanes");
    assert_null(call_get(itself, export, false, &err));
    assert_null(call_get(bob, export, false, &err));
    job = call_get(alice, export, false, &err);
    assert_string_equal(job->owner, "alice");
    job_free(job);
    /* Who may not delegate is refused, rather than taken for somebody that it does not claim to be. */
    assert_null(call_get(claims, hers, false, &err));
    expect(&err, ERR_PERMISSION_DENIED, "DELEGATION_REFUSED");
    assert_null(call_get(blank, hers, false, &err));
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    struct crpc_channel *opened[] = {plain, claims, itself, alice, bob, blank};
    for (size_t i = 0; i < 6; i++)
        crpc_channel_free(opened[i]);
}

/* ---- lists ---- */

static const struct span mail_queues[] = {L("mail*")}, mail_names[] = {L("mail.*")}, teams[] = {L("team-a*")};

static struct identity narrow(unsigned roles)
{
    return (struct identity){.owner = L("n"), .roles = roles, .queues = mail_queues, .n_queues = 1};
}

static Joblog__V1__ListJobsResponse *list_page(struct crpc_channel *as, const char *token, struct err *ret_err)
{
    Joblog__V1__ListJobsRequest request = JOBLOG__V1__LIST_JOBS_REQUEST__INIT;
    Joblog__V1__ListJobsResponse *response = NULL;
    request.page_size = 1;
    request.page_token = (char *)token;
    *ret_err = ERR_NONE;
    joblog_v1_job_log_service_list_jobs(as, &options, &request, &response, ret_err);
    return response;
}

static void lists_show_what_is_within(void **state)
{
    struct crpc_channel *mailer = caller("mailer", narrow(ROLE_VIEWER)),
                        *team = caller(
                            "team",
                            (struct identity){.owner = L("n"), .roles = ROLE_VIEWER, .owners = teams, .n_owners = 1});
    int64_t ids[] = {dispatch(admin, "x", "mail.1", "team-a1"), dispatch(admin, "x", "sms", "team-a2"),
                     dispatch(admin, "x", "mail.2", "team-b")};
    struct err err = ERR_NONE;
    (void)state;
    Joblog__V1__ListJobsResponse *page = list_page(mailer, "", &err);
    assert_int_equal(page->jobs[0]->id, ids[2]);
    /* A page token is of its scope. */
    assert_null(list_page(team, page->next_page_token, &err));
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "page_token");
    Joblog__V1__ListJobsResponse *second = list_page(mailer, page->next_page_token, &err);
    assert_int_equal(second->jobs[0]->id, ids[0]);
    assert_string_equal(second->next_page_token, "");
    crpc_message_free(&page->base);
    crpc_message_free(&second->base);
    page = list_page(team, "", &err);
    assert_int_equal(page->jobs[0]->id, ids[1]);
    crpc_message_free(&page->base);

    /* The watch: snapshot and changes. */
    struct crpc_stream *watch = watch_all(mailer);
    int64_t seen[4] = {0};
    for (int i = 0; i < 4;) {
        Joblog__V1__WatchJobsResponse *m = NULL;
        assert_int_equal(joblog_v1_job_log_service_watch_jobs_read(watch, &m, &err), 1);
        if (m->event_case == JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_SNAPSHOT_END) {
            dispatch(admin, "x", "sms", "");
            ids[1] = dispatch(admin, "x", "mail.3", "");
            i++;
        } else if (m->event_case == JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_JOB) {
            seen[i++] = m->job->id;
        }
        crpc_message_free(&m->base);
    }
    assert_int_equal(seen[0], ids[2]);
    assert_int_equal(seen[1], ids[0]);
    assert_int_equal(seen[3], ids[1]);
    crpc_stream_free(watch);

    Joblog__V1__GetJobStatsRequest request = JOBLOG__V1__GET_JOB_STATS_REQUEST__INIT;
    Joblog__V1__JobStats *stats = NULL;
    assert_int_equal(joblog_v1_job_log_service_get_job_stats(mailer, &options, &request, &stats, &err), 0);
    assert_int_equal(stats->n_rows, 3);
    assert_int_equal(stats->total->dispatched, 3);
    crpc_message_free(&stats->base);
    joblog_v1_job_log_service_get_job_stats(team, &options, &request, &stats, &err);
    expect(&err, ERR_PERMISSION_DENIED, "OUT_OF_SCOPE");
    crpc_channel_free(mailer);
    crpc_channel_free(team);
}

/* ---- dispatchers and workers ---- */

static void expect_dispatch_refused(struct crpc_channel *as, const char *name, const char *queue, const char *owner,
                                    const char *field)
{
    Joblog__V1__JobSpec spec = spec_of(name, queue);
    struct err err = ERR_NONE;
    spec.owner = (char *)owner;
    assert_null(call_dispatch(as, &spec, NULL, &err));
    expect(&err, ERR_PERMISSION_DENIED, "OUT_OF_SCOPE");
    assert_string_equal(err.field, field);
}

static void dispatches_stay_within(void **state)
{
    struct identity i = narrow(ROLE_DISPATCHER);
    i.job_names = mail_names;
    i.owners = teams;
    i.n_job_names = i.n_owners = 1;
    i.owner = L("team-a.n");
    struct crpc_channel *as = caller("dispatcher", i);
    struct err err = ERR_NONE;
    (void)state;
    expect_dispatch_refused(as, "mail.x", "sms", "", "job.queue");
    expect_dispatch_refused(as, "sms", "mail", "", "job.job_name");
    expect_dispatch_refused(as, "mail.x", "mail", "team-b", "job.owner");
    Joblog__V1__Job *job = call_get(as, dispatch(as, "mail.x", "mail", ""), false, &err);
    assert_string_equal(job->owner, "team-a.n");
    job_free(job);
    crpc_channel_free(as);
}

/* A request id says nothing of a job outside of the scope, and gives away no lease. */
static void request_ids_are_no_way_around(void **state)
{
    struct identity own = {.owner = L("ria"), .roles = ROLE_DISPATCHER | ROLE_WORKER, .own_only = true};
    struct crpc_channel *ria = caller("ria", own);
    own.owner = L("rob");
    struct crpc_channel *rob = caller("rob", own);
    struct crpc_channel *w1 = caller("w1", (struct identity){.owner = L("w"), .roles = ROLE_WORKER}),
                        *w2 = caller("w2", (struct identity){.owner = L("w"), .roles = ROLE_WORKER});
    Joblog__V1__JobSpec spec = spec_of("mail", "q");
    Joblog__V1__StartJobRequest request = JOBLOG__V1__START_JOB_REQUEST__INIT;
    Joblog__V1__StartJobResponse *first = NULL, *again = NULL, *other = NULL;
    struct err err = ERR_NONE;
    (void)state;
    job_free(call_dispatch(ria, &spec, "the-same", &err));
    assert_null(call_dispatch(rob, &spec, "the-same", &err));
    expect(&err, ERR_ALREADY_EXISTS, "REQUEST_ID_REUSED");
    assert_string_equal(err.msg, "request_id was used before with a different request");
    request.job = &spec;
    request.worker = (char *)"same";
    request.request_id = (char *)"one-start";
    assert_int_equal(joblog_v1_worker_service_start_job(w1, &options, &request, &first, &err), 0);
    assert_int_equal(joblog_v1_worker_service_start_job(w1, &options, &request, &again, &err), 0);
    assert_int_equal(joblog_v1_worker_service_start_job(w2, &options, &request, &other, &err), 0);
    assert_int_equal(again->lease_token, first->lease_token);
    assert_int_equal(other->job->id, first->job->id);
    assert_int_equal(other->lease_token, 0);
    assert_string_equal(again->job->payload, "{}");
    assert_string_equal(other->job->payload, "");
    crpc_message_free(&first->base);
    crpc_message_free(&again->base);
    crpc_message_free(&other->base);
    struct crpc_channel *opened[] = {ria, rob, w1, w2};
    for (size_t i = 0; i < 4; i++)
        crpc_channel_free(opened[i]);
}

static int hello(struct crpc_channel *as, const char *queue, const char *name, struct err *ret_err)
{
    Joblog__V1__WorkRequest request = JOBLOG__V1__WORK_REQUEST__INIT;
    Joblog__V1__WorkerHello hello = JOBLOG__V1__WORKER_HELLO__INIT;
    Joblog__V1__WorkResponse *response = NULL;
    *ret_err = ERR_NONE;
    hello.name = (char *)"w";
    hello.queues = (char **)&queue;
    hello.n_queues = 1;
    hello.job_names = (char **)&name;
    hello.n_job_names = name ? 1 : 0;
    request.hello = &hello;
    struct crpc_stream *stream = joblog_v1_worker_service_work_open(as, &options, ret_err);
    joblog_v1_worker_service_work_write(stream, &request, ret_err);
    int rc = joblog_v1_worker_service_work_read(stream, &response, ret_err);
    crpc_message_free((ProtobufCMessage *)response);
    crpc_stream_free(stream);
    return rc;
}

static void workers_stay_within(void **state)
{
    struct identity i = narrow(ROLE_WORKER), own = {.owner = L("w"), .roles = ROLE_WORKER, .own_only = true};
    i.job_names = mail_names;
    i.n_job_names = 1;
    struct crpc_channel *as = caller("mail-worker", i), *other = caller("own-worker", own),
                        *sms = caller("sms-worker", (struct identity){.owner = L("w"), .roles = ROLE_WORKER});
    struct err err = ERR_NONE;
    const char *text;
    (void)state;
    assert_true(hello(as, "sms", NULL, &err) < 0);
    expect(&err, ERR_PERMISSION_DENIED, "OUT_OF_SCOPE");
    assert_string_equal(err.field, "hello.queues");
    assert_true(hello(as, "mail", "sms", &err) < 0);
    assert_string_equal(err.field, "hello.job_names");
    assert_true(hello(other, "mail", NULL, &err) < 0);
    expect(&err, ERR_PERMISSION_DENIED, "OUT_OF_SCOPE");
    assert_int_equal(hello(as, "mail", "mail.x", &err), 1);

    /* Who names no job names gets those within: the other job was there before. */
    int64_t outside = dispatch(admin, "fax", "mail-w", ""), within = dispatch(admin, "mail.a", "mail-w", "");
    struct test_worker *w = worker_open(as, "w", "mail-w", 5), *all = worker_open(sms, "all", "mail-w", 0);
    struct test_lease lease = worker_lease(w);
    assert_int_equal(lease.job_id, within);
    worker_credit(all, 1);
    struct test_lease fax = worker_lease(all);
    assert_int_equal(fax.job_id, outside);
    /* Not even with the right token. */
    assert_int_equal(worker_answer(w, worker_complete(w, fax, "{}"), &text), ERR_FAILED_PRECONDITION);
    assert_int_equal(worker_answer(w, worker_progress(w, fax, 1, 2, "mine now", NULL), &text), ERR_FAILED_PRECONDITION);
    assert_int_equal(worker_answer(w, worker_complete(w, lease, "{}"), &text), ERR_OK);
    assert_int_equal(worker_answer(all, worker_complete(all, fax, "{}"), &text), ERR_OK);
    assert_int_equal(worker_leases_read(w), 0);
    assert_int_equal(worker_end(w, true, NULL), ERR_OK);
    assert_int_equal(worker_end(all, true, NULL), ERR_OK);
    crpc_channel_free(as);
    crpc_channel_free(other);
    crpc_channel_free(sms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_show_what_is_within),
        cmocka_unit_test(streams_end_with_their_credentials),
        cmocka_unit_test(credentials_must_be_a_bearer_token),
        cmocka_unit_test(a_gateway_calls_for_its_users),
        cmocka_unit_test(dispatches_stay_within),
        cmocka_unit_test(request_ids_are_no_way_around),
        cmocka_unit_test(workers_stay_within),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
