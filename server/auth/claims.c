/* See claims.h. What is there and has a wrong shape is refused: a scope that was not understood must not count as none.
 */
#include "auth/claims.h"

#include <math.h>
#include <string.h>

#include "auth/jwt.h"
#include "auth/make.h"
#include "core/rights.h"

bool text_read(const json_t *value, struct span *ret)
{
    struct span s = span_of(json_string_value(value), json_string_length(value));
    if (!s.data || s.len == 0 || s.len > SCOPE_TEXT_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.data[i] < 0x20 || s.data[i] == 0x7f)
            return false;
    }
    *ret = s;
    return true;
}

static bool list_read(const json_t *object, const char *name, struct span *list, size_t *ret_n)
{
    const json_t *value = json_object_get(object, name), *item;
    size_t i;
    if (!value)
        return true;
    if (!json_is_array(value) || json_array_size(value) > SCOPE_LIST_MAX)
        return false;
    /* An empty list would mean "all" to the identity, and "none" to most readers. */
    if (json_array_size(value) == 0)
        return false;
    json_array_foreach(value, i, item)
    {
        if (!text_read(item, &list[i]))
            return false;
    }
    *ret_n = i;
    return true;
}

static bool flag_read(const json_t *object, const char *name, bool *ret)
{
    const json_t *value = json_object_get(object, name);
    if (value && !json_is_boolean(value))
        return false;
    *ret = json_is_true(value);
    return true;
}

bool scope_read(const json_t *object, struct scope *ret)
{
    return json_is_object(object) && list_read(object, "queues", ret->queues, &ret->n_queues) &&
           list_read(object, "job_names", ret->job_names, &ret->n_job_names) &&
           list_read(object, "owners", ret->owners, &ret->n_owners) && flag_read(object, "own_only", &ret->own_only) &&
           flag_read(object, "may_delegate", &ret->may_delegate);
}

/* Nothing but what scope_read knows: a misspelt limit would be none. */
static bool has_only_limits(const json_t *object)
{
    static const char *const names[] = {"queues", "job_names", "owners", "own_only", "may_delegate"};
    for (void *at = json_object_iter((json_t *)object); at; at = json_object_iter_next((json_t *)object, at)) {
        bool known = false;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            known = known || strcmp(json_object_iter_key(at), names[i]) == 0;
        if (!known)
            return false;
    }
    return true;
}

static bool add_role(struct span name, bool strict, unsigned *roles)
{
    unsigned role = role_parse(name);
    *roles |= role;
    return role != 0 || !strict;
}

bool roles_read(const json_t *value, bool strict, unsigned *ret)
{
    unsigned roles = 0;
    const json_t *item;
    size_t i;
    bool good = json_is_array(value) || json_is_string(value);
    json_array_foreach(value, i, item)
    {
        good = good && json_is_string(item) &&
               add_role(span_of(json_string_value(item), json_string_length(item)), strict, &roles);
    }
    for (const char *at = json_string_value(value); good && at && *at;) {
        size_t len = strcspn(at, " ");
        good = len == 0 || add_role(span_of(at, len), strict, &roles);
        at += len + strspn(at + len, " ");
    }
    if (good)
        *ret = roles;
    return good;
}

/* A member by its name, or by a JSON pointer to it (RFC 6901) when the name begins with '/'. */
static const json_t *claim(const json_t *claims, const char *name)
{
    char part[SCOPE_TEXT_MAX];
    if (*name != '/')
        return json_object_get(claims, name);
    while (claims && *name == '/') {
        size_t n = 0;
        for (name++; *name && *name != '/'; name++) {
            if (n + 1 >= sizeof part)
                return NULL;
            part[n] = *name;
            if (*name == '~' && (name[1] == '0' || name[1] == '1'))
                part[n] = *++name == '0' ? '~' : '/';
            n++;
        }
        part[n] = '\0';
        claims = json_object_get(claims, part);
    }
    return claims;
}

static bool has_audience(const json_t *aud, const char *audience)
{
    const json_t *item;
    size_t i;
    if (json_is_string(aud))
        return strcmp(json_string_value(aud), audience) == 0;
    json_array_foreach(aud, i, item)
    {
        if (json_is_string(item) && strcmp(json_string_value(item), audience) == 0)
            return true;
    }
    return false;
}

/* A NumericDate in microseconds; false: none, or one that no calendar has. */
static bool date(const json_t *value, int64_t *ret_us)
{
    double seconds = json_number_value(value);
    if (!json_is_number(value) || !isfinite(seconds) || seconds < 0 || seconds > 253402300799.0)
        return false;
    *ret_us = (int64_t)(seconds * 1e6);
    return true;
}

static enum claims_verdict check_time(const json_t *claims, int64_t now_us, int64_t *ret_expire_us)
{
    const int64_t leeway_us = JWT_LEEWAY_S * INT64_C(1000000);
    const json_t *nbf = json_object_get(claims, "nbf");
    int64_t exp_us, nbf_us = 0;
    if (!date(json_object_get(claims, "exp"), &exp_us) || (nbf && !date(nbf, &nbf_us)) || nbf_us - leeway_us > now_us)
        return CLAIMS_WRONG;
    *ret_expire_us = exp_us + leeway_us;
    return now_us < *ret_expire_us ? CLAIMS_GOOD : CLAIMS_EXPIRED;
}

enum claims_verdict claims_read(const struct auth_jwt_options *o, const json_t *claims, int64_t now_us,
                                struct identity **ret)
{
    const json_t *issuer = json_object_get(claims, "iss"), *roles = claim(claims, o->roles_claim);
    const json_t *scope = claim(claims, o->scope_claim);
    struct identity_spec spec = {.actor_kind = SPAN_LIT("jwt:")};
    struct scope s = {.n_queues = 0};
    if (!json_is_string(issuer) || strcmp(json_string_value(issuer), o->issuer) != 0 ||
        !has_audience(json_object_get(claims, "aud"), o->audience) ||
        !text_read(json_object_get(claims, "sub"), &spec.actor) ||
        !text_read(claim(claims, o->owner_claim), &spec.owner) || (roles && !roles_read(roles, false, &spec.roles)) ||
        (scope && (!scope_read(scope, &s) || !has_only_limits(scope))))
        return CLAIMS_WRONG;
    enum claims_verdict verdict = check_time(claims, now_us, &spec.expire_us);
    if (verdict != CLAIMS_GOOD)
        return verdict;
    spec.queues = s.queues;
    spec.n_queues = s.n_queues;
    spec.job_names = s.job_names;
    spec.n_job_names = s.n_job_names;
    spec.owners = s.owners;
    spec.n_owners = s.n_owners;
    spec.own_only = s.own_only;
    spec.may_delegate = s.may_delegate;
    *ret = identity_make(&spec);
    return *ret ? CLAIMS_GOOD : CLAIMS_NO_MEMORY;
}
