/* joblogd as a process: settings that are wrong, the ready line, a unix socket, SIGTERM, health. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>

#include "support/calls.h"
#include "support/channel.h"
#include "support/server_fixture.h"

static void expect_settings_error(const char *const *args, const char *text)
{
    char *out = NULL;
    assert_int_equal(server_fixture_run(args, &out), 2);
    assert_non_null(out);
    if (!strstr(out, text))
        print_error("%s", out);
    assert_non_null(strstr(out, text));
    free(out);
}

static void wrong_settings_are_named(void **state)
{
    (void)state;
    expect_settings_error((const char *[]){NULL}, "--embedded");
    expect_settings_error((const char *[]){"--embedded=/tmp/x", "--database=x", NULL}, "both");
    expect_settings_error((const char *[]){"--embedded=/tmp/x", "--workers=0", NULL}, "workers");
    expect_settings_error((const char *[]){"--no-such-thing=1", NULL}, "no-such-thing");
}

static void it_listens_where_it_is_told(void **state)
{
    (void)state;
    struct server_fixture *server = server_fixture_start(&(struct server_fixture_options){.unix_socket = true});
    assert_non_null(server);
    const char *addresses[] = {server_fixture_address(server), server_fixture_unix_address(server)};
    for (size_t i = 0; i < 2; i++) {
        struct crpc_channel *channel = channel_open_with(addresses[i], server_fixture_token(server), NULL);
        Joblog__V1__JobSpec spec = spec_of("hello", "hello");
        assert_true(must_dispatch(channel, &spec) > 0);
        crpc_channel_free(channel);
    }
    assert_int_equal(server_fixture_stop(server), 0);
    /* Nothing is left in its way. */
    assert_true(server_fixture_restart(server));
    assert_int_equal(server_fixture_stop(server), 0);
    server_fixture_free(server);
}

static void a_directory_in_use_is_refused(void **state)
{
    (void)state;
    struct server_fixture *server = server_fixture_start(NULL);
    assert_non_null(server);
    char dir[256], *out = NULL;
    snprintf(dir, sizeof dir, "--embedded=%s/data", server_fixture_dir(server));
    assert_int_equal(server_fixture_run((const char *[]){dir, "--listen=127.0.0.1:0", NULL}, &out), 1);
    assert_non_null(strstr(out, "could not start"));
    free(out);
    server_fixture_free(server);
}

static void a_second_signal_stops_at_once(void **state)
{
    (void)state;
    static const char *const args[] = {"--shutdown-grace-ms=600000", NULL};
    struct server_fixture *server = server_fixture_start(&(struct server_fixture_options){.args = args});
    assert_non_null(server);
    struct crpc_channel *channel = channel_open(server, NULL);
    Joblog__V1__JobSpec spec = spec_of("slow", "slow");
    must_dispatch(channel, &spec);
    /* A worker that holds a lease keeps the server up for the whole of its grace period. */
    struct test_worker *worker = worker_open(channel, "slow", "slow", 1);
    worker_lease(worker);
    server_fixture_terminate(server);
    worker_drain(worker);
    server_fixture_terminate(server);
    assert_int_equal(server_fixture_wait(server), 1);
    worker_cut(worker);
    crpc_channel_free(channel);
    server_fixture_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_settings_are_named),
        cmocka_unit_test(it_listens_where_it_is_told),
        cmocka_unit_test(a_directory_in_use_is_refused),
        cmocka_unit_test(a_second_signal_stops_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
