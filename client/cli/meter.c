/* One live bar for a download. A thread of its own draws; the source it asks must be readable from there. What is drawn
 * is under the mutex, and each picture is one write: an interrupt cannot come in the middle of a sequence. */
#include "meter.h"

#include "bars.h"
#include "heap.h"
#include "interrupt.h"
#include "text.h"
#include "units.h"

#include <joblog/joblog.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct meter {
    struct term term;
    char *title, *farewell;
    meter_source *source;
    void *user;
    pthread_mutex_t mutex; /* of what follows, and of the line */
    int64_t total;
    int64_t first, start_us; /* what the last line reckons from: a resumed download has not moved what was there */
    int64_t seen, seen_us;   /* what the live rate does: nobody knows when the bytes of the first picture began */
    bool moves;              /* there were bytes in the last picture */
    bool made;               /* there is no making, or not any more */
    struct meter_making making;
    pthread_cond_t wake;
    pthread_t thread;
    bool threaded, stopping;
};

/* What was waited for before the first byte is no part of the rate. */
static void start_clock(struct meter *meter, int64_t done)
{
    bool idle = !meter->made && (meter->making.waiting || done == 0), anew = idle || done < meter->first;
    int64_t now_us = units_now_us();
    if (anew)
        meter->start_us = now_us;
    if (!meter->made || anew) /* what is made comes from its first byte, whatever lies there still */
        meter->first = meter->made ? done : 0;
    if (anew || !meter->moves || done < meter->seen) {
        meter->seen = done;
        meter->seen_us = now_us;
    }
    meter->moves = !idle;
}

/* Bytes a second; 0: not known yet. */
static double rate_since(int64_t bytes, int64_t since_us)
{
    int64_t us = units_now_us() - since_us;
    return us > 0 ? (double)bytes * 1e6 / (double)us : 0;
}

/* Nothing where nothing has moved. */
static void print_rate(FILE *out, const char *before, double rate)
{
    char text[UNITS_TEXT];
    if (rate > 0)
        fprintf(out, "%s%s/s", before, units_size(text, rate));
}

static void print_bar(FILE *out, struct meter *meter, double fraction, bool last)
{
    bar_draw(out, &meter->term, fraction, meter->term.width >= 90 ? 24 : 10, last ? "green" : "blue");
    fprintf(out, " %3.0f %% ", fraction * 100);
}

/* "[bar] 40 %  2.6 MiB  1.8 MiB/s  5s left", or what there is in place of bytes. */
static void print_making(FILE *out, struct meter *meter, int64_t done)
{
    char size[UNITS_TEXT], left[UNITS_TEXT];
    double rate = rate_since(done - meter->seen, meter->seen_us);
    const struct meter_making *making = &meter->making;
    int64_t left_us = making->finish_us - units_now_us();
    if (!making->waiting)
        print_bar(out, meter, making->percent / 100, false);
    if (making->waiting || (done == 0 && *making->text))
        text_print(out, making->text, 0);
    else
        fprintf(out, " %s", units_size(size, (double)done));
    if (!making->waiting)
        print_rate(out, "  ", rate);
    if (!making->waiting && making->finish_us && left_us >= 1000000)
        fprintf(out, "  %s left", units_seconds(left, left_us));
}

static void print_bytes(FILE *out, struct meter *meter, int64_t done, bool last)
{
    char size[UNITS_TEXT], text[UNITS_TEXT];
    double rate =
        last ? rate_since(done - meter->first, meter->start_us) : rate_since(done - meter->seen, meter->seen_us);
    if (meter->total > 0 || last)
        print_bar(out, meter, meter->total > 0 ? (double)done / (double)meter->total : 1, last);
    fprintf(out, " %s", units_size(size, (double)done));
    if (last) {
        print_rate(out, "  ", rate);
        fprintf(out, " in %s", units_duration(text, units_now_us() - meter->start_us));
        return;
    }
    fprintf(out, "  %s/s", units_size(text, rate)); /* also of one that stands still */
    if (rate > 0 && meter->total > done)
        fprintf(out, "  %s left", units_duration(text, (int64_t)((double)(meter->total - done) / rate * 1e6)));
}

static void print_live(FILE *out, struct meter *meter, int64_t done, bool last)
{
    term_resize(&meter->term);
    fputs("\033[?7l\r", out); /* a line that wrapped could not be drawn over */
    text_print(out, meter->title, meter->term.width / 3);
    fputc(' ', out);
    if (meter->made || last)
        print_bytes(out, meter, done, last);
    else
        print_making(out, meter, done);
    fputs("\033[K\033[?7h", out);
}

/* With the mutex, or when nobody else has the meter. */
static void meter_draw(struct meter *meter, int64_t done, bool last)
{
    char size[UNITS_TEXT], duration[UNITS_TEXT], *picture = NULL;
    size_t len;
    FILE *out = open_memstream(&picture, &len);
    if (!out)
        return;
    start_clock(meter, done);
    if (meter->term.terminal) {
        print_live(out, meter, done, last);
    } else {
        text_print(out, meter->title, 0);
        fprintf(out, ": %s", units_size(size, (double)done));
        print_rate(out, " at ", rate_since(done - meter->first, meter->start_us));
        fprintf(out, " in %s", units_duration(duration, units_now_us() - meter->start_us));
    }
    if (last)
        fputc('\n', out);
    fclose(out);
    fwrite(picture, 1, len, meter->term.out);
    fflush(meter->term.out);
    free(picture);
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

/* On the signal's thread. What is left of the download is what its calls would have left. What comes next on the
 * terminal begins a line: a picture under way is waited for; a terminal that takes nothing is not, for longer than a
 * moment. */
static void meter_interrupt(void *user)
{
    enum { MOMENT_MS = 200 };
    struct meter *meter = user;
    struct pollfd p = {.fd = fileno(meter->term.out), .events = POLLOUT};
    struct timespec until;
    joblog_export_drop_empty_parts();
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += MOMENT_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (pthread_mutex_clocklock(&meter->mutex, CLOCK_MONOTONIC, &until) == 0 && poll(&p, 1, MOMENT_MS) == 1 &&
        (p.revents & POLLOUT)) {
        if (meter->threaded)
            fputc('\n', meter->term.out);
        if (meter->farewell) {
            text_print(meter->term.out, meter->farewell, 0);
            fputc('\n', meter->term.out);
        }
        fflush(meter->term.out);
    }
    _exit(130); /* as without a meter */
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
    meter->made = meter->moves = true;
    meter->start_us = meter->seen_us = units_now_us();
    meter->first = meter->seen = source(user);
    pthread_mutex_init(&meter->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&meter->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (term->terminal)
        meter->threaded = pthread_create(&meter->thread, NULL, meter_run, meter) == 0;
    interrupt_set(meter_interrupt, NULL, meter);
    return meter;
}

void meter_set_farewell(struct meter *meter, const char *text)
{
    pthread_mutex_lock(&meter->mutex);
    free(meter->farewell);
    meter->farewell = heap_copy(text);
    pthread_mutex_unlock(&meter->mutex);
}

void meter_set_making(struct meter *meter, const struct meter_making *making)
{
    pthread_mutex_lock(&meter->mutex);
    meter->made = false;
    meter->making = *making;
    pthread_mutex_unlock(&meter->mutex);
}

void meter_set_total(struct meter *meter, int64_t total)
{
    pthread_mutex_lock(&meter->mutex);
    meter->made = true;
    meter->total = total;
    pthread_mutex_unlock(&meter->mutex);
}

void meter_finish(struct meter *meter, int64_t done, bool quiet)
{
    if (!meter)
        return;
    interrupt_clear();
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
    free(meter->farewell);
    free(meter);
}
