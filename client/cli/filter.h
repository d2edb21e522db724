/* Options that choose jobs, shared by list, watch, cancel and retry. Main thread. */
#ifndef JOBLOG_CLI_FILTER_H
#define JOBLOG_CLI_FILTER_H

#include "cli.h"

struct filter_options {
    struct option_texts ids, statuses, names, queues, labels, errors, payload;
    const char *source, *owner, *batch, *error_text;
    int64_t since_us, after_us, before_us;
    int64_t started_since_us, started_after_us, started_before_us;
    int64_t ended_since_us, ended_after_us, ended_before_us;
    bool failed;
};

/* clang-format off */
/* Rows for a command whose struct has `struct filter_options filter` as the member named: what lists, watches, cancels and
 * retries take. */
#define FILTER_ROWS(type, member)                                                                                      \
    {"status", 0, OPTION_LIST, "A,B", offsetof(type, member.statuses),                                                 \
     "only these: pending, running, completed, failed, cancelled", 0, 0},                                              \
    {"failed", 0, OPTION_FLAG, NULL, offsetof(type, member.failed), "the same as --status failed", 0, 0},              \
    {"name", 'n', OPTION_TEXTS, "NAME", offsetof(type, member.names), "only this job name (again for more)", 1, 0},    \
    {"queue", 'q', OPTION_TEXTS, "NAME", offsetof(type, member.queues), "only this queue (again for more)", 1, 0},     \
    {"owner", 0, OPTION_TEXT, "NAME", offsetof(type, member.owner), "only jobs of this owner", 1, 0},                  \
    {"source", 0, OPTION_TEXT, "TYPE[:ID]", offsetof(type, member.source), "only jobs for this object", 1, 0},         \
    {"label", 'l', OPTION_TEXTS, "KEY=VALUE", offsetof(type, member.labels),                                           \
     "only with this label (again for more)", 1, 0},                                                                   \
    {"batch", 'b', OPTION_TEXT, "NAME", offsetof(type, member.batch), "only this batch", 1, 0},                        \
    {"error", 'e', OPTION_TEXTS, "TYPE", offsetof(type, member.errors),                                                \
     "only with a last error of this type (again for more)", 1, 0},                                                    \
    {"error-text", 0, OPTION_TEXT, "TEXT", offsetof(type, member.error_text),                                          \
     "only with this text in the last error's message", 1, 0},                                                         \
    {"payload", 0, OPTION_TEXTS, "PATH=VALUE", offsetof(type, member.payload),                                         \
     "only with this in the payload: PATH=VALUE, PATH~TEXT (holds it), PATH (is there); PATH as a.b.0", 1, 0},         \
    {"since", 0, OPTION_DURATION, "TIME", offsetof(type, member.since_us),                                             \
     "only jobs dispatched within this time, such as 24h", 1, 0},                                                      \
    {"after", 0, OPTION_TIME, "TIME", offsetof(type, member.after_us), "only jobs dispatched at or after it", 1, 0},   \
    {"before", 0, OPTION_TIME, "TIME", offsetof(type, member.before_us), "only jobs dispatched before it", 1, 0},      \
    {"started-since", 0, OPTION_DURATION, "TIME", offsetof(type, member.started_since_us),                             \
     "only jobs last started within this time", 1, 0},                                                                 \
    {"started-after", 0, OPTION_TIME, "TIME", offsetof(type, member.started_after_us),                                 \
     "only jobs last started at or after it", 1, 0},                                                                   \
    {"started-before", 0, OPTION_TIME, "TIME", offsetof(type, member.started_before_us),                               \
     "only jobs last started before it", 1, 0},                                                                        \
    {"ended-since", 0, OPTION_DURATION, "TIME", offsetof(type, member.ended_since_us),                                 \
     "only jobs that ended within this time", 1, 0},                                                                   \
    {"ended-after", 0, OPTION_TIME, "TIME", offsetof(type, member.ended_after_us),                                     \
     "only jobs that ended at or after it", 1, 0},                                                                     \
    {"ended-before", 0, OPTION_TIME, "TIME", offsetof(type, member.ended_before_us),                                   \
     "only jobs that ended before it", 1, 0},                                                                          \
    {"id", 0, OPTION_TEXTS, "ID", offsetof(type, member.ids), "only this job (again for more)", 1, 0}
/* clang-format on */

/* A joblog_filter with the arrays that it points into. */
struct filter {
    struct joblog_filter filter;
    int64_t *ids;
    enum joblog_status *statuses;
    struct joblog_label *labels;
    struct joblog_payload_match *payload;
    char *source;
};

/* Fills *filter (filter_done). 0, or EXIT_USAGE with a message. Keeps options. */
int filter_make(const struct cli *cli, const struct filter_options *options, struct filter *filter);
void filter_done(struct filter *filter);
/* True when options choose nothing in particular. */
bool filter_is_empty(const struct filter_options *options);
/* "TYPE:ID" or "TYPE" into its parts; *ret_id NULL without one. Gives a copy that holds both (free). */
char *filter_split_source(const char *source, const char **ret_type, const char **ret_id);

#endif
