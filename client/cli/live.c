/* See live.h. The rows are kept under a mutex; the drawing thread sorts a list of them and prints as many as fit. */
#include "live.h"

#include "heap.h"
#include "table.h"
#include "text.h"
#include "units.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    DRAW_NS = 200000000, /* five pictures a second: people read it */
    IDLE_TICKS = 5,      /* without a change one a second, for the times */
    ROWS_MAX = 1000      /* a watch without end must not grow without end: beyond it the oldest change goes */
};

struct row {
    int64_t id, revision, changed_us;
    enum joblog_status status;
    double percent;
    int attempt, max_attempts; /* that count */
    char *name, *queue, *owner, *details;
};

struct live {
    struct term term;
    const struct statuses *statuses;
    const struct joblog_filter *filter;
    struct row rows[ROWS_MAX];
    size_t n_rows;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_t thread;
    bool dirty, stopping;
    int drawn; /* lines that the last picture took */
};

static const struct table_column columns[] = {
    {"ID", true, false},    {"STATUS", false, false}, {"NAME", false, true},
    {"QUEUE", false, true}, {"OWNER", false, true},   {"DONE", true, false},
    {"ATT", true, false},   {"SINCE", false, false},  {"DETAILS", false, true},
};
enum { N_COLUMNS = sizeof(columns) / sizeof(columns[0]) };

/* What it died of, why it was cancelled, or what it does. */
static char *details_of(const struct joblog_job *job)
{
    bool has_error = *job->error_type || *job->error_message;
    if (job->status == JOBLOG_STATUS_CANCELLED && *job->cancel_reason)
        return heap_copy(job->cancel_reason);
    if (job->status == JOBLOG_COMPLETED || (job->status == JOBLOG_RUNNING && *job->step) || !has_error)
        return heap_copy(job->step);
    return *job->error_type ? heap_format("%s: %s", job->error_type, job->error_message)
                            : heap_copy(job->error_message);
}

static void row_set(struct row *row, const struct joblog_job *job)
{
    *row = (struct row){
        .id = job->id,
        .revision = job->revision,
        .changed_us = job->end_us     ? job->end_us
                      : job->start_us ? job->start_us
                                      : job->create_us,
        .status = job->status,
        .percent = job->status == JOBLOG_COMPLETED ? 100 : job->percent,
        .attempt = job->attempt - job->uncounted_attempts,
        .max_attempts = job->max_attempts,
        .name = heap_copy(job->job_name),
        .queue = heap_copy(job->queue),
        .owner = heap_copy(job->owner),
        .details = details_of(job),
    };
}

static void row_done(struct row *row)
{
    free(row->name);
    free(row->queue);
    free(row->owner);
    free(row->details);
}

/* Newest change first. */
static int row_compare(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->changed_us != y->changed_us)
        return x->changed_us < y->changed_us ? 1 : -1;
    return (x->id < y->id) - (x->id > y->id);
}

static void add_cells(const struct live *live, struct table *table, const struct row *row, int64_t now_us)
{
    char text[UNITS_TEXT];
    table_cell_format(table, "%lld", (long long)row->id);
    table_cell(table, statuses_label(live->statuses, row->status), statuses_color(live->statuses, row->status));
    table_cell(table, row->name, NULL);
    table_cell(table, row->queue, NULL);
    table_cell(table, row->owner, NULL);
    table_cell_format(table, "%.0f %%", row->percent);
    table_cell_format(table, "%d/%d", row->attempt, row->max_attempts);
    table_cell(table, units_relative(text, row->changed_us, now_us), NULL);
    table_cell(table, row->details, NULL);
}

/* The table as text; gives it (free). */
static char *print_rows(struct live *live)
{
    char *text = NULL;
    size_t len, room = live->term.height > 4 ? (size_t)live->term.height - 3 : 1;
    struct term term = live->term;
    struct table *table = table_new(columns, N_COLUMNS);
    term.out = open_memstream(&text, &len);
    qsort(live->rows, live->n_rows, sizeof *live->rows, row_compare);
    for (size_t i = 0; i < live->n_rows && i < room; i++)
        add_cells(live, table, &live->rows[i], units_now_us());
    if (term.out) {
        table_print(table, &term);
        fprintf(term.out, "%zu %s", live->n_rows, live->n_rows == 1 ? "job" : "jobs");
        fputs(live->n_rows > room ? ", the latest are shown\n" : "\n", term.out);
        fclose(term.out);
    }
    table_free(table);
    return text;
}

/* One picture, over the last one, in one write. Without wrapping a line stays one line on the narrowest terminal. */
static void draw(struct live *live)
{
    char *picture = NULL, *at;
    size_t len;
    term_resize(&live->term);
    char *text = print_rows(live);
    FILE *out = text ? open_memstream(&picture, &len) : NULL;
    if (!out) {
        free(text);
        return;
    }
    fputs("\033[?25l\033[?7l\r", out);
    if (live->drawn)
        fprintf(out, "\033[%dA", live->drawn);
    live->drawn = 0;
    for (char *line = text; (at = strchr(line, '\n')); line = at + 1, live->drawn++)
        fprintf(out, "%.*s\033[K\n", (int)(at - line), line);
    fputs("\033[J\033[?7h\033[?25h", out);
    fclose(out);
    fwrite(picture, 1, len, live->term.out);
    fflush(live->term.out);
    free(picture);
    free(text);
}

static void *run(void *user)
{
    struct live *live = user;
    int idle = 0;
    pthread_mutex_lock(&live->mutex);
    draw(live); /* also an empty table says that it is there */
    while (!live->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += DRAW_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        while (!live->stopping && pthread_cond_timedwait(&live->wake, &live->mutex, &until) == 0)
            ;
        if (live->dirty || ++idle >= IDLE_TICKS) {
            live->dirty = false;
            idle = 0;
            draw(live);
        }
    }
    pthread_mutex_unlock(&live->mutex);
    return NULL;
}

struct live *live_new(const struct term *term, const struct statuses *statuses, const struct joblog_filter *filter)
{
    struct live *live = heap_new(1, sizeof *live);
    pthread_condattr_t attributes;
    live->term = *term;
    live->statuses = statuses;
    live->filter = filter;
    pthread_mutex_init(&live->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&live->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&live->thread, NULL, run, live) == 0)
        return live;
    pthread_cond_destroy(&live->wake);
    pthread_mutex_destroy(&live->mutex);
    free(live);
    return NULL;
}

static bool in_range(int64_t us, int64_t from_us, int64_t before_us)
{
    return (!from_us && !before_us) || (us && us >= from_us && (!before_us || us < before_us));
}

/* Does it still match, as far as the job tells? */
static bool belongs(const struct joblog_filter *filter, const struct joblog_job *job)
{
    bool fits = filter->n_statuses == 0, has_error = filter->n_error_types == 0;
    for (size_t i = 0; i < filter->n_statuses; i++)
        fits |= filter->statuses[i] == job->status;
    for (size_t i = 0; i < filter->n_error_types; i++)
        has_error |= strcmp(filter->error_types[i], job->error_type) == 0;
    if (filter->error_text && !strstr(job->error_message, filter->error_text))
        has_error = false;
    return fits && has_error && in_range(job->start_us, filter->start_from_us, filter->start_before_us) &&
           in_range(job->end_us, filter->end_from_us, filter->end_before_us);
}

/* With the mutex. A place for the job; NULL: what is known is newer, or it has none and needs none, for which no other
 * has to go. */
static struct row *place_for(struct live *live, const struct joblog_job *job)
{
    for (size_t i = 0; i < live->n_rows; i++)
        if (live->rows[i].id == job->id) {
            if (live->rows[i].revision > job->revision)
                return NULL;
            row_done(&live->rows[i]);
            return &live->rows[i];
        }
    if (!belongs(live->filter, job))
        return NULL;
    if (live->n_rows == ROWS_MAX) {
        qsort(live->rows, live->n_rows, sizeof *live->rows, row_compare);
        row_done(&live->rows[--live->n_rows]);
    }
    return &live->rows[live->n_rows++];
}

void live_update(struct live *live, const struct joblog_job *job)
{
    pthread_mutex_lock(&live->mutex);
    struct row *row = place_for(live, job);
    if (row)
        row_set(row, job);
    if (row && !belongs(live->filter, job)) {
        row_done(row);
        *row = live->rows[--live->n_rows];
    }
    live->dirty = true;
    pthread_mutex_unlock(&live->mutex);
}

size_t live_ended(struct live *live, int64_t *ids, size_t max)
{
    size_t n = 0;
    pthread_mutex_lock(&live->mutex);
    qsort(live->rows, live->n_rows, sizeof *live->rows, row_compare);
    for (size_t i = 0; i < live->n_rows && i < max; i++)
        if (joblog_status_is_final(live->rows[i].status))
            ids[n++] = live->rows[i].id;
    pthread_mutex_unlock(&live->mutex);
    return n;
}

void live_forget(struct live *live, int64_t id)
{
    pthread_mutex_lock(&live->mutex);
    for (size_t i = 0; i < live->n_rows; i++) {
        if (live->rows[i].id != id || !joblog_status_is_final(live->rows[i].status))
            continue;
        row_done(&live->rows[i]);
        live->rows[i] = live->rows[--live->n_rows];
        live->dirty = true;
        break;
    }
    pthread_mutex_unlock(&live->mutex);
}

void live_finish(struct live *live)
{
    if (!live)
        return;
    pthread_mutex_lock(&live->mutex);
    live->stopping = true;
    pthread_cond_signal(&live->wake);
    pthread_mutex_unlock(&live->mutex);
    pthread_join(live->thread, NULL);
    draw(live);
    for (size_t i = 0; i < live->n_rows; i++)
        row_done(&live->rows[i]);
    pthread_cond_destroy(&live->wake);
    pthread_mutex_destroy(&live->mutex);
    free(live);
}
