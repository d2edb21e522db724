/* See rules.h. The rules are a file and not rows: they change with the deployment that issues the certificates, and
 * must be there before anybody could call to make them. The form of the file is in docs/access.md. */
#include "auth/rules.h"

#include <jansson.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "auth/claims.h"
#include "auth/known.h"
#include "auth/make.h"
#include "auth/source.h"
#include "base/alloc.h"
#include "base/log.h"
#include "core/scope.h"

enum {
    RULES_MAX = 1000, /* tried one after the other, once for each name */
    NAMES_MAX = 16    /* of a kind in a certificate; those after them do not count, as each call tries them */
};

struct rule {
    bool is_dns;
    struct span pattern; /* borrows from the JSON, as all texts below */
    struct span owner;   /* empty: the name itself */
    unsigned roles;
    struct scope scope;
    uint64_t print; /* of its text: the same rule in a changed file is the same */
};

struct rule_set {
    json_t *root;
    struct rule *rules;
    size_t n;
};

struct rules {
    struct source source;
    pthread_rwlock_t lock; /* of set */
    struct rule_set set;
    struct known known;
};

static int no_memory(struct err *ret_err)
{
    return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

static void set_done(struct rule_set *s)
{
    mem_free(s->rules);
    json_decref(s->root);
    *s = (struct rule_set){0};
}

/* Everything that stands in a rule must be known, or a misspelt limit would be none. */
static const char *stranger(const json_t *rule)
{
    static const char *const names[] = {"uri",       "dns",    "roles",    "owner",       "queues",
                                        "job_names", "owners", "own_only", "may_delegate"};
    for (void *at = json_object_iter((json_t *)rule); at; at = json_object_iter_next((json_t *)rule, at)) {
        bool known = false;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            known = known || strcmp(json_object_iter_key(at), names[i]) == 0;
        if (!known)
            return json_object_iter_key(at);
    }
    return NULL;
}

static int read_rule(const json_t *json, size_t i, struct rule *r, struct err *ret_err)
{
    const json_t *uri = json_object_get(json, "uri"), *dns = json_object_get(json, "dns");
    const json_t *owner = json_object_get(json, "owner");
    const char *wrong = stranger(json);
    if (wrong)
        return err_set(ret_err, ERR_INVALID_ARGUMENT, NULL, "rule %zu: no such member as \"%.40s\"", i + 1, wrong);
    if (!json_is_object(json) || !uri == !dns || !text_read(uri ? uri : dns, &r->pattern))
        return err_set(ret_err, ERR_INVALID_ARGUMENT, NULL,
                       "rule %zu: needs either \"uri\" or \"dns\", a text of at most %d bytes", i + 1, SCOPE_TEXT_MAX);
    if (!roles_read(json_object_get(json, "roles"), true, &r->roles) || r->roles == 0)
        return err_set(ret_err, ERR_INVALID_ARGUMENT, NULL,
                       "rule %zu: \"roles\" must be an array of roles: admin, dispatcher, worker, viewer, exporter",
                       i + 1);
    if ((owner && !text_read(owner, &r->owner)) || !scope_read(json, &r->scope))
        return err_set(ret_err, ERR_INVALID_ARGUMENT, NULL,
                       "rule %zu: owner must be a text; queues, job_names and owners arrays of texts that are not "
                       "empty; own_only and may_delegate true or false",
                       i + 1);
    r->is_dns = dns != NULL;
    for (size_t c = 0; r->is_dns && c < r->pattern.len; c++) {
        if (r->pattern.data[c] >= 'A' && r->pattern.data[c] <= 'Z')
            return err_set(ret_err, ERR_INVALID_ARGUMENT, NULL, "rule %zu: write the DNS name in lower case", i + 1);
    }
    unsigned char hash[SHA256_DIGEST_LENGTH];
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text)
        return no_memory(ret_err);
    SHA256((const unsigned char *)text, strlen(text), hash);
    memcpy(&r->print, hash, sizeof r->print);
    free(text);
    return 0;
}

static int parse(struct span text, struct rule_set *ret, struct err *ret_err)
{
    json_error_t problem;
    struct rule_set s = {.root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &problem)};
    json_t *list, *rule;
    size_t i;
    int rc = 0;
    if (!s.root)
        return err_set(ret_err, ERR_INVALID_ARGUMENT, NULL, "not JSON: %.100s, line %d", problem.text, problem.line);
    list = json_object_get(s.root, "rules");
    if (!json_is_array(list) || json_array_size(list) > RULES_MAX)
        rc = err_set(ret_err, ERR_INVALID_ARGUMENT, NULL, "\"rules\" must be an array of at most %d", RULES_MAX);
    else if (!(s.rules = mem_zalloc((json_array_size(list) + 1) * sizeof *s.rules)))
        rc = no_memory(ret_err);
    json_array_foreach(list, i, rule)
    {
        if (rc == 0)
            rc = read_rule(rule, i, &s.rules[s.n++], ret_err);
    }
    if (rc != 0)
        set_done(&s);
    else
        *ret = s;
    return rc;
}

static int load(struct rules *r, struct rule_set *ret, struct err *ret_err)
{
    struct buf text = BUF_INIT;
    int rc = source_read(&r->source, &text, ret_err);
    if (rc == 0)
        rc = parse(buf_span(&text), ret, ret_err);
    buf_done(&text);
    return rc;
}

int rules_new(const char *path, struct rules **ret, struct err *ret_err)
{
    struct rules *r = mem_zalloc(sizeof *r);
    int rc;
    if (!r)
        return no_memory(ret_err);
    pthread_rwlock_init(&r->lock, NULL);
    known_init(&r->known);
    r->source.path = mem_strdup(path);
    rc = r->source.path ? load(r, &r->set, ret_err) : no_memory(ret_err);
    if (rc != 0 && rc != -ERR_RESOURCE_EXHAUSTED) {
        struct err why = *ret_err;
        rc = err_field(ret_err, "certificate-rules", "%s", why.msg);
    }
    if (rc != 0)
        rules_free(r);
    else
        *ret = r;
    return rc;
}

void rules_free(struct rules *r)
{
    if (!r)
        return;
    known_done(&r->known);
    set_done(&r->set);
    pthread_rwlock_destroy(&r->lock);
    mem_free(r->source.path);
    mem_free(r);
}

/* A rule that was moved, or that others came before, may decide otherwise for the same name: only when all rules are as
 * they were, in their order, does an identity stand. */
static bool nothing_stands(void *user, uint64_t basis)
{
    (void)user;
    (void)basis;
    return false;
}

static bool same_rules(const struct rule_set *a, const struct rule_set *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = a->rules[i].print == b->rules[i].print;
    return same;
}

void rules_refresh(struct rules *r)
{
    struct err err = ERR_NONE;
    struct rule_set fresh = {0};
    if (!r || !source_changed(&r->source))
        return;
    if (load(r, &fresh, &err) != 0) {
        log_error("rules for certificates not loaded, the old ones stay in force file=%s error=\"%s\"", r->source.path,
                  err.msg);
        return;
    }
    pthread_rwlock_wrlock(&r->lock);
    struct rule_set old = r->set;
    r->set = fresh;
    if (!same_rules(&old, &fresh))
        known_drop(&r->known, nothing_stands, NULL);
    pthread_rwlock_unlock(&r->lock);
    set_done(&old);
    log_info("rules for certificates loaded file=%s rules=%zu", r->source.path, fresh.n);
}

/* Printable ASCII, as URIs and names of hosts are. A zero byte, or one that no terminal shows, could make a name look
 * like another one wherever it is written down. */
static bool is_name(struct span name)
{
    if (name.len == 0 || name.len > SCOPE_TEXT_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] <= ' ' || name.data[i] > '~')
            return false;
    }
    return true;
}

/* Names of hosts know no case (RFC 4343). */
static struct span lower(struct span name, char room[SCOPE_TEXT_MAX])
{
    for (size_t i = 0; i < name.len; i++)
        room[i] = name.data[i] >= 'A' && name.data[i] <= 'Z' ? (char)(name.data[i] - 'A' + 'a') : name.data[i];
    return span_of(room, name.len);
}

/* The name may lie in room. */
static const struct rule *find_among(const struct rule_set *s, bool is_dns, const struct span *names, size_t n,
                                     char room[SCOPE_TEXT_MAX], struct span *ret_name)
{
    n = n < NAMES_MAX ? n : NAMES_MAX;
    for (size_t r = 0; r < s->n; r++) {
        for (size_t i = 0; s->rules[r].is_dns == is_dns && i < n; i++) {
            if (!is_name(names[i]))
                continue;
            struct span name = is_dns ? lower(names[i], room) : names[i];
            if (pattern_matches(s->rules[r].pattern, name)) {
                *ret_name = name;
                return &s->rules[r];
            }
        }
    }
    return NULL;
}

static const struct rule *find(const struct rule_set *s, const struct auth_evidence *e, char room[SCOPE_TEXT_MAX],
                               struct span *ret_name)
{
    const struct rule *r = find_among(s, false, e->uris, e->n_uris, room, ret_name);
    return r ? r : find_among(s, true, e->dns_names, e->n_dns_names, room, ret_name);
}

static struct identity *make(const struct rule *r, struct span name)
{
    return identity_make(&(struct identity_spec){.actor_kind = r->is_dns ? SPAN_LIT("dns:") : SPAN_LIT(""),
                                                 .actor = name,
                                                 .owner = r->owner.len ? r->owner : name,
                                                 .roles = r->roles,
                                                 .queues = r->scope.queues,
                                                 .n_queues = r->scope.n_queues,
                                                 .job_names = r->scope.job_names,
                                                 .n_job_names = r->scope.n_job_names,
                                                 .owners = r->scope.owners,
                                                 .n_owners = r->scope.n_owners,
                                                 .own_only = r->scope.own_only,
                                                 .may_delegate = r->scope.may_delegate});
}

static void key_of(const struct rule *r, struct span name, uint8_t key[KNOWN_KEY_LEN])
{
    char text[SCOPE_TEXT_MAX + 1];
    text[0] = r->is_dns ? 'd' : 'u';
    memcpy(text + 1, name.data, name.len);
    SHA256((const unsigned char *)text, name.len + 1, key);
}

int rules_identify(struct rules *rules, const struct auth_evidence *e, struct identity **ret, struct err *ret_err)
{
    uint8_t key[KNOWN_KEY_LEN];
    char room[SCOPE_TEXT_MAX];
    struct identity *found = NULL;
    struct span name;
    int rc = 0;
    pthread_rwlock_rdlock(&rules->lock);
    const struct rule *r = find(&rules->set, e, room, &name);
    if (!r) {
        rc = err_set(ret_err, ERR_UNAUTHENTICATED, "CERTIFICATE_NOT_KNOWN",
                     "no rule of the server says who this certificate is");
    } else {
        key_of(r, name, key);
        found = known_find(&rules->known, key);
        if (!found && (found = make(r, name)))
            found = known_add(&rules->known, key, r->print, found);
        if (!found)
            rc = err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_IDENTITIES",
                         "too many certificates are in use at a time");
    }
    pthread_rwlock_unlock(&rules->lock);
    if (rc == 0)
        *ret = found;
    return rc;
}
