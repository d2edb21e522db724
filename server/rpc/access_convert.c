/* See access_convert.h. */
#include "rpc/access_convert.h"

#include <stdio.h>

#include "core/identity.h"
#include "rpc/check.h"

/* A role of the contract is a number, of the server a bit. */
static unsigned bit_of(Joblog__V1__Role role)
{
    return role >= JOBLOG__V1__ROLE__ROLE_ADMIN && role <= JOBLOG__V1__ROLE__ROLE_EXPORTER ? 1u << (role - 1) : 0;
}

static int check_patterns(char *const *texts, size_t n, const char *name, struct arena *arena, const struct span **ret,
                          size_t *ret_n, struct err *ret_err)
{
    int rc = check_names(texts, n, GRANT_PATTERNS_MAX, "grant.", name, arena, ret, ret_err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        for (size_t c = 0; rc == 0 && c < (*ret)[i].len; c++) {
            unsigned char byte = (unsigned char)(*ret)[i].data[c];
            char field[64];
            snprintf(field, sizeof field, "grant.%s", name);
            if (byte < 0x20 || byte == 0x7f)
                rc = err_field(ret_err, field, "a pattern must not hold control characters");
        }
    }
    *ret_n = n;
    return rc;
}

int check_grant(const Joblog__V1__Grant *g, struct arena *arena, struct token_info *t, struct err *ret_err)
{
    if (!g || g->n_roles == 0)
        return err_field(ret_err, "grant.roles", "at least one role is needed");
    t->roles = 0;
    for (size_t i = 0; i < g->n_roles; i++) {
        if (bit_of(g->roles[i]) == 0)
            return err_field(ret_err, "grant.roles", "%d is no role", (int)g->roles[i]);
        t->roles |= bit_of(g->roles[i]);
    }
    t->own_only = g->own_only;
    t->may_delegate = g->may_delegate;
    int rc = check_patterns(g->queues, g->n_queues, "queues", arena, &t->queues, &t->n_queues, ret_err);
    if (rc == 0)
        rc = check_patterns(g->job_names, g->n_job_names, "job_names", arena, &t->job_names, &t->n_job_names, ret_err);
    if (rc == 0)
        rc = check_patterns(g->owners, g->n_owners, "owners", arena, &t->owners, &t->n_owners, ret_err);
    return rc == 0 ? check_text(g->owner, NAME_MAX_BYTES, "grant.", "owner", &t->owner, ret_err) : rc;
}

int check_token_name(const char *name, struct span *ret, struct err *ret_err)
{
    int rc = check_name(name, TOKEN_NAME_MAX_BYTES, "", "name", ret, ret_err);
    for (size_t i = 0; rc == 0 && i < ret->len; i++) {
        if (ret->data[i] <= ' ' || ret->data[i] > '~')
            rc = err_field(ret_err, "name", "a token's name must be printable ASCII without blanks");
    }
    return rc;
}

int check_token_id(const char *id, const char *field, struct span *ret, struct err *ret_err)
{
    struct span s = span_str(id);
    bool good = s.len == TOKEN_ID_LEN;
    for (size_t i = 0; good && i < s.len; i++)
        good = (s.data[i] >= '0' && s.data[i] <= '9') || (s.data[i] >= 'a' && s.data[i] <= 'f');
    if (!good)
        return err_field(ret_err, field, "%s must be %d hexadecimal digits in lower case", field, TOKEN_ID_LEN);
    *ret = s;
    return 0;
}

static bool texts(struct arena *arena, const struct span *list, size_t n, char ***ret, size_t *ret_n)
{
    char **all = arena_alloc(arena, n * sizeof *all);
    if (!all)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!(all[i] = convert_text(arena, list[i])))
            return false;
    }
    *ret = all;
    *ret_n = n;
    return true;
}

Joblog__V1__Grant *convert_grant(struct arena *arena, const struct token_info *t)
{
    Joblog__V1__Grant *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__grant__init(m);
    m->roles = arena_alloc(arena, ROLE_COUNT * sizeof *m->roles);
    for (int i = 0; m->roles && i < ROLE_COUNT; i++) {
        if (t->roles & 1u << i)
            m->roles[m->n_roles++] = (Joblog__V1__Role)(i + 1);
    }
    m->own_only = t->own_only;
    m->may_delegate = t->may_delegate;
    m->owner = convert_text(arena, t->owner);
    return m->roles && m->owner && texts(arena, t->queues, t->n_queues, &m->queues, &m->n_queues) &&
                   texts(arena, t->job_names, t->n_job_names, &m->job_names, &m->n_job_names) &&
                   texts(arena, t->owners, t->n_owners, &m->owners, &m->n_owners)
               ? m
               : NULL;
}

/* 0: absent. False: out of memory. */
static bool time_or_none(struct arena *arena, int64_t us, Google__Protobuf__Timestamp **ret)
{
    *ret = us ? convert_time(arena, us) : NULL;
    return !us || *ret;
}

Joblog__V1__Token *convert_token(struct arena *arena, const struct token_info *t)
{
    Joblog__V1__Token *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__token__init(m);
    m->id = convert_text(arena, t->id);
    m->name = convert_text(arena, t->name);
    m->creator = convert_text(arena, t->creator);
    m->revoker = convert_text(arena, t->revoker);
    m->grant = convert_grant(arena, t);
    return m->id && m->name && m->creator && m->revoker && m->grant &&
                   time_or_none(arena, t->create_us, &m->create_time) &&
                   time_or_none(arena, t->expire_us, &m->expire_time) &&
                   time_or_none(arena, t->last_use_us, &m->last_use_time) &&
                   time_or_none(arena, t->revoke_us, &m->revoke_time)
               ? m
               : NULL;
}
