/* Every RPC, called by every role, about an object of its own, of somebody else's and one that does not exist. The
 * table says who may; an RPC without a line fails. What a caller may not see is answered as what does not exist. */
#include <glob.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rights.h"
#include "grpc/health/v1/health.crpc.h"
#include "grpc/reflection/v1/reflection.crpc.h"
#include "grpc/reflection/v1alpha/reflection.crpc.h"
#include "joblog/v1/access.crpc.h"
#include "joblog/v1/export.crpc.h"
#include "joblog/v1/job_log.crpc.h"
#include "joblog/v1/worker.crpc.h"
#include "support/calls.h"
#include "support/rights_rig.h"

static const struct crpc_service *const services[] = {&joblog_v1_job_log_service,
                                                      &joblog_v1_worker_service,
                                                      &joblog_v1_export_service,
                                                      &joblog_v1_access_service,
                                                      &grpc_health_v1_health,
                                                      &grpc_reflection_v1_server_reflection,
                                                      &grpc_reflection_v1alpha_server_reflection};

/* What the call is about: nothing, or an object that is made for each call. */
enum object { NOTHING, PENDING, CANCELLED, RUNNING, EXPORT };

enum { D = ROLE_DISPATCHER, W = ROLE_WORKER, V = ROLE_VIEWER, E = ROLE_EXPORTER, KNOWN = 64, OPEN = 128 };

/* late: the object may have gone on by itself; then FAILED_PRECONDITION is as good as OK. */
static const struct line {
    const char *method;
    unsigned roles;
    enum object object;
    bool late;
} lines[] = {
    {"JobLogService/DispatchJob", D, NOTHING, false},
    {"JobLogService/DispatchJobs", D, NOTHING, false},
    {"JobLogService/GetJob", D | V, PENDING, false},
    {"JobLogService/ListJobs", D | V, NOTHING, false},
    {"JobLogService/WatchJob", D | V, PENDING, false},
    {"JobLogService/WatchJobs", D | V, NOTHING, false},
    {"JobLogService/WaitJob", D | V, CANCELLED, false},
    {"JobLogService/CancelJob", D, PENDING, false},
    {"JobLogService/RetryJob", D, CANCELLED, false},
    {"JobLogService/CancelJobs", D, NOTHING, false},
    {"JobLogService/RetryJobs", D, NOTHING, false},
    {"JobLogService/GetJobLog", D | V, PENDING, false},
    {"JobLogService/PauseQueue", 0, NOTHING, false},
    {"JobLogService/ResumeQueue", 0, NOTHING, false},
    {"JobLogService/ListQueues", D | V, NOTHING, false},
    {"JobLogService/ListJobStatuses", KNOWN, NOTHING, false},
    {"JobLogService/GetJobStats", D | V, NOTHING, false},
    {"JobLogService/CleanupJobs", 0, NOTHING, false},
    {"WorkerService/Work", W, NOTHING, false},
    {"WorkerService/StartJob", W, NOTHING, false},
    {"WorkerService/ReportProgress", W, RUNNING, false},
    {"WorkerService/WriteJobLog", W, RUNNING, false},
    {"WorkerService/ListWorkers", 0, NOTHING, false},
    {"WorkerService/DrainWorkers", 0, NOTHING, false},
    {"WorkerService/PauseWorkers", 0, NOTHING, false},
    {"WorkerService/ResumeWorkers", 0, NOTHING, false},
    {"WorkerService/CompleteJob", W, RUNNING, false},
    {"WorkerService/FailJob", W, RUNNING, false},
    {"ExportService/StartExport", E, NOTHING, false},
    {"ExportService/GetExport", E, EXPORT, false},
    {"ExportService/ListExports", E, NOTHING, false},
    {"ExportService/WatchExport", E, EXPORT, false},
    {"ExportService/CancelExport", E, EXPORT, true},
    {"ExportService/DeleteExport", E, EXPORT, true},
    {"ExportService/DownloadExport", E, EXPORT, true},
    {"ExportService/ListExportTypes", E, NOTHING, false},
    {"AccessService/CreateToken", 0, NOTHING, false},
    {"AccessService/ListTokens", 0, NOTHING, false},
    {"AccessService/RevokeToken", 0, NOTHING, false},
    {"AccessService/WhoAmI", KNOWN, NOTHING, false},
    {"Health/Check", OPEN, NOTHING, false},
    {"Health/Watch", OPEN, NOTHING, false},
    {"ServerReflection/ServerReflectionInfo", KNOWN, NOTHING, false},
};

static const struct line *line_of(const struct crpc_method *method)
{
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        size_t len = strlen(lines[i].method), all = strlen(method->path);
        if (all > len && strcmp(method->path + all - len, lines[i].method) == 0 &&
            strchr("./", method->path[all - len - 1]))
            return &lines[i];
    }
    return NULL;
}

/* ---- callers: one for each role, and some beside ---- */

static const struct caller_kind {
    const char *name;
    unsigned roles;
} callers[] = {
    {"admin", ROLE_ADMIN}, {"dispatcher", D}, {"worker", W}, {"viewer", V}, {"exporter", E}, {NULL, 0},
};
enum { N_CALLERS = sizeof callers / sizeof *callers, ADMIN = 0 };

static struct crpc_channel *channels[N_CALLERS], *mine, *theirs;

static int setup(void **state)
{
    if (rig_start(state) != 0)
        return -1;
    for (size_t i = 0; i < N_CALLERS; i++) {
        /* Statistics and the workers' stream are not for callers of some owners only: those see their jobs by role. */
        struct identity identity = {.owner = SPAN_LIT("me"), .roles = callers[i].roles, .own_only = true};
        if (i == ADMIN)
            identity.own_only = false;
        if (callers[i].name)
            rig_caller(callers[i].name, &identity);
        channels[i] = rig_channel(callers[i].name, NULL);
    }
    struct identity gateway = {.owner = SPAN_LIT("gateway"), .roles = ROLE_ADMIN, .may_delegate = true};
    rig_caller("gateway", &gateway);
    mine = rig_channel("gateway", "me");
    theirs = rig_channel("gateway", "somebody");
    return 0;
}

static int teardown(void **state)
{
    for (size_t i = 0; i < N_CALLERS; i++)
        crpc_channel_free(channels[i]);
    crpc_channel_free(mine);
    crpc_channel_free(theirs);
    return rig_stop(state);
}

/* ---- objects ---- */

struct made {
    int64_t id, token;
};

static struct made make_running(struct crpc_channel *as, Joblog__V1__JobSpec *spec)
{
    Joblog__V1__StartJobRequest request = JOBLOG__V1__START_JOB_REQUEST__INIT;
    Joblog__V1__StartJobResponse *response = NULL;
    struct err err = ERR_NONE;
    request.job = spec;
    if (joblog_v1_worker_service_start_job(as, NULL, &request, &response, &err) != 0)
        fail_msg("start: %s", err.msg);
    struct made made = {response->job->id, response->lease_token};
    crpc_message_free(&response->base);
    return made;
}

static struct made make_export(struct crpc_channel *as)
{
    Joblog__V1__StartExportRequest request = JOBLOG__V1__START_EXPORT_REQUEST__INIT;
    Joblog__V1__StartExportResponse *response = NULL;
    struct err err = ERR_NONE;
    request.export_type = (char *)"lanes";
    if (joblog_v1_export_service_start_export(as, NULL, &request, &response, &err) != 0)
        fail_msg("start export: %s", err.msg);
    struct made made = {response->export->job->id, 0};
    crpc_message_free(&response->base);
    return made;
}

static struct made make(enum object object, bool own)
{
    struct crpc_channel *as = own ? mine : theirs;
    Joblog__V1__JobSpec spec = spec_of("mail", "q");
    struct err err = ERR_NONE;
    spec.owner = (char *)(own ? "me" : "somebody");
    struct made made = {0, 0};
    switch (object) {
    case NOTHING:
        break;
    case PENDING:
        made.id = must_dispatch(as, &spec);
        break;
    case CANCELLED:
        made.id = must_dispatch(as, &spec);
        job_free(call_cancel(as, made.id, "", &err));
        break;
    case RUNNING:
        made = make_running(as, &spec);
        break;
    case EXPORT:
        made = make_export(as);
        break;
    }
    return made;
}

/* ---- requests, by the names of their fields ---- */

static void *field_of(ProtobufCMessage *message, const char *name)
{
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
    return f ? (char *)message + f->offset : NULL;
}

/* Tokens: each call makes one, and the last one that was made is revoked. */
static char last_token[17] = "0123456789abcdef";

static void set_token_parts(ProtobufCMessage *message)
{
    static Joblog__V1__Role role = JOBLOG__V1__ROLE__ROLE_VIEWER;
    static Joblog__V1__Grant grant = {PROTOBUF_C_MESSAGE_INIT(&joblog__v1__grant__descriptor), .n_roles = 1,
                                      .roles = &role};
    static Google__Protobuf__Duration century = {PROTOBUF_C_MESSAGE_INIT(&google__protobuf__duration__descriptor),
                                                 .seconds = INT64_C(3000000000)};
    static char name[32];
    static int n;
    if (message->descriptor == &joblog__v1__create_token_request__descriptor) {
        snprintf(name, sizeof name, "token-%d", n++);
        ((Joblog__V1__CreateTokenRequest *)message)->name = name;
        ((Joblog__V1__CreateTokenRequest *)message)->grant = &grant;
    } else if (message->descriptor == &joblog__v1__revoke_token_request__descriptor) {
        ((Joblog__V1__RevokeTokenRequest *)message)->id = last_token;
    } else if (strstr(message->descriptor->name, "WorkersRequest")) { /* somebody must be named */
        unsigned at = protobuf_c_message_descriptor_get_field_by_name(message->descriptor, "name")->offset;
        *(char **)(void *)((char *)message + at) = strcpy(name, "nobody");
    } else if (message->descriptor == &joblog__v1__cleanup_jobs_request__descriptor) {
        ((Joblog__V1__CleanupJobsRequest *)message)->older_than = &century;
    }
}

static void note_token(const ProtobufCMessage *response)
{
    if (response && response->descriptor == &joblog__v1__create_token_response__descriptor)
        snprintf(last_token, sizeof last_token, "%s", ((const Joblog__V1__CreateTokenResponse *)response)->token->id);
}

static void set_id(ProtobufCMessage *message, const char *name, int64_t id)
{
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
    if (field && field->type == PROTOBUF_C_TYPE_INT64)
        *(int64_t *)field_of(message, name) = id;
}

static ProtobufCMessage *new_message(const ProtobufCMessageDescriptor *type)
{
    ProtobufCMessage *message = calloc(1, type->sizeof_message);
    assert_non_null(message);
    protobuf_c_message_init(type, message);
    return message;
}

/* Sets what every request of this method needs; parts are static. */
static ProtobufCMessage *request_of(const struct crpc_method *method, struct made object)
{
    static Joblog__V1__JobSpec spec;
    static Joblog__V1__WorkerHello hello;
    static Joblog__V1__ProgressWrite progress;
    static Joblog__V1__CompleteWrite complete;
    static Joblog__V1__FailWrite fail;
    static Joblog__V1__JobError error;
    static Joblog__V1__JobFilter elsewhere;
    ProtobufCMessage *m = new_message(method->input);
    void **part;
    spec = spec_of("mail", "q");
    spec.owner = (char *)"me";
    joblog__v1__job_filter__init(&elsewhere);
    elsewhere.batch = (char *)"of nobody";
    joblog__v1__worker_hello__init(&hello);
    hello.name = (char *)"w";
    joblog__v1__progress_write__init(&progress);
    joblog__v1__complete_write__init(&complete);
    joblog__v1__fail_write__init(&fail);
    joblog__v1__job_error__init(&error);
    error.type = error.message = (char *)"x";
    fail.error = &error;
    set_token_parts(m);
    set_id(m, "id", object.id);
    set_id(m, "job_id", object.id);
    set_id(m, "lease_token", object.token);
    void *const parts[] = {&spec, &hello, &progress, &complete, &fail};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if ((part = field_of(m, (const char *[]){"job", "hello", "progress", "complete", "fail"}[i])) != NULL)
            *part = parts[i];
    if ((part = field_of(m, "export_type")) != NULL || (part = field_of(m, "queue")) != NULL)
        *part = (void *)"lanes";
    if ((part = field_of(m, "filter")) != NULL && field_of(m, "dry_run"))
        *part = &elsewhere;
    if ((part = field_of(m, "list_services")) != NULL) {
        *part = (void *)"";
        ((Grpc__Reflection__V1__ServerReflectionRequest *)m)->message_request_case =
            GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES;
    }
    return m;
}

/* Calls, and reads the first message of a stream. */
static struct err call(struct crpc_channel *channel, const struct crpc_method *method, struct made object)
{
    static const struct crpc_call_options options = {.timeout_ms = CALL_TIMEOUT_MS, .wait_for_ready = true};
    ProtobufCMessage *request = request_of(method, object), *response = NULL;
    struct err err = ERR_NONE;
    if (method->kind == CRPC_UNARY) {
        crpc_unary(channel, method, &options, request, &response, &err);
        note_token(response);
    } else {
        struct crpc_stream *stream = crpc_stream_open(channel, method, &options, &err);
        assert_non_null(stream);
        crpc_stream_write(stream, request, NULL);
        if (method->kind == CRPC_SERVER_STREAM)
            crpc_stream_close_write(stream, NULL);
        crpc_stream_read(stream, &response, &err);
        crpc_stream_free(stream);
    }
    crpc_message_free(response);
    free(request);
    return err;
}

/* ---- the table ---- */

/* Every service of the .proto files is in `services`. */
static void every_service_is_known(void **state)
{
    char line[300], name[100];
    size_t n = 0;
    glob_t found;
    (void)state;
    assert_int_equal(glob(SOURCE_DIR "/proto/joblog/v1/*.proto", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        FILE *f = fopen(found.gl_pathv[i], "r");
        assert_non_null(f);
        while (fgets(line, sizeof line, f)) {
            bool known = false;
            if (sscanf(line, "service %99[A-Za-z]", name) != 1)
                continue;
            n++;
            for (size_t s = 0; s < sizeof services / sizeof *services; s++)
                known = known || strcmp(strrchr(services[s]->full_name, '.') + 1, name) == 0;
            if (!known)
                fail_msg("%s is not in this test: who may call its methods, about what?", name);
        }
        fclose(f);
    }
    assert_true(n >= 3);
    globfree(&found);
}

static void every_rpc_has_a_line(void **state)
{
    size_t n_methods = 0, n_rights;
    (void)state;
    rights_table(&n_rights);
    for (size_t s = 0; s < sizeof services / sizeof *services; s++)
        for (size_t i = 0; i < services[s]->n_methods; i++, n_methods++) {
            const struct crpc_method *method = &services[s]->methods[i];
            if (!line_of(method))
                fail_msg("%s has no line in this test: who may call it, about what?", method->path);
            if (!rights_find(method->path))
                fail_msg("%s has no line in core/rights_table.h: nobody may call it", method->path);
        }
    /* And no line is of an RPC that there is none of. */
    assert_int_equal(n_rights, n_methods);
}

static bool may(const struct line *line, size_t caller)
{
    return line->roles & OPEN || (callers[caller].name && line->roles & KNOWN) ||
           callers[caller].roles & (line->roles | ROLE_ADMIN);
}

static void expect_refused(const struct crpc_method *method, size_t caller, struct err err)
{
    enum err_code want = callers[caller].name ? ERR_PERMISSION_DENIED : ERR_UNAUTHENTICATED;
    if (err.code != want || (want == ERR_PERMISSION_DENIED && strcmp(err.reason, "ROLE_MISSING") != 0))
        fail_msg("%s by %s: %s %s", method->path, callers[caller].name ? callers[caller].name : "nobody",
                 err_code_name((int)err.code), err.msg);
}

/* Streams and statistics that are not for those who see some owners only, whatever their role. */
static bool is_for_all_owners(const struct crpc_method *method)
{
    return strcmp(method->name, "Work") == 0 || strcmp(method->name, "GetJobStats") == 0 ||
           strcmp(method->name, "ListQueues") == 0;
}

static void expect_done(const struct crpc_method *method, const struct line *line, size_t caller, struct err err)
{
    if (caller != ADMIN && is_for_all_owners(method)) {
        assert_int_equal(err.code, ERR_PERMISSION_DENIED);
        assert_string_equal(err.reason, "OUT_OF_SCOPE");
        return;
    }
    if (err.code != ERR_OK && !(line->late && err.code == ERR_FAILED_PRECONDITION))
        fail_msg("%s by %s: %s %s", method->path, callers[caller].name, err_code_name((int)err.code), err.msg);
}

static void put_id_out(struct err *err, int64_t id)
{
    char text[24], rest[sizeof err->msg];
    snprintf(text, sizeof text, "%" PRId64, id);
    char *at = strstr(err->msg, text);
    if (!at)
        return;
    snprintf(rest, sizeof rest, "%s", at + strlen(text));
    snprintf(at, sizeof err->msg - (size_t)(at - err->msg), "ID%s", rest);
}

/* Somebody else's and one that there is none of: not a byte may tell them apart. */
static void expect_alike(const struct crpc_method *method, size_t caller, struct err other, int64_t other_id,
                         struct err missing, int64_t missing_id)
{
    put_id_out(&other, other_id);
    put_id_out(&missing, missing_id);
    if (other.code != missing.code || strcmp(other.reason, missing.reason) != 0 ||
        strcmp(other.field, missing.field) != 0 || strcmp(other.msg, missing.msg) != 0 ||
        other.retry_after_ms != missing.retry_after_ms)
        fail_msg("%s by %s tells apart: %s %s and %s %s", method->path, callers[caller].name,
                 err_code_name((int)other.code), other.msg, err_code_name((int)missing.code), missing.msg);
    if (missing.code != ERR_NOT_FOUND && strcmp(missing.reason, "LEASE_LOST") != 0)
        fail_msg("%s by %s: %s %s", method->path, callers[caller].name, err_code_name((int)missing.code), missing.msg);
}

static void every_role_and_object(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof services / sizeof *services; s++)
        for (size_t i = 0; i < services[s]->n_methods; i++) {
            const struct crpc_method *method = &services[s]->methods[i];
            const struct line *line = line_of(method);
            for (size_t c = 0; line && c < N_CALLERS; c++) {
                struct made own = make(line->object, true), other = make(line->object, false);
                struct made missing = {own.id ^ 3, own.token};
                struct err err = call(channels[c], method, own);
                if (!may(line, c)) {
                    expect_refused(method, c, err);
                    expect_refused(method, c, call(channels[c], method, other));
                    expect_refused(method, c, call(channels[c], method, missing));
                    continue;
                }
                expect_done(method, line, c, err);
                if (line->object == NOTHING)
                    continue;
                err = call(channels[c], method, other);
                struct err none = call(channels[c], method, missing);
                if (c == ADMIN)
                    expect_done(method, line, c, err);
                else
                    expect_alike(method, c, err, other.id, none, missing.id);
                if (none.code == ERR_OK)
                    fail_msg("%s finds what there is not", method->path);
            }
        }
}

/* Whoever was refused has changed nothing. */
static void the_refused_changes_nothing(void **state)
{
    struct made other = make(PENDING, false), export = make(EXPORT, false), running = make(RUNNING, false);
    const struct line *line;
    (void)state;
    for (size_t s = 0; s < 3; s++)
        for (size_t i = 0; i < services[s]->n_methods; i++)
            if ((line = line_of(&services[s]->methods[i]))->object != NOTHING)
                for (size_t c = ADMIN + 1; c < N_CALLERS; c++)
                    assert_int_not_equal(call(channels[c], &services[s]->methods[i],
                                              line->object == RUNNING  ? running
                                              : line->object == EXPORT ? export
                                                                       : other)
                                             .code,
                                         ERR_OK);
    struct err err = ERR_NONE;
    Joblog__V1__Job *job = call_get(channels[ADMIN], other.id, true, &err);
    assert_int_equal(job->status, JOBLOG__V1__JOB_STATUS__JOB_STATUS_PENDING);
    assert_int_equal(job->n_transitions, 1);
    job_free(job);
    job = call_get(channels[ADMIN], running.id, true, &err);
    assert_int_equal(job->status, JOBLOG__V1__JOB_STATUS__JOB_STATUS_RUNNING);
    assert_null(job->progress);
    job_free(job);
    /* An export is a job, but through JobLogService it is no more reachable. */
    const struct crpc_method *get_job = joblog_v1_job_log_service.methods;
    while (strcmp(get_job->name, "GetJob") != 0)
        get_job++;
    for (size_t c = ADMIN + 1; c < N_CALLERS; c++)
        assert_int_not_equal(call(channels[c], get_job, export).code, ERR_OK);
    assert_int_equal(call(channels[ADMIN], get_job, export).code, ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_service_is_known), cmocka_unit_test(every_rpc_has_a_line),
                                       cmocka_unit_test(every_role_and_object),
                                       cmocka_unit_test(the_refused_changes_nothing)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
