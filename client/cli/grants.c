/* See grants.h. */
#include "grants.h"

#include "heap.h"

#include <stdlib.h>

enum { ROLES = 5 };

static void add(char **text, const char *separator, const char *more)
{
    char *longer = heap_format("%s%s%s", *text, **text ? separator : "", more);
    free(*text);
    *text = longer;
}

static void add_patterns(char **text, const char *what, const char *const *patterns, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i == 0)
            add(text, "; ", what);
        add(text, i == 0 ? " " : ", ", patterns[i]);
    }
}

char *grant_text(const struct joblog_grant *grant)
{
    char *text = heap_copy("");
    for (unsigned i = 0; i < ROLES; i++) {
        if (grant->roles & 1u << i)
            add(&text, ", ", joblog_role_name(1u << i));
    }
    if (!*text)
        add(&text, "", "no role");
    add_patterns(&text, "queues", grant->queues, grant->n_queues);
    add_patterns(&text, "job names", grant->job_names, grant->n_job_names);
    add_patterns(&text, "owners", grant->owners, grant->n_owners);
    if (*grant->owner) {
        add(&text, "; owner ", grant->owner);
    }
    if (grant->own_only)
        add(&text, "; ", "only its own");
    if (grant->may_delegate)
        add(&text, "; ", "for others too");
    return text;
}

static void set_list(json_t *object, const char *name, const char *const *texts, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_string(texts[i]));
    if (n > 0)
        json_object_set(object, name, list);
    json_decref(list);
}

json_t *json_of_grant(const struct joblog_grant *grant)
{
    const char *roles[ROLES];
    size_t n = 0;
    json_t *object = json_object();
    for (unsigned i = 0; i < ROLES; i++) {
        if (grant->roles & 1u << i)
            roles[n++] = joblog_role_name(1u << i);
    }
    set_list(object, "roles", roles, n);
    set_list(object, "queues", grant->queues, grant->n_queues);
    set_list(object, "job_names", grant->job_names, grant->n_job_names);
    set_list(object, "owners", grant->owners, grant->n_owners);
    if (*grant->owner)
        json_object_set_new(object, "owner", json_string(grant->owner));
    if (grant->own_only)
        json_object_set_new(object, "own_only", json_true());
    if (grant->may_delegate)
        json_object_set_new(object, "may_delegate", json_true());
    return object;
}
