/* Start and stop of the export engine, and the sweeper that removes files that have expired. */
#include "export/export.h"

#include <inttypes.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "export/check.h"
#include "export/worker.h"

enum {
    WORKERS_DEFAULT = 2,
    SWEEP_MS = 60000 /* a file may outlive its time by this; it is not shown any more */
};

static void *sweeper_main(void *user)
{
    struct exports *exports = user;
    struct pollfd p = {.fd = exports->stop_fd, .events = POLLIN};
    do {
        struct err err = ERR_NONE;
        int64_t n = 0;
        if (exports->chunks.sweep(&exports->chunks, clock_wall_us(), &n, &err) != 0)
            log_warning("expired exports not removed text=\"%s\"", err.msg);
        if (n > 0)
            log_info("expired exports removed files=%" PRId64, n);
        poll(&p, 1, SWEEP_MS);
    } while (!atomic_load(&exports->stopping));
    return NULL;
}

int export_start(const struct export_options *options, struct exports **ret, struct err *ret_err)
{
    int rc = export_types_check(options->types, options->uri, ret_err);
    if (rc != 0)
        return rc;
    struct exports *exports = mem_zalloc(sizeof *exports);
    if (!exports)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    exports->options = *options;
    if (exports->options.n_workers == 0)
        exports->options.n_workers = WORKERS_DEFAULT;
    if (export_types_count(options->types) == 0)
        exports->options.n_workers = 0; /* leave the jobs to replicas that know their types; expired files still go */
    if (exports->options.ttl_ms == 0)
        exports->options.ttl_ms = INT64_C(7) * 24 * 3600 * 1000;
    exports->chunks = chunk_store_pg(options->uri);
    exports->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    exports->workers = mem_zalloc((exports->options.n_workers + 1) * sizeof *exports->workers);
    if (exports->stop_fd < 0 || !exports->workers ||
        pthread_create(&exports->sweeper, NULL, sweeper_main, exports) != 0)
        rc = err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "cannot start the export engine");
    exports->sweeper_started = rc == 0;
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
    uint64_t one = 1;
    if (!exports)
        return;
    atomic_store(&exports->stopping, true);
    for (unsigned i = 0; i < exports->n_started; i++)
        export_worker_wake(&exports->workers[i]);
    for (unsigned i = 0; i < exports->n_started; i++)
        export_worker_join(&exports->workers[i]);
    if (exports->sweeper_started) {
        ssize_t n = write(exports->stop_fd, &one, sizeof one);
        (void)n;
        pthread_join(exports->sweeper, NULL);
    }
    if (exports->stop_fd >= 0)
        close(exports->stop_fd);
    mem_free(exports->workers);
    mem_free(exports);
}

const struct export_types *export_types_of(const struct exports *exports)
{
    return exports ? exports->options.types : NULL;
}
