/* The watch of many jobs. Runs on the caller's thread.
 *
 * After a cut the watch goes on from the last resume point: the server tells everything since. When that point is too
 * old it begins anew, with a snapshot. The revision of each job seen is kept, so that the snapshot gives only what is
 * new. It does not tell of jobs that became final during the gap (unless until_final), so they are asked for: those
 * known to be alive that are not in it by their ids, as are those that failed or were cancelled shortly before the gap,
 * since they may have been retried; those dispatched and ended meanwhile by a list from the time of
 * the cut on. */
#include <string.h>
#include <uthash.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "box.h"
#include "convert.h"
#include "watch_priv.h"

enum {
    /* Final jobs are remembered for as long as a list after a cut may give them again. */
    KEEP_ENDED_MS = 300000,
    /* The list begins this long before the cut: clocks differ, and a dispatch takes time. */
    GAP_MARGIN_US = 60000000,
    GAP_PAGE = 500
};

struct seen {
    int64_t id; /* key */
    int64_t revision;
    int64_t ended_ms; /* when its final state was given (monotonic); 0: not yet */
    bool may_return;  /* failed or cancelled: a retry puts it back */
    unsigned epoch;   /* of the connection that told of it last */
    UT_hash_handle hh;
};

struct watch_many {
    struct joblog_watch watch; /* first: freed through its pointer */
    Joblog__V1__JobFilter *filter;
    bool until_final;
    struct seen *live, *ended; /* tables by id, each in the order of insertion */
    unsigned epoch;            /* counts connections */
    int64_t begin_us;          /* wall clock when the watch was made */
    int64_t heard_us;          /* wall clock of the last message before the gap, or of the last one */
    char *resume_point;        /* the last one given; NULL: none */

    bool gap;     /* the connection is not the first, and what happened before it is not yet known in full */
    bool filling; /* the snapshot is complete, what it did not tell is being asked for */
    int64_t *missing;
    size_t n_missing;
    bool listing;
    char *page_token;
    Joblog__V1__ListJobsResponse *page;
    size_t page_at;
};

static struct watch_many *many_of(const struct joblog_watch *watch)
{
    return (struct watch_many *)(void *)watch;
}

static void gap_forget(struct watch_many *many)
{
    mem_free(many->missing);
    many->missing = NULL;
    many->n_missing = 0;
    many->filling = many->listing = false;
    mem_free(many->page_token);
    many->page_token = NULL;
    crpc_message_free((ProtobufCMessage *)many->page);
    many->page = NULL;
    many->page_at = 0;
}

static struct crpc_stream *many_open(struct joblog_watch *watch, const struct crpc_call_options *options,
                                     struct err *ret_err)
{
    struct watch_many *many = many_of(watch);
    gap_forget(many); /* this connection's snapshot begins anew */
    if (many->gap) {  /* the last one was cut before all that it did not tell of was known */
        mem_free(many->resume_point);
        many->resume_point = NULL;
    }
    many->epoch++;
    many->gap = many->heard_us > 0 && !many->resume_point;
    Joblog__V1__WatchJobsRequest request = JOBLOG__V1__WATCH_JOBS_REQUEST__INIT;
    request.filter = many->filter;
    request.until_final = many->until_final;
    if (many->resume_point)
        request.resume_point = many->resume_point;
    return joblog_v1_job_log_service_watch_jobs_open(watch->client->channel, options, &request, ret_err);
}

static void seen_prune(struct watch_many *many)
{
    if (many->until_final || many->gap)
        return;
    int64_t now = clock_mono_ms();
    struct seen *s, *next;
    HASH_ITER(hh, many->ended, s, next)
    {
        if (now - s->ended_ms < KEEP_ENDED_MS)
            break;
        HASH_DEL(many->ended, s);
        mem_free(s);
    }
}

/* Notes the state of a job. 1: it is new to the reader; 0: seen before; -1: out of memory. */
static int seen_note(struct watch_many *many, const Joblog__V1__Job *job)
{
    bool final = joblog_status_is_final((enum joblog_status)job->status);
    struct seen *s;
    HASH_FIND(hh, many->live, &job->id, sizeof job->id, s);
    bool was_live = s != NULL;
    if (!s)
        HASH_FIND(hh, many->ended, &job->id, sizeof job->id, s);
    if (s) {
        s->epoch = many->epoch;
        if (job->revision <= s->revision)
            return 0;
        if (was_live)
            HASH_DEL(many->live, s);
        else
            HASH_DEL(many->ended, s);
    } else {
        s = mem_zalloc(sizeof *s);
        if (!s)
            return -1;
        s->id = job->id;
        s->epoch = many->epoch;
    }
    s->revision = job->revision;
    s->ended_ms = final ? clock_mono_ms() : 0;
    s->may_return = final && job->status != JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED;
    if (final)
        HASH_ADD(hh, many->ended, id, sizeof s->id, s);
    else
        HASH_ADD(hh, many->live, id, sizeof s->id, s);
    seen_prune(many);
    return 1;
}

/* Takes message, of which job is a part; NULL: job is borrowed until the next call on the watch. */
static enum watch_take many_give(struct watch_many *many, ProtobufCMessage *message, const Joblog__V1__Job *job,
                                 struct err *ret_err)
{
    int fresh = seen_note(many, job);
    if (fresh <= 0) {
        crpc_message_free(message);
        if (fresh < 0)
            error_no_memory(ret_err);
        return fresh < 0 ? WATCH_FAIL : WATCH_SKIP;
    }
    many->watch.job = convert_job_box(message, job, ret_err);
    return many->watch.job ? WATCH_GIVE : WATCH_FAIL;
}

/* Those of a table whose state is not known any more; into missing, if there is that. How many. */
static size_t gap_count(struct watch_many *many, struct seen *table)
{
    struct seen *s, *next;
    size_t n = 0;
    HASH_ITER(hh, table, s, next)
    {
        if (s->epoch == many->epoch || (s->ended_ms && !s->may_return))
            continue;
        n++;
        if (many->missing)
            many->missing[many->n_missing++] = s->id;
    }
    return n;
}

/* The snapshot after a cut is complete: what did it not tell of? */
static bool gap_begin(struct watch_many *many)
{
    size_t n = gap_count(many, many->live) + gap_count(many, many->ended);
    if (n > 0) {
        many->missing = mem_alloc(n * sizeof *many->missing);
        if (!many->missing)
            return false;
        (void)gap_count(many, many->live);
        (void)gap_count(many, many->ended);
    }
    many->listing = !many->until_final && many->filter->n_ids == 0;
    many->filling = true;
    return true;
}

static bool many_begin_anew(struct joblog_watch *watch, const struct err *err)
{
    struct watch_many *many = many_of(watch);
    if (!many->resume_point || strcmp(err->reason, "RESUME_POINT_EXPIRED") != 0)
        return false;
    mem_free(many->resume_point);
    many->resume_point = NULL;
    return true;
}

/* Without memory the old one stays, which tells more than is needed. */
static void many_mark(struct watch_many *many, const char *resume_point)
{
    char *copy = *text_of(resume_point) ? mem_strdup(resume_point) : NULL;
    if (!copy)
        return;
    mem_free(many->resume_point);
    many->resume_point = copy;
}

static enum watch_take many_take(struct joblog_watch *watch, ProtobufCMessage *message, struct err *ret_err)
{
    struct watch_many *many = many_of(watch);
    const Joblog__V1__WatchJobsResponse *m = (const Joblog__V1__WatchJobsResponse *)message;
    if (!many->gap)
        many->heard_us = clock_wall_us();
    if (m->event_case == JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_JOB)
        return many_give(many, message, m->job, ret_err);
    bool ok = true;
    if (m->event_case == JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_SNAPSHOT_END) {
        if (many->gap && !many->filling)
            ok = gap_begin(many);
        many_mark(many, m->snapshot_end->resume_point);
    } else if (m->event_case == JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_IDLE) {
        many_mark(many, m->idle->resume_point);
    }
    crpc_message_free(message);
    if (!ok)
        error_no_memory(ret_err);
    return ok ? WATCH_SKIP : WATCH_FAIL;
}

static enum watch_take missing_ask(struct watch_many *many, struct err *ret_err)
{
    Joblog__V1__GetJobRequest request = JOBLOG__V1__GET_JOB_REQUEST__INIT;
    request.id = many->missing[many->n_missing - 1];
    request.view = JOBLOG__V1__JOB_VIEW__JOB_VIEW_BASIC;
    ProtobufCMessage *response = NULL;
    if (call_unary(many->watch.client, JOB_LOG_METHOD(GET_JOB), &request.base, NULL, &response, ret_err) == 0) {
        many->n_missing--;
        return many_give(many, response, (const Joblog__V1__Job *)response, ret_err);
    }
    if (ret_err->code != ERR_NOT_FOUND)
        return WATCH_FAIL;
    struct seen *s; /* cleaned up meanwhile */
    HASH_FIND(hh, many->live, &request.id, sizeof request.id, s);
    if (s) {
        HASH_DEL(many->live, s);
        mem_free(s);
    }
    many->n_missing--;
    *ret_err = ERR_NONE;
    return WATCH_SKIP;
}

static bool page_ask(struct watch_many *many, struct err *ret_err)
{
    Joblog__V1__JobFilter filter = *many->filter; /* shares all but the time with it */
    Google__Protobuf__Timestamp from = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    from.seconds = (many->heard_us - GAP_MARGIN_US) / 1000000;
    filter.create_time_from = &from;
    Joblog__V1__ListJobsRequest request = JOBLOG__V1__LIST_JOBS_REQUEST__INIT;
    request.filter = &filter;
    request.page_size = GAP_PAGE;
    request.page_token = text_for_message(many->page_token);
    ProtobufCMessage *response = NULL;
    if (call_unary(many->watch.client, JOB_LOG_METHOD(LIST_JOBS), &request.base, NULL, &response, ret_err) < 0)
        return false;
    many->page = (Joblog__V1__ListJobsResponse *)response;
    many->page_at = 0;
    return true;
}

/* A job that had ended before the watch began is no news. */
static bool is_older_than_watch(const struct watch_many *many, const Joblog__V1__Job *job)
{
    return joblog_status_is_final((enum joblog_status)job->status) && time_us_of(job->end_time) < many->begin_us;
}

/* The next page begins, or the list ends. */
static bool page_end(struct watch_many *many, struct err *ret_err)
{
    mem_free(many->page_token);
    many->page_token = NULL;
    const char *token = text_of(many->page->next_page_token);
    many->listing = *token != '\0';
    if (many->listing) {
        many->page_token = mem_strdup(token);
        if (!many->page_token) {
            error_no_memory(ret_err);
            return false;
        }
    }
    crpc_message_free((ProtobufCMessage *)many->page);
    many->page = NULL;
    return true;
}

static enum watch_take many_refill(struct joblog_watch *watch, struct err *ret_err)
{
    struct watch_many *many = many_of(watch);
    while (many->n_missing > 0) {
        enum watch_take take = missing_ask(many, ret_err);
        if (take != WATCH_SKIP)
            return take;
    }
    while (many->listing) {
        if (!many->page && !page_ask(many, ret_err))
            return WATCH_FAIL;
        while (many->page_at < many->page->n_jobs) {
            /* Borrowed from the page, which stays until the next call on the watch. */
            const Joblog__V1__Job *job = many->page->jobs[many->page_at++];
            enum watch_take take = is_older_than_watch(many, job) ? WATCH_SKIP : many_give(many, NULL, job, ret_err);
            if (take != WATCH_SKIP)
                return take;
        }
        if (!page_end(many, ret_err))
            return WATCH_FAIL;
    }
    if (many->filling) {
        many->gap = many->filling = false;
        many->heard_us = clock_wall_us();
    }
    return WATCH_SKIP;
}

static bool many_is_complete(const struct joblog_watch *watch)
{
    return many_of(watch)->until_final;
}

static void many_done(struct joblog_watch *watch)
{
    struct watch_many *many = many_of(watch);
    gap_forget(many);
    struct seen *s, *next;
    HASH_ITER(hh, many->live, s, next)
    {
        HASH_DEL(many->live, s);
        mem_free(s);
    }
    HASH_ITER(hh, many->ended, s, next)
    {
        HASH_DEL(many->ended, s);
        mem_free(s);
    }
    joblog__v1__job_filter__free_unpacked(many->filter, NULL);
    mem_free(many->resume_point);
}

static const struct watch_kind many_kind = {.open = many_open,
                                            .take = many_take,
                                            .refill = many_refill,
                                            .begin_anew = many_begin_anew,
                                            .is_complete = many_is_complete,
                                            .done = many_done};

/* A copy of the filter that owns its texts: through its wire form. */
static Joblog__V1__JobFilter *filter_copy(const struct joblog_filter *filter, struct err *ret_err)
{
    static const struct joblog_filter all = {0};
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    Joblog__V1__JobFilter *borrowed = convert_filter(&arena, filter ? filter : &all, ret_err);
    Joblog__V1__JobFilter *copy = NULL;
    if (borrowed) {
        size_t size = joblog__v1__job_filter__get_packed_size(borrowed);
        uint8_t *bytes = arena_alloc(&arena, size);
        if (bytes) {
            joblog__v1__job_filter__pack(borrowed, bytes);
            copy = joblog__v1__job_filter__unpack(NULL, size, bytes);
        }
        if (!copy)
            error_no_memory(ret_err);
    }
    arena_done(&arena);
    return copy;
}

struct joblog_watch *joblog_watch_jobs(struct joblog_client *client, const struct joblog_filter *filter,
                                       bool until_final, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    struct watch_many *many = mem_zalloc(sizeof *many);
    if (!many) {
        error_no_memory(&e);
        goto fail;
    }
    many->filter = filter_copy(filter, &e);
    if (!many->filter)
        goto fail_many;
    if (watch_init(&many->watch, client, &many_kind, &e) < 0)
        goto fail_filter;
    many->until_final = until_final;
    many->begin_us = clock_wall_us();
    return &many->watch;

fail_filter:
    joblog__v1__job_filter__free_unpacked(many->filter, NULL);
fail_many:
    mem_free(many);
fail:
    error_give(error, &e);
    return NULL;
}
