/* Who may do what: the table, and the check on the object. Pure; any thread. docs/security.md has the same table, and a
 * test holds the two, and every RPC of the .proto files, against each other.
 *
 * A call is checked twice: rights_check_method before its first step (may this role call that method at all?), then on
 * the object: a job that is read, steered, dispatched or leased must be within the identity's scope. What lies outside
 * of it is answered exactly as what does not exist: NOT_FOUND, or left out of a list. */
#ifndef CORE_RIGHTS_H
#define CORE_RIGHTS_H

#include <stdbool.h>

#include "base/err.h"
#include "core/identity.h"
#include "core/job.h"

/* 0; -PERMISSION_DENIED (reason ROLE_MISSING, and which roles may); -UNIMPLEMENTED for a method that is not in the
 * table: nothing is allowed that nobody thought of. path: "/joblog.v1.JobLogService/GetJob". */
int rights_check_method(const struct identity *identity, const char *path, struct err *ret_err);

/* Is the job within the identity's scope (patterns, own_only)? ROLE_ADMIN: always. */
bool rights_see_job(const struct identity *identity, const struct job *job);

/* What the identity's scope leaves of a filter. The filter keeps pointers into the identity. */
void rights_narrow(const struct identity *identity, struct job_filter *filter);

#endif
