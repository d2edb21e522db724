/* See janitor.h. The janitor's own thread. A step is one short transaction; whether to stop is asked between two. */
#include "store/janitor.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "store/cleanup.h"
#include "store/engine.h"
#include "store/owed.h"
#include "store/stats_warm.h"

enum { REST_MS = 10000, PAUSE_MS = 20, IDLE_PARTS = 10, CLEANUP_MS = 60000, DETACH_TRIES = 50, DETACH_PAUSE_MS = 100 };
/* When an hour is summed up no batch of it may be under way any more; the clocks of replicas may differ by this too. */
#define ROLLUP_DELAY_US (INT64_C(15) * 60 * 1000000)
#define CHANGES_KEPT_US (INT64_C(15) * 60 * 1000000)
#define DAY_US          (INT64_C(24) * 3600 * 1000000)

struct janitor {
    struct store *store;
    pthread_t thread;
    struct pg_conn *pg; /* NULL: to be opened */
    struct pg_params params;
    int64_t cleanup_ms; /* when to look for old jobs again */
    struct stats_warm warm;
    int64_t block; /* of the request ids: where the next look for old ones begins */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping; /* under the lock */
};

/* True: stop. */
static bool rest(struct janitor *j, int64_t ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&j->lock);
    while (!j->stopping && pthread_cond_timedwait(&j->wake, &j->lock, &until) == 0)
        ;
    bool stopping = j->stopping;
    pthread_mutex_unlock(&j->lock);
    return stopping;
}

static int open_janitor(struct janitor *j, struct err *ret_err)
{
    int rc;

    if (j->pg && !pg_lost(j->pg))
        return 0;
    pg_close(j->pg);
    j->pg = NULL;
    rc = pg_open(j->store->uri, "joblog janitor", &j->pg, ret_err);
    /* A whole month takes its time, but nobody waits for it; and nobody waits for its place on the disk, either: what a
     * crash undoes is done again. */
    if (rc == 0 && ((rc = prepare_all(j->pg, false, ret_err)) < 0 ||
                    (rc = pg_exec(j->pg, "set statement_timeout = '1h'; set synchronous_commit = off", ret_err)) < 0)) {
        pg_close(j->pg);
        j->pg = NULL;
    }
    return rc;
}

/* One statement about what lies before a time. How much it did; -code. */
static int64_t run_before(struct janitor *j, enum sql_id id, int64_t before_us, bool has_time)
{
    struct err err;
    struct pg_result *r;
    int64_t n;

    pg_params_clear(&j->params);
    if (has_time)
        pg_add_time(&j->params, before_us);
    r = pg_run(j->pg, sql_name(id), &j->params, &err);
    if (!r)
        return -(int64_t)err.code;
    n = pg_int(r, 0, 0);
    pg_free(r);
    return n;
}

static void tidy_counters(struct janitor *j)
{
    int64_t now_us = clock_wall_us();
    struct err err;

    if (owed_settle(j->pg, &j->params, -1, &err) < 0) /* before their minutes are summed up */
        return;
    while (run_before(j, SQL_ROLLUP_HOUR, now_us - ROLLUP_DELAY_US, true) > 0)
        if (rest(j, 0))
            return;
    while (run_before(j, SQL_ROLLUP_DAY, 0, false) > 0)
        if (rest(j, 0))
            return;
    while (run_before(j, SQL_MINUTE_PURGE, now_us - j->store->options.minute_days * DAY_US, true) > 0)
        if (rest(j, PAUSE_MS))
            return;
}

/* Once, and for no more than about half of the time. True: stop. */
static bool warm_statistics(struct janitor *j)
{
    int64_t start_ms = clock_mono_ms(), now_ms;

    while (stats_warm_more(&j->warm, j->store, j->pg)) {
        now_ms = clock_mono_ms();
        if (rest(j, now_ms - start_ms + 1))
            return true;
        start_ms = clock_mono_ms();
    }
    return false;
}

/* Changes that no watch will ask for any more; those of a busy replica have gone sooner (note_purge). What comes to be
 * old meanwhile is left for the next round. */
static void purge_changes(struct janitor *j)
{
    int64_t before_us = clock_wall_us() - CHANGES_KEPT_US;

    while (run_before(j, SQL_CHANGE_PURGE, before_us, true) > 0)
        if (rest(j, PAUSE_MS))
            return;
}

/* Request ids that nobody will repeat any more, from where the round before stopped: parts of the table until
 * IDLE_PARTS of them have had none, for where there is one there are more; to the end of the table at most. */
static void purge_requests(struct janitor *j)
{
    int64_t before_us = clock_wall_us() - j->store->options.request_ttl_ms * 1000;
    int64_t n, n_idle = 0;

    do {
        struct err err;
        pg_params_clear(&j->params);
        pg_add_time(&j->params, before_us);
        pg_add_int8(&j->params, j->block);
        struct pg_result *r = pg_run(j->pg, sql_name(SQL_REQUEST_PURGE), &j->params, &err);
        n = r ? pg_int(r, 0, 0) : 0;
        j->block = r ? pg_int(r, 0, 1) : 0;
        pg_free(r);
        n_idle = n > 0 ? 0 : n_idle + 1;
    } while (j->block > 0 && n_idle < IDLE_PARTS && !rest(j, n > 0 ? PAUSE_MS : 0));
}

/* ---- what has been kept for long enough ---- */

/* Not more than a tenth of the time: what is kept longer than other things is looked at again and again. */
static void plan_next(struct janitor *j, int64_t start_ms)
{
    int64_t now_ms = clock_mono_ms(), took_ms = now_ms - start_ms;

    j->cleanup_ms = now_ms + (took_ms * 10 > CLEANUP_MS ? took_ms * 10 : CLEANUP_MS);
}

static void set_month(struct janitor *j, struct span month)
{
    pg_params_clear(&j->params);
    pg_add_text(&j->params, month);
}

/* From one table. False when others were in the way all the time, or on failure. */
static bool detach_from(struct janitor *j, const char *table, struct span month)
{
    for (int i = 0; i < DETACH_TRIES; i++) {
        struct err err;
        pg_params_clear(&j->params);
        pg_add_text(&j->params, span_str(table));
        pg_add_text(&j->params, month);
        struct pg_result *r = pg_run(j->pg, sql_name(SQL_CLEANUP_DETACH), &j->params, &err);
        bool good = r != NULL;
        pg_free(r);
        if (good || pg_lost(j->pg))
            return good;
        if (strcmp(pg_sqlstate(j->pg), "55P03") != 0 || rest(j, DETACH_PAUSE_MS))
            return false;
    }
    return false;
}

/* From all tables, a transaction each, so that who needs several of them never waits for more than one; the jobs go
 * first, and without them nothing else is found. False: the rest another day (joblog.months_begun). */
static bool detach(struct janitor *j, struct span month)
{
    static const char *const tables[] = {"job", "job_log", "job_log_size", "job_state"};

    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (!detach_from(j, tables[i], month))
            return false;
    return true;
}

static void forget_detached(struct janitor *j)
{
    struct err err;
    struct pg_result *months = pg_run(j->pg, sql_name(SQL_CLEANUP_DETACHED), NULL, &err);

    for (int i = 0; months && i < pg_rows(months); i++) {
        struct span month = pg_text(months, i, 0);
        set_month(j, month);
        struct pg_result *r = pg_run(j->pg, sql_name(SQL_CLEANUP_FORGET), &j->params, &err);
        if (r && pg_int(r, 0, 0) >= 0)
            log_info("old month deleted month=%.*s jobs=%lld", (int)month.len, month.data, (long long)pg_int(r, 0, 0));
        pg_free(r);
    }
    pg_free(months);
}

/* Months as a whole: a matter of the catalogue, whatever is in them. */
static void drop_months(struct janitor *j)
{
    struct err err;
    struct pg_result *months;

    pg_params_clear(&j->params);
    pg_add_time(&j->params, clock_wall_us());
    months = pg_run(j->pg, sql_name(SQL_CLEANUP_BEYOND), &j->params, &err);
    for (int i = 0; months && i < pg_rows(months); i++)
        if (!detach(j, pg_text(months, i, 0)))
            break;
    pg_free(months);
    forget_detached(j);
}

/* Job by job, a chunk at a time. */
static void delete_jobs(struct janitor *j)
{
    struct cleanup_chunk chunk = {.after_id = 0};
    int64_t n = 0, now_us = clock_wall_us();
    struct err err;

    do {
        pg_params_clear(&j->params);
        pg_add_int8(&j->params, chunk.after_id);
        pg_add_time(&j->params, now_us);
        if (cleanup_run(j->pg, &j->params, SQL_CLEANUP_RIPE, &chunk, &err) < 0)
            break;
        n += chunk.n;
    } while (!chunk.end && !rest(j, chunk.n ? PAUSE_MS : 0));
    if (n > 0)
        log_info("old jobs deleted jobs=%lld", (long long)n);
}

/* By one replica at a time. */
static void clean_up(struct janitor *j)
{
    int64_t start_ms = clock_mono_ms();

    if (start_ms < j->cleanup_ms)
        return;
    j->cleanup_ms = start_ms + CLEANUP_MS;
    if (run_before(j, SQL_CLEANUP_LOCK, 0, false) <= 0)
        return;
    drop_months(j);
    delete_jobs(j);
    if (!pg_lost(j->pg))
        run_before(j, SQL_CLEANUP_UNLOCK, 0, false);
    plan_next(j, start_ms);
}

static void *janitor_main(void *arg)
{
    struct janitor *j = arg;
    struct err err;

    do {
        if (open_janitor(j, &err) == 0) {
            tidy_counters(j);
            if (warm_statistics(j))
                break;
            purge_changes(j);
            purge_requests(j);
            clean_up(j);
        }
    } while (!rest(j, REST_MS));
    return NULL;
}

static void janitor_free(struct janitor *j)
{
    pg_close(j->pg);
    pg_params_done(&j->params);
    pthread_cond_destroy(&j->wake);
    pthread_mutex_destroy(&j->lock);
    mem_free(j);
}

struct janitor *janitor_start(struct store *store, struct err *ret_err)
{
    struct janitor *j = mem_zalloc(sizeof *j);
    pthread_condattr_t attr;

    if (!j) {
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
        return NULL;
    }
    j->store = store;
    pthread_mutex_init(&j->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&j->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&j->thread, NULL, janitor_main, j) != 0) {
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "cannot start a thread");
        janitor_free(j);
        return NULL;
    }
    return j;
}

void janitor_stop(struct janitor *j)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->lock);
    j->stopping = true;
    pthread_cond_signal(&j->wake);
    pthread_mutex_unlock(&j->lock);
    pthread_join(j->thread, NULL);
    janitor_free(j);
}
