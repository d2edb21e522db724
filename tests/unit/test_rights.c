/* Patterns, scopes and the table of core/rights.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/rights.h"

#define L(s) SPAN_LIT(s)

static bool fits(const char *pattern, const char *text)
{
    return pattern_matches(span_str(pattern), span_str(text));
}

static void test_patterns(void **state)
{
    (void)state;
    assert_true(fits("", ""));
    assert_false(fits("", "a"));
    assert_true(fits("*", ""));
    assert_true(fits("*", "anything"));
    assert_true(fits("**", "a"));
    assert_true(fits("mail", "mail"));
    assert_false(fits("mail", "mails"));
    assert_false(fits("mail", "mai"));
    assert_false(fits("Mail", "mail"));
    assert_true(fits("mail.*", "mail."));
    assert_true(fits("mail.*", "mail.send"));
    assert_false(fits("mail.*", "mailx"));
    assert_true(fits("*.send", "mail.sms.send"));
    assert_false(fits("*.send", "mail.sender"));
    assert_true(fits("a*b*c", "a-bb-b-c"));
    assert_false(fits("a*b*c", "a-c-b"));
    assert_true(fits("*ab*ab", "abxab"));
    assert_false(fits("*ab*ab", "ab"));
    /* Nothing but the star is special. */
    assert_false(fits("m?il", "mail"));
    assert_true(fits("100%_\\", "100%_\\"));
    assert_false(fits("100%", "1000"));
    assert_false(fits("[a-z]", "b"));
    assert_true(pattern_is_literal(L("a?b")));
    assert_false(pattern_is_literal(L("a*b")));
}

/* The worst pattern for a naive matcher: it would take longer than the universe. */
static void test_patterns_end_soon(void **state)
{
    char text[201], pattern[201];

    (void)state;
    memset(text, 'a', 200);
    for (int i = 0; i < 200; i++)
        pattern[i] = i % 2 ? 'a' : '*';
    pattern[199] = 'b';
    assert_false(pattern_matches(span_of(pattern, 200), span_of(text, 200)));
    pattern[199] = 'a';
    assert_true(pattern_matches(span_of(pattern, 200), span_of(text, 200)));
}

static const struct span some_queues[] = {L("mail*"), L("sms")}, some_names[] = {L("send.*")},
                         some_owners[] = {L("team-a"), L("team-b.*")};

static void test_scope(void **state)
{
    struct job_scope all = {0}, nothing_named = {.bounded = true, .own = L("ana")};
    struct job_scope narrow = {.bounded = true,
                               .own = L("ana"),
                               .queues = some_queues,
                               .n_queues = 2,
                               .job_names = some_names,
                               .n_job_names = 1,
                               .owners = some_owners,
                               .n_owners = 2};
    struct job_scope own = {.bounded = true, .own_only = true, .own = L("ana")};
    struct job_scope nobody = {.bounded = true, .own_only = true};

    (void)state;
    assert_true(job_scope_holds(&all, L("joblog.exports"), L("x"), L("eve")));
    assert_true(job_scope_holds(&nothing_named, L("q"), L("x"), L("eve")));
    assert_true(job_scope_holds(&nothing_named, L("q"), L("x"), L("")));
    assert_false(job_scope_holds(&nothing_named, L("joblog.exports"), L("joblog.export"), L("eve")));
    assert_true(job_scope_holds(&nothing_named, L("joblog.exports"), L("joblog.export"), L("ana")));

    assert_true(job_scope_holds(&narrow, L("mail.fast"), L("send.now"), L("team-a")));
    assert_true(job_scope_holds(&narrow, L("sms"), L("send."), L("team-b.x")));
    assert_false(job_scope_holds(&narrow, L("sms2"), L("send.now"), L("team-a")));
    assert_false(job_scope_holds(&narrow, L("mail"), L("receive"), L("team-a")));
    assert_false(job_scope_holds(&narrow, L("mail"), L("send.now"), L("team-b")));
    assert_false(job_scope_holds(&narrow, L("mail"), L("send.now"), L("")));
    /* Its own export, whatever the patterns say. */
    assert_true(job_scope_holds(&narrow, L("joblog.exports"), L("joblog.export"), L("ana")));
    assert_true(job_scope_holds_lane(&narrow, L("mail"), L("send.now")));
    assert_false(job_scope_holds_lane(&narrow, L("mail"), L("receive")));
    assert_false(job_scope_holds_lane(&narrow, L("joblog.exports"), L("send.now")));
    assert_true(job_scope_names_owners(&narrow) && job_scope_names_owners(&own));
    assert_false(job_scope_names_owners(&nothing_named) || job_scope_names_owners(&all));

    assert_true(job_scope_holds(&own, L("q"), L("x"), L("ana")));
    assert_false(job_scope_holds(&own, L("q"), L("x"), L("an")));
    assert_false(job_scope_holds(&own, L("q"), L("x"), L("")));
    /* Without a name of its own nothing is its own, not even what belongs to nobody. */
    assert_false(job_scope_holds(&nobody, L("q"), L("x"), L("")));
    assert_false(job_scope_holds(&nobody, L("joblog.exports"), L("x"), L("")));
}

static void test_scope_is_part_of_a_filter(void **state)
{
    struct job job = {.name = L("send.now"), .queue = L("mail"), .status = JOB_PENDING, .owner = L("team-a")};
    struct job_filter f = {.scope = {.bounded = true, .queues = some_queues, .n_queues = 2}}, g = f, copy;
    struct arena arena;

    (void)state;
    arena_init(&arena, NULL, 0, 0);
    assert_true(job_filter_matches(&f, &job));
    job.queue = L("other");
    assert_false(job_filter_matches(&f, &job));
    assert_true(job_filter_copy(&arena, &f, &copy));
    assert_ptr_not_equal(copy.scope.queues[0].data, some_queues[0].data);
    assert_false(job_filter_matches(&copy, &job));
    job.queue = L("sms");
    assert_true(job_filter_matches(&copy, &job));
    assert_true(job_filter_hash(&f) == job_filter_hash(&copy));
    g.scope.own = L("ana");
    assert_true(job_filter_hash(&f) != job_filter_hash(&g));
    g = f;
    g.scope.n_queues = 1;
    assert_true(job_filter_hash(&f) != job_filter_hash(&g));
    g = f;
    g.scope.own_only = true;
    assert_true(job_filter_hash(&f) != job_filter_hash(&g));
    g.scope = (struct job_scope){0};
    assert_true(job_filter_hash(&f) != job_filter_hash(&g));
    arena_done(&arena);
}

static void test_scope_of_an_identity(void **state)
{
    struct identity viewer = {
        .owner = L("ana"), .roles = ROLE_VIEWER, .queues = some_queues, .n_queues = 2, .own_only = true};
    struct identity admin = {
        .owner = L("root"), .roles = ROLE_ADMIN | ROLE_VIEWER, .queues = some_queues, .n_queues = 2};
    struct job_scope s;

    (void)state;
    rights_scope(&viewer, viewer.owner, false, &s);
    assert_true(s.bounded && s.own_only && s.n_queues == 2 && span_eq(s.own, L("ana")));
    rights_scope(&viewer, L("bob"), true, &s);
    assert_true(s.own_only && span_eq(s.own, L("bob")));
    rights_scope(&admin, admin.owner, false, &s);
    assert_false(s.bounded);
    /* On behalf of somebody an administrator has that one's exports only; patterns do not narrow it. */
    rights_scope(&admin, L("bob"), true, &s);
    assert_true(s.bounded && s.n_queues == 0 && span_eq(s.own, L("bob")));
    assert_true(job_scope_holds(&s, L("q"), L("x"), L("eve")));
    assert_false(job_scope_holds(&s, L("joblog.exports"), L("x"), L("eve")));
}

static void test_who_may_call(void **state)
{
    struct identity nobody = {.roles = 0}, viewer = {.roles = ROLE_VIEWER}, admin = {.roles = ROLE_ADMIN};
    struct err err = ERR_NONE;
    size_t n;
    const struct right *table = rights_table(&n);

    (void)state;
    assert_true(n > 20);
    for (size_t i = 0; i < n; i++) {
        bool open = table[i].roles & RIGHT_OPEN;
        assert_ptr_equal(rights_find(table[i].path), &table[i]);
        assert_int_equal(rights_check(&table[i], &admin, NULL), 0);
        assert_int_equal(rights_check(&table[i], NULL, &err), open ? 0 : -ERR_UNAUTHENTICATED);
        assert_int_equal(rights_check(&table[i], &nobody, &err),
                         open || table[i].roles & RIGHT_ANY ? 0 : -ERR_PERMISSION_DENIED);
    }
    assert_int_equal(rights_check_method(&viewer, "/joblog.v1.JobLogService/GetJob", &err), 0);
    assert_int_equal(rights_check_method(&viewer, "/joblog.v1.JobLogService/DispatchJob", &err),
                     -ERR_PERMISSION_DENIED);
    assert_string_equal(err.reason, "ROLE_MISSING");
    assert_string_equal(err.msg, "/joblog.v1.JobLogService/DispatchJob needs one of the roles dispatcher, admin");
    /* What nobody thought of is allowed to nobody. */
    assert_int_equal(rights_check_method(&admin, "/joblog.v1.JobLogService/Forgotten", &err), -ERR_UNIMPLEMENTED);
    assert_string_equal(role_name(ROLE_EXPORTER), "exporter");
    assert_null(role_name(ROLE_EXPORTER | ROLE_ADMIN));
}

static void test_who_may_make_what(void **state)
{
    struct job_scope narrow = {.bounded = true,
                               .own = L("team-a"),
                               .queues = some_queues,
                               .n_queues = 2,
                               .job_names = some_names,
                               .n_job_names = 1,
                               .owners = some_owners,
                               .n_owners = 2};
    struct job_scope own = {.bounded = true, .own_only = true, .own = L("ana")},
                     plain = {.bounded = true, .own = L("x")};
    struct job job = {.name = L("send.now"), .queue = L("mail")};
    struct err err = ERR_NONE;

    (void)state;
    assert_int_equal(rights_make_job(&plain, &job, &err), 0);
    assert_int_equal(job.owner.len, 0); /* nobody asks for one */
    assert_int_equal(rights_make_job(&narrow, &job, &err), 0);
    assert_true(span_eq(job.owner, L("team-a")));
    job.owner = L("team-c");
    assert_int_equal(rights_make_job(&narrow, &job, &err), -ERR_PERMISSION_DENIED);
    assert_string_equal(err.field, "job.owner");
    assert_string_equal(err.reason, "OUT_OF_SCOPE");
    job.name = L("receive");
    assert_int_equal(rights_make_job(&narrow, &job, &err), -ERR_PERMISSION_DENIED);
    assert_string_equal(err.field, "job.job_name");
    job.queue = L("q");
    assert_int_equal(rights_make_job(&narrow, &job, &err), -ERR_PERMISSION_DENIED);
    assert_string_equal(err.field, "job.queue");
    assert_int_equal(rights_make_job(&own, &job, &err), -ERR_PERMISSION_DENIED);
    job.owner = L("");
    assert_int_equal(rights_make_job(&own, &job, &err), 0);
    assert_true(span_eq(job.owner, L("ana")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_patterns_end_soon),
        cmocka_unit_test(test_scope),
        cmocka_unit_test(test_scope_is_part_of_a_filter),
        cmocka_unit_test(test_scope_of_an_identity),
        cmocka_unit_test(test_who_may_call),
        cmocka_unit_test(test_who_may_make_what),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
