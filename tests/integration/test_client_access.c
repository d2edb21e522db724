/* libjoblog's credentials: found, given, read again; tokens and logins through its API. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <joblog/joblog.h>

#include "support/server_fixture.h"

static struct server_fixture *server;
static struct joblog_client *admin;
static char dir[] = "/tmp/joblog-client-XXXXXX", path[64];

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/token", dir);
    server = server_fixture_start(NULL);
    admin = server ? joblog_connect(server_fixture_address(server), NULL, NULL) : NULL;
    return admin ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    joblog_close(admin);
    server_fixture_free(server);
    unlink(path);
    return rmdir(dir);
}

static void write_token(const char *token)
{
    char temporary[80];
    snprintf(temporary, sizeof temporary, "%s.new", path);
    FILE *f = fopen(temporary, "we");
    assert_non_null(f);
    fprintf(f, "  %s \n\n", token);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(temporary, path), 0);
}

static struct joblog_token *create(const char *name, unsigned roles, int64_t ttl_ms)
{
    struct joblog_error error = {0};
    struct joblog_token *token = NULL;
    struct joblog_grant grant = {.roles = roles};
    if (joblog_create_token(admin, name, &grant, ttl_ms, &token, &error) < 0)
        fail_msg("%s", error.message);
    return token;
}

/* Who options make of a client; "" and the reason when nobody. */
static void expect(const char *address, const struct joblog_options *options, const char *actor, const char *reason)
{
    struct joblog_error error = {0};
    struct joblog_caller *caller = NULL;
    struct joblog_client *client = joblog_connect(address, options, &error);
    if (client && joblog_who_am_i(client, &caller, &error) == 0)
        assert_string_equal(caller->actor, actor);
    else
        assert_string_equal(error.reason, reason);
    assert_int_equal(caller != NULL, *actor != '\0');
    joblog_caller_free(caller);
    joblog_close(client);
}

static void each_source_in_its_order(void **state)
{
    (void)state;
    const char *address = server_fixture_address(server), *port = strchr(address, ':');
    char by_name[64];
    struct joblog_token *a = create("a", JOBLOG_ROLE_VIEWER, 0), *b = create("b", JOBLOG_ROLE_VIEWER, 0);
    assert_int_equal(strlen(a->secret), 64);
    write_token(b->secret);
    expect(address, NULL, server_fixture_actor(server), "");
    snprintf(by_name, sizeof by_name, "localhost%s", port);
    expect(by_name, NULL, server_fixture_actor(server), "");
    expect(address, &(struct joblog_options){.no_token = true}, "", "CREDENTIALS_MISSING");
    setenv("JOBLOG_TOKEN", a->secret, 1);
    expect(address, NULL, "token:a", "");
    setenv("JOBLOG_TOKEN_FILE", path, 1);
    expect(address, NULL, "token:b", "");
    expect(address, &(struct joblog_options){.token = a->secret}, "token:a", "");
    unsetenv("JOBLOG_TOKEN");
    unsetenv("JOBLOG_TOKEN_FILE");
    expect(address, &(struct joblog_options){.token_file = path}, "token:b", "");
    expect(address, &(struct joblog_options){.token_file = "/nowhere"}, "", "TOKEN_FILE_UNUSABLE");
    expect(address, &(struct joblog_options){.token = "two words"}, "", "");
    expect("192.0.2.1:1", &(struct joblog_options){.token = a->secret}, "", "PLAINTEXT_REFUSED");
    expect("127.example.org:1", &(struct joblog_options){.token = a->secret}, "", "PLAINTEXT_REFUSED");
    joblog_token_free(a);
    joblog_token_free(b);
}

/* A note of a server that does not run any more gives nothing away. */
static void a_dead_server_gets_no_token(void **state)
{
    (void)state;
    struct server_fixture *other = server_fixture_start(NULL);
    assert_non_null(other);
    char address[64], note[300];
    snprintf(address, sizeof address, "%s", server_fixture_address(other));
    snprintf(note, sizeof note, "%s/joblog/servers/%s", getenv("XDG_STATE_HOME"), address);
    server_fixture_kill(other);
    assert_int_equal(access(note, F_OK), 0);
    expect(address, &(struct joblog_options){.no_retry = true, .timeout_ms = 2000}, "", "");
    /* With the note copied to the address of a server that runs, but not locked by it. */
    char text[600] = "", mine[300], hidden[310];
    FILE *f = fopen(note, "re");
    assert_true(f && fgets(text, sizeof text, f));
    fclose(f);
    snprintf(mine, sizeof mine, "%s/joblog/servers/%s", getenv("XDG_STATE_HOME"), server_fixture_address(server));
    snprintf(hidden, sizeof hidden, "%s.hidden", mine);
    assert_int_equal(rename(mine, hidden), 0);
    f = fopen(mine, "we");
    fputs(text, f);
    fclose(f);
    expect(server_fixture_address(server), NULL, "", "CREDENTIALS_MISSING");
    assert_int_equal(rename(hidden, mine), 0);
    expect(server_fixture_address(server), NULL, server_fixture_actor(server), "");
    server_fixture_free(other);
}

/* Two machines that share a home may have servers of the same address. */
static void a_note_that_is_held_stops_nobody(void **state)
{
    (void)state;
    struct server_fixture *other = server_fixture_start(NULL);
    assert_non_null(other);
    char note[300];
    snprintf(note, sizeof note, "%s/joblog/servers/%s", getenv("XDG_STATE_HOME"), server_fixture_address(other));
    assert_int_equal(server_fixture_stop(other), 0);
    int fd = open(note, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_true(server_fixture_restart(other));
    char *log = server_fixture_log(other);
    assert_non_null(strstr(log, "clients must be told"));
    free(log);
    assert_int_equal(server_fixture_stop(other), 0);
    assert_int_equal(access(note, F_OK), 0); /* not its own: it stays */
    unlink(note);
    close(fd);
    server_fixture_free(other);
}

static void a_login_is_kept(void **state)
{
    (void)state;
    struct joblog_error error = {0};
    const char *address = server_fixture_address(server);
    struct joblog_token *token = create("login", JOBLOG_ROLE_VIEWER, 0);
    struct joblog_client *client = joblog_connect(address, &(struct joblog_options){.token = token->secret}, &error);
    struct stat st;
    char file[300], which[256];
    assert_int_equal(joblog_login(client, &error), 0);
    joblog_close(client);
    snprintf(file, sizeof file, "%s/joblog/logins.json", getenv("XDG_CONFIG_HOME"));
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    expect(NULL, NULL, "token:login", "");
    expect(address, NULL, "token:login", "");
    assert_int_equal(chmod(file, 0640), 0);
    expect(NULL, NULL, "", "LOGINS_UNUSABLE");
    assert_int_equal(chmod(file, 0600), 0);
    assert_int_equal(joblog_logout(NULL, which, &error), 1);
    assert_string_equal(which, address);
    assert_int_equal(joblog_logout(address, NULL, &error), 0);
    expect(address, NULL, server_fixture_actor(server), "");
    joblog_token_free(token);
}

/* Its token ends while it watches; the file has the next one by then. */
static void a_watch_outlives_its_token(void **state)
{
    (void)state;
    struct joblog_error error = {0};
    struct joblog_token *brief = create("brief", JOBLOG_ROLE_VIEWER, 0), *next = create("next", JOBLOG_ROLE_VIEWER, 0);
    struct joblog_spec spec = {.job_name = "watched", .queue = "watched"};
    const struct joblog_job *job = NULL;
    struct joblog_job *cancelled = NULL;
    int64_t id = 0;
    assert_int_equal(joblog_dispatch(admin, &spec, &id, &error), 0);
    write_token(brief->secret);
    struct joblog_client *client =
        joblog_connect(server_fixture_address(server), &(struct joblog_options){.token_file = path}, &error);
    struct joblog_watch *watch = joblog_watch_job(client, id, 0, &error);
    assert_int_equal(joblog_watch_next(watch, &job, &error), 1);
    assert_int_equal(job->status, JOBLOG_PENDING);
    write_token(next->secret);
    assert_int_equal(joblog_revoke_token(admin, brief->id, &error), 0);
    assert_int_equal(joblog_cancel(admin, id, "", &cancelled, &error), 0);
    int rc = joblog_watch_next(watch, &job, &error);
    if (rc != 1)
        fail_msg("%s", error.message);
    assert_int_equal(job->status, JOBLOG_STATUS_CANCELLED);
    joblog_watch_free(watch);
    struct joblog_caller *caller = NULL;
    assert_int_equal(joblog_who_am_i(client, &caller, &error), 0);
    assert_string_equal(caller->actor, "token:next");
    joblog_caller_free(caller);
    joblog_close(client);
    joblog_job_free(cancelled);
    joblog_token_free(brief);
    joblog_token_free(next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_source_in_its_order),         cmocka_unit_test(a_dead_server_gets_no_token),
        cmocka_unit_test(a_note_that_is_held_stops_nobody), cmocka_unit_test(a_login_is_kept),
        cmocka_unit_test(a_watch_outlives_its_token),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
