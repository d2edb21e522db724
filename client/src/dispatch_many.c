/* Many jobs over one stream: a message at a time, written and answered, on the caller's thread. */
#include "joblog/dispatch.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "box.h"
#include "convert.h"
#include "deadline.h"

/* A message's answer comes within a commit or two, and its size stays below what servers take unless told otherwise
 * (4 MiB). */
enum { MESSAGE_JOBS = 500, MESSAGE_BYTES = 1 << 20 };

struct many {
    struct joblog_client *client;
    struct crpc_stream *stream; /* NULL: to be opened */
    int64_t stream_ends_ms;     /* its deadline */
    size_t bytes_max;           /* of a message, about; less than MESSAGE_BYTES once the server refused one */
    struct joblog_outcome *outcomes;
    size_t n_done;
};

static size_t size_of(const struct joblog_spec *spec)
{
    return 1024 + (spec->payload ? strlen(spec->payload) : 0);
}

/* The first jobs, as many as go into a message. */
static size_t count_of(const struct many *many, const struct joblog_spec *specs, size_t n, size_t *ret_bytes)
{
    size_t bytes = 0, k = 0;
    while (k < n && k < MESSAGE_JOBS && (k == 0 || bytes + size_of(&specs[k]) <= many->bytes_max))
        bytes += size_of(&specs[k++]);
    *ret_bytes = bytes;
    return k;
}

static Joblog__V1__DispatchJobsRequest *message_of(struct arena *a, const struct joblog_spec *specs, size_t n,
                                                   struct err *ret_err)
{
    Joblog__V1__DispatchJobsRequest *m = arena_alloc(a, sizeof *m);
    Joblog__V1__DispatchJobRequest *jobs = arena_alloc(a, n * sizeof *jobs);
    Joblog__V1__DispatchJobRequest **list = arena_alloc(a, n * sizeof *list);
    char(*ids)[REQUEST_ID_SIZE] = arena_alloc(a, n * sizeof *ids);
    if (!m || !jobs || !list || !ids) {
        error_no_memory(ret_err);
        return NULL;
    }
    joblog__v1__dispatch_jobs_request__init(m);
    m->jobs = list;
    m->n_jobs = n;
    for (size_t i = 0; i < n; i++) {
        joblog__v1__dispatch_job_request__init(&jobs[i]);
        list[i] = &jobs[i];
        jobs[i].job = convert_spec(a, &specs[i], ret_err);
        if (!jobs[i].job)
            return NULL;
        request_id_make(ids[i]);
        jobs[i].request_id = specs[i].request_id ? text_for_message(specs[i].request_id) : ids[i];
    }
    return m;
}

/* Every stream has a deadline, so that a server that is stuck is not waited for; before it comes too near for a
 * message, the next stream begins. All of this one is answered. */
static void leave_old_stream(struct many *many)
{
    if (!many->stream || many->stream_ends_ms - clock_mono_ms() > many->client->timeout_ms / 2)
        return;
    crpc_stream_close_write(many->stream, NULL);
    crpc_stream_free(many->stream);
    many->stream = NULL;
}

/* The status of a stream that takes no more writes comes with a read. */
static int exchange(struct many *many, const Joblog__V1__DispatchJobsRequest *m, int64_t timeout_ms,
                    Joblog__V1__DispatchJobsResponse **ret, struct err *ret_err)
{
    if (!many->stream) {
        struct call_options options;
        many->stream_ends_ms = deadline_in_ms(timeout_ms);
        call_options_init(&options, &many->client->credentials, timeout_ms);
        many->stream = joblog_v1_job_log_service_dispatch_jobs_open(many->client->channel, &options.options, ret_err);
        call_options_done(&options);
        if (!many->stream)
            return -(int)ret_err->code;
    }
    (void)joblog_v1_job_log_service_dispatch_jobs_write(many->stream, m, NULL);
    int rc = joblog_v1_job_log_service_dispatch_jobs_read(many->stream, ret, ret_err);
    if (rc > 0)
        return 0;
    if (rc == 0)
        err_set(ret_err, ERR_UNAVAILABLE, NULL, "the server ended the stream");
    crpc_stream_free(many->stream);
    many->stream = NULL;
    return -(int)ret_err->code;
}

/* Sent until it is answered, or time is over. */
static int send_message(struct many *many, const Joblog__V1__DispatchJobsRequest *m,
                        Joblog__V1__DispatchJobsResponse **ret, struct err *ret_err)
{
    int64_t deadline = deadline_in_ms(many->client->timeout_ms);
    struct backoff backoff = BACKOFF_CALL;
    leave_old_stream(many);
    for (;;) {
        int64_t left = deadline - clock_mono_ms();
        struct err e = ERR_NONE;
        if (exchange(many, m, left > 1 ? left : 1, ret, &e) == 0)
            return 0;
        int64_t pause = backoff_next_ms(&backoff, e.retry_after_ms);
        if (!many->client->retry || !stream_was_cut(&e) || clock_mono_ms() + pause >= deadline) {
            *ret_err = e;
            return -(int)e.code;
        }
        call_pause(many->client, pause);
    }
}

static bool keep(struct many *many, const Joblog__V1__DispatchOutcome *from)
{
    struct arena *a = box_arena(many->outcomes);
    struct joblog_outcome *to = &many->outcomes[many->n_done];
    *to = (struct joblog_outcome){.id = from->id,
                                  .replayed = from->replayed,
                                  .existing = from->existing,
                                  .code = from->code,
                                  .message = "",
                                  .reason = "",
                                  .field = "",
                                  .retry_after_ms = retry_ms_of(from->retry_after)};
    if (from->code) {
        to->message = arena_printf(a, "%s", text_of(from->message));
        to->reason = arena_printf(a, "%s", text_of(from->reason));
        to->field = arena_printf(a, "%s", text_of(from->field));
    }
    if (!to->message || !to->reason || !to->field)
        return false;
    many->n_done++;
    return true;
}

static int send_jobs(struct many *many, const struct joblog_spec *specs, size_t n, struct err *ret_err)
{
    struct arena arena;
    Joblog__V1__DispatchJobsResponse *response = NULL;
    arena_init(&arena, NULL, 0, 0);
    const Joblog__V1__DispatchJobsRequest *m = message_of(&arena, specs, n, ret_err);
    int rc = m ? send_message(many, m, &response, ret_err) : -(int)ret_err->code;
    assert(rc != 0 || response);
    if (rc == 0 && response->n_outcomes != n)
        rc = err_set(ret_err, ERR_INTERNAL, NULL, "the server answered %zu jobs of %zu", response->n_outcomes, n);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (!keep(many, response->outcomes[i]))
            rc = error_no_memory(ret_err);
    if (response)
        crpc_message_free(&response->base);
    arena_done(&arena);
    return rc;
}

int joblog_dispatch_many(struct joblog_client *client, const struct joblog_spec *specs, size_t n,
                         struct joblog_outcome **ret_outcomes, size_t *ret_n_done, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    struct many many = {
        .client = client, .bytes_max = MESSAGE_BYTES, .outcomes = box_new(NULL, n * sizeof(struct joblog_outcome))};
    *ret_n_done = 0;
    *ret_outcomes = many.outcomes;
    if (!many.outcomes) {
        error_no_memory(&e);
        return error_give(error, &e);
    }
    while (many.n_done < n && e.code == ERR_OK) {
        size_t bytes, k = count_of(&many, specs + many.n_done, n - many.n_done, &bytes);
        if (send_jobs(&many, specs + many.n_done, k, &e) < 0 && k > 1 && message_too_large(&e)) {
            many.bytes_max = bytes / 2;
            e = ERR_NONE;
        }
    }
    if (many.stream)
        crpc_stream_close_write(many.stream, NULL);
    crpc_stream_free(many.stream);
    *ret_n_done = many.n_done;
    return error_give(error, &e);
}

void joblog_outcomes_free(struct joblog_outcome *outcomes)
{
    box_free(outcomes);
}
