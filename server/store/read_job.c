/* One job, and in the FULL view its attempts and transitions: those that are recorded, and those that follow from the
 * record (dispatch, starts, completion). A reader's thread. */
#include <assert.h>
#include <stdlib.h>

#include "store/reader.h"

/* A start is the transition before the end of the attempt. */
static int64_t start_revision(int64_t end_revision)
{
    return end_revision - ((int64_t)1 << JOB_REVISION_SHIFT);
}

static struct span keep(struct arena *a, struct span s, bool *failed)
{
    struct span copy = s.len ? arena_span(a, s) : (struct span){NULL, 0};

    *failed |= s.len && !copy.data;
    return copy;
}

/* Attempts that ended otherwise than completed, with the revision of their end in ends. */
static int read_attempts(struct reader *r, struct store_get *cmd, struct attempt **ret, int64_t **ret_ends,
                         size_t *ret_n, struct err *ret_err)
{
    struct arena *a = cmd->arena;
    struct pg_result *rows;
    struct attempt *list;
    int64_t *ends;
    bool failed = false;

    pg_params_clear(&r->params);
    pg_add_int8(&r->params, cmd->id);
    rows = read_rows(r, SQL_ATTEMPT_LIST, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    *ret_n = (size_t)pg_rows(rows);
    /* One more for the running or the completed one. */
    list = arena_zalloc(a, (*ret_n + 1) * sizeof *list);
    ends = arena_zalloc(a, (*ret_n + 1) * sizeof *ends);
    for (int i = 0; list && ends && i < pg_rows(rows); i++) {
        ends[i] = pg_int(rows, i, 2);
        list[i] = (struct attempt){
            .number = (int32_t)pg_int(rows, i, 0),
            .outcome = (enum attempt_outcome)pg_int(rows, i, 1),
            .start_us = pg_time(rows, i, 3),
            .end_us = pg_time(rows, i, 4),
            .worker = keep(a, pg_text(rows, i, 5), &failed),
            .error = {keep(a, pg_text(rows, i, 6), &failed), keep(a, pg_text(rows, i, 7), &failed),
                      keep(a, pg_text(rows, i, 8), &failed)},
        };
    }
    pg_free(rows);
    *ret = list;
    *ret_ends = ends;
    return list && ends && !failed ? 0 : read_out_of_memory(ret_err);
}

static struct span worker_actor(struct arena *a, struct span worker)
{
    return span_str(arena_printf(a, "worker:%.*s", (int)worker.len, worker.data ? worker.data : ""));
}

static int compare_transitions(const void *pa, const void *pb)
{
    const struct transition *a = pa, *b = pb;

    return (a->revision > b->revision) - (a->revision < b->revision);
}

static bool has_revision(const struct pg_result *transitions, int64_t revision)
{
    for (int i = 0; i < pg_rows(transitions); i++)
        if (pg_int(transitions, i, 0) == revision)
            return true;
    return false;
}

static int read_transitions(struct reader *r, struct store_get *cmd, const struct attempt *attempts,
                            const int64_t *ends, struct err *ret_err)
{
    struct arena *a = cmd->arena;
    struct job *j = &cmd->job;
    struct pg_result *rows;
    struct transition *list, *t;
    bool failed = false;

    pg_params_clear(&r->params);
    pg_add_int8(&r->params, cmd->id);
    rows = read_rows(r, SQL_TRANSITION_LIST, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    size_t n_max = (size_t)pg_rows(rows) + j->n_attempts + 2;
    t = list = arena_zalloc(a, n_max * sizeof *list);
    if (!list) {
        pg_free(rows);
        return read_out_of_memory(ret_err);
    }
    *t++ = (struct transition){
        job_revision_transition(0), 0, JOB_PENDING, id_time_us(j->id), j->creator, {NULL, 0}, j->request_id};
    for (size_t i = 0; i < j->n_attempts; i++)
        *t++ = (struct transition){start_revision(ends[i]),
                                   JOB_PENDING,
                                   JOB_RUNNING,
                                   attempts[i].start_us,
                                   worker_actor(a, attempts[i].worker),
                                   {NULL, 0},
                                   {NULL, 0}};
    if (j->status == JOB_COMPLETED && !has_revision(rows, j->revision))
        *t++ = (struct transition){j->revision, JOB_RUNNING, JOB_COMPLETED, j->end_us, worker_actor(a, j->worker),
                                   {NULL, 0},   {NULL, 0}};
    for (int i = 0; i < pg_rows(rows); i++)
        *t++ = (struct transition){pg_int(rows, i, 0),
                                   (int)pg_int(rows, i, 2),
                                   (int)pg_int(rows, i, 3),
                                   pg_time(rows, i, 1),
                                   keep(a, pg_text(rows, i, 4), &failed),
                                   keep(a, pg_text(rows, i, 5), &failed),
                                   keep(a, pg_text(rows, i, 6), &failed)};
    pg_free(rows);
    j->transitions = list;
    j->n_transitions = (size_t)(t - list);
    qsort(list, j->n_transitions, sizeof *list, compare_transitions);
    return failed ? read_out_of_memory(ret_err) : 0;
}

static int read_life(struct reader *r, struct store_get *cmd, struct err *ret_err)
{
    struct job *j = &cmd->job;
    struct attempt *attempts = NULL;
    int64_t *ends = NULL;
    size_t n = 0;
    int rc = read_attempts(r, cmd, &attempts, &ends, &n, ret_err);

    if (rc < 0)
        return rc;
    assert(attempts);
    if (j->status == JOB_RUNNING || j->status == JOB_COMPLETED) {
        bool running = j->status == JOB_RUNNING;
        attempts[n] = (struct attempt){
            .number = j->attempt,
            .worker = j->worker,
            .start_us = j->start_us,
            .end_us = running ? 0 : j->end_us,
            .outcome = running ? ATTEMPT_RUNNING : ATTEMPT_COMPLETED,
        };
        ends[n++] = running ? job_revision_transition(j->revision) : j->revision;
    }
    j->attempts = attempts;
    j->n_attempts = n;
    return read_transitions(r, cmd, attempts, ends, ret_err);
}

static int read_row(struct reader *r, struct store_get *cmd, enum sql_id id, struct err *ret_err)
{
    struct pg_param *ids;
    struct pg_result *rows;
    struct job j;
    bool good;

    pg_params_clear(&r->params);
    ids = pg_add_array(&r->params, PG_INT8);
    pg_put_int8(ids, cmd->id);
    rows = read_rows(r, id, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    if (pg_rows(rows) == 0) {
        pg_free(rows);
        return store_no_job(cmd->id, ret_err);
    }
    good = row_job(rows, 0, cmd->arena, &j) && job_copy(cmd->arena, &j, &cmd->job);
    pg_free(rows);
    if (!good)
        return read_out_of_memory(ret_err);
    if (cmd->scope && !job_scope_holds(cmd->scope, cmd->job.queue, cmd->job.name, cmd->job.owner))
        return store_no_job(cmd->id, ret_err);
    return 0;
}

int read_get(struct reader *r, struct store_get *cmd, struct err *ret_err)
{
    /* The time must not tell that there is a job with a long history or a large payload. */
    bool looks_first = cmd->full && cmd->scope && cmd->scope->bounded;
    int rc = looks_first ? read_row(r, cmd, SQL_JOB_BASIC, ret_err) : 0;

    if (rc == 0)
        rc = read_row(r, cmd, cmd->full ? SQL_JOB_GET : SQL_JOB_BASIC, ret_err);
    return rc == 0 && cmd->full ? read_life(r, cmd, ret_err) : rc;
}
