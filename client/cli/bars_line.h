/* One job as a line of text: what bars draw and what plain output prints. Pure, any thread. */
#ifndef JOBLOG_CLI_BARS_LINE_H
#define JOBLOG_CLI_BARS_LINE_H

#include "statuses.h"
#include "term.h"

/* What is kept of a job between two drawings. */
struct bar {
    int64_t id;
    char *title;
    enum joblog_status status;
    double percent;
    int64_t done, total;
    char *unit, *step, *error; /* error: of a cancelled job why it was */
    int attempt, counted_attempts, max_attempts;
    int64_t run_us, start_us, eta_us, execution_us;
    bool has_execution, cancel_requested;
    bool known; /* has been updated once */
};

/* Takes over what the job says now. */
void bar_set(struct bar *bar, const struct joblog_job *job);
/* Frees what the bar holds, not the bar. */
void bar_done(struct bar *bar);
/* True when a reader of plain lines should be told of the step from before to job. */
bool bar_worth_a_line(const struct bar *before, const struct joblog_job *job);
/* What the job does, waits for or died of; into buf of size bytes. */
void bar_describe(char *buf, size_t size, const struct bar *bar, int64_t now_us);
/* "10:00:00  ID  NAME  status  40 %  text", with a line feed. */
void bar_print_plain(FILE *out, const struct bar *bar, const struct statuses *statuses, int64_t now_us);
/* The bar as one line, without a line feed: of at most term->width - 1 columns where that is 48 or more; whoever draws
 * on a narrower terminal must not let it wrap. name_width: columns for the title. */
void bar_print_live(FILE *out, const struct bar *bar, const struct term *term, const struct statuses *statuses,
                    int name_width, int64_t now_us);

#endif
