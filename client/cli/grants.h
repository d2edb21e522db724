/* What a caller may do, as text and as JSON. One thread. */
#ifndef JOBLOG_CLI_GRANTS_H
#define JOBLOG_CLI_GRANTS_H

#include <jansson.h>
#include <joblog/joblog.h>

/* "admin, viewer; queues mail.*; only its own". Gives (free). */
char *grant_text(const struct joblog_grant *grant);
/* An object with roles and what narrows them. Gives a new reference. */
json_t *json_of_grant(const struct joblog_grant *grant);

#endif
