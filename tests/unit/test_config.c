/* The settings of joblogd: precedence, every kind of bad value with its source named, help and documentation from the
 * same table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "config.h"

static char file_path[64];
static char file_flag[80];

static void write_bytes(const char *text, size_t len)
{
    FILE *f = fopen(file_path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void write_file(const char *text)
{
    write_bytes(text, strlen(text));
}

static int make_file(void **state)
{
    (void)state;
    strcpy(file_path, "/tmp/joblog-config-XXXXXX");
    int fd = mkstemp(file_path);
    snprintf(file_flag, sizeof file_flag, "--config=%s", file_path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(file_path);
}

static int count(char **list)
{
    int n = 0;
    while (list[n])
        n++;
    return n;
}

#define ARGS(...) ((char *[]){"joblogd", __VA_ARGS__, NULL})
#define ENV(...)  ((char *[]){"HOME=/nowhere", __VA_ARGS__, NULL})
#define NO_ENV    ((char *[]){NULL})

static void load(struct config *cfg, char **argv, char **envp)
{
    struct err err = ERR_NONE;
    if (config_load(cfg, count(argv), argv, envp, &err) < 0)
        fail_msg("%s", err.msg);
}

static void refuse(char **argv, char **envp, const char *field, const char *text)
{
    struct config cfg;
    struct err err = ERR_NONE;
    assert_int_equal(config_load(&cfg, count(argv), argv, envp, &err), -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, field);
    if (!strstr(err.msg, text))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, text);
}

static void test_defaults(void **state)
{
    (void)state;
    struct config cfg;
    load(&cfg, ARGS("--embedded", "/d"), NO_ENV);
    assert_int_equal(cfg.action, CONFIG_RUN);
    assert_string_equal(cfg.embedded, "/d");
    assert_null(cfg.database);
    assert_null(cfg.export_types);
    assert_int_equal(cfg.listen.count, 1);
    assert_string_equal(cfg.listen.items[0], "127.0.0.1:7420");
    assert_int_equal(cfg.log_level, LOG_INFO);
    assert_int_equal(cfg.lease_timeout_ms, 30000);
    assert_int_equal(cfg.ready_fd, -1);
    config_done(&cfg);
}

static void test_precedence(void **state)
{
    (void)state;
    struct config cfg;
    write_file("  # a comment\n\nreaders = 3\r\n\tworkers=4  \nbatch-max = 5\nembedded = /with # sign");
    load(&cfg, ARGS(file_flag, "--workers=9", "--batch-max", "7", "--batch-max", "8"),
         ENV("JOBLOG_WORKERS=6", "JOBLOG_READERS=2", "JOBLOG_READERS_X=1", "JOBLOG_BIN=unknown to us"));
    assert_int_equal(cfg.workers, 9);
    assert_int_equal(cfg.batch_max, 8); /* the last flag counts */
    assert_int_equal(cfg.readers, 2);
    assert_string_equal(cfg.embedded, "/with # sign");
    config_done(&cfg);

    char env[96];
    snprintf(env, sizeof env, "JOBLOG_CONFIG=%s", file_path);
    load(&cfg, ARGS("--workers", "1"), ENV(env));
    assert_int_equal(cfg.workers, 1);
    assert_int_equal(cfg.readers, 3);
    config_done(&cfg);
}

static void test_listen(void **state)
{
    (void)state;
    struct config cfg;
    load(&cfg,
         ARGS("--embedded=/d", "--dangerously-allow-plaintext", "--listen", "0.0.0.0:0, [::1]:65535 ,unix:/run/j.sock"),
         NO_ENV);
    assert_int_equal(cfg.listen.count, 3);
    assert_string_equal(cfg.listen.items[1], "[::1]:65535");
    assert_string_equal(cfg.listen.items[2], "unix:/run/j.sock");
    config_done(&cfg);

    char *const bad[] = {"", "host", "host:", "host:x", "host:65536", ":7420", "::1:7420", "a:1,,b:2", "unix:", "a:1,"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuse(ARGS("--embedded=/d", "--listen", bad[i]), NO_ENV, "listen", "is not HOST:PORT");
}

static void test_bad_flags(void **state)
{
    (void)state;
    refuse(ARGS("--frobnicate", "1"), NO_ENV, "", "flag --frobnicate: no such setting");
    refuse(ARGS("--worker=1"), NO_ENV, "", "flag --worker=1: no such setting");
    refuse(ARGS("serve"), NO_ENV, "", "\"serve\"");
    refuse(ARGS("--embedded=/d", "--workers"), NO_ENV, "workers", "a value must follow");
    char *const bad[] = {"", "0", "65", "-1", "1x", " 1", "x", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuse(ARGS("--embedded=/d", "--workers", bad[i]), NO_ENV, "workers", "flag --workers: ");
    refuse(ARGS("--embedded=/d", "--log-level=loud"), NO_ENV, "log-level", "\"loud\" is not debug");
}

static void test_bad_environment(void **state)
{
    (void)state;
    refuse(ARGS("--embedded=/d"), ENV("JOBLOG_SHUTDOWN_GRACE_MS=soon"), "shutdown-grace-ms",
           "variable JOBLOG_SHUTDOWN_GRACE_MS: \"soon\"");
    refuse(ARGS("--embedded=/d"), ENV("JOBLOG_CONFIG=/no/such/file"), "config", "/no/such/file");
}

static void test_bad_file(void **state)
{
    (void)state;
    char text[128];
    write_file("embedded = /d\n\nworkers = many\n");
    snprintf(text, sizeof text, "%s:3: \"many\"", file_path);
    refuse(ARGS(file_flag), NO_ENV, "workers", text);
    write_file("embedded = /d\nworkes = 1\n");
    snprintf(text, sizeof text, "%s:2: no such setting as \"workes\"", file_path);
    refuse(ARGS(file_flag), NO_ENV, "", text);
    write_file("readers = 1\nreaders = 1\n");
    refuse(ARGS(file_flag), NO_ENV, "readers", "stands on line 1 too");
    write_file("embedded\n");
    refuse(ARGS(file_flag), NO_ENV, "", ":1: not \"key = value\"");
    write_bytes("embedded = /d\0x\n", 16);
    refuse(ARGS(file_flag), NO_ENV, "config", "not a text file");
    refuse(ARGS("--config"), NO_ENV, "config", "a value must follow");
    refuse(ARGS("--config", "/"), NO_ENV, "config", "could not read");
}

static void test_one_database(void **state)
{
    (void)state;
    refuse(ARGS("--workers=1"), NO_ENV, "embedded", "no database");
    refuse(ARGS("--embedded=/d", "--database=postgresql:///x"), NO_ENV, "database", "both");
    struct config cfg; /* an empty value takes a setting of a weaker source away */
    load(&cfg, ARGS("--embedded=", "--database=postgresql:///x"), ENV("JOBLOG_EMBEDDED=/d"));
    assert_null(cfg.embedded);
    config_done(&cfg);
}

static void test_actions(void **state)
{
    (void)state;
    struct config cfg;
    load(&cfg, ARGS("--workers=0", "--help"), ENV("JOBLOG_READERS=x")); /* help comes whatever the rest is */
    assert_int_equal(cfg.action, CONFIG_HELP);
    config_done(&cfg);
    load(&cfg, ARGS("--version"), NO_ENV);
    assert_int_equal(cfg.action, CONFIG_VERSION);
    config_done(&cfg);
    load(&cfg, ARGS("--print-config-docs"), NO_ENV);
    assert_int_equal(cfg.action, CONFIG_PRINT_DOCS);
    config_done(&cfg);
}

static void test_reload(void **state)
{
    (void)state;
    struct config cfg;
    struct err err = ERR_NONE;
    size_t restart = 99;
    write_file("embedded = /d\nlog-level = info\n");
    char **argv = ARGS(file_flag);
    load(&cfg, argv, NO_ENV);
    write_file("embedded = /e\nlog-level = debug\nworkers = 2\nlisten = 127.0.0.1:1,localhost:2\n");
    assert_int_equal(config_reload(&cfg, count(argv), argv, NO_ENV, &restart, &err), 0);
    assert_int_equal(restart, 3);
    assert_int_equal(cfg.log_level, LOG_DEBUG);
    assert_string_equal(cfg.embedded, "/d");
    assert_int_equal(cfg.workers, 1);

    write_file("embedded = /d\nlog-level = no\n");
    assert_int_equal(config_reload(&cfg, count(argv), argv, NO_ENV, &restart, &err), -ERR_INVALID_ARGUMENT);
    assert_int_equal(restart, 3);
    assert_int_equal(cfg.log_level, LOG_DEBUG);
    config_done(&cfg);
}

/* Tokens in plaintext stay on this machine unless somebody insists. */
static void test_plaintext(void **state)
{
    (void)state;
    struct config cfg;
    char *const far[] = {"0.0.0.0:1",
                         "[::]:1",
                         "10.0.0.7:1",
                         "host:1",
                         "127.example.org:1",

                         "localhost.example.org:1"};
    char *const near[] = {"127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1", "unix:/run/j.sock"};
    for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
        refuse(ARGS("--embedded=/d", "--listen", far[i]), NO_ENV, "listen", "can be reached over the network");
        assert_false(config_address_is_local(far[i]));
    }
    refuse(ARGS("--embedded=/d", "--listen", "127.0.0.1:1,0.0.0.0:1"), NO_ENV, "listen", "0.0.0.0:1");
    for (size_t i = 0; i < sizeof near / sizeof *near; i++) {
        load(&cfg, ARGS("--embedded=/d", "--listen", near[i]), NO_ENV);
        config_done(&cfg);
    }
    load(&cfg, ARGS("--embedded=/d", "--listen", "0.0.0.0:1", "--tls-cert=c", "--tls-key=k"), NO_ENV);
    config_done(&cfg);
    load(&cfg, ARGS("--embedded=/d", "--listen", "0.0.0.0:1", "--dangerously-allow-plaintext"), NO_ENV);
    assert_true(cfg.dangerously_allow_plaintext);
    assert_false(cfg.dangerously_disable_authentication);
    config_done(&cfg);
    load(&cfg, ARGS("--embedded=/d", "--dangerously-allow-plaintext=false"),
         ENV("JOBLOG_DANGEROUSLY_ALLOW_PLAINTEXT=true"));
    assert_false(cfg.dangerously_allow_plaintext);
    config_done(&cfg);
    refuse(ARGS("--embedded=/d", "--dangerously-allow-plaintext=maybe"), NO_ENV, "dangerously-allow-plaintext",
           "neither true nor false");
}

static void test_access(void **state)
{
    (void)state;
    struct config cfg;
    refuse(ARGS("--embedded=/d", "--tls-cert=c"), NO_ENV, "tls-key", "belong together");
    refuse(ARGS("--embedded=/d", "--tls-key=k"), NO_ENV, "tls-cert", "belong together");
    refuse(ARGS("--embedded=/d", "--tls-client-certificate=maybe"), NO_ENV, "tls-client-certificate", "must be none");
    refuse(ARGS("--embedded=/d", "--tls-client-certificate="), NO_ENV, "tls-client-certificate", "must be none");
    refuse(ARGS("--embedded=/d", "--tls-client-certificate=required"), NO_ENV, "tls-client-certificate", "need TLS");
    refuse(ARGS("--embedded=/d", "--tls-cert=c", "--tls-key=k", "--tls-client-certificate=required"), NO_ENV,
           "tls-client-ca", "tls-client-ca");
    refuse(ARGS("--embedded=/d", "--tls-cert=c", "--tls-key=k", "--tls-client-ca=a"), NO_ENV, "tls-client-certificate",
           "tls-client-ca");
    refuse(ARGS("--embedded=/d", "--certificate-rules=r"), NO_ENV, "certificate-rules", "client certificates");
    refuse(ARGS("--embedded=/d", "--jwt-jwks-file=j"), NO_ENV, "jwt-issuer", "must be set");
    refuse(ARGS("--embedded=/d", "--jwt-jwks-file=j", "--jwt-issuer=i"), NO_ENV, "jwt-audience", "must be set");
    char *const modes[] = {"", "6", "999", "06666", "1777", "u+rw"};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        refuse(ARGS("--embedded=/d", "--unix-socket-mode", modes[i]), NO_ENV, "unix-socket-mode", "octal");
    load(&cfg,
         ARGS("--embedded=/d", "--unix-socket-mode=660", "--tls-cert=c", "--tls-key=k", "--tls-client-ca=a",
              "--tls-client-certificate=optional", "--certificate-rules=r"),
         NO_ENV);
    config_done(&cfg);
}

static size_t allocations_left;

static bool count_down(size_t size)
{
    (void)size;
    return allocations_left > 0 && allocations_left--;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    write_file("export-types = /x\n");
    char **argv = ARGS(file_flag, "--embedded=/d", "--listen=127.0.0.1:1,localhost:2");
    int rc = -1;
    size_t n;
    for (n = 0; n < 100 && rc < 0; n++) {
        struct config cfg;
        struct err err = ERR_NONE;
        allocations_left = n;
        mem_set_gate(count_down);
        rc = config_load(&cfg, count(argv), argv, NO_ENV, &err);
        mem_set_gate(NULL);
        if (rc < 0)
            assert_int_equal(rc, -ERR_RESOURCE_EXHAUSTED);
        else
            config_done(&cfg);
    }
    assert_int_equal(rc, 0);
    assert_true(n > 6);
}

static char *print(void (*fn)(FILE *))
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    assert_non_null(f);
    fn(f);
    fclose(f);
    return text;
}

static void test_help(void **state)
{
    (void)state;
    char *text = print(config_print_help);
    assert_non_null(strstr(text, "--shutdown-grace-ms MS"));
    assert_non_null(strstr(text, "From 0 to 600000. [10000]"));
    free(text);
}

/* Renew with: joblogd --print-config-docs > docs/configuration.md */
static void test_docs_are_current(void **state)
{
    (void)state;
    char *want = print(config_print_docs);
    char have[32768];
    FILE *f = fopen(SOURCE_DIR "/docs/configuration.md", "r");
    assert_non_null(f);
    size_t n = fread(have, 1, sizeof have - 1, f);
    fclose(f);
    have[n] = '\0';
    assert_string_equal(have, want);
    free(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_listen),
        cmocka_unit_test(test_bad_flags),
        cmocka_unit_test(test_bad_environment),
        cmocka_unit_test(test_bad_file),
        cmocka_unit_test(test_one_database),
        cmocka_unit_test(test_actions),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_plaintext),
        cmocka_unit_test(test_access),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_docs_are_current),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
