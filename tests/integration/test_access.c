/* Who is let in by a real joblogd: tokens made, expired, revoked, forged, on this replica and on another one; the file
 * of the administrator's token; the port for probes. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "joblog/v1/access.crpc.h"
#include "support/calls.h"
#include "support/channel.h"
#include "support/pg_fixture.h"
#include "support/server_fixture.h"

static const struct crpc_call_options patient = {.timeout_ms = CALL_TIMEOUT_MS, .wait_for_ready = true};
static struct server_fixture *one, *two; /* two replicas on one database */
static struct crpc_channel *admin;

static int setup(void **state)
{
    static const char *const probed[] = {"--probe-listen=127.0.0.1:0", NULL};
    char database[256];
    (void)state;
    if (!pg_fixture_start())
        return -1;
    snprintf(database, sizeof database, "%s", pg_fixture_database("access"));
    one = server_fixture_start(&(struct server_fixture_options){.database = database, .args = probed});
    two = one ? server_fixture_start(&(struct server_fixture_options){.database = database}) : NULL;
    admin = two ? channel_open(one, NULL) : NULL;
    return admin ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    crpc_channel_free(admin);
    server_fixture_free(two);
    server_fixture_free(one);
    pg_fixture_stop();
    return 0;
}

/* Code of WhoAmI with token; *ret_actor (free), may be NULL. */
static int who(const struct server_fixture *server, const char *token, char **ret_actor, struct err *ret_err)
{
    struct crpc_channel *channel = channel_open_with(server_fixture_address(server), token, NULL);
    Joblog__V1__WhoAmIRequest request = JOBLOG__V1__WHO_AM_IREQUEST__INIT;
    Joblog__V1__WhoAmIResponse *response = NULL;
    *ret_err = ERR_NONE;
    joblog_v1_access_service_who_am_i(channel, &patient, &request, &response, ret_err);
    if (response && ret_actor)
        *ret_actor = strdup(response->actor);
    crpc_message_free((ProtobufCMessage *)response);
    crpc_channel_free(channel);
    return (int)ret_err->code;
}

/* Asks until the answer is this one; fails after ten seconds, which is more than "within seconds". */
static void becomes(const struct server_fixture *server, const char *token, int code)
{
    struct err err;
    int64_t end_ms = clock_mono_ms() + 10000;
    while (who(server, token, NULL, &err) != code)
        if (clock_mono_ms() > end_ms)
            fail_msg("the answer is still %s", err_code_name((int)err.code));
}

static Joblog__V1__CreateTokenResponse *create(struct crpc_channel *as, const char *name, Joblog__V1__Role role,
                                               int64_t ttl_ms, struct err *ret_err)
{
    Joblog__V1__CreateTokenRequest request = JOBLOG__V1__CREATE_TOKEN_REQUEST__INIT;
    Joblog__V1__Grant grant = JOBLOG__V1__GRANT__INIT;
    Google__Protobuf__Duration ttl = GOOGLE__PROTOBUF__DURATION__INIT;
    Joblog__V1__CreateTokenResponse *response = NULL;
    char *queues[] = {(char *)"mail*"};
    ttl.seconds = ttl_ms / 1000;
    ttl.nanos = (int32_t)(ttl_ms % 1000) * 1000000;
    request.name = (char *)name;
    request.grant = &grant;
    request.ttl = ttl_ms ? &ttl : NULL;
    grant.roles = &role;
    grant.n_roles = 1;
    grant.queues = queues;
    grant.n_queues = 1;
    *ret_err = ERR_NONE;
    joblog_v1_access_service_create_token(as, &patient, &request, &response, ret_err);
    return response;
}

static Joblog__V1__CreateTokenResponse *must_create(const char *name, int64_t ttl_ms)
{
    struct err err;
    Joblog__V1__CreateTokenResponse *made = create(admin, name, JOBLOG__V1__ROLE__ROLE_VIEWER, ttl_ms, &err);
    if (!made)
        fail_msg("%s", err.msg);
    return made;
}

static int revoke_token(struct crpc_channel *as, const char *id)
{
    Joblog__V1__RevokeTokenRequest request = JOBLOG__V1__REVOKE_TOKEN_REQUEST__INIT;
    Joblog__V1__RevokeTokenResponse *response = NULL;
    struct err err = ERR_NONE;
    request.id = (char *)id;
    joblog_v1_access_service_revoke_token(as, &patient, &request, &response, &err);
    crpc_message_free((ProtobufCMessage *)response);
    return (int)err.code;
}

static void a_token_counts_at_once(void **state)
{
    (void)state;
    struct err err;
    char *actor = NULL;
    Joblog__V1__CreateTokenResponse *made = must_create("at-once", 0);
    assert_int_equal(who(one, made->secret, &actor, &err), ERR_OK);
    assert_string_equal(actor, "token:at-once");
    free(actor);
    assert_string_equal(made->token->creator, server_fixture_actor(one));
    assert_null(made->token->expire_time);
    /* On the other replica within seconds. */
    becomes(two, made->secret, ERR_OK);
    /* It is no administrator. */
    struct crpc_channel *viewer = channel_open_with(server_fixture_address(one), made->secret, NULL);
    assert_null(create(viewer, "more", JOBLOG__V1__ROLE__ROLE_ADMIN, 0, &err));
    assert_int_equal(err.code, ERR_PERMISSION_DENIED);
    assert_int_equal(revoke_token(viewer, made->token->id), ERR_PERMISSION_DENIED);
    crpc_channel_free(viewer);
    crpc_message_free((ProtobufCMessage *)made);
}

static void who_is_nobody_is_refused(void **state)
{
    (void)state;
    struct err err;
    char token[80];
    assert_int_equal(who(one, NULL, NULL, &err), ERR_UNAUTHENTICATED);
    static const char *const malformed[] = {"x", "jlt_", "jlt_0123456789abcdef_", "a.b.c", "Bearer x"};
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        assert_int_equal(who(one, malformed[i], NULL, &err), ERR_UNAUTHENTICATED);
        assert_string_equal(err.reason, "TOKEN_NOT_VALID");
    }
    /* The right id with another secret, and a well-formed one that nobody made: the same answer. */
    Joblog__V1__CreateTokenResponse *made = must_create("forged", 0);
    snprintf(token, sizeof token, "%s", made->secret);
    token[63] = token[63] == 'A' ? 'E' : 'A';
    assert_int_equal(who(one, token, NULL, &err), ERR_UNAUTHENTICATED);
    struct err forged = err;
    memset(token + 4, '0', 16);
    assert_int_equal(who(one, token, NULL, &err), ERR_UNAUTHENTICATED);
    assert_string_equal(err.reason, forged.reason);
    assert_string_equal(err.msg, forged.msg);
    crpc_message_free((ProtobufCMessage *)made);
}

static void a_token_expires(void **state)
{
    (void)state;
    struct err err;
    Joblog__V1__CreateTokenResponse *made = must_create("short", 1500);
    assert_non_null(made->token->expire_time);
    assert_int_equal(who(one, made->secret, NULL, &err), ERR_OK);
    becomes(one, made->secret, ERR_UNAUTHENTICATED);
    becomes(two, made->secret, ERR_UNAUTHENTICATED);
    crpc_message_free((ProtobufCMessage *)made);
}

/* Also the streams that it opened. */
static void a_revoked_token_is_dead_everywhere(void **state)
{
    (void)state;
    struct err err;
    Joblog__V1__CreateTokenResponse *made = must_create("revoked", 0);
    becomes(two, made->secret, ERR_OK);
    Joblog__V1__JobSpec spec = spec_of("hello", "mail-1");
    int64_t id = must_dispatch(admin, &spec);
    struct crpc_channel *here = channel_open_with(server_fixture_address(one), made->secret, NULL);
    struct crpc_channel *there = channel_open_with(server_fixture_address(two), made->secret, NULL);
    struct crpc_stream *watches[] = {must_watch(here, id, 0, false), must_watch(there, id, 0, false)};
    for (size_t i = 0; i < 2; i++) {
        Joblog__V1__WatchJobResponse *first = watch_next(watches[i], &err);
        assert_non_null(first);
        crpc_message_free((ProtobufCMessage *)first);
    }
    assert_int_equal(revoke_token(admin, made->token->id), ERR_OK);
    assert_int_equal(who(one, made->secret, NULL, &err), ERR_UNAUTHENTICATED);
    becomes(two, made->secret, ERR_UNAUTHENTICATED);
    int64_t began_ms = clock_mono_ms();
    for (size_t i = 0; i < 2; i++) {
        assert_null(watch_next(watches[i], &err));
        assert_int_equal(err.code, ERR_UNAUTHENTICATED);
        crpc_stream_free(watches[i]);
    }
    assert_true(clock_mono_ms() - began_ms < 60000);
    crpc_channel_free(here);
    crpc_channel_free(there);
    /* Again is no error, and its name is free. */
    assert_int_equal(revoke_token(admin, made->token->id), ERR_OK);
    assert_int_equal(revoke_token(admin, "0000000000000000"), ERR_NOT_FOUND);
    assert_int_equal(revoke_token(admin, "no id"), ERR_INVALID_ARGUMENT);
    Joblog__V1__CreateTokenResponse *again = must_create("revoked", 0);
    assert_null(create(admin, "revoked", JOBLOG__V1__ROLE__ROLE_VIEWER, 0, &err));
    assert_int_equal(err.code, ERR_ALREADY_EXISTS);
    assert_string_equal(err.reason, "TOKEN_NAME_TAKEN");
    crpc_message_free((ProtobufCMessage *)again);
    crpc_message_free((ProtobufCMessage *)made);
}

static void tokens_are_listed(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    char next[32] = "";
    size_t all = 0, revoked = 0, named = 0;
    do {
        Joblog__V1__ListTokensRequest request = JOBLOG__V1__LIST_TOKENS_REQUEST__INIT;
        Joblog__V1__ListTokensResponse *page = NULL;
        request.page_size = 2;
        request.show_revoked = true;
        request.page_token = next;
        joblog_v1_access_service_list_tokens(admin, &patient, &request, &page, &err);
        assert_non_null(page);
        assert_true(page->n_tokens <= 2);
        for (size_t i = 0; i < page->n_tokens; i++, all++) {
            const Joblog__V1__Token *t = page->tokens[i];
            revoked += t->revoke_time != NULL && strcmp(t->revoker, server_fixture_actor(one)) == 0;
            if (strcmp(t->name, "at-once") == 0) {
                assert_int_equal(t->grant->n_roles, 1);
                assert_int_equal(t->grant->roles[0], JOBLOG__V1__ROLE__ROLE_VIEWER);
                assert_int_equal(t->grant->n_queues, 1);
                assert_string_equal(t->grant->queues[0], "mail*");
                assert_string_equal(t->grant->owner, "at-once");
                named++;
            }
        }
        snprintf(next, sizeof next, "%s", page->next_page_token);
        crpc_message_free((ProtobufCMessage *)page);
    } while (*next);
    assert_int_equal(named, 1);
    assert_int_equal(revoked, 1);
    assert_true(all >= 6); /* two administrators' too */
}

static void bad_grants_are_refused(void **state)
{
    (void)state;
    struct err err;
    static const char *const names[] = {"", "two words", "tab\t", "Zo\xc3\xab"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_null(create(admin, names[i], JOBLOG__V1__ROLE__ROLE_VIEWER, 0, &err));
        assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
        assert_string_equal(err.field, "name");
    }
    assert_null(create(admin, "x", JOBLOG__V1__ROLE__ROLE_UNSPECIFIED, 0, &err));
    assert_string_equal(err.field, "grant.roles");
    assert_null(create(admin, "x", (Joblog__V1__Role)6, 0, &err));
    assert_string_equal(err.field, "grant.roles");
    assert_null(create(admin, "x", JOBLOG__V1__ROLE__ROLE_VIEWER, -1000, &err));
    assert_string_equal(err.field, "ttl");
    Joblog__V1__CreateTokenRequest request = JOBLOG__V1__CREATE_TOKEN_REQUEST__INIT;
    Joblog__V1__CreateTokenResponse *response = NULL;
    request.name = (char *)"x";
    assert_int_equal(joblog_v1_access_service_create_token(admin, &patient, &request, &response, &err),
                     -ERR_INVALID_ARGUMENT);
}

/* How many tokens have been used, as far as the database knows. */
static size_t count_used(const struct server_fixture *server)
{
    struct crpc_channel *channel = channel_open(server, NULL);
    Joblog__V1__ListTokensRequest request = JOBLOG__V1__LIST_TOKENS_REQUEST__INIT;
    Joblog__V1__ListTokensResponse *page = NULL;
    struct err err = ERR_NONE;
    size_t used = 0;
    joblog_v1_access_service_list_tokens(channel, &patient, &request, &page, &err);
    assert_non_null(page);
    for (size_t i = 0; i < page->n_tokens; i++)
        used += page->tokens[i]->last_use_time != NULL;
    crpc_message_free((ProtobufCMessage *)page);
    crpc_channel_free(channel);
    return used;
}

static void the_file_of_the_administrator(void **state)
{
    (void)state;
    char data[300], file[330], text[100] = "", *out = NULL;
    struct stat st;
    struct err err;
    struct server_fixture *server = server_fixture_start(NULL);
    assert_non_null(server);
    const char *path = server_fixture_token_file(server);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_uid, geteuid());
    snprintf(text, sizeof text, "%s", server_fixture_token(server));
    assert_int_equal(who(server, text, NULL, &err), ERR_OK);
    /* It stays the same. Another one of another data directory is nothing here. */
    assert_int_equal(who(one, text, NULL, &err), ERR_UNAUTHENTICATED);
    assert_int_equal(server_fixture_stop(server), 0);
    assert_true(server_fixture_restart(server));
    assert_string_equal(server_fixture_token(server), text);
    /* Its use was written at the latest when the server ended. */
    assert_int_equal(count_used(server), 1);
    assert_int_equal(who(server, text, NULL, &err), ERR_OK);
    /* Lost: another one is made, beside the old one. */
    assert_int_equal(server_fixture_stop(server), 0);
    assert_int_equal(unlink(path), 0);
    assert_true(server_fixture_restart(server));
    assert_string_not_equal(server_fixture_token(server), text);
    assert_int_equal(who(server, server_fixture_token(server), NULL, &err), ERR_OK);
    assert_int_equal(server_fixture_stop(server), 0);
    /* What everybody can read, or what is no token, is no secret. */
    snprintf(data, sizeof data, "--embedded=%s/data", server_fixture_dir(server));
    snprintf(file, sizeof file, "--admin-token-file=%s", path);
    const char *const args[] = {data, file, "--listen=127.0.0.1:0", NULL};
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(server_fixture_run(args, &out), 2);
    assert_non_null(strstr(out, "can be read by everybody"));
    free(out);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(server_fixture_run(args, &out), 2);
    assert_non_null(strstr(out, "holds no token"));
    free(out);
    server_fixture_free(server);
}

static void authentication_can_be_switched_off(void **state)
{
    (void)state;
    static const char *const args[] = {"--dangerously-disable-authentication", NULL};
    struct server_fixture *server = server_fixture_start(&(struct server_fixture_options){.args = args});
    struct err err;
    char *actor = NULL;
    assert_non_null(server);
    assert_int_equal(who(server, NULL, &actor, &err), ERR_OK);
    assert_string_equal(actor, "anonymous");
    free(actor);
    char *log = server_fixture_log(server);
    assert_non_null(strstr(log, "authentication is off"));
    free(log);
    server_fixture_free(server);
}

/* ---- probes ---- */

static int probe_port(void)
{
    char *log = server_fixture_log(one), *at = log ? strstr(log, " probe=127.0.0.1:") : NULL;
    int port = at ? atoi(at + strlen(" probe=127.0.0.1:")) : 0;
    assert_true(port > 0);
    free(log);
    return port;
}

static int probe_connect(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)probe_port())};
    struct timeval limit = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* Sends what it gets, reads to the end. Status, 0: none. */
static int probe(const char *request, size_t len)
{
    char text[1024];
    size_t n = 0;
    ssize_t got;
    int fd = probe_connect(), status = 0;
    assert_int_equal(send(fd, request, len, MSG_NOSIGNAL), len);
    while (n < sizeof text - 1 && (got = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    close(fd);
    if (sscanf(text, "HTTP/1.0 %d ", &status) != 1)
        status = 0;
    return status;
}

#define PROBE(text) probe(text, sizeof(text) - 1)

static void probes_are_answered(void **state)
{
    (void)state;
    char junk[4000];
    int slow[40];
    assert_int_equal(PROBE("GET /livez HTTP/1.1\r\nHost: x\r\nUser-Agent: kube-probe/1.30\r\n\r\n"), 200);
    assert_int_equal(PROBE("GET /readyz HTTP/1.0\r\n\r\n"), 200);
    assert_int_equal(PROBE("HEAD /readyz?verbose HTTP/1.1\r\n\r\n"), 200);
    assert_int_equal(PROBE("GET /livez\n\n"), 200);
    assert_int_equal(PROBE("GET / HTTP/1.1\r\n\r\n"), 404);
    assert_int_equal(PROBE("GET /livez/../etc/passwd HTTP/1.1\r\n\r\n"), 404);
    assert_int_equal(PROBE("POST /livez HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"), 405);
    assert_int_equal(PROBE("\r\n\r\n"), 405);
    assert_int_equal(PROBE("GET /livez\0HTTP/1.1\r\n\r\n"), 0);
    memset(junk, 'A', sizeof junk);
    assert_true(probe(junk, 1023) == 405);
    /* More that say nothing than there are places, and still the next one is served. */
    for (size_t i = 0; i < 40; i++)
        slow[i] = probe_connect();
    assert_int_equal(PROBE("GET /livez HTTP/1.1\r\n\r\n"), 200);
    for (size_t i = 0; i < 40; i++) {
        char byte;
        assert_true(recv(slow[i], &byte, 1, 0) <= 0); /* nobody stays */
        close(slow[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_counts_at_once),
        cmocka_unit_test(who_is_nobody_is_refused),
        cmocka_unit_test(a_token_expires),
        cmocka_unit_test(a_revoked_token_is_dead_everywhere),
        cmocka_unit_test(tokens_are_listed),
        cmocka_unit_test(bad_grants_are_refused),
        cmocka_unit_test(the_file_of_the_administrator),
        cmocka_unit_test(authentication_can_be_switched_off),
        cmocka_unit_test(probes_are_answered),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
