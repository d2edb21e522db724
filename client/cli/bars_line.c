/* One job as a line of text. Pure, any thread; bars.c decides when and where it is drawn. */
#include "bars_line.h"

#include "bars.h"
#include "heap.h"
#include "text.h"
#include "units.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void bar_set_text(char **slot, const char *text)
{
    if (*slot && !strcmp(*slot, text))
        return;
    free(*slot);
    *slot = heap_copy(text);
}

void bar_set(struct bar *bar, const struct joblog_job *job)
{
    bar->status = job->status;
    /* What is complete is shown so, whatever its worker last said. */
    bar->percent = job->status == JOBLOG_COMPLETED ? 100 : job->percent;
    bar->done = job->done;
    bar->total = job->total;
    bar->attempt = job->attempt;
    bar->counted_attempts = job->attempt - job->uncounted_attempts;
    bar->max_attempts = job->max_attempts;
    bar->run_us = job->run_us;
    bar->start_us = job->start_us;
    bar->eta_us = job->eta_us;
    bar->execution_us = job->execution_us;
    bar->has_execution = job->has_execution;
    bar->cancel_requested = job->cancel_requested;
    if (!bar->title)
        bar->title = heap_copy(job->job_name);
    bar_set_text(&bar->unit, job->unit);
    bar_set_text(&bar->step, job->step);
    char *error = job->status == JOBLOG_STATUS_CANCELLED ? heap_copy(job->cancel_reason)
                  : *job->error_type                     ? heap_format("%s: %s", job->error_type, job->error_message)
                                                         : heap_copy(job->error_message);
    free(bar->error);
    bar->error = error;
    bar->known = true;
}

void bar_done(struct bar *bar)
{
    free(bar->title);
    free(bar->unit);
    free(bar->step);
    free(bar->error);
}

bool bar_worth_a_line(const struct bar *before, const struct joblog_job *job)
{
    return !before->known || before->status != job->status || before->attempt != job->attempt ||
           strcmp(before->step, job->step) || before->cancel_requested != job->cancel_requested ||
           (int)(before->percent / 10) != (int)(job->percent / 10);
}

/* Appends ", " (unless first) and the formatted text. */
static void add(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void add(char *buf, size_t size, const char *fmt, ...)
{
    size_t len = strlen(buf);
    if (len && len + 2 < size) {
        memcpy(buf + len, ", ", 3);
        len += 2;
    }
    va_list args;
    va_start(args, fmt);
    vsnprintf(buf + len, size - len, fmt, args);
    va_end(args);
}

static void add_amount(char *buf, size_t size, const struct bar *bar)
{
    char done[UNITS_TEXT], total[UNITS_TEXT];
    const char *unit = bar->unit ? bar->unit : "", *space = *unit ? " " : "";
    if (bar->total > 0)
        add(buf, size, "%s of %s%s%.50s", units_count(done, bar->done), units_count(total, bar->total), space, unit);
    else if (bar->done > 0)
        add(buf, size, "%s%s%.50s", units_count(done, bar->done), space, unit);
}

static void describe_pending(char *buf, size_t size, const struct bar *bar, int64_t now_us)
{
    char when[UNITS_TEXT];
    if (bar->run_us > now_us)
        add(buf, size, "%s %s", bar->attempt ? "again" : "starts", units_relative(when, bar->run_us, now_us));
    else
        add(buf, size, "waits for a worker");
    if (bar->counted_attempts && *bar->error)
        add(buf, size, "attempt %d of %d ended with %.200s", bar->counted_attempts, bar->max_attempts, bar->error);
}

static void describe_running(char *buf, size_t size, const struct bar *bar, int64_t now_us)
{
    char length[UNITS_TEXT];
    if (bar->cancel_requested)
        add(buf, size, "cancel requested");
    add_amount(buf, size, bar);
    if (*bar->step)
        add(buf, size, "%.200s", bar->step);
    if (bar->counted_attempts > 1)
        add(buf, size, "attempt %d of %d", bar->counted_attempts, bar->max_attempts);
    if (bar->eta_us > now_us + 1000000)
        add(buf, size, "%s left", units_seconds(length, bar->eta_us - now_us));
}

void bar_describe(char *buf, size_t size, const struct bar *bar, int64_t now_us)
{
    char length[UNITS_TEXT];
    buf[0] = '\0';
    switch (bar->status) {
    case JOBLOG_PENDING:
        describe_pending(buf, size, bar, now_us);
        break;
    case JOBLOG_RUNNING:
        describe_running(buf, size, bar, now_us);
        break;
    case JOBLOG_FAILED:
        add(buf, size, "%.300s", bar->error);
        break;
    case JOBLOG_COMPLETED:
    case JOBLOG_STATUS_CANCELLED:
        if (bar->status == JOBLOG_STATUS_CANCELLED && *bar->error)
            add(buf, size, "%.300s", bar->error);
        add_amount(buf, size, bar);
        if (bar->has_execution)
            add(buf, size, "%s%s", bar->status == JOBLOG_COMPLETED ? "in " : "after ",
                units_duration(length, bar->execution_us));
        if (bar->attempt > 1)
            add(buf, size, "attempt %d", bar->attempt);
        break;
    }
}

void bar_print_plain(FILE *out, const struct bar *bar, const struct statuses *statuses, int64_t now_us)
{
    char detail[1024], time_text[UNITS_TEXT];
    time_t s = (time_t)(now_us / 1000000);
    struct tm tm;
    localtime_r(&s, &tm);
    strftime(time_text, sizeof(time_text), "%H:%M:%S", &tm);
    bar_describe(detail, sizeof(detail), bar, now_us);
    fprintf(out, "%s  %lld  ", time_text, (long long)bar->id);
    text_print(out, bar->title, 0);
    fputs("  ", out);
    text_print(out, statuses_label(statuses, bar->status), 0);
    fprintf(out, "  %.0f %%  ", bar->percent);
    text_print(out, detail, 0);
    fputc('\n', out);
}

void bar_print_live(FILE *out, const struct bar *bar, const struct term *term, const struct statuses *statuses,
                    int name_width, int64_t now_us)
{
    char detail[1024];
    const char *color = statuses_color(statuses, bar->status), *label = statuses_label(statuses, bar->status);
    int bar_width = term->width >= 100 ? 24 : term->width >= 70 ? 14 : 8;
    bar_describe(detail, sizeof(detail), bar, now_us);
    fprintf(out, "%s%s ", term_color(term, color), statuses_icon(statuses, bar->status, term->utf8));
    int used = text_print(out, label, 12);
    fprintf(out, "%s%*s ", term_reset(term), used < 10 ? 10 - used : 0, "");
    int column = 3 + (used < 10 ? 10 : used);
    used = text_print(out, bar->title, name_width);
    fprintf(out, "%*s ", name_width - used, "");
    bar_draw(out, term, bar->percent / 100, bar_width, color);
    fprintf(out, " %3.0f %% ", bar->percent);
    int left = term->width - 1 - (column + name_width + 1 + bar_width + 7);
    if (left > 3)
        text_print(out, detail, left);
}
