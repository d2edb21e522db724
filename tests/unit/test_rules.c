/* Who a client certificate is: which rule counts, and names that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/rules.h"

#define L SPAN_LIT

static char path[] = "/tmp/joblog-rules-XXXXXX";
static struct rules *rules;

static const char text[] = "{\"rules\": [{\"uri\": \"spiffe://a.test/ops/*\", \"roles\": [\"admin\"]},\n"
                           " {\"uri\": \"spiffe://a.test/*\", \"roles\": [\"viewer\"]},\n"
                           " {\"dns\": \"*.ops.test\", \"roles\": [\"worker\"], \"owner\": \"ops\"}]}\n";

static int setup(void **state)
{
    struct err err = ERR_NONE;
    (void)state;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    return rules_new(path, &rules, &err);
}

static int teardown(void **state)
{
    (void)state;
    rules_free(rules);
    return unlink(path);
}

/* NULL: nobody. */
static struct identity *who(const struct span *uris, size_t n_uris, const struct span *dns, size_t n_dns)
{
    struct auth_evidence e = {.uris = uris, .n_uris = n_uris, .dns_names = dns, .n_dns_names = n_dns};
    struct identity *identity = NULL;
    struct err err = ERR_NONE;
    int rc = rules_identify(rules, &e, &identity, &err);
    assert_true(rc == 0 ? identity != NULL : identity == NULL);
    if (rc != 0)
        assert_string_equal(err.reason, "CERTIFICATE_NOT_KNOWN");
    return identity;
}

static void expect(struct identity *identity, const char *actor, unsigned roles)
{
    assert_non_null(identity);
    assert_true(span_eq(identity->actor, span_str(actor)));
    assert_int_equal(identity->roles, roles);
    identity_unref(identity);
}

static void the_first_rule_counts(void **state)
{
    const struct span both[] = {L("spiffe://a.test/web"), L("spiffe://a.test/ops/x")};
    const struct span host = L("X.Ops.Test");
    (void)state;
    expect(who(both, 1, NULL, 0), "spiffe://a.test/web", ROLE_VIEWER);
    /* The order of the rules, not that of the names. */
    expect(who(both, 2, NULL, 0), "spiffe://a.test/ops/x", ROLE_ADMIN);
    expect(who(NULL, 0, &host, 1), "dns:x.ops.test", ROLE_WORKER);
    expect(who(both, 1, &host, 1), "spiffe://a.test/web", ROLE_VIEWER);
}

/* Written down, each would look like another name. */
static void names_that_look_like_others(void **state)
{
    const struct span uris[] = {L("spiffe://a.test/web\0x"), L("spiffe://a.test/web\nroot"), L("spiffe://a.test/\x7f"),
                                L("spiffe://a.test/web "), L("spiffe://a.test/w\xc3\xa9")};
    const struct span hosts[] = {L("evil\0.ops.test"), L("\x1b[2J.ops.test"), L("")};
    (void)state;
    for (size_t i = 0; i < sizeof uris / sizeof *uris; i++)
        assert_null(who(&uris[i], 1, NULL, 0));
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        assert_null(who(NULL, 0, &hosts[i], 1));
    /* They hide no good one. */
    const struct span with[] = {uris[0], L("spiffe://a.test/web")};
    expect(who(with, 2, NULL, 0), "spiffe://a.test/web", ROLE_VIEWER);
}

static void very_many_names(void **state)
{
    enum { N = 3000 };
    static struct span hosts[N];
    static char long_name[300];
    (void)state;
    for (size_t i = 0; i < N; i++)
        hosts[i] = L("elsewhere.test");
    hosts[N - 1] = L("x.ops.test");
    assert_null(who(NULL, 0, hosts, N));
    hosts[15] = L("x.ops.test");
    expect(who(NULL, 0, hosts, N), "dns:x.ops.test", ROLE_WORKER);
    memset(long_name, 'a', sizeof long_name);
    memcpy(long_name, "spiffe://a.test/", 16);
    const struct span name = {long_name, sizeof long_name};
    assert_null(who(&name, 1, NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_rule_counts),
        cmocka_unit_test(names_that_look_like_others),
        cmocka_unit_test(very_many_names),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
