/* JWTs: what is taken, what is not, keys that come and go; and the text of opaque tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/jwt.h"
#include "base/clock.h"
#include "support/jwt_maker.h"

enum { RS, ES, ED, N_KEYS };
static const char *const kinds[N_KEYS] = {"RS256", "ES256", "EdDSA"};
static EVP_PKEY *keys[N_KEYS], *stranger;
static char path[] = "/tmp/joblog-jwks-XXXXXX";
static struct jwt *jwt;
static const struct auth_jwt_options options = {.jwks_file = path, .issuer = "https://id.test", .audience = "joblog"};

static int setup(void **state)
{
    struct err err = ERR_NONE;
    (void)state;
    close(mkstemp(path));
    for (int i = 0; i < N_KEYS; i++)
        keys[i] = jwt_key_new(kinds[i]);
    stranger = jwt_key_new("ES256");
    jwks_write(path, keys, kinds, N_KEYS);
    return jwt_new(&options, &jwt, &err);
}

static int teardown(void **state)
{
    (void)state;
    jwt_free(jwt);
    for (int i = 0; i < N_KEYS; i++)
        EVP_PKEY_free(keys[i]);
    EVP_PKEY_free(stranger);
    return unlink(path);
}

/* Claims that are right, valid from 60 s ago for an hour, and what else is given. */
static const char *claims_with(const char *more)
{
    static char text[12000];
    char rest[11000];
    long now = (long)time(NULL);
    snprintf(rest, sizeof rest, "%s", more);
    snprintf(text, sizeof text,
             "{\"iss\": \"https://id.test\", \"aud\": [\"other\", \"joblog\"], \"sub\": \"mailer\", \"nbf\": %ld, "
             "\"exp\": %ld%s}",
             now - 60, now + 3600, rest);
    return text;
}

static const char *header_of(int key)
{
    static char text[200];
    snprintf(text, sizeof text, "{\"alg\": \"%s\", \"kid\": \"%s\", \"typ\": \"JWT\"}", kinds[key], kinds[key]);
    return text;
}

static struct identity *take(const char *token)
{
    struct identity *identity = NULL;
    struct err err = ERR_NONE;
    if (jwt_identify(jwt, span_str(token), NULL, span_of(NULL, 0), &identity, &err) != 0)
        fail_msg("%s %s", err.reason, err.msg);
    return identity;
}

static void refuse(const char *token, const char *reason)
{
    struct identity *identity = NULL;
    struct err err = ERR_NONE;
    assert_int_equal(jwt_identify(jwt, span_str(token), NULL, span_of(NULL, 0), &identity, &err), -ERR_UNAUTHENTICATED);
    assert_null(identity);
    if (strcmp(err.reason, reason) != 0)
        fail_msg("%s, not %s", err.reason, reason);
}

static void refuse_es(const char *header, const char *claims)
{
    refuse(jwt_make("ES256", keys[ES], header, claims), "TOKEN_NOT_VALID");
}

static void each_algorithm_is_taken(void **state)
{
    (void)state;
    for (int i = 0; i < N_KEYS; i++) {
        const char *claims = claims_with(", \"joblog_roles\": [\"worker\", \"editor\", \"viewer\"]");
        struct identity *identity = take(jwt_make(kinds[i], keys[i], header_of(i), claims));
        assert_true(span_eq(identity->actor, SPAN_LIT("jwt:mailer")));
        assert_true(span_eq(identity->owner, SPAN_LIT("mailer")));
        assert_int_equal(identity->roles, ROLE_WORKER | ROLE_VIEWER);
        assert_int_equal(identity->n_queues, 0);
        assert_false(identity->own_only);
        assert_true(identity->expire_us > 0);
        identity_unref(identity);
    }
    /* Without a kid there is only one that can be meant. */
    identity_unref(take(jwt_make("EdDSA", keys[ED], "{\"alg\": \"EdDSA\"}", claims_with(""))));
}

static void the_same_token_is_the_same_identity(void **state)
{
    (void)state;
    char *token = strdup(jwt_make("ES256", keys[ES], header_of(ES), claims_with("")));
    struct identity *one = take(token), *two = take(token);
    assert_ptr_equal(one, two);
    identity_unref(one);
    identity_unref(two);
    free(token);
}

/* Whoever forges gets no more signatures checked; what was good before is, and others are not held up. */
static void forgers_are_refused_unseen(void **state)
{
    (void)state;
    static struct failures failures;
    const struct span forger = SPAN_LIT("ipv4:10.0.0.1"), other = SPAN_LIT("ipv4:10.0.0.2");
    char *known = strdup(jwt_make("ES256", keys[ES], header_of(ES), claims_with("")));
    char *fresh = strdup(jwt_make("ES256", keys[ES], header_of(ES), claims_with(", \"x\": 1")));
    char *forged = strdup(fresh);
    char *signature = strrchr(forged, '.') + 5;
    struct identity *identity = NULL;
    struct err err = ERR_NONE;
    int rc = -ERR_UNAUTHENTICATED, n = 0;
    *signature = *signature == 'A' ? 'B' : 'A';
    failures_init(&failures);
    identity_unref(take(known));
    for (; rc == -ERR_UNAUTHENTICATED && n < 100 * FAILURES_BURST; n++)
        rc = jwt_identify(jwt, span_str(forged), &failures, forger, &identity, &err);
    assert_int_equal(rc, -ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(err.reason, "TOO_MANY_FAILURES");
    assert_in_range(err.retry_after_ms, 1, 1000);
    assert_true(n > FAILURES_BURST);
    for (int i = 0; i < FAILURES_BURST; i++) /* so that none comes free while the rest is looked at */
        failures_note(&failures, forger, clock_mono_us() + 1000000);
    assert_int_equal(jwt_identify(jwt, span_str(fresh), &failures, forger, &identity, &err), -ERR_RESOURCE_EXHAUSTED);
    assert_int_equal(jwt_identify(jwt, span_str(known), &failures, forger, &identity, &err), 0);
    identity_unref(identity);
    assert_int_equal(jwt_identify(jwt, span_str(fresh), &failures, other, &identity, &err), 0);
    identity_unref(identity);
    assert_int_equal(failures_check(&failures, forger, clock_mono_us() + 60000000, &err), 0); /* it is forgiven */
    failures_done(&failures);
    free(known);
    free(fresh);
    free(forged);
}

static void a_scope_is_read(void **state)
{
    (void)state;
    struct identity *identity = take(jwt_make(
        "ES256", keys[ES], header_of(ES),
        claims_with(", \"joblog_roles\": \"dispatcher  exporter\", \"joblog_scope\": {\"queues\": [\"mail*\", \"sms\"],"
                    " \"job_names\": [\"a\"], \"owners\": [\"ann\"], \"own_only\": true, \"may_delegate\": true}")));
    assert_int_equal(identity->roles, ROLE_DISPATCHER | ROLE_EXPORTER);
    assert_int_equal(identity->n_queues, 2);
    assert_true(span_eq(identity->queues[1], SPAN_LIT("sms")));
    assert_true(span_eq(identity->job_names[0], SPAN_LIT("a")));
    assert_true(span_eq(identity->owners[0], SPAN_LIT("ann")));
    assert_true(identity->own_only && identity->may_delegate);
    identity_unref(identity);
}

/* A limit that is not understood must not count as none. */
static void a_scope_of_another_shape_is_refused(void **state)
{
    static const char *const scopes[] = {"[]",
                                         "\"all\"",
                                         "null",
                                         "{\"queues\": \"mail\"}",
                                         "{\"queues\": []}",
                                         "{\"queues\": [1]}",
                                         "{\"queues\": [\"\"]}",
                                         "{\"queues\": [\"a\\nb\"]}",
                                         "{\"own_only\": 1}",
                                         "{\"queus\": [\"mail\"]}",
                                         "{\"queues\": [\"mail\"], \"ownOnly\": true}",
                                         "{\"may_delegate\": \"true\"}"};
    char more[200];
    (void)state;
    for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++) {
        snprintf(more, sizeof more, ", \"joblog_scope\": %s", scopes[i]);
        refuse_es(header_of(ES), claims_with(more));
    }
    refuse_es(header_of(ES), claims_with(", \"joblog_roles\": {\"admin\": true}"));
    refuse_es(header_of(ES), claims_with(", \"joblog_roles\": [1]"));
}

static void no_other_algorithm(void **state)
{
    static const char *const headers[] = {"{\"alg\": \"none\"}",
                                          "{\"alg\": \"None\", \"kid\": \"ES256\"}",
                                          "{\"kid\": \"ES256\"}",
                                          "{\"alg\": \"\", \"kid\": \"ES256\"}",
                                          "{\"alg\": \"ES384\", \"kid\": \"ES256\"}",
                                          "{\"alg\": \"PS256\", \"kid\": \"RS256\"}",
                                          "{\"alg\": \"ES256\", \"kid\": \"RS256\"}",
                                          "{\"alg\": [\"ES256\"], \"kid\": \"ES256\"}"};
    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        refuse(jwt_make("none", NULL, headers[i], claims_with("")), "TOKEN_NOT_VALID");
        refuse_es(headers[i], claims_with(""));
    }
    /* The public key as a shared secret. */
    refuse(jwt_make("HS256", keys[RS], "{\"alg\": \"HS256\", \"kid\": \"RS256\"}", claims_with("")), "TOKEN_NOT_VALID");
    refuse(jwt_make("HS256", keys[RS], "{\"alg\": \"RS256\", \"kid\": \"RS256\"}", claims_with("")), "TOKEN_NOT_VALID");
}

static void forged_and_unknown(void **state)
{
    (void)state;
    refuse(jwt_make("ES256", stranger, header_of(ES), claims_with("")), "TOKEN_NOT_VALID");
    refuse_es("{\"alg\": \"ES256\", \"kid\": \"other\"}", claims_with(""));
    refuse_es("{\"alg\": \"ES256\", \"kid\": 1}", claims_with(""));
    refuse_es("{\"alg\": \"ES256\", \"kid\": \"ES256\", \"crit\": [\"b64\"], \"b64\": false}", claims_with(""));
    refuse_es("{\"alg\": \"none\", \"alg\": \"ES256\", \"kid\": \"ES256\"}", claims_with(""));
    /* Every byte counts: change one at a time. */
    char *token = strdup(jwt_make("ES256", keys[ES], header_of(ES), claims_with("")));
    for (size_t i = 0; i < strlen(token); i += 3) {
        char was = token[i];
        token[i] = was == 'A' ? 'B' : 'A';
        refuse(token, "TOKEN_NOT_VALID");
        token[i] = was;
    }
    identity_unref(take(token));
    free(token);
}

static void other_issuers_audiences_and_times(void **state)
{
    static const char *const wrong[] = {
        "{\"iss\": \"https://other.test\", \"aud\": \"joblog\", \"sub\": \"m\", \"exp\": 4102444800}",
        "{\"iss\": \"https://id.test/\", \"aud\": \"joblog\", \"sub\": \"m\", \"exp\": 4102444800}",
        "{\"aud\": \"joblog\", \"sub\": \"m\", \"exp\": 4102444800}",
        "{\"iss\": \"https://id.test\", \"aud\": \"other\", \"sub\": \"m\", \"exp\": 4102444800}",
        "{\"iss\": \"https://id.test\", \"aud\": [\"joblog2\", [\"joblog\"]], \"sub\": \"m\", \"exp\": 4102444800}",
        "{\"iss\": \"https://id.test\", \"sub\": \"m\", \"exp\": 4102444800}",
        "{\"iss\": \"https://id.test\", \"aud\": \"joblog\", \"exp\": 4102444800}",
        "{\"iss\": \"https://id.test\", \"aud\": \"joblog\", \"sub\": \"\", \"exp\": 4102444800}",
        "{\"iss\": \"https://id.test\", \"aud\": \"joblog\", \"sub\": \"m\"}",
        "{\"iss\": \"https://id.test\", \"aud\": \"joblog\", \"sub\": \"m\", \"exp\": \"4102444800\"}",
        "{\"iss\": \"https://id.test\", \"aud\": \"joblog\", \"sub\": \"m\", \"exp\": 1e300}",
        "{\"iss\": \"https://id.test\", \"aud\": \"joblog\", \"sub\": \"m\", \"exp\": 4102444800, \"nbf\": 4102444000}",
        "[]",
        "null",
        ""};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refuse_es(header_of(ES), wrong[i]);
    refuse(jwt_make("ES256", keys[ES], header_of(ES),
                    "{\"iss\": \"https://id.test\", \"aud\": \"joblog\", \"sub\": \"m\", \"exp\": 1000000000}"),
           "TOKEN_EXPIRED");
    /* Genuine first, then expired: a forged one does not learn that much. */
    refuse(jwt_make("ES256", stranger, header_of(ES),
                    "{\"iss\": \"https://id.test\", \"aud\": \"joblog\", \"sub\": \"m\", \"exp\": 1000000000}"),
           "TOKEN_NOT_VALID");
}

static void texts_that_are_no_token(void **state)
{
    static const char *const texts[] = {".",   "..",       "a.b",   "a.b.c",       "a.b.c.d",
                                        "...", "e30.e30.", "!.!.!", "e30=.e30=.AA"};
    char *token, long_one[JWT_MAX_BYTES + 2];
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        refuse(texts[i], "TOKEN_NOT_VALID");
    memset(long_one, 'A', sizeof long_one);
    long_one[10] = long_one[20] = '.';
    long_one[sizeof long_one - 1] = '\0';
    refuse(long_one, "TOKEN_NOT_VALID");
    /* Genuine, and too long. */
    char *more = malloc(10000);
    memset(more, 'x', 10000);
    memcpy(more, ", \"x\": \"", 8);
    memcpy(more + 9990, "\"", 2);
    token = strdup(jwt_make("ES256", keys[ES], header_of(ES), claims_with(more)));
    assert_true(strlen(token) > JWT_MAX_BYTES);
    refuse(token, "TOKEN_NOT_VALID");
    free(token);
    free(more);
}

/* The issuer changes its keys: both are valid for a while, then only the new one. */
static void keys_come_and_go(void **state)
{
    (void)state;
    char *old = strdup(jwt_make("ES256", keys[ES], header_of(ES), claims_with(", \"x\": 1")));
    char *fresh = strdup(jwt_make("ES256", stranger, "{\"alg\": \"ES256\", \"kid\": \"new\"}", claims_with("")));
    struct identity *held = take(old), *held_new;
    refuse(fresh, "TOKEN_NOT_VALID");
    EVP_PKEY *both[] = {keys[ES], stranger};
    jwks_write(path, both, (const char *const[]){"ES256", "new"}, 2);
    jwt_refresh(jwt);
    held_new = take(fresh);
    assert_true(identity_is_valid(held, 0));
    /* A file that cannot be used changes nothing. */
    FILE *f = fopen(path, "w");
    fputs("{\"keys\": [", f);
    fclose(f);
    jwt_refresh(jwt);
    identity_unref(take(old));
    jwks_write(path, &stranger, (const char *const[]){"new"}, 1);
    jwt_refresh(jwt);
    assert_true(atomic_load(&held->revoked));
    assert_false(atomic_load(&held_new->revoked));
    refuse(old, "TOKEN_NOT_VALID");
    identity_unref(take(fresh));
    identity_unref(held);
    identity_unref(held_new);
    free(old);
    free(fresh);
    jwks_write(path, keys, kinds, N_KEYS);
    jwt_refresh(jwt);
}

static void claims_have_other_names(void **state)
{
    struct auth_jwt_options other = options;
    struct jwt *was = jwt;
    struct err err = ERR_NONE;
    (void)state;
    other.roles_claim = "/realm_access/the~1roles";
    other.owner_claim = "tenant";
    assert_int_equal(jwt_new(&other, &jwt, &err), 0);
    struct identity *identity =
        take(jwt_make("ES256", keys[ES], header_of(ES),
                      claims_with(", \"tenant\": \"acme\", \"realm_access\": {\"the/roles\": [\"viewer\"]}, "
                                  "\"joblog_roles\": [\"admin\"]")));
    assert_int_equal(identity->roles, ROLE_VIEWER);
    assert_true(span_eq(identity->owner, SPAN_LIT("acme")));
    identity_unref(identity);
    refuse_es(header_of(ES), claims_with("")); /* no tenant */
    jwt_free(jwt);
    jwt = was;
}

static void files_that_are_no_keys(void **state)
{
    static const char *const texts[] = {
        "",
        "{}",
        "[]",
        "{\"keys\": []}",
        "{\"keys\": {}}",
        "{\"keys\": [{\"kty\": \"RSA\", \"n\": \"AQAB\", \"e\": \"AQAB\"}]}",
        "{\"keys\": [{\"kty\": \"EC\", \"crv\": \"P-256\", \"x\": \"AA\", \"y\": \"AA\"}]}"};
    char other[] = "/tmp/joblog-jwks-XXXXXX";
    struct auth_jwt_options o = options;
    (void)state;
    close(mkstemp(other));
    o.jwks_file = other;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct jwt *none = NULL;
        struct err err = ERR_NONE;
        FILE *f = fopen(other, "w");
        fputs(texts[i], f);
        fclose(f);
        assert_int_equal(jwt_new(&o, &none, &err), -ERR_INVALID_ARGUMENT);
        assert_string_equal(err.field, "jwt-jwks-file");
    }
    unlink(other);
}

static void the_text_of_tokens(void **state)
{
    struct token_text one, two, back;
    struct err err = ERR_NONE;
    (void)state;
    assert_int_equal(token_make(&one, &err), 0);
    assert_int_equal(token_make(&two, &err), 0);
    assert_int_equal(strlen(one.text), TOKEN_TEXT_LEN);
    assert_int_equal(strncmp(one.text, "jlt_", 4), 0);
    assert_string_not_equal(one.text, two.text);
    assert_string_not_equal(one.id, two.id);
    assert_true(token_parse(span_str(one.text), &back));
    assert_string_equal(back.id, one.id);
    assert_memory_equal(back.hash, one.hash, TOKEN_HASH_LEN);
    assert_false(token_parse(span_of(one.text, TOKEN_TEXT_LEN - 1), &back));
    for (size_t i = 0; i < TOKEN_TEXT_LEN; i++) {
        char was = one.text[i];
        one.text[i] = '.';
        assert_false(token_parse(span_str(one.text), &back));
        one.text[i] = was;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_algorithm_is_taken),
        cmocka_unit_test(the_same_token_is_the_same_identity),
        cmocka_unit_test(forgers_are_refused_unseen),
        cmocka_unit_test(a_scope_is_read),
        cmocka_unit_test(a_scope_of_another_shape_is_refused),
        cmocka_unit_test(no_other_algorithm),
        cmocka_unit_test(forged_and_unknown),
        cmocka_unit_test(other_issuers_audiences_and_times),
        cmocka_unit_test(texts_that_are_no_token),
        cmocka_unit_test(keys_come_and_go),
        cmocka_unit_test(claims_have_other_names),
        cmocka_unit_test(files_that_are_no_keys),
        cmocka_unit_test(the_text_of_tokens),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
