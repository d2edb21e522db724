/* See auth.h. The thread polls for tokens once a second and tells the database once a minute when they were used; it is
 * the only one that talks to the store after the start. Callers of auth_identify only look into memory. */
#include "auth/auth_priv.h"

#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "auth/make.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#define POLL_US  INT64_C(1000000)  /* how late a revocation on another replica is known */
#define ASKED_US INT64_C(200000)   /* the least time between two looks for unknown tokens, whoever floods with them */
#define TELL_US  INT64_C(60000000) /* last uses are for people: a minute is exact enough */
#define FRESH_US INT64_C(10000000)
#define KEEP_US  (INT64_C(90) * 86400 * 1000000) /* how long a token that has ended can still be listed */
enum { TELL_MAX = 1000 };                        /* uses told at a time */

static int no_memory(struct err *ret_err)
{
    return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

static int load_tokens(struct auth *a, struct err *ret_err)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    uint64_t changes = tokens_changes(&a->tokens);
    struct store_token_load cmd = {
        .cmd = {.op = STORE_TOKEN_LOAD}, .version = a->version, .now_us = clock_wall_us(), .arena = &arena};
    int rc = ask_store(a->store, &cmd.cmd, ret_err);
    /* What could not be taken over is loaded once more at the next look. */
    if (rc == 0 && cmd.changed)
        a->version = tokens_replace(&a->tokens, cmd.tokens, cmd.n_tokens, changes) ? cmd.version : 0;
    a->loaded_us = clock_mono_us();
    if (rc == 0)
        atomic_store(&a->fresh_us, a->loaded_us);
    arena_done(&arena);
    return rc;
}

static void tell_uses(struct auth *a)
{
    struct err err = ERR_NONE;
    struct arena arena;
    struct span ids[TELL_MAX];
    int64_t times[TELL_MAX];
    size_t n;
    do {
        arena_init(&arena, NULL, 0, 0);
        n = tokens_take_used(&a->tokens, &arena, ids, times, TELL_MAX);
        struct store_token_used cmd = {.cmd = {.op = STORE_TOKEN_USED},
                                       .ids = ids,
                                       .times_us = times,
                                       .n = n,
                                       .purge_us = clock_wall_us() - KEEP_US};
        if (ask_store(a->store, &cmd.cmd, &err) != 0) {
            log_warning("last uses of tokens not written n=%zu error=\"%s\"", n, err.msg);
            n = 0;
        }
        arena_done(&arena);
    } while (n == TELL_MAX);
    a->told_us = clock_mono_us();
}

static void look(struct auth *a)
{
    struct err err = ERR_NONE;
    int rc = load_tokens(a, &err);
    if (rc != 0 && !a->failing)
        log_warning("tokens not loaded, those known stay valid error=\"%s\"", err.msg);
    else if (rc == 0 && a->failing)
        log_info("tokens loaded again");
    a->failing = rc != 0;
    jwt_refresh(a->jwt);
    rules_refresh(a->rules);
    if (rc == 0 && clock_mono_us() - a->told_us > TELL_US)
        tell_uses(a);
}

/* Until the next look is due, or somebody needs one. False: the end. */
static bool rest(struct auth *a)
{
    bool go_on;
    pthread_mutex_lock(&a->lock);
    for (;;) {
        int64_t now = clock_mono_us(), due = a->loaded_us + (a->hurry ? ASKED_US : POLL_US);
        if (a->stopping || now >= due)
            break;
        struct timespec until = {.tv_sec = due / 1000000, .tv_nsec = due % 1000000 * 1000};
        pthread_cond_timedwait(&a->wake, &a->lock, &until);
    }
    a->hurry = false;
    atomic_store(&a->asked, false);
    go_on = !a->stopping;
    pthread_mutex_unlock(&a->lock);
    return go_on;
}

static void *thread_main(void *arg)
{
    struct auth *a = arg;
    while (rest(a))
        look(a);
    tell_uses(a);
    return NULL;
}

/* At most one wake-up for all that come before the next look. */
static void ask_for_a_look(struct auth *a)
{
    if (atomic_exchange(&a->asked, true))
        return;
    pthread_mutex_lock(&a->lock);
    a->hurry = true;
    pthread_cond_signal(&a->wake);
    pthread_mutex_unlock(&a->lock);
}

static int start_parts(struct auth *a, const struct auth_options *o, struct err *ret_err)
{
    int rc = 0;
    if (o->off) {
        a->everybody = identity_make(&(struct identity_spec){
            .actor = SPAN_LIT("anonymous"), .owner = SPAN_LIT("anonymous"), .roles = ROLE_ADMIN, .may_delegate = true});
        if (!a->everybody)
            return no_memory(ret_err);
    }
    if (o->admin_token_file && !o->off)
        rc = admin_token_ensure(o->store, o->admin_token_file, ret_err);
    if (rc == 0 && o->jwt.jwks_file)
        rc = jwt_new(&o->jwt, &a->jwt, ret_err);
    if (rc == 0 && o->certificate_rules)
        rc = rules_new(o->certificate_rules, &a->rules, ret_err);
    if (rc == 0)
        rc = load_tokens(a, ret_err);
    return rc;
}

struct auth *auth_new(const struct auth_options *options, struct err *ret_err)
{
    struct auth *a = mem_zalloc(sizeof *a);
    pthread_condattr_t attr;
    if (!a) {
        no_memory(ret_err);
        return NULL;
    }
    a->store = options->store;
    tokens_init(&a->tokens);
    failures_init(&a->failures);
    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->wake, &attr);
    pthread_condattr_destroy(&attr);
    a->told_us = clock_mono_us();
    if (start_parts(a, options, ret_err) != 0)
        goto fail;
    if (pthread_create(&a->thread, NULL, thread_main, a) != 0) {
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "cannot start a thread");
        goto fail;
    }
    a->has_thread = true;
    return a;
fail:
    auth_free(a);
    return NULL;
}

void auth_stop(struct auth *a)
{
    if (!a || !a->has_thread)
        return;
    pthread_mutex_lock(&a->lock);
    a->stopping = true;
    pthread_cond_signal(&a->wake);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    a->has_thread = false;
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    jwt_free(a->jwt);
    rules_free(a->rules);
    tokens_done(&a->tokens);
    failures_done(&a->failures);
    identity_unref(a->everybody);
    pthread_cond_destroy(&a->wake);
    pthread_mutex_destroy(&a->lock);
    mem_free(a);
}

static int not_valid(struct err *ret_err)
{
    return err_set(ret_err, ERR_UNAUTHENTICATED, "TOKEN_NOT_VALID", "the token is not valid");
}

static int by_token(struct auth *a, struct span bearer, struct identity **ret, struct err *ret_err)
{
    switch (tokens_find(&a->tokens, bearer, clock_wall_us(), ret)) {
    case TOKEN_GOOD:
        return 0;
    case TOKEN_EXPIRED:
        return err_set(ret_err, ERR_UNAUTHENTICATED, "TOKEN_EXPIRED", "the token has expired");
    case TOKEN_UNKNOWN:
        ask_for_a_look(a); /* perhaps another replica has just made it */
        break;
    case TOKEN_WRONG:
        break;
    }
    return not_valid(ret_err);
}

int auth_identify(struct auth *a, const struct auth_evidence *e, struct identity **ret, struct err *ret_err)
{
    if (a->everybody) {
        *ret = identity_ref(a->everybody);
        return 0;
    }
    if (e->bearer.len >= 4 && memcmp(e->bearer.data, "jlt_", 4) == 0)
        return by_token(a, e->bearer, ret, ret_err);
    if (e->bearer.len > 0)
        return a->jwt ? jwt_identify(a->jwt, e->bearer, &a->failures, e->address, ret, ret_err) : not_valid(ret_err);
    if (e->n_uris > 0 || e->n_dns_names > 0) {
        if (a->rules)
            return rules_identify(a->rules, e, ret, ret_err);
        return err_set(ret_err, ERR_UNAUTHENTICATED, "CERTIFICATE_NOT_KNOWN",
                       "no rule of the server says who this certificate is");
    }
    return err_set(ret_err, ERR_UNAUTHENTICATED, "CREDENTIALS_MISSING",
                   "a token is needed: metadata \"authorization: Bearer TOKEN\"");
}

bool auth_is_fresh(const struct auth *a)
{
    return clock_mono_us() - atomic_load(&a->fresh_us) < FRESH_US;
}

bool auth_is_off(const struct auth *a)
{
    return a->everybody != NULL;
}

void auth_token_made(struct auth *a, const struct token_info *token)
{
    if (a && !tokens_add(&a->tokens, token))
        ask_for_a_look(a);
}

void auth_token_revoked(struct auth *a, struct span id)
{
    if (a)
        tokens_remove(&a->tokens, id);
}
