/* Start and stop of the export engine, the types in force, and the count of starts for the limits of an owner. */
#include "export/export.h"

#include <assert.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "export/check.h"
#include "export/idle.h"
#include "export/keeper.h"
#include "pg/copy.h"
#include "pg/pg.h"

/* Seven with 1, 2, 4 ... 32 seconds between them: a source that is away for a minute is outlasted. */
enum { WORKERS_DEFAULT = 2, ATTEMPTS_DEFAULT = 7 };

/* ---- types ---- */

struct export_types *export_types_of(struct exports *exports)
{
    pthread_mutex_lock(&exports->lock);
    struct export_types *types = export_types_ref(exports->types);
    pthread_mutex_unlock(&exports->lock);
    return types;
}

void export_reload(struct exports *exports)
{
    atomic_store(&exports->reload_wanted, true);
    export_keeper_wake(exports);
}

int32_t export_attempts(const struct exports *exports)
{
    return exports->options.n_attempts;
}

/* ---- limits ---- */

/* A limit that time lifts. After a while that no client waits by itself: a person is told at once. */
static int refuse(struct err *err, int32_t retry_after_ms, const char *reason, const char *what, int64_t n)
{
    err_set(err, ERR_RESOURCE_EXHAUSTED, reason, "%" PRId64 " of your %s", n, what);
    if (err)
        err->retry_after_ms = retry_after_ms;
    return -ERR_RESOURCE_EXHAUSTED;
}

int export_start_check(struct exports *exports, int64_t n_running, int64_t n_today, int64_t bytes, struct err *ret_err)
{
    const struct export_limits *limits = &exports->options.limits;
    if (limits->running > 0 && n_running >= limits->running)
        return refuse(ret_err, 60000, "EXPORT_LIMIT_RUNNING", "exports have not ended yet: no more at a time",
                      n_running);
    if (limits->per_day > 0 && n_today >= limits->per_day)
        return refuse(ret_err, 3600000, "EXPORT_LIMIT_DAY", "exports were started within 24 hours: no more for now",
                      n_today);
    if (limits->max_bytes > 0 && bytes >= limits->max_bytes)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "EXPORT_QUOTA",
                       "your exports take %" PRId64 " bytes: delete some first", bytes);
    return 0;
}

bool export_turn_take(struct exports *exports, struct export_turn *turn)
{
    bool first = true;
    turn->next = NULL;
    pthread_mutex_lock(&exports->lock);
    struct export_turn **at = &exports->turns;
    for (; *at; at = &(*at)->next)
        first = first && !span_eq((*at)->owner, turn->owner);
    *at = turn;
    pthread_mutex_unlock(&exports->lock);
    return first;
}

void export_turn_end(struct exports *exports, struct export_turn *turn)
{
    pthread_mutex_lock(&exports->lock);
    struct export_turn **at = &exports->turns;
    while (*at && *at != turn)
        at = &(*at)->next;
    assert(*at); /* it was taken */
    *at = turn->next;
    struct export_turn *next = turn->next;
    while (next && !span_eq(next->owner, turn->owner))
        next = next->next;
    if (next) /* under the lock: its call waits for this, and so it lives */
        tag_post(next->come, true);
    pthread_mutex_unlock(&exports->lock);
}

int export_ask(struct exports *exports, struct export_ask *ask, struct err *ret_err)
{
    return export_askers_put(exports->askers, ask, ret_err);
}

bool export_room_wanted(struct exports *exports)
{
    return export_askers_room_wanted(exports->askers);
}

bool export_chunk_now(struct exports *exports, const struct export_file *file, int held_fd, int32_t seq, bool as_kept,
                      struct chunk_data *ret)
{
    return export_askers_chunk_now(exports->askers, file, held_fd, seq, as_kept, ret);
}

/* ---- start and stop ---- */

static void close_file_conn(void *conn)
{
    pg_close(conn);
}

static void close_source(void *conn)
{
    pg_copy_close(conn);
}

static int choose_stores(struct exports *exports, struct err *err)
{
    const struct export_options *o = &exports->options;
    exports->files = export_idle_new(close_file_conn); /* without them goes as well */
    exports->sources = export_idle_new(close_source);
    exports->stores[EXPORT_IN_DATABASE] = chunk_store_pg(o->uri);
    exports->stores[EXPORT_IN_DATABASE].idle = exports->files;
    exports->chunks = &exports->stores[EXPORT_IN_DATABASE];
    if (!o->directory)
        return 0;
    struct stat st;
    if (stat(o->directory, &st) != 0 || !S_ISDIR(st.st_mode) || access(o->directory, W_OK | X_OK) != 0)
        return err_set(err, ERR_FAILED_PRECONDITION, "EXPORT_DIRECTORY",
                       "the directory for exports, %.150s, is not there or cannot be written to", o->directory);
    exports->stores[EXPORT_IN_DIRECTORY] = chunk_store_dir(o->uri, o->directory);
    exports->stores[EXPORT_IN_DIRECTORY].idle = exports->files;
    exports->chunks = &exports->stores[EXPORT_IN_DIRECTORY];
    return chunk_store_dir_claim(exports->chunks, err);
}

int export_start(const struct export_options *options, struct exports **ret, struct err *ret_err)
{
    struct exports *exports = mem_zalloc(sizeof *exports);
    if (!exports) {
        export_types_free(options->types);
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    }
    exports->options = *options;
    exports->types = options->types;
    exports->keeper_fd = -1;
    pthread_mutex_init(&exports->lock, NULL);
    export_halt_init(&exports->halt);
    if (exports->options.n_workers == 0)
        exports->options.n_workers = WORKERS_DEFAULT;
    if (exports->options.n_attempts == 0)
        exports->options.n_attempts = ATTEMPTS_DEFAULT;
    if (exports->options.ttl_ms == 0)
        exports->options.ttl_ms = INT64_C(7) * 24 * 3600 * 1000;
    if (exports->options.download_bytes == 0)
        exports->options.download_bytes = INT64_C(64) << 20;
    const struct export_check check = {.uri = options->uri, .halt = &exports->halt};
    int rc = export_types_check(exports->types, &check, &exports->n_unchecked, ret_err);
    if (rc == 0)
        rc = choose_stores(exports, ret_err);
    exports->workers = mem_zalloc(exports->options.n_workers * sizeof *exports->workers);
    if (rc == 0 && !exports->workers)
        rc = err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    if (rc == 0)
        rc = export_askers_start(exports->stores, options->uri, exports->options.download_bytes, &exports->askers,
                                 ret_err);
    if (rc == 0)
        rc = export_keeper_start(exports, ret_err);
    while (rc == 0 && exports->n_started < exports->options.n_workers) {
        unsigned i = exports->n_started;
        rc = export_worker_start(&exports->workers[i], exports, i, ret_err);
        if (rc == 0)
            exports->n_started++;
    }
    if (rc != 0)
        export_stop(exports);
    else
        *ret = exports;
    return rc;
}

void export_stop(struct exports *exports)
{
    if (!exports)
        return;
    atomic_store(&exports->stopping, true);
    for (unsigned i = 0; i < exports->n_started; i++)
        export_worker_wake(&exports->workers[i]);
    for (unsigned i = 0; i < exports->n_started; i++)
        export_worker_join(&exports->workers[i]);
    export_keeper_stop(exports);
    export_askers_stop(exports->askers);
    export_idle_free(exports->files);
    export_idle_free(exports->sources);
    export_types_free(exports->types);
    export_halt_done(&exports->halt);
    pthread_mutex_destroy(&exports->lock);
    mem_free(exports->workers);
    mem_free(exports);
}
