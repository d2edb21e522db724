/* The demo's client: dispatches jobs and exports, watches all of them live, downloads the files and checks them, shows
 * the failed attempt. Main thread; the bars have a thread of their own. Uses the public header of libjoblog only, as
 * any service would.
 *
 *     demo SERVER DIRECTORY BATCH ROWS JOHNS
 *
 * ROWS and JOHNS: what the database says that the two exports must hold. The files go to DIRECTORY, their names and
 * sums to DIRECTORY/files.sha256 in the form of sha256sum. Exit code 0: all is as it should be. */
#include "bars.h"
#include "download.h"
#include "statuses.h"
#include "term.h"
#include "text.h"
#include "units.h"

#include <joblog/joblog.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_JOBS = 4, N_EXPORTS = 2, N_ALL = N_JOBS + N_EXPORTS, SHAKY = 3 };

/* What the demo works with. */
struct demo {
    struct joblog_client *client;
    struct term out, err;
    struct statuses statuses;
    const char *directory, *batch;
    int64_t rows[N_EXPORTS]; /* that the exports must hold */
    int64_t ids[N_ALL];      /* jobs first, then exports */
};

static const struct {
    const char *name, *payload, *title, *source_type, *source_id;
    int max_attempts;
} jobs[N_JOBS] = {
    {"process_file", "{\"file\": \"invoices.csv\"}", "process invoices.csv", "File", "invoices.csv", 1},
    {"process_file", "{\"file\": \"clients.csv\", \"lines\": 2500}", "process clients.csv", "File", "clients.csv", 1},
    {"send_notification", "{\"subject\": \"Office closed on Friday\", \"recipients\": 3000}", "notify: office closed",
     "Notification", "17", 1},
    {"send_notification", "{\"subject\": \"New terms of use\", \"recipients\": 2000, \"fail_on_attempt\": 1}",
     "notify: new terms (fails once)", "Notification", "18", 3},
};

static const struct joblog_export_filter john = {
    .field = "search", .values = (const char *const[]){"john"}, .n_values = 1};

static const struct {
    const char *file, *title;
    const struct joblog_export_filter *filters;
    size_t n_filters;
} exports[N_EXPORTS] = {
    {"users-john.csv", "export users, \"john\"", &john, 1},
    {"users-all.csv", "export users, all", NULL, 0},
};

__attribute__((format(printf, 1, 2))) static int trouble(const char *fmt, ...)
{
    va_list args;
    fputs("demo: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    return -1;
}

static int failed(const char *what, const struct joblog_error *error)
{
    return trouble("%s: %s (%s)", what, error->message, joblog_code_name((int)error->code));
}

static int dispatch_jobs(struct demo *demo)
{
    struct joblog_error error = {0};
    for (size_t i = 0; i < N_JOBS; i++) {
        struct joblog_spec spec = {
            .job_name = jobs[i].name,
            .payload = jobs[i].payload,
            .source_type = jobs[i].source_type,
            .source_id = jobs[i].source_id,
            .owner = "demo",
            .labels = (const struct joblog_label[]){{"tenant", "acme"}},
            .n_labels = 1,
            .max_attempts = jobs[i].max_attempts,
            .initial_backoff_ms = 1500,
            .batch = demo->batch,
        };
        if (joblog_dispatch(demo->client, &spec, &demo->ids[i], &error) < 0)
            return failed("dispatch", &error);
    }
    return 0;
}

static int start_exports(struct demo *demo)
{
    struct joblog_error error = {0};
    for (size_t i = 0; i < N_EXPORTS; i++) {
        struct joblog_export_spec spec = {
            .export_type = "users",
            .filters = exports[i].filters,
            .n_filters = exports[i].n_filters,
            .file_name = exports[i].file,
        };
        struct joblog_export *export_;
        if (joblog_export_start(demo->client, &spec, &export_, NULL, &error) < 0)
            return failed("start export", &error);
        demo->ids[N_JOBS + i] = export_->job.id;
        joblog_export_free(export_);
    }
    return 0;
}

/* Until all jobs and exports have ended, and every one as it should. */
static int watch_all(struct demo *demo)
{
    struct joblog_error error = {0};
    struct joblog_filter filter = {.ids = demo->ids, .n_ids = N_ALL};
    const struct joblog_job *job;
    int next, completed = 0;
    struct joblog_watch *watch = joblog_watch_jobs(demo->client, &filter, true, &error);
    if (!watch)
        return failed("watch", &error);
    struct bars *bars = bars_new(&demo->out, &demo->statuses);
    for (size_t i = 0; i < N_ALL; i++)
        bars_set_title(bars, demo->ids[i], i < N_JOBS ? jobs[i].title : exports[i - N_JOBS].title);
    while ((next = joblog_watch_next(watch, &job, &error)) > 0) {
        bars_update(bars, job);
        completed += job->status == JOBLOG_COMPLETED;
    }
    bars_finish(bars);
    joblog_watch_free(watch);
    if (next < 0)
        return failed("watch", &error);
    return completed == N_ALL ? 0 : trouble("%d of %d jobs completed", completed, N_ALL);
}

static int download_files(struct demo *demo)
{
    struct joblog_error error = {0};
    char path[4096];
    snprintf(path, sizeof(path), "%s/files.sha256", demo->directory);
    FILE *sums = fopen(path, "we");
    if (!sums)
        return trouble("cannot write %s", path);
    int rc = 0;
    for (size_t i = 0; i < N_EXPORTS && rc == 0; i++) {
        struct joblog_export *export_;
        snprintf(path, sizeof(path), "%s/%s", demo->directory, exports[i].file);
        if (download_to_file(demo->client, demo->ids[N_JOBS + i], path, false, &demo->err, &export_, &error) < 0) {
            rc = failed("download", &error);
            break;
        }
        if (export_->rows != demo->rows[i])
            rc = trouble("%s has %" PRId64 " rows, the database %" PRId64, exports[i].file, export_->rows,
                         demo->rows[i]);
        else if (fprintf(sums, "%s  %s\n", export_->sha256, exports[i].file) < 0)
            rc = trouble("cannot write the sums");
        else
            printf("%s: %" PRId64 " rows, as the database says\n", exports[i].file, export_->rows);
        joblog_export_free(export_);
    }
    return fclose(sums) == 0 ? rc : trouble("cannot write the sums");
}

/* The attempt that failed, as the record keeps it. */
static int show_failure(struct demo *demo)
{
    struct joblog_error error = {0};
    struct joblog_job *job;
    char start[UNITS_TEXT], took[UNITS_TEXT];
    int rc = joblog_get(demo->client, demo->ids[SHAKY], &job, &error);
    if (rc < 0)
        return failed("get", &error);
    printf("\nAttempts of job %" PRId64 " (%s):\n", job->id, job->job_name);
    for (size_t i = 0; i < job->n_attempts; i++) {
        const struct joblog_attempt *attempt = &job->attempts[i];
        printf("  %d  %s  %s in %s, by %s\n", attempt->number, units_local(start, attempt->start_us), attempt->outcome,
               units_duration(took, attempt->end_us - attempt->start_us), attempt->worker);
        if (!*attempt->error_message)
            continue;
        printf("     %s: %s\n", attempt->error_type, attempt->error_message);
        text_print_block(stdout, attempt->stack_trace, "       ");
    }
    bool as_told = job->n_attempts == 2 && !strcmp(job->attempts[0].outcome, "failed") &&
                   *job->attempts[0].error_message && *job->attempts[0].stack_trace &&
                   !strcmp(job->attempts[1].outcome, "completed");
    joblog_job_free(job);
    return as_told ? 0 : trouble("the job should have failed once, with an error and a stack trace, then completed");
}

static int run(struct demo *demo)
{
    int rc = dispatch_jobs(demo);
    if (rc == 0)
        rc = start_exports(demo);
    if (rc == 0)
        rc = watch_all(demo);
    if (rc == 0)
        rc = download_files(demo);
    return rc == 0 ? show_failure(demo) : rc;
}

int main(int argc, char **argv)
{
    struct joblog_error error = {0};
    struct demo demo = {0};
    if (argc != 6) {
        fputs("usage: demo SERVER DIRECTORY BATCH ROWS JOHNS\n", stderr);
        return 2;
    }
    demo.directory = argv[2];
    demo.batch = argv[3];
    if (units_parse_int(argv[5], &demo.rows[0]) < 0 || units_parse_int(argv[4], &demo.rows[1]) < 0) {
        trouble("ROWS and JOHNS are numbers");
        return 2;
    }
    demo.out = term_detect(stdout, false);
    demo.err = term_detect(stderr, false);
    demo.client = joblog_connect(argv[1], NULL, &error);
    int rc = demo.client ? 0 : failed("connect", &error);
    if (rc == 0 && joblog_list_statuses(demo.client, NULL, &demo.statuses.rows, &demo.statuses.n_rows, &error) < 0)
        rc = failed("statuses", &error);
    if (rc == 0)
        rc = run(&demo);
    joblog_statuses_free(demo.statuses.rows);
    joblog_close(demo.client);
    return rc == 0 ? 0 : 1;
}
