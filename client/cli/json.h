/* Results for programs: JSON with the names of joblog.v1's fields in snake_case, ids as numbers, times in RFC 3339
 * (UTC), absent values left out. Main thread. All functions that return json_t give a new reference. */
#ifndef JOBLOG_CLI_JSON_H
#define JOBLOG_CLI_JSON_H

#include <jansson.h>
#include <joblog/joblog.h>
#include <stdio.h>

json_t *json_of_job(const struct joblog_job *job);
json_t *json_of_export(const struct joblog_export *export_);
json_t *json_of_export_type(const struct joblog_export_type *type);
json_t *json_of_outcome(const struct joblog_bulk_outcome *outcome, bool dry_run);
json_t *json_of_cleaned(const struct joblog_cleaned *cleaned, bool dry_run);
json_t *json_of_queue(const struct joblog_queue *queue);
json_t *json_of_stats(const struct joblog_stats *stats);
json_t *json_of_statuses(const struct joblog_status_info *rows, size_t n);

/* ---- json_print.c ---- */

/* A JSON text as a value that json_print_line prints as it is, without the spaces between: jansson knows no whole
 * number beyond 64 bits, and writes 0.1 in seventeen digits. */
json_t *json_raw(const char *text);
/* Prints value on one line of standard output, at once, and drops the reference. */
void json_print_line(json_t *value);
/* Prints a JSON text for people: indented, every line behind indent. */
void json_print_pretty(FILE *out, const char *text, const char *indent);

#endif
