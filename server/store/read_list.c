/* Lists of jobs: first a page of ids by the index that fits the filter best, then the jobs. A reader's thread. */
#include <limits.h>
#include <stdlib.h>

#include "store/reader.h"

/* Candidates that a call looks at when a filter has parts that no index knows: some 10 ms. */
enum { SIFT_MAX = 500 };
enum { FINISHED_WELL = 1u << JOB_COMPLETED, ANY_STATUS = 0x3e };

/* Owners whose jobs alone can be meant, in the filter's stead: of a scope that names them without a '*'. */
static bool owners_are_known(const struct job_filter *f)
{
    const struct job_scope *s = &f->scope;

    for (size_t i = 0; s->bounded && i < s->n_owners; i++) {
        if (s->owners[i].len == 0 || !pattern_is_literal(s->owners[i]))
            return false;
    }
    return f->owner.len || (s->bounded && s->n_owners);
}

/* By how few jobs each is likely to leave. */
static enum sql_id statement_for(const struct job_filter *f, bool lanes)
{
    if (f->n_ids)
        return SQL_LIST_BY_IDS;
    if (f->batch.len)
        return SQL_LIST_BY_BATCH;
    if (f->source_type.len)
        return f->source_id.len ? SQL_LIST_BY_SOURCE_ID : SQL_LIST_BY_SOURCE;
    if (f->n_error_types)
        return SQL_LIST_BY_ERROR;
    if (owners_are_known(f))
        return SQL_LIST_BY_OWNER;
    if (f->status_mask && !(f->status_mask & FINISHED_WELL) && !f->source_id.len && !job_scope_names_owners(&f->scope))
        return SQL_LIST_BY_STATUS;
    if (f->n_labels)
        return SQL_LIST_BY_LABELS;
    return lanes ? SQL_LIST_BY_LANE : SQL_LIST_ALL;
}

static void add_labels(struct pg_params *p, const struct label *labels, size_t n)
{
    struct buf json = BUF_INIT;

    if (n == 0) {
        pg_add_null(p);
        return;
    }
    buf_add_char(&json, 1); /* version of jsonb's binary format */
    for (size_t i = 0; i < n; i++) {
        buf_add_char(&json, i ? ',' : '{');
        json_add_string(&json, labels[i].key);
        buf_add_char(&json, ':');
        json_add_string(&json, labels[i].value);
    }
    buf_add_char(&json, '}');
    pg_add_text(p, buf_span(&json));
    p->v[p->n - 1].buf.failed |= json.failed;
    buf_done(&json);
}

static void add_ids(struct pg_params *p, const int64_t *ids, size_t n)
{
    struct pg_param *a = pg_add_array(p, PG_INT8);

    for (size_t i = 0; i < n; i++)
        pg_put_int8(a, ids[i]);
}

/* The filter's, or those of the scope and, for the server's own jobs, the caller itself. */
static void add_owners(struct pg_params *p, const struct job_filter *f)
{
    struct pg_param *a = pg_add_array(p, PG_TEXT);

    if (f->owner.len) {
        pg_put_text(a, f->owner);
        return;
    }
    for (size_t i = 0; i < f->scope.n_owners; i++)
        pg_put_text(a, f->scope.owners[i]);
    if (f->scope.own.len)
        pg_put_text(a, f->scope.own);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Above what was started or ended before a time no job was dispatched; ids know milliseconds. */
static int64_t id_bound(int64_t before_us, int64_t more_us)
{
    return before_us ? id_floor(before_us + more_us) : INT64_MAX;
}

/* The ids from *ret_lo to below *ret_hi. */
static void id_range(const struct store_list *cmd, const struct job_filter *f, int64_t *ret_lo, int64_t *ret_hi)
{
    *ret_lo = f->create_from_us ? id_floor(f->create_from_us) : 0;
    *ret_hi = least(id_bound(f->create_before_us, 0),
                    least(id_bound(f->start_before_us, 1000), id_bound(f->end_before_us, 1000)));
    if (cmd->before_id > 0 && cmd->oldest_first)
        *ret_lo = cmd->before_id >= *ret_lo ? cmd->before_id + 1 : *ret_lo;
    else if (cmd->before_id > 0)
        *ret_hi = least(*ret_hi, cmd->before_id);
}

static struct pg_result *read_ids(struct reader *r, const struct store_list *cmd, const struct job_filter *f,
                                  const struct lane_set *lanes, int32_t limit, struct err *ret_err)
{
    struct pg_params *p = &r->params;
    enum sql_id id = statement_for(f, lanes->restricts);
    int64_t lo, hi;

    id_range(cmd, f, &lo, &hi);
    pg_params_clear(p);
    pg_add_int8(p, hi);
    pg_add_int8(p, lo);
    pg_add_int4(p, limit + 1);
    pg_add_int4(p, (f->status_mask & ANY_STATUS) == ANY_STATUS ? 0 : (int32_t)f->status_mask);
    if (lanes->restricts)
        add_lanes(p, lanes, LANES_OPEN | LANES_RESERVED);
    else
        pg_add_null(p);
    pg_add_text_or_null(p, f->owner);
    pg_add_text_or_null(p, f->source_type);
    pg_add_text_or_null(p, f->source_id);
    pg_add_text_or_null(p, f->batch);
    add_labels(p, f->labels, f->n_labels);
    if (f->scope.bounded)
        add_lanes(p, lanes, LANES_RESERVED);
    else
        pg_add_null(p);
    pg_add_text_or_null(p, f->scope.own);
    add_patterns(p, f->scope.owners, f->scope.bounded ? f->scope.n_owners : 0);
    if (id == SQL_LIST_BY_IDS)
        add_ids(p, f->ids, f->n_ids);
    else if (id == SQL_LIST_BY_OWNER)
        add_owners(p, f);
    else if (id == SQL_LIST_BY_ERROR)
        add_texts(p, f->error_types, f->n_error_types);
    return cmd->oldest_first ? read_ascending(r, id, ret_err) : read_rows(r, id, ret_err);
}

static int newest_first(const void *pa, const void *pb)
{
    const struct job *a = pa, *b = pb;

    return (a->id < b->id) - (a->id > b->id);
}

static int oldest_first(const void *pa, const void *pb)
{
    return newest_first(pb, pa);
}

/* A page of ids: those to read, and where the next one begins. */
struct id_page {
    int64_t *ids;
    int n;
};

static void add_time_or_null(struct pg_params *p, int64_t us)
{
    if (us)
        pg_add_time(p, us);
    else
        pg_add_null(p);
}

static void add_sifting(struct pg_params *p, const struct job_filter *f)
{
    struct pg_param *paths, *equals, *contains;

    add_texts(p, f->error_types, f->n_error_types);
    pg_add_text_or_null(p, f->error_text);
    add_time_or_null(p, f->start_from_us);
    add_time_or_null(p, f->start_before_us);
    add_time_or_null(p, f->end_from_us);
    add_time_or_null(p, f->end_before_us);
    paths = pg_add_array(p, PG_TEXT);
    equals = pg_add_array(p, PG_TEXT);
    contains = pg_add_array(p, PG_TEXT);
    for (size_t i = 0; i < f->n_payload; i++) {
        const struct payload_match *m = &f->payload[i];
        pg_put_text(paths, m->path);
        if (m->has_equals)
            pg_put_text(equals, m->text);
        else
            pg_put_null(equals);
        if (m->has_contains)
            pg_put_text(contains, m->text);
        else
            pg_put_null(contains);
    }
}

/* Of the ids that an index gave those whose jobs fit the rest of the filter, as many as a page takes. */
static int sift(struct reader *r, struct store_list *cmd, const struct pg_result *found, struct id_page *page,
                struct err *ret_err)
{
    int n_looked = pg_rows(found) < SIFT_MAX ? pg_rows(found) : SIFT_MAX, at = 0;
    struct pg_result *fits;
    struct pg_param *a;

    pg_params_clear(&r->params);
    a = pg_add_array(&r->params, PG_INT8);
    for (int i = 0; i < n_looked; i++)
        pg_put_int8(a, pg_int(found, i, 0));
    add_sifting(&r->params, &cmd->filter);
    fits = read_rows(r, SQL_LIST_SIFT, ret_err);
    if (!fits)
        return -(int)ret_err->code;
    for (; at < pg_rows(fits) && page->n < cmd->limit; at++)
        page->ids[page->n++] = pg_int(fits, at, 0);
    if (at < pg_rows(fits)) {
        cmd->more = true;
        cmd->next_before_id = page->ids[page->n - 1];
    } else if (pg_rows(found) > n_looked) {
        cmd->more = true;
        cmd->next_before_id = pg_int(found, n_looked - 1, 0);
    }
    pg_free(fits);
    return 0;
}

static int read_page(struct reader *r, struct store_list *cmd, const struct job_filter *f, const struct lane_set *lanes,
                     struct id_page *page, struct err *ret_err)
{
    bool sifts =
        job_filter_needs_sifting(f) || (f->n_error_types && statement_for(f, lanes->restricts) != SQL_LIST_BY_ERROR);
    struct pg_result *found = read_ids(r, cmd, f, lanes, sifts ? SIFT_MAX : cmd->limit, ret_err);
    int rc = 0;

    if (!found)
        return -(int)ret_err->code;
    page->ids = arena_alloc(cmd->arena, (size_t)cmd->limit * sizeof *page->ids);
    if (!page->ids) {
        rc = read_out_of_memory(ret_err);
    } else if (sifts && pg_rows(found)) {
        rc = sift(r, cmd, found, page, ret_err);
    } else if (!sifts) {
        for (; page->n < pg_rows(found) && page->n < cmd->limit; page->n++)
            page->ids[page->n] = pg_int(found, page->n, 0);
        cmd->more = pg_rows(found) > cmd->limit;
        cmd->next_before_id = cmd->more ? page->ids[page->n - 1] : 0;
    }
    pg_free(found);
    return rc;
}

/* A job may have changed since its id was read: it is looked at once more, and left out if it no longer fits. */
static int read_jobs(struct reader *r, struct store_list *cmd, const struct id_page *page, struct err *ret_err)
{
    struct pg_param *a;
    struct pg_result *rows;
    struct job *jobs = arena_alloc(cmd->arena, (size_t)page->n * sizeof *jobs);
    bool good = jobs != NULL;

    pg_params_clear(&r->params);
    a = pg_add_array(&r->params, PG_INT8);
    for (int i = 0; i < page->n; i++)
        pg_put_int8(a, page->ids[i]);
    rows = read_rows(r, cmd->with_payload ? SQL_JOB_GET : SQL_JOB_BASIC, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    cmd->n_jobs = 0;
    for (int i = 0; good && i < pg_rows(rows); i++) {
        struct job j;
        good = row_job(rows, i, cmd->arena, &j);
        if (good && job_filter_matches(&cmd->filter, &j))
            good = job_copy(cmd->arena, &j, &jobs[cmd->n_jobs++]);
    }
    pg_free(rows);
    if (!good)
        return read_out_of_memory(ret_err);
    qsort(jobs, cmd->n_jobs, sizeof *jobs, cmd->oldest_first ? oldest_first : newest_first);
    cmd->jobs = jobs;
    return 0;
}

/* The filter with an owner, when the scope holds only the caller's own. False: nothing can match. */
static bool narrow_owner(struct job_filter *f)
{
    if (!f->scope.bounded || !f->scope.own_only)
        return true;
    if (f->scope.own.len == 0 || (f->owner.len && !span_eq(f->owner, f->scope.own)))
        return false;
    f->owner = f->scope.own;
    return true;
}

int read_list(struct reader *r, struct store_list *cmd, struct err *ret_err)
{
    struct job_filter f = cmd->filter;
    struct lane_query query = {f.names, f.queues, f.n_names, f.n_queues, &f.scope, false};
    struct lane_set lanes;
    struct id_page page = {.n = 0};
    int rc;

    cmd->jobs = NULL;
    cmd->n_jobs = 0;
    cmd->more = false;
    cmd->next_before_id = 0;
    if (cmd->limit < 1 || cmd->limit > 1000)
        return err_field(ret_err, "page_size", "page_size: must be from 1 to 1000");
    if (!narrow_owner(&f))
        return 0;
    rc = read_lanes(r, &query, &lanes, ret_err);
    if (rc < 0)
        return rc;
    rc = read_page(r, cmd, &f, &lanes, &page, ret_err);
    pg_free(lanes.rows);
    return rc < 0 || page.n == 0 ? rc : read_jobs(r, cmd, &page, ret_err);
}
