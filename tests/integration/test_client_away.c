/* A server that is away: it is looked for as often as the back-off says, whatever libjoblog does meanwhile. In its
 * place stands a listener that hangs up. Uses the public header only; a thread for each of call, watch, download and
 * worker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* After 100 ms, then 1.6 times as long each time, give or take a fifth: within 5 s it is tried seven times or more. */
enum { PATIENCE_MS = 5000, TRIES_MIN = 4 };

struct away {
    int fd;
    int n_connections; /* under no lock: read after the join */
    pthread_t listener;
    struct joblog_client *client;
    struct joblog_error error;
};

static void *hang_up(void *user)
{
    struct away *a = user;
    for (;;) {
        int fd = accept4(a->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            return NULL;
        a->n_connections++;
        close(fd);
    }
}

static void away_begin(struct away *a)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct joblog_options options = {.timeout_ms = PATIENCE_MS, .no_token = true};
    socklen_t len = sizeof at;
    char address[32];
    *a = (struct away){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(bind(a->fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(a->fd, 64), 0);
    assert_int_equal(getsockname(a->fd, (struct sockaddr *)&at, &len), 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(at.sin_port));
    assert_int_equal(pthread_create(&a->listener, NULL, hang_up, a), 0);
    a->client = joblog_connect(address, &options, &a->error);
    assert_non_null(a->client);
}

static void away_end(struct away *a)
{
    joblog_close(a->client);
    shutdown(a->fd, SHUT_RDWR);
    pthread_join(a->listener, NULL);
    close(a->fd);
}

static void *call(void *user)
{
    struct away *a = user;
    struct joblog_job *job = NULL;
    joblog_get(a->client, 1, &job, &a->error);
    return NULL;
}

static void *watch(void *user)
{
    struct away *a = user;
    const struct joblog_job *job;
    struct joblog_watch *w = joblog_watch_job(a->client, 1, 0, &a->error);
    joblog_watch_next(w, &job, &a->error);
    joblog_watch_free(w);
    return NULL;
}

static int take(void *user, const void *data, size_t len, int64_t offset, int64_t total)
{
    (void)user, (void)data, (void)len, (void)offset, (void)total;
    return 0;
}

static void *download(void *user)
{
    struct away *a = user;
    joblog_export_download(a->client, 1, 0, take, NULL, NULL, &a->error);
    return NULL;
}

static int never(struct joblog_context *context, void *user)
{
    (void)context, (void)user;
    return 0;
}

static void *work(void *user)
{
    joblog_worker_run(user, NULL);
    return NULL;
}

static void it_is_looked_for_all_the_time(void **state)
{
    static void *(*const ways[])(void *) = {call, watch, download};
    enum { WAYS = sizeof ways / sizeof *ways };
    struct away aways[WAYS + 1];
    pthread_t threads[WAYS + 1];
    struct joblog_error error;
    (void)state;
    for (int i = 0; i <= WAYS; i++)
        away_begin(&aways[i]);
    struct joblog_worker *worker = joblog_worker_new(aways[WAYS].client, NULL, &error);
    assert_non_null(worker);
    assert_int_equal(joblog_worker_handle(worker, NULL, never, NULL, &error), 0);
    for (int i = 0; i < WAYS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ways[i], &aways[i]), 0);
    assert_int_equal(pthread_create(&threads[WAYS], NULL, work, worker), 0);
    for (int i = 0; i < WAYS; i++)
        pthread_join(threads[i], NULL);
    joblog_worker_stop(worker); /* it would go on for ever; the others have had PATIENCE_MS by now */
    pthread_join(threads[WAYS], NULL);
    joblog_worker_free(worker);
    for (int i = 0; i <= WAYS; i++) {
        away_end(&aways[i]);
        if (aways[i].n_connections < TRIES_MIN)
            fail_msg("way %d: %d connections", i, aways[i].n_connections);
        if (i < WAYS)
            assert_int_equal(aways[i].error.code, JOBLOG_UNAVAILABLE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_is_looked_for_all_the_time)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
