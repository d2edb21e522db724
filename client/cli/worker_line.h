/* Lines by which a command of `joblog worker` speaks to its job. Pure, any thread. */
#ifndef JOBLOG_CLI_WORKER_LINE_H
#define JOBLOG_CLI_WORKER_LINE_H

#include <stdint.h>

enum worker_line_kind { WORKER_LINE_TEXT, WORKER_LINE_PROGRESS, WORKER_LINE_RESULT, WORKER_LINE_SNOOZE };

/* Texts point into the line. */
struct worker_line {
    double percent;
    int64_t done, total; /* total 0: percent counts */
    char unit[51];       /* the first word after DONE/TOTAL */
    char step[501];      /* the rest; "" when there is none */
    const char *result;
    int64_t snooze_ms; /* its reason, if any, is in step */
};

/* text is valid UTF-8. A line that looks like one of ours but is not is TEXT. */
enum worker_line_kind worker_line_parse(const char *text, struct worker_line *ret_line);

#endif
