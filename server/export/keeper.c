/* See keeper.h: removes files that have expired and remains of attempts that are over, and has an eye on the file of
 * types (types_watch.h); closes connections that nobody has used for a while. On its own thread, with a connection only
 * while it sweeps. */
#include "export/keeper.h"

#include <inttypes.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "export/chunk_book.h"
#include "export/idle.h"
#include "export/types_watch.h"

enum {
    SWEEP_MS = 60000, /* a file may outlive its time by this; it is not shown any more */
    LOOK_MS = 1000,   /* at the file of types */
    LOST_AT_ONCE = 100,
    TOMBSTONE_DAYS = 90
};

/* ---- sweeping ---- */

static int remove_of(const struct chunk_store *stores, struct pg_conn *pg, const struct pg_result *r, int row,
                     struct err *err)
{
    struct chunk_owner owner = {pg_int(r, row, 0), pg_int(r, row, 1)};
    const struct chunk_store *store = &stores[pg_int(r, row, 2) == EXPORT_IN_DIRECTORY];
    return store->uri ? store->remove(store, pg, &owner, err) : 0;
}

static int sweep_expired(const struct chunk_store *stores, struct pg_conn *pg, struct pg_params *params, int64_t now_us,
                         int64_t *ret_n, struct err *err)
{
    for (int64_t n = 0;; n++) {
        pg_params_clear(params);
        pg_add_time(params, now_us);
        struct pg_result *r = chunk_book_run(pg, EXPORT_SQL_FILE_EXPIRE, params, err);
        int rc = !r ? -(int)err->code : 0;
        bool more = r && pg_rows(r) > 0;
        if (more)
            rc = remove_of(stores, pg, r, 0, err);
        pg_free(r);
        *ret_n = n;
        if (rc != 0 || !more)
            return rc;
    }
}

static int sweep_lost(const struct chunk_store *stores, struct pg_conn *pg, struct pg_params *params, struct err *err)
{
    for (;;) {
        pg_params_clear(params);
        pg_add_int4(params, LOST_AT_ONCE);
        struct pg_result *r = chunk_book_run(pg, EXPORT_SQL_FILE_LOST, params, err);
        int n = r ? pg_rows(r) : 0, rc = r ? 0 : -(int)err->code;
        for (int i = 0; rc == 0 && i < n; i++)
            rc = remove_of(stores, pg, r, i, err);
        pg_free(r);
        if (rc != 0 || n < LOST_AT_ONCE)
            return rc;
    }
}

static int forget(struct pg_conn *pg, struct pg_params *params, int64_t now_us, struct err *err)
{
    pg_params_clear(params);
    pg_add_time(params, now_us - INT64_C(86400000000) * TOMBSTONE_DAYS);
    struct pg_result *r = chunk_book_run(pg, EXPORT_SQL_FILE_FORGET, params, err);
    pg_free(r);
    if (r)
        r = chunk_book_run(pg, EXPORT_SQL_WRITING_ORPHANS, NULL, err);
    bool ok = r != NULL;
    if (ok)
        pg_free(r);
    return ok ? 0 : -(int)err->code;
}

static int sweep_all(const struct chunk_store *stores, struct pg_conn *pg, int64_t now_us, int64_t *ret_n,
                     struct err *err)
{
    struct pg_params params = {0};
    int rc = sweep_expired(stores, pg, &params, now_us, ret_n, err);
    if (rc == 0)
        rc = sweep_lost(stores, pg, &params, err);
    if (rc == 0)
        rc = forget(pg, &params, now_us, err);
    for (int i = 0; rc == 0 && i < EXPORT_STORAGE_COUNT; i++)
        if (stores[i].uri)
            rc = stores[i].sweep(&stores[i], pg, err);
    pg_params_done(&params);
    return rc;
}

int export_sweep(const struct chunk_store *stores, const char *uri, int64_t now_us, struct export_halt *halt,
                 int64_t *ret_n, struct err *ret_err)
{
    struct pg_conn *pg;
    int rc = chunk_book_open_while(uri, "joblogd export keeper", halt, &pg, ret_err);
    if (rc == 0) {
        rc = sweep_all(stores, pg, now_us, ret_n, ret_err);
        chunk_book_close(pg, halt);
    }
    if (rc != 0 && !export_halt_use(halt, -1)) /* which is why it failed */
        rc = err_set(ret_err, ERR_CANCELLED, NULL, "the sweep was given up");
    return rc;
}

/* ---- the thread ---- */

static void sweep(struct exports *exports)
{
    struct err err = ERR_NONE;
    int64_t n = 0;
    int rc = export_sweep(exports->stores, exports->options.uri, clock_wall_us(), &exports->halt, &n, &err);
    if (rc != 0 && rc != -ERR_CANCELLED)
        log_warning("expired exports not removed text=\"%s\"", err.msg);
    if (n > 0)
        log_info("expired exports removed files=%" PRId64, n);
}

static void rest(struct exports *exports, int ms)
{
    struct pollfd p = {.fd = exports->keeper_fd, .events = POLLIN};
    uint64_t n;
    if (poll(&p, 1, ms) > 0) {
        ssize_t len = read(exports->keeper_fd, &n, sizeof n);
        (void)len;
    }
}

static void *keeper_main(void *user)
{
    struct exports *exports = user;
    struct types_watch watch;
    int64_t swept_ms = clock_mono_ms() - SWEEP_MS;
    types_watch_init(&watch, exports);
    while (!atomic_load(&exports->stopping)) {
        if (clock_mono_ms() - swept_ms >= SWEEP_MS) {
            swept_ms = clock_mono_ms();
            sweep(exports);
        }
        bool again = types_watch_look(&watch);
        export_idle_trim(exports->files, clock_mono_ms());
        export_idle_trim(exports->sources, clock_mono_ms());
        rest(exports, again ? LOOK_MS : SWEEP_MS);
    }
    return NULL;
}

int export_keeper_start(struct exports *exports, struct err *ret_err)
{
    exports->keeper_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    exports->keeper_started =
        exports->keeper_fd >= 0 && pthread_create(&exports->keeper, NULL, keeper_main, exports) == 0;
    return exports->keeper_started ? 0
                                   : err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "cannot start the export engine");
}

void export_keeper_wake(struct exports *exports)
{
    uint64_t one = 1;
    ssize_t n = write(exports->keeper_fd, &one, sizeof one);
    (void)n;
}

void export_keeper_stop(struct exports *exports)
{
    if (exports->keeper_started) {
        export_halt_now(&exports->halt);
        export_keeper_wake(exports);
        pthread_join(exports->keeper, NULL);
    }
    if (exports->keeper_fd >= 0)
        close(exports->keeper_fd);
}
