/* A job as a line of JSON. Main thread. */
#ifndef JOBLOG_CLI_JOB_LINE_H
#define JOBLOG_CLI_JOB_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>
#include <joblog/joblog.h>

/* For lines that say nothing of it; NULL: none. */
struct job_line_defaults {
    const char *job_name, *queue, *owner, *batch, *traceparent;
};

/* What the spec of a line points into. */
struct job_line {
    json_t *object;
    char *payload;
    struct joblog_label *labels;
    int64_t *delays;
};

/* True: fills *ret (job_line_done) and *ret_spec, which borrows from *ret and defaults. False: problem says why. Writes
 * into line. */
bool job_line_read(char *line, size_t len, const struct job_line_defaults *defaults, struct job_line *ret,
                   struct joblog_spec *ret_spec, char *problem, size_t problem_size);
void job_line_done(struct job_line *line);

#endif
