/* The writer thread: takes commands as they come, answers at once what needs no commit, and runs the rest in batches.
 * While a batch is under way the next one gathers. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "store/job_log.h"
#include "store/pause.h"

/* Together with batch_max a bound on what one transaction sends. */
enum { BATCH_BYTES_MAX = 16 << 20 };
enum { CLOCK_STEP_US = 10 * 1000 * 1000 };

double writer_random(struct writer *w)
{
    /* xorshift64* (Marsaglia 2003, Vigna 2016): jitter needs no more. */
    w->random ^= w->random >> 12;
    w->random ^= w->random << 25;
    w->random ^= w->random >> 27;
    return (double)((w->random * UINT64_C(2685821657736338717)) >> 11) / 9007199254740992.0;
}

static struct store_cmd *cmd_of(struct mpsc_node *node)
{
    return (struct store_cmd *)((char *)node - offsetof(struct store_cmd, node));
}

/* The token of a lease of its own that this process does not know: another one gave it, or this one before a restart.
 */
static int64_t read_token(struct writer *w, int64_t job_id)
{
    struct pg_param *ids;
    struct pg_result *r;
    struct err err;
    int64_t token = 0;

    pg_params_clear(&w->params);
    ids = pg_add_array(&w->params, PG_INT8);
    pg_put_int8(ids, job_id);
    r = pg_run(w->pg, sql_name(SQL_JOB_BASIC), &w->params, &err);
    if (r && pg_rows(r) && pg_int(r, 0, ROW_SESSION) == 0)
        token = pg_int(r, 0, ROW_TOKEN);
    pg_free(r);
    return token;
}

/* A StartJob that is repeated gets its lease again: whoever lost the answer could not go on otherwise. Another run with
 * the same request id does not. */
static void find_leases(struct writer *w, struct store_dispatch *d)
{
    for (size_t i = 0; i < d->n_items; i++) {
        struct dispatch_item *item = &d->items[i];
        if (!item->start || !item->replayed || !item->same_run)
            continue;
        struct lease *l = leases_find(w, item->job.id);
        if (!l)
            item->lease_token = read_token(w, item->job.id);
        else if (l->session_id == 0)
            item->lease_token = l->token;
    }
}

static void post(struct writer *w, struct store_cmd *cmd)
{
    if (cmd->op == STORE_DISPATCH)
        find_leases(w, (struct store_dispatch *)cmd);
    atomic_fetch_sub_explicit(&w->store->n_queued, 1, memory_order_relaxed);
    tag_post(cmd->done, true);
}

/* What memory alone can answer. */
static bool answer_now(struct writer *w, struct store_cmd *cmd)
{
    cmd->err = ERR_NONE;
    if (cmd->op == STORE_PAUSE || cmd->op == STORE_RESUME) {
        pause_set(w, (struct store_pause *)cmd, &cmd->err);
        return true;
    }
    if (cmd->op == STORE_SESSION_CREDIT) {
        struct store_session_credit *c = (struct store_session_credit *)cmd;
        if (c->draining)
            c->session->draining = true;
        match_credit(c->session, c->add);
        return true;
    }
    if (cmd->op == STORE_PROGRESS) {
        struct store_progress *p = (struct store_progress *)cmd;
        struct lease *l = leases_find(w, p->job_id);
        p->number = ++w->n_reports;
        /* A patch of the payload is answered when it is durable, progress when it is taken. */
        if (l && l->token == p->token && p->payload_patch.len == 0 && lease_is_within(l, p->scope) &&
            !lease_is_shared(w, l) && !progress_moves(w, l, p)) {
            lease_progress(w, l, p, &cmd->err);
            return true;
        }
    }
    return false;
}

/* Whoever floods has the queue to himself; who has a call or two goes before him. But at most half a batch does, so
 * that it is no more than the half for those who are many. */
static void append(struct writer *w, struct store_cmd *cmd)
{
    cmd->light = cmd->light && w->n_light < w->options->batch_max / 2;
    struct mpsc_node **at = cmd->light ? w->light_end : w->pending_end;
    cmd->node.next = *at;
    *at = &cmd->node;
    if (at == w->pending_end)
        w->pending_end = &cmd->node.next;
    if (cmd->light)
        w->light_end = &cmd->node.next;
    w->n_light += cmd->light;
    w->n_pending++;
}

/* What *link points to. */
static void detach(struct writer *w, struct mpsc_node **link)
{
    struct store_cmd *cmd = cmd_of(*link);
    *link = cmd->node.next;
    if (!*link)
        w->pending_end = link;
    if (w->light_end == &cmd->node.next)
        w->light_end = link;
    w->n_light -= cmd->light;
    w->n_pending--;
    cmd->light = false;
}

/* Oldest first; commands that wait are linked through their nodes. */
static void take(struct writer *w)
{
    struct mpsc_node *node = mpsc_take_all(&w->store->in);

    while (node) {
        struct store_cmd *cmd = cmd_of(node);
        node = node->next;
        if (answer_now(w, cmd)) {
            post(w, cmd);
            continue;
        }
        append(w, cmd);
    }
}

static size_t weight(const struct store_cmd *cmd, uint32_t *ret_items)
{
    size_t bytes = 200;

    *ret_items = 1;
    if (cmd->op == STORE_DISPATCH) {
        const struct store_dispatch *d = (const struct store_dispatch *)cmd;
        *ret_items = (uint32_t)d->n_items;
        for (size_t i = 0; i < d->n_items; i++)
            bytes += 300 + d->items[i].job.payload.len;
    } else if (cmd->op == STORE_FINISH) {
        const struct store_finish *f = (const struct store_finish *)cmd;
        bytes += f->result.len + f->error.message.len + f->error.stack_trace.len;
    } else if (cmd->op == STORE_LOG_WRITE) {
        const struct store_log_write *l = (const struct store_log_write *)cmd;
        for (size_t i = 0; i < l->n_lines; i++)
            bytes += 100 + l->lines[i].text.len;
        *ret_items += (uint32_t)l->n_lines / 16; /* a line is a sixteenth of the work of a job, about */
    }
    return bytes;
}

static bool reserve_unit(struct writer *w)
{
    size_t cap = w->cap_units ? w->cap_units * 2 : 256;
    struct unit *grown;

    if (w->n_units < w->cap_units)
        return true;
    grown = mem_realloc(w->units, cap * sizeof *grown);
    if (!grown)
        return false;
    w->units = grown;
    w->cap_units = cap;
    return true;
}

/* From the commands that wait, as many as a batch holds; at least one. One whose job is in the hands of an earlier one
 * stays where it is and takes no room: a worker that writes a thousand times about one job holds up nobody else. */
static void gather(struct writer *w)
{
    struct mpsc_node **link = &w->pending;
    size_t bytes = 0, items = 0;

    w->n_units = 0;
    while (*link) {
        struct store_cmd *cmd = cmd_of(*link);
        uint32_t n;
        size_t more = weight(cmd, &n);
        if (w->n_units && (items + n > w->options->batch_max || bytes + more > BATCH_BYTES_MAX))
            return;
        if (!batch_takes(w, cmd)) {
            if (!w->batch.failed_memory) {
                link = &(*link)->next;
                continue;
            }
            if (w->n_units)
                return;
        }
        if (!reserve_unit(w)) {
            if (w->n_units)
                return;
            err_set(&cmd->err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
        } else {
            w->units[w->n_units++] = (struct unit){.cmd = cmd, .hi = n};
        }
        detach(w, link);
        if (cmd->err.code != ERR_OK)
            post(w, cmd);
        bytes += more;
        items += n;
    }
}

/* How long the batch's youngest dispatch has waited: what is ahead of those that come now. Others do not tell: a write
 * may have waited for earlier ones about its job. A burst shows sooner in how much is left for the batches to come. */
static void note_wait(struct writer *w)
{
    int64_t us = 0, batches = (int64_t)(w->n_pending / w->options->batch_max);
    for (size_t i = w->n_units; i > 0 && us == 0; i--)
        if (w->units[i - 1].cmd->op == STORE_DISPATCH)
            us = clock_mono_us() - w->units[i - 1].cmd->submit_us;
    atomic_store_explicit(&w->store->write_wait_us, us, memory_order_relaxed);
    atomic_store_explicit(&w->store->write_ahead_us, batches * w->batch_us, memory_order_relaxed);
}

/* Posts what is done; what must wait goes to the front again, in its order. */
static void settle(struct writer *w)
{
    struct mpsc_node *again = NULL, **end = &again;

    for (size_t i = 0; i < w->n_units; i++) {
        struct store_cmd *cmd = w->units[i].cmd;
        if (!w->units[i].deferred) {
            post(w, cmd);
            continue;
        }
        *end = &cmd->node;
        end = &cmd->node.next;
        w->n_pending++;
    }
    if (!again)
        return;
    *end = w->pending;
    if (!w->pending)
        w->pending_end = end;
    if (w->light_end == &w->pending)
        w->light_end = end;
    w->pending = again;
}

static void process(struct writer *w)
{
    int64_t start = clock_mono_us();
    w->asks_requests = false;
    atomic_store_explicit(&w->store->batch_since_us, start, memory_order_relaxed);
    batch_process(w, w->units, w->n_units, true);
    if (atomic_exchange_explicit(&w->store->batch_since_us, 0, memory_order_relaxed) != 0)
        w->batch_us = clock_mono_us() - start; /* else the database was away meanwhile */
    settle(w);
}

static void sleep_until(struct writer *w, int64_t until_us)
{
    int64_t ms = (until_us - clock_wall_us() + 999) / 1000;
    struct pollfd p = {.fd = w->store->wake_fd, .events = POLLIN};
    uint64_t count;

    ms = ms < 0 ? 0 : ms > 1000 ? 1000 : ms;
    if (poll(&p, 1, (int)ms) > 0 && read(w->store->wake_fd, &count, sizeof count) < 0 && errno != EAGAIN)
        log_error("reading the wake-up descriptor failed errno=%d", errno);
}

void *writer_main(void *arg)
{
    struct writer *w = arg;

    for (;;) {
        bool closing = atomic_load(&w->store->closing);
        take(w);
        int64_t now = clock_wall_us();
        if (now < w->due_tick_us - CLOCK_STEP_US || now < w->due_look_us - CLOCK_STEP_US)
            w->due_tick_us = w->due_look_us = now; /* the clock stepped back */
        if (now >= w->due_tick_us && !closing)
            upkeep_tick(w, now);
        if (!closing && now >= w->due_hint_us && atomic_exchange(&w->store->look, false))
            upkeep_look(w, now);
        if (atomic_exchange(&w->store->arrived, false))
            w->arrivals = true;
        bool upkeep = !closing && upkeep_due(w, now);
        if (!w->pending) {
            atomic_store_explicit(&w->store->write_wait_us, 0, memory_order_relaxed);
            atomic_store_explicit(&w->store->write_ahead_us, 0, memory_order_relaxed);
        }
        if (!w->pending && !upkeep) {
            if (closing && mpsc_is_empty(&w->store->in))
                break;
            sleep_until(w, upkeep_next_us(w));
            continue;
        }
        gather(w);
        note_wait(w);
        if (w->n_units || upkeep)
            process(w);
        batch_done(&w->batch);
    }
    /* Progress that was taken is written, and what is owed to the counters. */
    w->final = true;
    if (w->leases.dirty_head || (w->lanes.owing && !pg_lost(w->pg)))
        batch_process(w, NULL, 0, true);
    batch_done(&w->batch);
    writer_leave(w);
    return NULL;
}
