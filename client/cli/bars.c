/* Live progress of jobs. On a terminal a thread of its own draws ten times a second at most, with the state under a
 * mutex; elsewhere the caller's thread prints. Must not be given a stream that anything else writes to meanwhile. */
#include "bars.h"

#include "bars_line.h"
#include "heap.h"
#include "text.h"
#include "units.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uthash.h>
#include <utlist.h>

enum {
    DRAW_NS = 100000000, /* ten pictures a second look smooth and cost nothing */
    IDLE_TICKS = 5,      /* without a change, one in five: only the times move */
    NAME_MAX_WIDTH = 34,
    BARS_MAX = 1000 /* a watch without end must not grow without end: beyond this those that ended first are counted */
};

struct entry {
    struct bar bar;
    bool shown;                /* in the picture that is being drawn */
    bool ended;                /* is in the list of those */
    struct entry *prev, *next; /* of that list */
    UT_hash_handle hh;
};

struct bars {
    struct term term;
    const struct statuses *statuses;
    struct entry *by_id;                        /* in the order of their arrival */
    struct entry *ended;                        /* whose jobs are final, in the order of their ends */
    size_t n_all;                               /* with those that BARS_MAX has put out */
    size_t counts[JOBLOG_STATUS_CANCELLED + 1]; /* by status, of all */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_t thread;
    bool threaded, dirty, stopping;
    int drawn; /* lines that the last picture took */
};

void bar_draw(FILE *out, const struct term *term, double fraction, int width, const char *color)
{
    int filled = (int)(fraction * width + 0.5);
    filled = filled < 0 ? 0 : filled > width ? width : filled;
    fputs(term_color(term, color), out);
    for (int i = 0; i < filled; i++)
        fputs(term->utf8 ? "█" : "#", out);
    fputs(term_reset(term), out);
    fputs(term_color(term, "dim"), out);
    for (int i = filled; i < width; i++)
        fputs(term->utf8 ? "░" : ".", out);
    fputs(term_reset(term), out);
}

/* "12 jobs: 3 pending, 9 completed", without a line feed. */
static void bars_print_sum(FILE *out, const struct bars *bars)
{
    fprintf(out, "%zu jobs", bars->n_all);
    const char *separator = ": ";
    for (enum joblog_status status = JOBLOG_PENDING; status <= JOBLOG_STATUS_CANCELLED; status++) {
        if (!bars->counts[status])
            continue;
        fprintf(out, "%s%zu ", separator, bars->counts[status]);
        text_print(out, statuses_label(bars->statuses, status), 20);
        separator = ", ";
    }
}

/* Marks those that are drawn when only room lines are there: jobs that are not final first, in the order of their
 * arrival. Gives how many. Looks no further than it must: there may be a hundred thousand. */
static size_t bars_choose(struct bars *bars, size_t room)
{
    size_t n = 0;
    for (int final = 0; final <= 1; final++)
        for (struct entry *e = bars->by_id; e && n < room; e = e->hh.next)
            if (e->bar.known && e->ended == final) {
                e->shown = true;
                n++;
            }
    return n;
}

static int bars_name_width(const struct bars *bars, size_t n_shown)
{
    int width = 8, most = bars->term.width / 3 < NAME_MAX_WIDTH ? bars->term.width / 3 : NAME_MAX_WIDTH;
    for (struct entry *e = bars->by_id; n_shown; e = e->hh.next) {
        if (!e->shown)
            continue;
        int of_one = e->bar.title ? text_width(e->bar.title) : 0;
        width = of_one > width ? of_one : width;
        n_shown--;
    }
    return width > most ? most : width;
}

/* One picture, over the last one, in one write. */
static void bars_draw(struct bars *bars)
{
    char *picture = NULL;
    size_t len;
    FILE *out = open_memstream(&picture, &len);
    if (!out)
        return;
    term_resize(&bars->term);
    int64_t now = units_now_us();
    size_t n_shown = bars_choose(bars, bars->term.height > 3 ? (size_t)bars->term.height - 2 : 1);
    int name_width = bars_name_width(bars, n_shown), lines = (int)n_shown;
    /* Without wrapping a line stays one line on the narrowest terminal; the next picture counts on it. */
    fputs("\033[?25l\033[?7l\r", out);
    if (bars->drawn)
        fprintf(out, "\033[%dA", bars->drawn);
    for (struct entry *e = bars->by_id; n_shown; e = e->hh.next) {
        if (!e->shown)
            continue;
        bar_print_live(out, &e->bar, &bars->term, bars->statuses, name_width, now);
        fputs("\033[K\n", out);
        e->shown = false;
        n_shown--;
    }
    if (bars->n_all > 1) {
        bars_print_sum(out, bars);
        fputs("\033[K\n", out);
        lines++;
    }
    fputs("\033[J\033[?7h\033[?25h", out);
    fclose(out);
    bars->drawn = lines;
    fwrite(picture, 1, len, bars->term.out);
    fflush(bars->term.out);
    free(picture);
}

static void *bars_run(void *user)
{
    struct bars *bars = user;
    int idle = 0;
    pthread_mutex_lock(&bars->mutex);
    while (!bars->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += DRAW_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        while (!bars->stopping && pthread_cond_timedwait(&bars->wake, &bars->mutex, &until) == 0)
            ;
        if (bars->by_id && (bars->dirty || ++idle >= IDLE_TICKS)) {
            bars->dirty = false;
            idle = 0;
            bars_draw(bars);
        }
    }
    pthread_mutex_unlock(&bars->mutex);
    return NULL;
}

struct bars *bars_new(const struct term *term, const struct statuses *statuses)
{
    struct bars *bars = heap_new(1, sizeof(*bars));
    pthread_condattr_t attributes;
    bars->term = *term;
    bars->statuses = statuses;
    pthread_mutex_init(&bars->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&bars->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    /* Without a thread (a limit on processes) the output falls back to lines. */
    if (term->terminal)
        bars->threaded = pthread_create(&bars->thread, NULL, bars_run, bars) == 0;
    return bars;
}

static void entry_free(struct entry *e)
{
    bar_done(&e->bar);
    free(e);
}

/* The one whose job ended first. */
static void bars_put_out_one(struct bars *bars)
{
    struct entry *e = bars->ended;
    DL_DELETE(bars->ended, e);
    HASH_DEL(bars->by_id, e);
    entry_free(e);
}

static struct entry *bars_find(struct bars *bars, int64_t id)
{
    struct entry *e;
    HASH_FIND(hh, bars->by_id, &id, sizeof id, e);
    if (e)
        return e;
    if (HASH_COUNT(bars->by_id) >= BARS_MAX && bars->ended)
        bars_put_out_one(bars);
    e = heap_new(1, sizeof *e);
    e->bar.id = id;
    HASH_ADD(hh, bars->by_id, bar.id, sizeof e->bar.id, e);
    bars->n_all++;
    return e;
}

/* Before the bar takes over what the job says. */
static void bars_count(struct bars *bars, struct entry *e, const struct joblog_job *job)
{
    bool ends = joblog_status_is_final(job->status);
    if (e->bar.known && e->bar.status <= JOBLOG_STATUS_CANCELLED)
        bars->counts[e->bar.status]--;
    if (job->status <= JOBLOG_STATUS_CANCELLED)
        bars->counts[job->status]++;
    if (ends && !e->ended)
        DL_APPEND(bars->ended, e);
    else if (!ends && e->ended)
        DL_DELETE(bars->ended, e);
    e->ended = ends;
}

void bars_set_title(struct bars *bars, int64_t id, const char *title)
{
    pthread_mutex_lock(&bars->mutex);
    struct bar *bar = &bars_find(bars, id)->bar;
    free(bar->title);
    bar->title = heap_copy(title);
    pthread_mutex_unlock(&bars->mutex);
}

void bars_update(struct bars *bars, const struct joblog_job *job)
{
    pthread_mutex_lock(&bars->mutex);
    struct entry *e = bars_find(bars, job->id);
    struct bar *bar = &e->bar;
    bool line = !bars->threaded && bar_worth_a_line(bar, job);
    bars_count(bars, e, job);
    bar_set(bar, job);
    bars->dirty = true;
    if (line) {
        bar_print_plain(bars->term.out, bar, bars->statuses, units_now_us());
        fflush(bars->term.out);
    }
    pthread_mutex_unlock(&bars->mutex);
}

void bars_finish(struct bars *bars)
{
    if (!bars)
        return;
    if (bars->threaded) {
        pthread_mutex_lock(&bars->mutex);
        bars->stopping = true;
        pthread_cond_signal(&bars->wake);
        pthread_mutex_unlock(&bars->mutex);
        pthread_join(bars->thread, NULL);
        if (bars->by_id)
            bars_draw(bars);
    }
    struct entry *e = bars->by_id, *next;
    HASH_CLEAR(hh, bars->by_id); /* they are still a list */
    for (; e; e = next) {
        next = e->hh.next;
        entry_free(e);
    }
    pthread_cond_destroy(&bars->wake);
    pthread_mutex_destroy(&bars->mutex);
    free(bars);
}
