/* See types_watch.h. On the keeper's thread, and nobody else reads types while the server runs: so those of an older
 * file never come last. A failure is logged once, however often it is met. */
#include "export/types_watch.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "export/check.h"

enum {
    FIRST_PAUSE_MS = 1000,
    FAILED_PAUSE_MS = 5000,    /* at most, while a changed file waits for the database */
    UNCHECKED_PAUSE_MS = 60000 /* at most, while types in force have not been checked */
};

void types_watch_init(struct types_watch *watch, struct exports *exports)
{
    *watch = (struct types_watch){
        .exports = exports, .seen = export_types_stamp(exports->types), .pause_ms = INT64_C(2) * FIRST_PAUSE_MS};
    if (exports->n_unchecked > 0)
        watch->again_ms = clock_mono_ms() + FIRST_PAUSE_MS;
}

/* Each time twice as late. */
static void read_again(struct types_watch *watch, int64_t most_ms)
{
    if (watch->pause_ms > most_ms)
        watch->pause_ms = most_ms;
    watch->again_ms = clock_mono_ms() + watch->pause_ms;
    watch->pause_ms *= 2;
}

static void put_in_force(struct exports *exports, struct export_types *types, size_t n_unchecked)
{
    pthread_mutex_lock(&exports->lock);
    struct export_types *old = exports->types;
    exports->types = types;
    pthread_mutex_unlock(&exports->lock);
    export_types_free(old);
    exports->n_unchecked = n_unchecked;
    log_info("export types loaded types=%zu unchecked=%zu", export_types_count(types), n_unchecked);
}

static void tell_failure(struct types_watch *watch, const struct err *err)
{
    if (strcmp(watch->told.msg, err->msg) == 0)
        return;
    watch->told = *err;
    log_error("export types not loaded, those of before stay error=\"%s\"", err->msg);
}

/* fresh: the file is another, or somebody asked. */
static void load(struct types_watch *watch, bool fresh)
{
    struct exports *exports = watch->exports;
    bool wanted = fresh || watch->failed;
    const struct export_check check = {exports->options.uri, &exports->halt, .again = !wanted};
    struct export_types *types = NULL;
    struct err err = ERR_NONE;
    size_t n_unchecked = 0;
    int rc = export_types_load(exports->options.types_path, &types, &err);
    if (rc == 0)
        rc = export_types_check(types, &check, &n_unchecked, &err);
    if (rc == 0 && (wanted || n_unchecked < exports->n_unchecked))
        put_in_force(exports, types, n_unchecked);
    else
        export_types_free(types);
    watch->again_ms = 0;
    if (rc == -ERR_CANCELLED)
        return;
    watch->failed = rc != 0;
    if (rc != 0)
        tell_failure(watch, &err);
    else
        watch->told = ERR_NONE;
    if (export_check_is_temporary(rc))
        read_again(watch, FAILED_PAUSE_MS);
    else if (exports->n_unchecked > 0)
        read_again(watch, UNCHECKED_PAUSE_MS);
}

bool types_watch_look(struct types_watch *watch)
{
    const char *path = watch->exports->options.types_path;
    bool asked = atomic_exchange(&watch->exports->reload_wanted, false);
    struct export_stamp now = {0};
    bool there = !path || export_stamp_of(path, &now);
    bool fresh = path && (asked || (there && !export_stamp_eq(&now, &watch->seen)));
    if (!there && !watch->gone)
        log_warning("the file of export types is gone, those of before stay path=\"%s\"", path);
    watch->gone = !there;
    if (fresh) {
        watch->seen = now;
        watch->pause_ms = FIRST_PAUSE_MS;
        watch->told = ERR_NONE;
    }
    if (fresh || (there && watch->again_ms > 0 && clock_mono_ms() >= watch->again_ms))
        load(watch, fresh);
    return path || watch->again_ms > 0;
}
