/* Following a watch to its end. Main thread reads; an interrupt cancels the watch from the signal thread. */
#include "follow.h"

#include "heap.h"
#include "interrupt.h"
#include "json.h"
#include "text.h"

#include <stdlib.h>
#include <uthash.h>

/* A job whose last known state is final and not COMPLETED. */
struct bad_job {
    int64_t id;
    UT_hash_handle hh;
};

static void bad_jobs_note(struct bad_job **bad, const struct joblog_job *job)
{
    bool is_bad = joblog_status_is_final(job->status) && job->status != JOBLOG_COMPLETED;
    struct bad_job *one;
    HASH_FIND(hh, *bad, &job->id, sizeof job->id, one);
    if (!one && is_bad) {
        one = heap_new(1, sizeof *one);
        one->id = job->id;
        HASH_ADD(hh, *bad, id, sizeof one->id, one);
    } else if (one && !is_bad) {
        HASH_DEL(*bad, one);
        free(one);
    }
}

/* How many there were. */
static size_t bad_jobs_done(struct bad_job **bad)
{
    size_t n = 0;
    struct bad_job *one = *bad, *next;
    HASH_CLEAR(hh, *bad); /* they are still a list */
    for (; one; one = next, n++) {
        next = one->hh.next;
        free(one);
    }
    return n;
}

static void cancel_watch(void *user)
{
    joblog_watch_cancel(user);
}

int follow_watch(struct cli *cli, struct joblog_watch *watch, enum follow_mode mode, const struct term *term,
                 const struct joblog_error *error)
{
    struct joblog_error trouble = {0};
    struct bad_job *bad = NULL;
    struct bars *bars = NULL;
    const struct joblog_job *job;
    int next;
    if (!watch)
        return cli_error(error);
    if (mode == FOLLOW_BARS) {
        cli_load_statuses(cli);
        bars = bars_new(term, &cli->statuses);
    }
    interrupt_set(cancel_watch, NULL, watch);
    while ((next = joblog_watch_next(watch, &job, &trouble)) > 0) {
        if (bars)
            bars_update(bars, job);
        if (mode == FOLLOW_JSON)
            json_print_line(json_of_job(job));
        bad_jobs_note(&bad, job);
    }
    interrupt_clear();
    bars_finish(bars);
    joblog_watch_free(watch);
    int code = bad_jobs_done(&bad) ? EXIT_JOB_FAILED : EXIT_OK;
    if (interrupt_seen())
        return EXIT_INTERRUPTED;
    return next < 0 ? cli_error(&trouble) : code;
}

static int report(const char *what, const struct joblog_job *job)
{
    if (job->status != JOBLOG_COMPLETED) {
        fprintf(stderr, "joblog: %s %lld %s %s", what, (long long)job->id, job->status == JOBLOG_FAILED ? "has" : "is",
                joblog_status_name(job->status));
        if (*job->error_type || *job->error_message)
            text_printf(stderr, "%s%s: %s", *job->error_type ? ", " : "", job->error_type, job->error_message);
        fputc('\n', stderr);
    }
    return cli_exit_of_job(job->status);
}

int follow_report(struct cli *cli, int64_t id)
{
    struct joblog_error error;
    struct joblog_job *job;
    if (joblog_get(cli->client, id, &job, &error) < 0)
        return cli_error(&error);
    int code = report("job", job);
    joblog_job_free(job);
    return code;
}

int follow_export_report(struct cli *cli, int64_t id)
{
    struct joblog_error error;
    struct joblog_export *export_;
    if (joblog_export_get(cli->client, id, &export_, &error) < 0)
        return cli_error(&error);
    int code = report("export", &export_->job);
    joblog_export_free(export_);
    return code;
}

/* To whom interrupts a watch: that was all that was interrupted. */
static void say_goes_on(const char *what, const char *command, int64_t id)
{
    fprintf(stderr, "joblog: the %s goes on: joblog %s %lld shows it\n", what, command, (long long)id);
}

int follow_job(struct cli *cli, int64_t id, enum follow_mode mode, const struct term *term)
{
    struct joblog_error error = {0};
    int code = follow_watch(cli, joblog_watch_job(cli->client, id, 0, &error), mode, term, &error);
    if (code == EXIT_INTERRUPTED)
        say_goes_on("job", "watch", id);
    return code == EXIT_JOB_FAILED ? follow_report(cli, id) : code;
}

int follow_export(struct cli *cli, int64_t id, enum follow_mode mode, const struct term *term)
{
    struct joblog_error error = {0};
    int code = follow_watch(cli, joblog_watch_export(cli->client, id, 0, &error), mode, term, &error);
    if (code == EXIT_INTERRUPTED)
        say_goes_on("export", "export watch", id);
    return code == EXIT_JOB_FAILED ? follow_export_report(cli, id) : code;
}
