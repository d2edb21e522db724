/* Filters of exports, from the command line. Main thread. */
#ifndef JOBLOG_CLI_EXPORT_FILTER_H
#define JOBLOG_CLI_EXPORT_FILTER_H

#include "cli.h"

struct export_filters {
    struct joblog_export_filter *rows;
    size_t n;
};

/* From "field=value", "field>=value", "field:op=value1,value2" texts (values with commas in double quotes) and from a
 * JSON object ({"search": "john", "department": ["a", "b"]}; NULL for none). Gives the filters (export_filters_done).
 * 0, or EXIT_USAGE with a message. */
int export_filters_make(const struct cli *cli, const struct option_texts *texts, const char *json,
                        struct export_filters *ret_filters);
void export_filters_done(struct export_filters *filters);

#endif
