/* One live bar for a download. A thread of its own draws; the source it asks must be readable from there. */
#include "meter.h"

#include "bars.h"
#include "heap.h"
#include "text.h"
#include "units.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct meter {
    struct term term;
    char *title;
    int64_t total, start_us;
    int64_t first; /* bytes that were there at the start: a resumed download has not moved them */
    meter_source *source;
    void *user;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_t thread;
    bool threaded, stopping;
};

static void meter_draw(struct meter *meter, int64_t done, bool last)
{
    char size[UNITS_TEXT], rate_text[UNITS_TEXT], left[UNITS_TEXT];
    double seconds = (double)(units_now_us() - meter->start_us) / 1e6;
    double rate = seconds > 0 ? (double)(done - meter->first) / seconds : 0;
    double fraction = meter->total > 0 ? (double)done / (double)meter->total : 1;
    FILE *out = meter->term.out;
    if (meter->term.terminal) {
        term_resize(&meter->term);
        fputs("\033[?7l\r", out); /* a line that wrapped could not be drawn over */
        text_print(out, meter->title, meter->term.width / 3);
        fputc(' ', out);
        if (meter->total > 0 || last)
            bar_draw(out, &meter->term, fraction, meter->term.width >= 90 ? 24 : 10, last ? "green" : "blue");
        if (meter->total > 0 || last)
            fprintf(out, " %3.0f %% ", fraction * 100);
        fprintf(out, " %s  %s/s", units_size(size, (double)done), units_size(rate_text, rate));
    } else {
        text_print(out, meter->title, 0);
        fprintf(out, ": %s at %s/s", units_size(size, (double)done), units_size(rate_text, rate));
    }
    if (last)
        fprintf(out, " in %s", units_duration(left, (int64_t)(seconds * 1e6)));
    else if (rate > 0 && meter->total > done)
        fprintf(out, "  %s left", units_duration(left, (int64_t)((double)(meter->total - done) / rate * 1e6)));
    if (meter->term.terminal)
        fputs("\033[K\033[?7h", out);
    if (last)
        fputc('\n', out);
    fflush(out);
}

static void *meter_run(void *user)
{
    struct meter *meter = user;
    pthread_mutex_lock(&meter->mutex);
    while (!meter->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += 100000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        while (!meter->stopping && pthread_cond_timedwait(&meter->wake, &meter->mutex, &until) == 0)
            ;
        if (!meter->stopping)
            meter_draw(meter, meter->source(meter->user), false);
    }
    pthread_mutex_unlock(&meter->mutex);
    return NULL;
}

struct meter *meter_new(const struct term *term, const char *title, int64_t total, meter_source *source, void *user)
{
    struct meter *meter = heap_new(1, sizeof(*meter));
    pthread_condattr_t attributes;
    meter->term = *term;
    meter->title = heap_copy(title);
    meter->total = total;
    meter->source = source;
    meter->user = user;
    meter->start_us = units_now_us();
    meter->first = source(user);
    pthread_mutex_init(&meter->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&meter->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (term->terminal)
        meter->threaded = pthread_create(&meter->thread, NULL, meter_run, meter) == 0;
    return meter;
}

void meter_finish(struct meter *meter, int64_t done, bool quiet)
{
    if (!meter)
        return;
    if (meter->threaded) {
        pthread_mutex_lock(&meter->mutex);
        meter->stopping = true;
        pthread_cond_signal(&meter->wake);
        pthread_mutex_unlock(&meter->mutex);
        pthread_join(meter->thread, NULL);
    }
    if (!quiet)
        meter_draw(meter, done, true);
    else if (meter->term.terminal)
        fputs("\r\033[K", meter->term.out);
    pthread_cond_destroy(&meter->wake);
    pthread_mutex_destroy(&meter->mutex);
    free(meter->title);
    free(meter);
}
