/* See credentials.h. */
#include "credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "client_priv.h"

static const char *env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static bool env_is_true(const char *name)
{
    const char *value = env(name);
    return value && (strcmp(value, "1") == 0 || strcmp(value, "true") == 0 || strcmp(value, "yes") == 0);
}

static struct bearer *bearer_new(const char *token)
{
    static const char start[] = "Bearer ";
    size_t len = sizeof start - 1 + strlen(token);
    struct bearer *b = mem_alloc(sizeof *b + len + 1);
    if (!b)
        return NULL;
    atomic_init(&b->refs, 1);
    b->len = len;
    memcpy(b->text, start, sizeof start - 1);
    memcpy(b->text + sizeof start - 1, token, strlen(token) + 1);
    return b;
}

static void bearer_unref(struct bearer *b)
{
    if (b && atomic_fetch_sub(&b->refs, 1) == 1) {
        explicit_bzero(b->text, b->len);
        mem_free(b);
    }
}

static void forget_text(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    mem_free(text);
}

void login_done(struct login *l)
{
    forget_text(l->token);
    mem_free(l->ca_file);
    mem_free(l->cert_file);
    mem_free(l->key_file);
    mem_free(l->server_name);
    *l = (struct login){0};
}

static int set_text(char **slot, const char *text, struct err *ret_err)
{
    if (text && !*slot && !(*slot = mem_strdup(text)))
        return error_no_memory(ret_err);
    return 0;
}

static int set_token(struct credentials *c, const char *token, struct err *ret_err)
{
    for (const char *at = token; *at; at++) {
        if (*at <= ' ' || *at > '~')
            return err_field(ret_err, "token", "a token is printable ASCII without blanks");
    }
    c->bearer = bearer_new(token);
    return c->bearer ? 0 : error_no_memory(ret_err);
}

static int set_token_file(struct credentials *c, const char *path, struct err *ret_err)
{
    char *token = NULL;
    int rc = token_file_read(path, &token, &c->seen, ret_err);
    if (rc == 0 && (rc = set_token(c, token, ret_err)) == 0)
        rc = set_text(&c->token_file, path, ret_err);
    forget_text(token);
    return rc;
}

static int find_address(struct credentials *c, const char *address, struct err *ret_err)
{
    int rc = 0;
    if (!address || !*address)
        address = env("JOBLOG_SERVER");
    if (!address)
        rc = logins_current(&c->address, ret_err);
    return rc < 0 ? rc : set_text(&c->address, address ? address : "127.0.0.1:7420", ret_err);
}

/* Each thing from the first that gives it. */
static int find_tls(struct credentials *c, const struct joblog_options *o, const struct login *login,
                    struct err *ret_err)
{
    int rc = 0;
    const char *const given[3][4] = {
        {o->ca_file, o->cert_file, o->key_file, o->server_name},
        {env("JOBLOG_TLS_CA"), env("JOBLOG_TLS_CERT"), env("JOBLOG_TLS_KEY"), env("JOBLOG_TLS_SERVER_NAME")},
        {login->ca_file, login->cert_file, login->key_file, login->server_name}};
    char **const slots[4] = {&c->ca_file, &c->cert_file, &c->key_file, &c->server_name};
    for (size_t source = 0; source < 3; source++) {
        for (size_t i = 0; rc == 0 && i < 4; i++)
            rc = set_text(slots[i], given[source][i], ret_err);
    }
    c->tls = o->tls || env_is_true("JOBLOG_TLS") || login->tls || c->ca_file || c->cert_file || c->server_name;
    if (strncmp(c->address, "unix:", 5) == 0)
        c->tls = false;
    if (rc == 0 && !c->cert_file != !c->key_file)
        rc = err_field(ret_err, c->cert_file ? "key_file" : "cert_file",
                       "a client certificate and its key must both be given");
    return rc;
}

static int find_token(struct credentials *c, const struct joblog_options *o, const struct login *login,
                      struct err *ret_err)
{
    char *found;
    int rc = 0;
    if (o->token)
        return set_token(c, o->token, ret_err);
    if (o->token_file)
        return set_token_file(c, o->token_file, ret_err);
    if (o->no_token)
        return 0;
    if (env("JOBLOG_TOKEN_FILE"))
        return set_token_file(c, env("JOBLOG_TOKEN_FILE"), ret_err);
    if (env("JOBLOG_TOKEN"))
        return set_token(c, env("JOBLOG_TOKEN"), ret_err);
    if (login->token)
        return set_token(c, login->token, ret_err);
    if (!c->cert_file && (found = found_token_file(c->address))) {
        rc = set_token_file(c, found, ret_err);
        mem_free(found);
    }
    return rc;
}

int credentials_find(struct credentials *ret, const char *address, const struct joblog_options *o, struct err *ret_err)
{
    struct credentials c = {0};
    struct login login = {0};
    int rc = find_address(&c, address, ret_err);
    if (rc == 0)
        rc = logins_find(c.address, &login, ret_err);
    if (rc >= 0 && (rc = find_tls(&c, o, &login, ret_err)) == 0)
        rc = find_token(&c, o, &login, ret_err);
    if (rc == 0 && c.bearer && !c.tls && !o->allow_plaintext && !env_is_true("JOBLOG_DANGEROUSLY_ALLOW_PLAINTEXT") &&
        address_is_remote(c.address))
        rc = err_set(ret_err, ERR_FAILED_PRECONDITION, "PLAINTEXT_REFUSED",
                     "the token would cross the network unencrypted to %.60s: use TLS (a CA file, or JOBLOG_TLS=1), or "
                     "set JOBLOG_DANGEROUSLY_ALLOW_PLAINTEXT=1",
                     c.address);
    login_done(&login);
    if (rc < 0) {
        credentials_done(&c);
        return rc;
    }
    pthread_mutex_init(&c.lock, NULL);
    *ret = c;
    return 0;
}

void credentials_done(struct credentials *c)
{
    bearer_unref(c->bearer);
    mem_free(c->address);
    mem_free(c->ca_file);
    mem_free(c->cert_file);
    mem_free(c->key_file);
    mem_free(c->server_name);
    mem_free(c->token_file);
    *c = (struct credentials){0};
}

/* Tokens with a short life are replaced in their file. One that cannot be read leaves the last one in use: the server's
 * answer says what is wrong with it. The lock is held. */
static void read_again(struct credentials *c)
{
    struct stat now;
    struct bearer *fresh = NULL;
    char *token = NULL;
    if (stat(c->token_file, &now) != 0 ||
        (now.st_ino == c->seen.st_ino && now.st_mtim.tv_sec == c->seen.st_mtim.tv_sec &&
         now.st_mtim.tv_nsec == c->seen.st_mtim.tv_nsec && now.st_size == c->seen.st_size))
        return;
    if (token_file_read(c->token_file, &token, &now, NULL) == 0 && (fresh = bearer_new(token))) {
        bearer_unref(c->bearer);
        c->bearer = fresh;
        c->seen = now;
    }
    forget_text(token);
}

void call_options_init(struct call_options *ret, struct credentials *c, int64_t timeout_ms)
{
    *ret = (struct call_options){.options = {.timeout_ms = timeout_ms}};
    pthread_mutex_lock(&c->lock);
    if (c->token_file)
        read_again(c);
    if (c->bearer) {
        ret->bearer = c->bearer;
        atomic_fetch_add(&ret->bearer->refs, 1);
    }
    pthread_mutex_unlock(&c->lock);
    if (!ret->bearer)
        return;
    ret->metadata = (struct crpc_metadata){"authorization", span_of(ret->bearer->text, ret->bearer->len)};
    ret->options.metadata = &ret->metadata;
    ret->options.n_metadata = 1;
}

void call_options_done(struct call_options *options)
{
    bearer_unref(options->bearer);
}
