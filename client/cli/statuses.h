/* The server's catalogue of statuses, as labels and colours. Read-only once loaded: any thread. */
#ifndef JOBLOG_CLI_STATUSES_H
#define JOBLOG_CLI_STATUSES_H

#include <joblog/joblog.h>

struct statuses {
    struct joblog_status_info *rows;
    size_t n_rows;
};

/* Without a catalogue (n_rows 0) the name that programs use. Borrowed from statuses. */
const char *statuses_label(const struct statuses *statuses, enum joblog_status status);
/* Name of a colour, NULL for none. Borrowed from statuses. */
const char *statuses_color(const struct statuses *statuses, enum joblog_status status);
/* One character for an icon of the catalogue, in UTF-8 or ASCII. Static. */
const char *statuses_icon(const struct statuses *statuses, enum joblog_status status, bool utf8);

#endif
