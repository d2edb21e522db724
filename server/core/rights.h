/* Who may do what: the table, and the check on the object. Pure; any thread. docs/security.md has the same table, and a
 * test holds the two, and every RPC of the .proto files, against each other.
 *
 * A call is checked twice: rights_check_method before its first step (may this role call that method at all?), then on
 * the object: a job that is read, steered, dispatched or leased must be within the caller's scope. What lies outside
 * of it is answered exactly as what does not exist: NOT_FOUND, or left out of a list. */
#ifndef CORE_RIGHTS_H
#define CORE_RIGHTS_H

#include <stdbool.h>

#include "base/err.h"
#include "core/identity.h"
#include "core/job.h"

/* Beside the roles, in the table. */
enum { RIGHT_ANY = 1 << 30, RIGHT_OPEN = 1 << 29 };

struct right {
    const char *path; /* "/joblog.v1.JobLogService/GetJob" */
    unsigned roles;   /* RIGHT_ANY, RIGHT_OPEN, or of enum role without ROLE_ADMIN, which may everything */
};

/* NULL for a method that is not in the table. */
const struct right *rights_find(const char *path);
/* All lines. */
const struct right *rights_table(size_t *ret_n);

/* identity NULL: not known. 0; -UNAUTHENTICATED; -PERMISSION_DENIED (reason ROLE_MISSING, and which roles may);
 * -UNIMPLEMENTED for a method that is not in the table: nothing is allowed that nobody thought of. */
int rights_check(const struct right *right, const struct identity *identity, struct err *ret_err);
static inline int rights_check_method(const struct identity *identity, const char *path, struct err *ret_err)
{
    return rights_check(rights_find(path), identity, ret_err);
}

/* "admin"; NULL for what is no single role. */
const char *role_name(unsigned role);
/* The role of a name; 0: there is none of this name. */
unsigned role_parse(struct span name);

/* What a caller may see and touch: the identity's, with owner in the place of identity->owner (the same, or the user on
 * whose behalf it calls). An administrator who calls for nobody else sees everything. Keeps pointers into both. */
void rights_scope(const struct identity *identity, struct span owner, bool delegated, struct job_scope *ret_scope);

/* Is the job within it? */
static inline bool rights_see_job(const struct job_scope *scope, const struct job *job)
{
    return job_scope_holds(scope, job->queue, job->name, job->owner);
}

/* May it make this job? An owner that was not named becomes scope->own where the scope asks for owners. Or
 * -PERMISSION_DENIED (reason OUT_OF_SCOPE) naming the field: nothing is hidden there, since the caller named it. */
int rights_make_job(const struct job_scope *scope, struct job *job, struct err *ret_err);

#endif
