/* See live_check.h. Its thread asks for the jobs that are on the screen, a page at a time; it must not write to the
 * terminal, nor say what went wrong: the watch does. */
#include "live_check.h"

#include "heap.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum {
    CHECK_S = 3,
    CALL_MS = 2000,
    IDS_MAX = 100 /* of a filter; more lines than a screen has */
};

struct live_check {
    struct live *live;
    const struct joblog_filter *filter;
    struct joblog_client *client;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_t thread;
    bool stopping;
};

/* Strikes out what the list has. False: it could not be read. */
static bool strike(struct live_check *c, int64_t *ids, size_t n)
{
    /* By queue, too: the server's own jobs are only listed so. */
    const struct joblog_filter filter = {
        .ids = ids, .n_ids = n, .queues = c->filter->queues, .n_queues = c->filter->n_queues};
    char *token = NULL;
    do {
        struct joblog_list *list;
        int rc = joblog_list_jobs(c->client, &filter, IDS_MAX, token, &list, NULL);
        free(token);
        if (rc < 0)
            return false;
        for (size_t i = 0; i < list->n_jobs; i++)
            for (size_t k = 0; k < n; k++)
                if (ids[k] == list->jobs[i].id)
                    ids[k] = 0;
        token = heap_copy(list->next_page_token);
        joblog_list_free(list);
    } while (*token);
    free(token);
    return true;
}

static void look(struct live_check *c)
{
    int64_t ids[IDS_MAX];
    size_t n = live_ended(c->live, ids, IDS_MAX);
    if (n == 0 || !strike(c, ids, n))
        return;
    for (size_t i = 0; i < n; i++)
        if (ids[i])
            live_forget(c->live, ids[i]);
}

static void *run(void *user)
{
    struct live_check *c = user;
    pthread_mutex_lock(&c->mutex);
    while (!c->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += CHECK_S;
        while (!c->stopping && pthread_cond_timedwait(&c->wake, &c->mutex, &until) == 0)
            ;
        if (c->stopping)
            break;
        pthread_mutex_unlock(&c->mutex);
        look(c);
        pthread_mutex_lock(&c->mutex);
    }
    pthread_mutex_unlock(&c->mutex);
    return NULL;
}

struct live_check *live_check_start(const struct cli *cli, struct live *live, const struct joblog_filter *filter)
{
    struct live_check *c = heap_new(1, sizeof *c);
    struct joblog_options settings;
    pthread_condattr_t attributes;
    cli_connection(cli, &settings);
    settings.timeout_ms = CALL_MS;
    settings.no_retry = true;
    c->live = live;
    c->filter = filter;
    c->client = joblog_connect(cli->server, &settings, NULL);
    pthread_mutex_init(&c->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (c->client && pthread_create(&c->thread, NULL, run, c) == 0)
        return c;
    joblog_close(c->client);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->mutex);
    free(c);
    return NULL;
}

void live_check_stop(struct live_check *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->mutex);
    c->stopping = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->mutex);
    pthread_join(c->thread, NULL);
    joblog_close(c->client);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->mutex);
    free(c);
}
