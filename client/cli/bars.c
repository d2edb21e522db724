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

enum {
    DRAW_NS = 100000000, /* ten pictures a second look smooth and cost nothing */
    IDLE_TICKS = 5,      /* without a change, one in five: only the times move */
    NAME_MAX_WIDTH = 34,
    BARS_MAX =
        1000 /* a watch without end must not grow without end: beyond this the oldest final ones are only counted */
};

struct bars {
    struct term term;
    const struct statuses *statuses;
    struct bar *bars;
    size_t n_bars, size;
    size_t gone[JOBLOG_STATUS_CANCELLED + 1]; /* by status: bars that BARS_MAX has put out */
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
    size_t counts[JOBLOG_STATUS_CANCELLED + 1], sum = bars->n_bars;
    memcpy(counts, bars->gone, sizeof(counts));
    for (size_t i = 0; i < bars->n_bars; i++)
        if (bars->bars[i].known && bars->bars[i].status <= JOBLOG_STATUS_CANCELLED)
            counts[bars->bars[i].status]++;
    for (size_t i = 0; i <= JOBLOG_STATUS_CANCELLED; i++)
        sum += bars->gone[i];
    fprintf(out, "%zu jobs", sum);
    const char *separator = ": ";
    for (enum joblog_status status = JOBLOG_PENDING; status <= JOBLOG_STATUS_CANCELLED; status++) {
        if (!counts[status])
            continue;
        fprintf(out, "%s%zu ", separator, counts[status]);
        text_print(out, statuses_label(bars->statuses, status), 20);
        separator = ", ";
    }
}

/* Whether bar i is drawn when only room lines are there: jobs that are not final first, in the order of their arrival.
 */
static void bars_choose(const struct bars *bars, size_t room, bool *ret_shown)
{
    size_t left = room;
    for (int final = 0; final <= 1; final++)
        for (size_t i = 0; i < bars->n_bars; i++)
            if (bars->bars[i].known && joblog_status_is_final(bars->bars[i].status) == final && left) {
                ret_shown[i] = true;
                left--;
            }
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
    size_t room = bars->term.height > 3 ? (size_t)bars->term.height - 2 : 1;
    bool *shown = heap_new(bars->n_bars, sizeof(*shown));
    bars_choose(bars, room, shown);
    int name_width = 8, lines = 0;
    for (size_t i = 0; i < bars->n_bars; i++) {
        int width = bars->bars[i].title ? text_width(bars->bars[i].title) : 0;
        name_width = width > name_width ? width : name_width;
    }
    int most = bars->term.width / 3 < NAME_MAX_WIDTH ? bars->term.width / 3 : NAME_MAX_WIDTH;
    name_width = name_width > most ? most : name_width;
    /* Without wrapping a line stays one line on the narrowest terminal; the next picture counts on it. */
    fputs("\033[?25l\033[?7l\r", out);
    if (bars->drawn)
        fprintf(out, "\033[%dA", bars->drawn);
    for (size_t i = 0; i < bars->n_bars; i++) {
        if (!shown[i])
            continue;
        bar_print_live(out, &bars->bars[i], &bars->term, bars->statuses, name_width, now);
        fputs("\033[K\n", out);
        lines++;
    }
    if (bars->n_bars > 1) {
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
    free(shown);
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
        if (bars->n_bars && (bars->dirty || ++idle >= IDLE_TICKS)) {
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

static void bars_put_out_one(struct bars *bars)
{
    for (size_t i = 0; i < bars->n_bars; i++) {
        struct bar *bar = &bars->bars[i];
        if (!bar->known || !joblog_status_is_final(bar->status) || bar->status > JOBLOG_STATUS_CANCELLED)
            continue;
        bars->gone[bar->status]++;
        bar_done(bar);
        memmove(bar, bar + 1, (bars->n_bars - i - 1) * sizeof(*bar));
        bars->n_bars--;
        return;
    }
}

static struct bar *bars_find(struct bars *bars, int64_t id)
{
    for (size_t i = bars->n_bars; i-- > 0;)
        if (bars->bars[i].id == id)
            return &bars->bars[i];
    if (bars->n_bars >= BARS_MAX)
        bars_put_out_one(bars);
    if (bars->n_bars == bars->size) {
        bars->size = bars->size ? 2 * bars->size : 16;
        bars->bars = heap_resize(bars->bars, bars->size, sizeof(*bars->bars));
    }
    struct bar *bar = &bars->bars[bars->n_bars++];
    *bar = (struct bar){.id = id};
    return bar;
}

void bars_set_title(struct bars *bars, int64_t id, const char *title)
{
    pthread_mutex_lock(&bars->mutex);
    struct bar *bar = bars_find(bars, id);
    free(bar->title);
    bar->title = heap_copy(title);
    pthread_mutex_unlock(&bars->mutex);
}

void bars_update(struct bars *bars, const struct joblog_job *job)
{
    pthread_mutex_lock(&bars->mutex);
    struct bar *bar = bars_find(bars, job->id);
    bool line = !bars->threaded && bar_worth_a_line(bar, job);
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
        if (bars->n_bars)
            bars_draw(bars);
    }
    for (size_t i = 0; i < bars->n_bars; i++)
        bar_done(&bars->bars[i]);
    free(bars->bars);
    pthread_cond_destroy(&bars->wake);
    pthread_mutex_destroy(&bars->mutex);
    free(bars);
}
