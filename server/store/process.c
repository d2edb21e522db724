/* What happens when a batch fails: it is run again in halves, until the command or the item at fault stands alone and
 * the others are done; collisions and lost connections are tried again. Writer thread. */
#include <string.h>

#include "store/engine.h"
#include "store/job_log.h"

static void fail_unit(struct writer *w, struct unit *u, const struct err *err)
{
    if (u->deferred) {
        return;
    }
    if (u->cmd->op == STORE_DISPATCH) {
        struct store_dispatch *d = (struct store_dispatch *)u->cmd;
        for (uint32_t i = u->lo; i < u->hi; i++) {
            d->items[i].err = *err;
            d->items[i].replayed = d->items[i].existing = d->items[i].same_run = false;
        }
        /* An item's own fault is no failure of the others. */
        if (err->code == ERR_UNAVAILABLE || err->code == ERR_RESOURCE_EXHAUSTED)
            u->cmd->err = *err;
        return;
    }
    u->cmd->err = *err;
    if (u->cmd->op == STORE_SESSION_OPEN || u->cmd->op == STORE_SESSION_CLOSE)
        session_failed(w, u->cmd);
}

/* What memory says of a lease is no longer true: it is read again the next time. */
static bool forget_stale(struct writer *w, const struct unit *u)
{
    int64_t id = u->cmd->op == STORE_FINISH      ? ((struct store_finish *)u->cmd)->job_id
                 : u->cmd->op == STORE_PROGRESS  ? ((struct store_progress *)u->cmd)->job_id
                 : u->cmd->op == STORE_LOG_WRITE ? ((struct store_log_write *)u->cmd)->job_id
                 : u->cmd->op == STORE_CANCEL    ? ((struct store_cancel *)u->cmd)->job_id
                                                 : 0;
    struct lease *l = id ? leases_find(w, id) : NULL;

    if (!l)
        return false;
    if (l->session)
        session_push(l->session, DELIVERY_LOST, l->job_id, l->token, NULL);
    leases_forget(w, l);
    return true;
}

/* Somebody holds what a command here needs: it was waited for once, and what is tried from here on to the end of the
 * batch's units does not wait as long, or everybody else would. */
static void note_lock(struct writer *w, const struct err *why)
{
    struct err err;

    if (!w->hasty && why->code == ERR_ABORTED && strcmp(pg_sqlstate(w->pg), "55P03") == 0)
        w->hasty = pg_exec(w->pg, "set lock_timeout = '1s'", &err) == 0;
}

static void try_units(struct writer *w, struct unit *units, size_t n, bool upkeep);

static void process_one(struct writer *w, struct unit *u, struct err *err)
{
    int tries = 0;

    if (u->cmd->op == STORE_DISPATCH && u->hi - u->lo > 1) {
        struct unit low = *u, high = *u;
        low.hi = high.lo = u->lo + (u->hi - u->lo) / 2;
        try_units(w, &low, 1, false);
        try_units(w, &high, 1, false);
        return;
    }
    /* Collisions and lost connections go away by trying again; a row that is there already (23505) is a collision too.
     */
    while ((err->code == ERR_ABORTED || err->code == ERR_ALREADY_EXISTS) && tries++ < 5) {
        if (strcmp(pg_sqlstate(w->pg), "JL001") == 0 || err->code == ERR_ALREADY_EXISTS)
            forget_stale(w, u);
        w->asks_requests |= err->code == ERR_ALREADY_EXISTS; /* as in try_units: else it would collide each time */
        if (batch_run(w, u, 1, false, err) == 0)
            return;
    }
    if (err->code == ERR_ALREADY_EXISTS)
        err->code = ERR_ABORTED;
    fail_unit(w, u, err);
}

static void try_units(struct writer *w, struct unit *units, size_t n, bool upkeep)
{
    struct err err = ERR_NONE;
    int rc, tries = 0;

    do {
        rc = batch_run(w, units, n, upkeep, &err);
        if (rc < 0 && err.code == ERR_ALREADY_EXISTS && !w->asks_requests) {
            w->asks_requests = true; /* a request id was used before: from here on to the end of the batch's units */
            rc = batch_run(w, units, n, upkeep, &err);
        }
    } while (rc < 0 && strcmp(err.reason, "DATABASE_RECONNECTED") == 0 && tries++ < 5);
    if (rc == 0)
        return;
    note_lock(w, &err);
    if (err.code == ERR_UNAVAILABLE) {
        for (size_t i = 0; i < n; i++) {
            units[i].deferred = false;
            fail_unit(w, &units[i], &err);
        }
        w->not_before_us = clock_wall_us() + 1000000;
    } else if (upkeep) {
        /* Perhaps it was not the commands' fault. */
        if (n == 0) {
            log_warning("upkeep failed, it rests for a second code=%s", err_code_name(err.code));
            w->not_before_us = clock_wall_us() + 1000000;
        } else {
            try_units(w, units, n, false);
        }
    } else if (n == 1) {
        process_one(w, units, &err);
    } else {
        try_units(w, units, n / 2, false);
        try_units(w, units + n / 2, n - n / 2, false);
    }
}

void batch_process(struct writer *w, struct unit *units, size_t n, bool upkeep)
{
    struct err err;

    try_units(w, units, n, upkeep);
    if (w->hasty)
        pg_exec(w->pg, "set lock_timeout = '10s'", &err);
    w->hasty = false;
}
