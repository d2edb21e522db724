/* Unique keys within a batch. The table joblog.unique_key says who holds them, its primary key that only one does; here
 * the batch's jobs take theirs, and those that come too late are answered as they asked. Jobs of one batch with the
 * same key form a group, whose first member takes the key for all. Writer thread.
 *
 * Runs after the batch knows which request ids are new, since a replay takes no key, and before anything is planned. */
#include <inttypes.h>

#include "store/engine.h"

/* As much as a payload of a dispatch may have. */
enum { PAYLOAD_MAX_BYTES = 256 * 1024 };

/* Who wants a key: an item of a dispatch, or a job that is put back. */
struct member {
    struct dispatch_item *item; /* NULL: of a retry */
    struct store_cmd *retry;
    struct member *next; /* of the group */
};

struct group {
    struct member *first, **end;
    const struct job *taker;  /* the first member's job */
    int64_t holder;           /* the job that holds the key */
    struct span queue, owner; /* of the holder */
    /* What becomes of the payload of a holder that was there before. */
    struct span payload; /* empty: nothing */
    bool merge;
    int32_t place; /* among those whose payload changes, from 1 */
    int outcome;
    struct group *next;
    UT_hash_handle hh;
    size_t key_len;
    char key[]; /* job name, NUL, unique key */
};

struct unique_ask {
    struct group *groups, **end, *by_key;
};

/* What the batch put into a payload lies in the batch's memory. */
static void restore_payload(struct dispatch_item *item)
{
    if (item->given.data)
        item->job.payload = item->given;
    item->given = (struct span){NULL, 0};
}

void unique_prepare(struct writer *w, struct dispatch_item *item)
{
    restore_payload(item);
    w->batch.want_unique = true;
}

/* ---- who wants what ---- */

static struct group *group_of(struct writer *w, const struct job *job)
{
    struct batch *b = &w->batch;
    struct unique_ask *ask = b->unique;
    size_t len = job->name.len + 1 + job->unique.key.len;
    struct group *g = arena_zalloc(&b->arena, sizeof *g + len), *old = NULL;

    if (!g)
        return NULL;
    memcpy(g->key, job->name.data, job->name.len);
    memcpy(g->key + job->name.len + 1, job->unique.key.data, job->unique.key.len);
    g->key_len = len;
    HASH_FIND(hh, ask->by_key, g->key, len, old);
    if (old)
        return old;
    g->taker = job;
    g->end = &g->first;
    HASH_ADD_KEYPTR(hh, ask->by_key, g->key, g->key_len, g);
    if (!g->hh.tbl)
        return NULL;
    *ask->end = g;
    ask->end = &g->next;
    return g;
}

static void join(struct writer *w, const struct job *job, struct dispatch_item *item, struct store_cmd *retry)
{
    struct group *g = group_of(w, job);
    struct member *m = g ? arena_zalloc(&w->batch.arena, sizeof *m) : NULL;

    if (!m) {
        w->batch.failed_memory = true;
        return;
    }
    m->item = item;
    m->retry = retry;
    *g->end = m;
    g->end = &m->next;
}

static void join_items(struct writer *w, const struct unit *u)
{
    struct store_dispatch *d = (struct store_dispatch *)u->cmd;

    for (uint32_t i = u->lo; i < u->hi; i++) {
        struct dispatch_item *item = &d->items[i];
        const struct job *j = &item->job;
        /* One whose lane could not be made will be refused. */
        if (j->unique.key.len && !item->replayed && item->err.code == ERR_OK && lanes_get(&w->lanes, j->queue, j->name))
            join(w, j, item, NULL);
    }
}

/* A job that is put back takes its key again; one that will not be put back must not. */
static void join_retry(struct writer *w, const struct unit *u)
{
    const struct pg_result *r = w->batch.loaded;
    int row = loaded_row(r, ((struct store_retry *)u->cmd)->job_id);
    struct job *j;

    if (row < 0 || row_extra(r, row).len == 0)
        return;
    j = arena_alloc(&w->batch.arena, sizeof *j);
    if (!j || !row_job(r, row, &w->batch.arena, j)) {
        w->batch.failed_memory = true;
        return;
    }
    if (j->unique.key.len && j->unique.scope != UNIQUE_PERIOD && j->status != JOB_RUNNING &&
        job_transition_allowed(j->status, JOB_PENDING))
        join(w, j, NULL, u->cmd);
}

/* ---- taking ---- */

static void send_take(struct writer *w)
{
    struct pg_params *p = &w->params;

    pg_params_clear(p);
    for (int i = 0; i < 2; i++)
        pg_add_array(p, PG_TEXT);
    for (struct group *g = w->batch.unique->groups; g; g = g->next) {
        pg_put_text(&p->v[0], g->taker->name);
        pg_put_text(&p->v[1], g->taker->unique.key);
    }
    pg_add_time(p, w->batch.now_us);
    pg_send(w->pg, sql_name(SQL_UNIQUE_EXPIRE), p);
    p->n = 2;
    pg_add_array(p, PG_INT8);
    pg_add_array(p, PG_INT2);
    pg_add_array(p, PG_TIMESTAMPTZ);
    for (struct group *g = w->batch.unique->groups; g; g = g->next) {
        const struct unique_key *key = &g->taker->unique;
        pg_put_int8(&p->v[2], g->taker->id);
        pg_put_int2(&p->v[3], (int16_t)key->scope);
        pg_put_time(&p->v[4], key->scope == UNIQUE_PERIOD ? w->batch.now_us + key->period_us : 0);
    }
    pg_send(w->pg, sql_name(SQL_UNIQUE_TAKE), p);
    p->n = 2;
    pg_send(w->pg, sql_name(SQL_UNIQUE_FIND), p);
    w->batch.n_sent += 3;
}

static bool read_take(struct writer *w)
{
    struct arena *arena = &w->batch.arena;
    struct pg_result *found;
    int row = 0;

    pg_free(pg_read(w->pg));
    pg_free(pg_read(w->pg));
    found = pg_read(w->pg);
    if (!found)
        return false;
    for (struct group *g = w->batch.unique->groups; g; g = g->next, row++) {
        g->holder = pg_int(found, row, 0);
        g->queue = arena_span(arena, pg_text(found, row, 1));
        g->owner = arena_span(arena, pg_text(found, row, 2));
        if (g->holder == g->taker->id) {
            g->queue = g->taker->queue;
            g->owner = g->taker->owner;
        }
        w->batch.failed_memory |= !g->queue.data;
    }
    pg_free(found);
    return !w->batch.failed_memory;
}

/* ---- those that came too late ---- */

/* Its request id was taken for a job that is not made. */
static void turn_request(struct writer *w, const struct dispatch_item *item, int64_t holder)
{
    struct pg_params *p = &w->batch.rows.request_turn;

    if (item->job.request_id.len == 0)
        return;
    if (p->n == 0) {
        pg_add_array(p, PG_TEXT);
        pg_add_array(p, PG_INT8);
        pg_add_array(p, PG_INT8);
    }
    pg_put_text(&p->v[0], item->job.request_id);
    if (holder)
        pg_put_int8(&p->v[1], holder);
    else
        pg_put_null(&p->v[1]);
    pg_put_int8(&p->v[2], item->job.id);
}

/* May who asks know of the job that holds the key? A retry was looked at before it came here. */
static bool is_seen(const struct group *g, const struct member *m)
{
    return !m->item || !m->item->scope || job_scope_holds(m->item->scope, g->queue, g->taker->name, g->owner);
}

static void refuse(struct writer *w, const struct group *g, struct member *m, const char *why)
{
    struct err *err = m->item ? &m->item->err : &m->retry->err;

    if (is_seen(g, m))
        err_set(err, ERR_ALREADY_EXISTS, "UNIQUE_KEY_TAKEN", "the unique key is held by job %" PRId64 "%s", g->holder,
                why);
    else
        err_set(err, ERR_ALREADY_EXISTS, "UNIQUE_KEY_TAKEN", "the unique key is held by another job");
    if (m->item)
        turn_request(w, m->item, 0);
}

static void use_existing(struct writer *w, const struct group *g, struct dispatch_item *item)
{
    turn_request(w, item, g->holder);
    item->existing = true;
    item->job.id = g->holder;
}

/* The payload after one more member has its way with it. False: it would be too large, or memory is out. */
static bool fold(struct writer *w, struct span *payload, bool replace, struct span more)
{
    struct buf merged = {0};
    bool good;

    more = more.len ? more : SPAN_LIT("{}");
    if (replace || payload->len == 0) {
        *payload = more;
        return true;
    }
    good = json_merge(&merged, *payload, more) && merged.len <= PAYLOAD_MAX_BYTES;
    if (good)
        *payload = arena_span(&w->batch.arena, buf_span(&merged));
    buf_done(&merged);
    w->batch.failed_memory |= good && !payload->data;
    return good;
}

static void set_too_large(struct writer *w, struct dispatch_item *item)
{
    err_field(&item->err, "job.payload", "job.payload would have more than %d bytes together with what the job has",
              PAYLOAD_MAX_BYTES);
    turn_request(w, item, 0);
}

/* The key is with a job of this very batch, which nobody has seen yet. */
static void change_new(struct writer *w, struct group *g, struct member *m)
{
    struct dispatch_item *first = g->first->item;
    struct dispatch_item *item = m->item;

    if (!first || first->start) {
        refuse(w, g, m, ", which does not wait");
        return;
    }
    if (!first->given.data)
        first->given = first->job.payload;
    if (fold(w, &first->job.payload, item->on_conflict == UNIQUE_REPLACE_PAYLOAD, item->job.payload))
        use_existing(w, g, item);
    else
        set_too_large(w, item);
}

static bool changes_payload(const struct member *m)
{
    return m->item && (m->item->on_conflict == UNIQUE_REPLACE_PAYLOAD || m->item->on_conflict == UNIQUE_MERGE_PAYLOAD);
}

static void settle_member(struct writer *w, struct group *g, struct member *m)
{
    bool is_new = g->holder == g->taker->id;
    struct dispatch_item *item = m->item;

    if (is_new && m == g->first)
        return;
    if (!item || !is_seen(g, m) || item->on_conflict < UNIQUE_USE_EXISTING) {
        refuse(w, g, m, "");
    } else if (item->on_conflict == UNIQUE_USE_EXISTING) {
        use_existing(w, g, item);
    } else if (is_new) {
        change_new(w, g, m);
    } else {
        bool replace = item->on_conflict == UNIQUE_REPLACE_PAYLOAD;
        if (g->payload.len == 0)
            g->merge = !replace;
        if (!fold(w, &g->payload, replace, item->job.payload)) {
            set_too_large(w, item);
            return;
        }
        g->merge &= !replace;
    }
}

/* ---- payloads of jobs that were there before ---- */

static int send_payloads(struct writer *w)
{
    static const enum pg_type types[] = {PG_INT8, PG_JSONB, PG_INT4};
    struct pg_params *p = &w->params;
    int n = 0;

    pg_params_clear(p);
    pg_arrays(p, types, 3);
    for (struct group *g = w->batch.unique->groups; g; g = g->next) {
        if (g->payload.len == 0)
            continue;
        g->place = ++n;
        pg_put_int8(&p->v[0], g->holder);
        pg_put_jsonb(&p->v[1], g->payload);
        pg_put_int4(&p->v[2], g->merge);
    }
    if (n == 0)
        return 0;
    pg_add_int4(p, PAYLOAD_MAX_BYTES);
    pg_send(w->pg, sql_name(SQL_UNIQUE_PAYLOAD), p);
    pg_flush(w->pg);
    w->batch.n_sent++;
    return n;
}

static void settle_payload(struct writer *w, struct group *g, struct member *m)
{
    if (!changes_payload(m) || m->item->err.code != ERR_OK)
        return;
    if (g->outcome == 1)
        use_existing(w, g, m->item);
    else if (g->outcome == 2)
        set_too_large(w, m->item);
    else
        refuse(w, g, m, ", which does not wait any more");
}

static void change_payloads(struct writer *w)
{
    struct pg_result *r;

    if (send_payloads(w) == 0)
        return;
    r = pg_read(w->pg);
    for (struct group *g = w->batch.unique->groups; r && g; g = g->next) {
        for (int i = 0; g->place && i < pg_rows(r); i++)
            g->outcome = pg_int(r, i, 0) == g->place ? (int)pg_int(r, i, 1) : g->outcome;
        for (struct member *m = g->first; g->place && m; m = m->next)
            settle_payload(w, g, m);
    }
    pg_free(r);
}

void unique_take(struct writer *w, struct unit *units, size_t n)
{
    struct batch *b = &w->batch;
    struct unique_ask *ask = arena_zalloc(&b->arena, sizeof *ask);

    b->unique = ask;
    if (!ask) {
        b->failed_memory = true;
        return;
    }
    ask->end = &ask->groups;
    for (size_t i = 0; i < n; i++) {
        if (units[i].cmd->op == STORE_DISPATCH)
            join_items(w, &units[i]);
        else if (units[i].cmd->op == STORE_RETRY && !units[i].deferred)
            join_retry(w, &units[i]);
    }
    HASH_CLEAR(hh, ask->by_key);
    if (!ask->groups || b->failed_memory)
        return;
    send_take(w);
    pg_flush(w->pg);
    if (!read_take(w))
        return;
    for (struct group *g = ask->groups; g; g = g->next) {
        for (struct member *m = g->first; m; m = m->next)
            settle_member(w, g, m);
    }
    change_payloads(w);
}

void unique_release(struct writer *w, const struct job *job)
{
    struct pg_params *p = &w->batch.rows.unique_gone;

    if (job->unique.key.len == 0 || job->unique.scope == UNIQUE_PERIOD ||
        !(job_status_is_final(job->status) || job->unique.scope == UNIQUE_PENDING))
        return;
    if (p->n == 0) {
        pg_add_array(p, PG_TEXT);
        pg_add_array(p, PG_TEXT);
        pg_add_array(p, PG_INT8);
    }
    pg_put_text(&p->v[0], job->name);
    pg_put_text(&p->v[1], job->unique.key);
    pg_put_int8(&p->v[2], job->id);
}

void unique_settle(struct writer *w)
{
    for (struct group *g = w->batch.unique ? w->batch.unique->groups : NULL; g; g = g->next) {
        if (g->first->item)
            restore_payload(g->first->item);
    }
}
