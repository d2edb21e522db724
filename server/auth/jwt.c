/* See jwt.h. A token is verified once; from then on its SHA-256 finds its identity, until it expires or its key is
 * gone. Only what was verified is remembered, so that forged ones cost a check each and no memory. */
#include "auth/jwt.h"

#include <jansson.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "auth/claims.h"
#include "auth/jwks.h"
#include "auth/known.h"
#include "auth/source.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

struct jwt {
    struct auth_jwt_options options; /* all texts are ours */
    struct source source;
    pthread_rwlock_t lock; /* of keys */
    struct jwks keys;
    struct known known;
};

static int no_memory(struct err *ret_err)
{
    return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

static int load(struct jwt *j, struct jwks *ret, struct err *ret_err)
{
    struct buf text = BUF_INIT;
    int rc = source_read(&j->source, &text, ret_err);
    if (rc == 0)
        rc = jwks_parse(buf_span(&text), ret, ret_err);
    buf_done(&text);
    return rc;
}

static char *copy(const char *text, const char *otherwise)
{
    return mem_strdup(text ? text : otherwise);
}

int jwt_new(const struct auth_jwt_options *o, struct jwt **ret, struct err *ret_err)
{
    if (!o->issuer || !o->audience)
        return err_field(ret_err, o->issuer ? "jwt-audience" : "jwt-issuer",
                         "with jwt-jwks-file, jwt-issuer and jwt-audience must be set");
    struct jwt *j = mem_zalloc(sizeof *j);
    if (!j)
        return no_memory(ret_err);
    pthread_rwlock_init(&j->lock, NULL);
    known_init(&j->known);
    j->source.path = mem_strdup(o->jwks_file);
    j->options = (struct auth_jwt_options){.issuer = copy(o->issuer, ""),
                                           .audience = copy(o->audience, ""),
                                           .roles_claim = copy(o->roles_claim, "joblog_roles"),
                                           .scope_claim = copy(o->scope_claim, "joblog_scope"),
                                           .owner_claim = copy(o->owner_claim, "sub")};
    int rc = 0;
    if (!j->source.path || !j->options.issuer || !j->options.audience || !j->options.roles_claim ||
        !j->options.scope_claim || !j->options.owner_claim)
        rc = no_memory(ret_err);
    else if ((rc = load(j, &j->keys, ret_err)) != 0 && rc != -ERR_RESOURCE_EXHAUSTED) {
        struct err why = *ret_err;
        rc = err_field(ret_err, "jwt-jwks-file", "%s", why.msg);
    }
    if (rc != 0)
        jwt_free(j);
    else
        *ret = j;
    return rc;
}

void jwt_free(struct jwt *j)
{
    if (!j)
        return;
    known_done(&j->known);
    jwks_done(&j->keys);
    pthread_rwlock_destroy(&j->lock);
    mem_free(j->source.path);
    mem_free((char *)j->options.issuer);
    mem_free((char *)j->options.audience);
    mem_free((char *)j->options.roles_claim);
    mem_free((char *)j->options.scope_claim);
    mem_free((char *)j->options.owner_claim);
    mem_free(j);
}

static bool key_is_there(void *user, uint64_t print)
{
    const struct jwks *keys = user;
    for (size_t i = 0; i < keys->n; i++) {
        if (keys->keys[i].print == print)
            return true;
    }
    return false;
}

void jwt_refresh(struct jwt *j)
{
    struct err err = ERR_NONE;
    struct jwks fresh = {0};
    if (!j || !source_changed(&j->source))
        return;
    if (load(j, &fresh, &err) != 0) {
        log_error("keys not loaded, the old ones stay in force file=%s error=\"%s\"", j->source.path, err.msg);
        return;
    }
    pthread_rwlock_wrlock(&j->lock);
    struct jwks old = j->keys;
    j->keys = fresh;
    /* Inside, so that a token which the old keys verified just now is already known. */
    known_drop(&j->known, key_is_there, &j->keys);
    pthread_rwlock_unlock(&j->lock);
    jwks_done(&old);
    log_info("keys loaded file=%s keys=%zu", j->source.path, fresh.n);
}

/* ---- one token ---- */

struct parts {
    struct span header, claims, signature, signed_text; /* in base64url */
};

static bool split(struct span text, struct parts *ret)
{
    const char *end = text.data + text.len;
    const char *first = memchr(text.data, '.', text.len);
    const char *second = first ? memchr(first + 1, '.', (size_t)(end - first) - 1) : NULL;
    if (!second || memchr(second + 1, '.', (size_t)(end - second) - 1))
        return false;
    ret->header = span_of(text.data, (size_t)(first - text.data));
    ret->claims = span_of(first + 1, (size_t)(second - first) - 1);
    ret->signature = span_of(second + 1, (size_t)(end - second) - 1);
    ret->signed_text = span_of(text.data, (size_t)(second - text.data));
    return true;
}

/* Gives the object (json_decref), or NULL. */
static json_t *decode(struct span part)
{
    char room[JWT_MAX_BYTES];
    long len = base64url_decode(part, room);
    json_t *json = len > 0 ? json_loadb(room, (size_t)len, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (json && !json_is_object(json)) {
        json_decref(json);
        json = NULL;
    }
    return json;
}

/* The key that the header names, or NULL. An extension that must be understood (crit) is not. */
static const struct jwk *key_of(const struct jwt *j, const json_t *header)
{
    const char *alg = json_string_value(json_object_get(header, "alg"));
    const json_t *kid = json_object_get(header, "kid");
    if (!alg || json_object_get(header, "crit") || (kid && !json_is_string(kid)))
        return NULL;
    for (enum jwt_algorithm a = 0; a < JWT_ALGORITHMS; a++) {
        if (strcmp(alg, jwt_algorithm_names[a]) == 0)
            return jwks_find(&j->keys, span_of(json_string_value(kid), json_string_length(kid)), a);
    }
    return NULL;
}

/* The signature first: nothing of the claims is looked at before they are known to be the issuer's. */
static enum claims_verdict verify(struct jwt *j, const struct parts *p, int64_t now_us, uint64_t *ret_basis,
                                  struct identity **ret)
{
    char signature[JWT_MAX_BYTES];
    json_t *header = decode(p->header);
    const struct jwk *key = header ? key_of(j, header) : NULL;
    long len = key ? base64url_decode(p->signature, signature) : -1;
    json_t *claims = NULL;
    enum claims_verdict verdict = CLAIMS_WRONG;
    if (len > 0 && jwk_verify(key, p->signed_text, span_of(signature, (size_t)len)) && (claims = decode(p->claims))) {
        *ret_basis = key->print;
        verdict = claims_read(&j->options, claims, now_us, ret);
    }
    json_decref(claims);
    json_decref(header);
    return verdict;
}

static int expired(struct err *ret_err)
{
    return err_set(ret_err, ERR_UNAUTHENTICATED, "TOKEN_EXPIRED", "the token has expired");
}

int jwt_identify(struct jwt *j, struct span text, struct failures *failures, struct span address, struct identity **ret,
                 struct err *ret_err)
{
    uint8_t key[KNOWN_KEY_LEN];
    struct parts parts;
    struct identity *found;
    int64_t now_us = clock_wall_us();
    uint64_t basis = 0;
    enum claims_verdict verdict = CLAIMS_WRONG;
    if (text.len <= JWT_MAX_BYTES && split(text, &parts)) {
        SHA256((const unsigned char *)text.data, text.len, key);
        if ((found = known_find(&j->known, key))) {
            if (identity_is_valid(found, now_us)) {
                *ret = found;
                return 0;
            }
            identity_unref(found);
            return expired(ret_err);
        }
        int rc = failures ? failures_check(failures, address, clock_mono_us(), ret_err) : 0;
        if (rc != 0)
            return rc;
        pthread_rwlock_rdlock(&j->lock);
        verdict = verify(j, &parts, now_us, &basis, &found);
        if (verdict == CLAIMS_GOOD && !(found = known_add(&j->known, key, basis, found)))
            verdict = CLAIMS_NO_MEMORY;
        pthread_rwlock_unlock(&j->lock);
        if (failures && verdict == CLAIMS_WRONG)
            failures_note(failures, address, clock_mono_us());
    }
    switch (verdict) {
    case CLAIMS_GOOD:
        *ret = found;
        return 0;
    case CLAIMS_EXPIRED:
        return expired(ret_err);
    case CLAIMS_NO_MEMORY:
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_IDENTITIES", "too many tokens are in use at a time");
    case CLAIMS_WRONG:
        break;
    }
    return err_set(ret_err, ERR_UNAUTHENTICATED, "TOKEN_NOT_VALID", "the token is not valid");
}
