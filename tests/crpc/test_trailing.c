/* Trailing metadata: how much of it there may be, what is refused, how it goes with a status. Added by an interceptor,
 * so that every method has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "echo_server.h"

typedef Crpc__Test__V1__SayRequest say_request;
typedef Crpc__Test__V1__SayResponse say_response;

enum { ADDED = 15, ROOM = 16 }; /* Say adds one itself */

/* What the interceptor is to do, and what came of it. Written by the worker between the test's start of a call and its
 * end. */
static struct {
    int n;            /* entries to add */
    bool refuse;      /* the call */
    struct err first; /* error of adding */
    int rc_after;     /* of adding after the end */
} plan;

static int before(struct crpc_call *call, void *user, struct err *ret_err)
{
    (void)user;
    echo_hand_over();
    plan.first = ERR_NONE;
    for (int i = 0; i < plan.n; i++) {
        char key[16], value[16];
        struct err err = ERR_NONE;
        snprintf(key, sizeof key, "x-k%d", i);
        snprintf(value, sizeof value, "v%d", i);
        if (crpc_call_add_trailing_metadata(call, key, span_str(value), &err) != 0 && plan.first.code == ERR_OK)
            plan.first = err;
    }
    echo_hand_over();
    return plan.refuse ? err_set(ret_err, ERR_PERMISSION_DENIED, "NO", "refused") : 0;
}

static void after(struct crpc_call *call, void *user, const struct err *status, int64_t duration_us)
{
    (void)user;
    (void)status;
    (void)duration_us;
    plan.rc_after = crpc_call_add_trailing_metadata(call, "x-late", SPAN_LIT("v"), NULL);
}

static const struct crpc_interceptor interceptors[] = {{.before = before, .after = after}};

static int setup(void **state)
{
    struct crpc_server_options options = {
        .error_domain = "echo.test", .interceptors = interceptors, .n_interceptors = 1};
    struct echo *e = malloc(sizeof *e);
    echo_start(e, &options, NULL);
    *state = e;
    return 0;
}

static int call_say(struct echo *e, struct crpc_response *response, struct err *ret_err)
{
    struct crpc_call_options o = {.response = response};
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    echo_hand_over();
    int rc = crpc_test_v1_echo_service_say(e->channel, &o, &q, &r, ret_err);
    echo_hand_over();
    crpc_message_free(r ? &r->base : NULL);
    return rc;
}

static void check_entries(const struct crpc_metadata_list *list, int n)
{
    int found = 0;
    for (size_t i = 0; i < list->n; i++) {
        char key[16], value[16];
        snprintf(key, sizeof key, "x-k%d", found);
        snprintf(value, sizeof value, "v%d", found);
        if (span_eq(span_str(list->entries[i].key), span_str(key))) { /* in the order they were added */
            assert_true(span_eq(list->entries[i].value, span_str(value)));
            found++;
        }
    }
    assert_int_equal(found, n);
}

static void test_full(void **state)
{
    struct crpc_response response = {0};
    struct err err = ERR_NONE;
    plan.n = ADDED;
    assert_int_equal(call_say(*state, &response, &err), 0);
    assert_int_equal(plan.first.code, ERR_OK);
    check_entries(&response.trailing, ADDED);
    assert_non_null(crpc_metadata_find(&response.trailing, ECHO_TRAILING));
    crpc_response_done(&response);
}

/* The details of a status have a place of their own behind a full list. */
static void test_full_with_status(void **state)
{
    struct crpc_response response = {0};
    struct err err = ERR_NONE;
    plan.n = ROOM;
    plan.refuse = true;
    assert_int_equal(call_say(*state, &response, &err), -ERR_PERMISSION_DENIED);
    plan.refuse = false;
    assert_string_equal(err.reason, "NO");
    check_entries(&response.trailing, ROOM);
    crpc_response_done(&response);
}

static void test_too_many(void **state)
{
    struct crpc_response response = {0};
    struct err err = ERR_NONE;
    plan.n = ROOM + 1;
    plan.refuse = true;
    assert_int_equal(call_say(*state, &response, &err), -ERR_PERMISSION_DENIED);
    plan.refuse = false;
    assert_int_equal(plan.first.code, ERR_RESOURCE_EXHAUSTED);
    check_entries(&response.trailing, ROOM);
    crpc_response_done(&response);
}

static void test_late(void **state)
{
    struct crpc_response response = {0};
    struct err err = ERR_NONE;
    plan.n = 0;
    plan.rc_after = 0;
    assert_int_equal(call_say(*state, &response, &err), 0);
    crpc_response_done(&response);
    echo_stop(*state, 10000); /* `after` has run */
    assert_int_equal(plan.rc_after, -ERR_FAILED_PRECONDITION);
    free(*state);
    *state = NULL;
}

static int refuse_illegal(struct crpc_call *call, void *user, struct err *ret_err)
{
    static const struct crpc_metadata bad[] = {{"X-Upper", SPAN_LIT("a")},
                                               {"grpc-status", SPAN_LIT("0")},
                                               {"a b", SPAN_LIT("c")},
                                               {"", SPAN_LIT("c")},
                                               {"x-line", SPAN_LIT("a\nb")}};
    atomic_int *n_refused = user;
    (void)ret_err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        *n_refused += crpc_call_add_trailing_metadata(call, bad[i].key, bad[i].value, NULL) == -ERR_INVALID_ARGUMENT;
    return 0;
}

static void test_illegal(void **state)
{
    (void)state;
    atomic_int n_refused = 0;
    struct crpc_interceptor one = {.before = refuse_illegal, .user = &n_refused};
    struct crpc_server_options options = {.interceptors = &one, .n_interceptors = 1};
    struct crpc_response response = {0};
    struct err err = ERR_NONE;
    struct echo e;
    echo_start(&e, &options, NULL);
    assert_int_equal(call_say(&e, &response, &err), 0);
    assert_int_equal(n_refused, 5);
    assert_int_equal(response.trailing.n, 1);
    crpc_response_done(&response);
    echo_stop(&e, 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_full, setup, echo_teardown),
        cmocka_unit_test_setup_teardown(test_full_with_status, setup, echo_teardown),
        cmocka_unit_test_setup_teardown(test_too_many, setup, echo_teardown),
        cmocka_unit_test_setup(test_late, setup),
        cmocka_unit_test(test_illegal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
