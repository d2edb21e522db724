/* See rights.h. Pure; any thread. */
#include "core/rights.h"

#include <stdio.h>

#include "core/rights_table.h"

static const struct right table[] = {
#define LINE(path, roles) {path, (unsigned)(roles)},
    RIGHTS_TABLE(LINE)
#undef LINE
};

static const char *const role_names[ROLE_COUNT] = {"admin", "dispatcher", "worker", "viewer", "exporter"};

const char *role_name(unsigned role)
{
    for (int i = 0; i < ROLE_COUNT; i++) {
        if (role == 1u << i)
            return role_names[i];
    }
    return NULL;
}

unsigned role_parse(struct span name)
{
    for (int i = 0; i < ROLE_COUNT; i++) {
        if (span_eq(name, span_str(role_names[i])))
            return 1u << i;
    }
    return 0;
}

const struct right *rights_table(size_t *ret_n)
{
    *ret_n = sizeof table / sizeof *table;
    return table;
}

const struct right *rights_find(const char *path)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i].path, path) == 0)
            return &table[i];
    }
    return NULL;
}

/* "dispatcher or viewer", and the administrator, who may everything. */
static void list_roles(unsigned roles, char *text, size_t size)
{
    size_t len = 0;

    for (int i = 1; i < ROLE_COUNT; i++) {
        if (roles & 1u << i)
            len += (size_t)snprintf(text + len, size - len, "%s, ", role_names[i]);
    }
    snprintf(text + len, size - len, "%s", role_names[0]);
}

int rights_check(const struct right *right, const struct identity *identity, struct err *ret_err)
{
    char may[100];

    if (!right)
        return err_set(ret_err, ERR_UNIMPLEMENTED, "METHOD_NOT_ALLOWED", "this method is open to nobody");
    if (right->roles & RIGHT_OPEN)
        return 0;
    if (!identity)
        return err_set(ret_err, ERR_UNAUTHENTICATED, "CREDENTIALS_MISSING", "the call brings no credentials");
    if (right->roles & RIGHT_ANY || identity->roles & (right->roles | ROLE_ADMIN))
        return 0;
    list_roles(right->roles, may, sizeof may);
    return err_set(ret_err, ERR_PERMISSION_DENIED, "ROLE_MISSING", "%s needs one of the roles %s", right->path, may);
}

void rights_scope(const struct identity *identity, struct span owner, bool delegated, struct job_scope *ret_scope)
{
    bool admin = identity->roles & ROLE_ADMIN;

    *ret_scope = (struct job_scope){.bounded = !admin || delegated, .own = owner, .own_only = identity->own_only};
    if (admin)
        return; /* patterns do not narrow it */
    ret_scope->queues = identity->queues;
    ret_scope->n_queues = identity->n_queues;
    ret_scope->job_names = identity->job_names;
    ret_scope->n_job_names = identity->n_job_names;
    ret_scope->owners = identity->owners;
    ret_scope->n_owners = identity->n_owners;
}

static int outside(const char *field, struct span value, struct err *ret_err)
{
    err_set(ret_err, ERR_PERMISSION_DENIED, "OUT_OF_SCOPE", "%s \"%.*s\" is outside of the caller's scope", field,
            (int)(value.len < 100 ? value.len : 100), value.len ? value.data : "");
    if (ret_err)
        snprintf(ret_err->field, sizeof ret_err->field, "%s", field);
    return -ERR_PERMISSION_DENIED;
}

int rights_make_job(const struct job_scope *scope, struct job *job, struct err *ret_err)
{
    if (job->owner.len == 0 && job_scope_names_owners(scope))
        job->owner = scope->own;
    if (job_scope_holds(scope, job->queue, job->name, job->owner))
        return 0;
    if (!job_scope_holds_queue(scope, job->queue))
        return outside("job.queue", job->queue, ret_err);
    if (!job_scope_holds_lane(scope, job->queue, job->name))
        return outside("job.job_name", job->name, ret_err);
    return outside("job.owner", job->owner, ret_err);
}
