/* The writer's connection: opened, given its statements, and tied to a replica number by an advisory lock. Writer
 * thread (at first that of store_open). */
#include <inttypes.h>
#include <stdio.h>

#include "store/pause.h"

static const char *const session_settings =
    "set search_path = pg_catalog; set timezone = 'UTC'; set synchronous_commit = on; set jit = off;"
    "set plan_cache_mode = force_generic_plan; set lock_timeout = '10s'; set statement_timeout = '60s';"
    "set idle_in_transaction_session_timeout = '60s';"
    /* Every join is by key; plans made while the tables were empty must do when they are large. */
    "set enable_hashjoin = off; set enable_mergejoin = off; set enable_seqscan = off; set enable_memoize = off;";
static const char *const writer_settings = "set enable_bitmapscan = off; set enable_nestloop = on";
/* Lists ask for many pages ahead (list_touch_job.sql). Not on systems that cannot. */
static const char *const reader_settings =
    "do $$ begin perform set_config('effective_io_concurrency', '64', false); exception when others then null; end $$";

/* Lists are asked for oldest first, too: the same statement with every order turned round. */
static int prepare_ascending(struct pg_conn *pg, const struct sql_text *statement, struct err *ret_err)
{
    static const char down[] = " DESC", up[] = " ASC";
    const char *at = statement->text, *next;
    struct buf name = BUF_INIT, text = BUF_INIT;
    int rc;

    buf_printf(&name, "%s_asc", statement->name);
    for (; (next = strstr(at, down)); at = next + sizeof down - 1) {
        buf_add(&text, at, (size_t)(next - at));
        buf_add(&text, up, sizeof up - 1);
    }
    buf_add(&text, at, strlen(at));
    if (!buf_reserve(&text, 1) || name.failed || text.failed) {
        rc = err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    } else {
        buf_add_char(&text, '\0');
        buf_add_char(&name, '\0');
        rc = pg_prepare(pg, name.data, text.data, ret_err);
    }
    buf_done(&name);
    buf_done(&text);
    return rc;
}

static bool is_list(const struct sql_text *statement)
{
    return strncmp(statement->name, "list_", 5) == 0 && strstr(statement->text, " DESC");
}

int prepare_all(struct pg_conn *pg, bool for_writer, struct err *ret_err)
{
    int rc = pg_exec(pg, session_settings, ret_err);

    if (rc == 0)
        rc = pg_exec(pg, for_writer ? writer_settings : reader_settings, ret_err);
    for (int i = 0; rc == 0 && i < SQL_COUNT; i++)
        rc = pg_prepare(pg, sql_texts[i].name, sql_texts[i].text, ret_err);
    for (int i = 0; rc == 0 && !for_writer && i < SQL_COUNT; i++)
        rc = is_list(&sql_texts[i]) ? prepare_ascending(pg, &sql_texts[i], ret_err) : 0;
    return rc;
}

static int lock_number(struct pg_conn *pg, struct pg_params *p, int number, struct err *ret_err)
{
    struct pg_result *r;
    int got;

    pg_params_clear(p);
    pg_add_int4(p, number);
    r = pg_run(pg, sql_name(SQL_REPLICA_LOCK), p, ret_err);
    if (!r)
        return -(int)ret_err->code;
    got = (int)pg_int(r, 0, 0);
    pg_free(r);
    return got;
}

/* A number that nobody used lately, or -code. */
static int find_number(struct pg_conn *pg, struct pg_params *p, struct err *ret_err)
{
    struct pg_result *r = pg_run(pg, sql_name(SQL_REPLICA_FREE), NULL, ret_err);
    int number = -1, got = 0;

    if (!r)
        return -(int)ret_err->code;
    for (int i = 0; i < pg_rows(r) && got == 0; i++) {
        number = (int)pg_int(r, i, 0);
        got = lock_number(pg, p, number, ret_err);
    }
    pg_free(r);
    if (got < 0)
        return got;
    if (got == 0)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "TOO_MANY_REPLICAS", "all 255 replica numbers are in use");
    return number;
}

/* The number that this process had: free once its former connection has ended at the server. While a batch is in flight
 * no other will do, since the mark of the batch stands under it. */
static int regain_number(struct writer *w, struct pg_conn *pg, bool keep_number, struct err *ret_err)
{
    struct pg_params *p = &w->params;
    int got = w->replica >= 0 ? lock_number(pg, p, w->replica, ret_err) : 0;

    if (got < 0)
        return got;
    if (got > 0)
        return w->replica;
    if (!keep_number)
        return find_number(pg, p, ret_err);
    pg_params_clear(p);
    pg_add_int4(p, w->backend_pid);
    pg_free(pg_run(pg, sql_name(SQL_REPLICA_EVICT), p, ret_err));
    return err_set(ret_err, ERR_UNAVAILABLE, "DATABASE_UNAVAILABLE",
                   "the former connection to the database has not ended yet");
}

void writer_leave(struct writer *w)
{
    struct err err;

    if (!w->pg || pg_lost(w->pg))
        return;
    pg_params_clear(&w->params);
    pg_add_int4(&w->params, w->replica);
    pg_free(pg_run(w->pg, sql_name(SQL_REPLICA_LEAVE), &w->params, &err));
}

static int take_number(struct writer *w, struct pg_conn *pg, int number, struct err *ret_err)
{
    struct pg_result *r;
    int64_t last_id;

    pg_params_clear(&w->params);
    pg_add_int4(&w->params, number);
    r = pg_run(pg, sql_name(SQL_REPLICA_TAKE), &w->params, ret_err);
    if (!r)
        return -(int)ret_err->code;
    w->replica = number;
    w->batch_number = pg_int(r, 0, 0);
    w->mark_place = 0;
    note_forget(w);
    last_id = pg_int(r, 0, 1);
    pg_free(r);
    w->ids.replica = (uint32_t)number;
    /* Ids go on growing for this number even when the clock has stepped back. */
    if (last_id >> ID_TIME_SHIFT >= w->ids.last_ms) {
        w->ids.last_ms = (last_id >> ID_TIME_SHIFT) + 1;
        w->ids.sequence = 0;
    }
    return 0;
}

static int load_lanes(struct writer *w, struct err *ret_err)
{
    struct pg_result *r;
    bool good = true;
    struct lane *l, *next;

    pg_params_clear(&w->params);
    pg_add_int4(&w->params, lanes_known_to(&w->lanes));
    r = pg_run(w->pg, sql_name(SQL_LANE_LIST), &w->params, ret_err);
    if (!r)
        return -(int)ret_err->code;
    for (int i = 0; good && i < pg_rows(r); i++)
        good = lanes_add(w, (int32_t)pg_int(r, i, 0), pg_text(r, i, 1), pg_text(r, i, 2)) != NULL;
    pg_free(r);
    HASH_ITER(hh, w->lanes.by_id, l, next)
    {
        l->backlog = true;
    }
    return good ? 0 : err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
}

int writer_connect(struct writer *w, bool keep_number, struct err *ret_err)
{
    struct pg_conn *pg, *former = w->pg;
    int number, rc = pg_open(w->store->uri, "joblog writer", &pg, ret_err);

    if (rc < 0)
        return rc;
    if ((rc = prepare_all(pg, true, ret_err)) < 0)
        goto fail;
    number = regain_number(w, pg, keep_number, ret_err);
    if ((rc = number) < 0 || (rc = take_number(w, pg, number, ret_err)) < 0)
        goto fail;
    w->pg = pg;
    w->backend_pid = pg_backend_pid(pg);
    pause_read(w);
    if ((rc = load_lanes(w, ret_err)) < 0 || (rc = counters_load(w, ret_err)) < 0) {
        w->pg = former; /* which is lost: nothing runs with counters that are not known */
        goto fail;
    }
    pg_close(former);
    w->hasty = false;
    w->due_sched_us = 0;
    w->due_tick_us = 0;
    w->due_partitions_us = 0;
    log_info("connected to the database replica=%d", number);
    return 0;
fail:
    pg_close(pg);
    return rc;
}
