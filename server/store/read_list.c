/* Lists of jobs: ids by the index that fits the filter best (list_ids.c), then the jobs. A reader's thread.
 *
 * What no index knows of a filter is looked for among the ids that one gave, part by part, until the page is full,
 * there are no more, or the time is up; then the page is what there is, and its token leads on. */
#include <stdlib.h>

#include "store/list_ids.h"

/* Pages that were written lately are in memory anyway; and few of them are as quickly read one by one. */
#define RECENT_US (INT64_C(6) * 3600 * 1000000)
enum { FEW = 8 };

static int newest_first(const void *pa, const void *pb)
{
    const struct job *a = pa, *b = pb;

    return (a->id < b->id) - (a->id > b->id);
}

static int oldest_first(const void *pa, const void *pb)
{
    return newest_first(pb, pa);
}

/* The ids of a page. */
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

static void set_ids(struct pg_params *p, const int64_t *ids, int n)
{
    struct pg_param *a;

    pg_params_clear(p);
    a = pg_add_array(p, PG_INT8);
    for (int i = 0; i < n; i++)
        pg_put_int8(a, ids[i]);
}

/* Reads the pages of these jobs, so that they are in memory for what is sent next (list_touch_job.sql), where that
 * pays. By how many statements. */
static int touch(struct reader *r, const int64_t *ids, int n, bool jobs, bool states)
{
    int64_t first = ids[0], last = ids[n - 1];

    if (n < FEW || (first < last ? first : last) > id_floor(clock_wall_us() - RECENT_US))
        return 0;
    set_ids(&r->params, ids, n);
    pg_add_int8(&r->params, first < last ? first : last);
    pg_add_int8(&r->params, first < last ? last : first);
    if (jobs)
        pg_send(r->pg, sql_name(SQL_LIST_TOUCH_JOB), &r->params);
    if (states)
        pg_send(r->pg, sql_name(SQL_LIST_TOUCH_STATE), &r->params);
    return jobs + states;
}

static void add_sifting(struct pg_params *p, const struct job_filter *f, unsigned statuses)
{
    add_texts(p, f->error_types, f->n_error_types);
    pg_add_text_or_null(p, f->error_text);
    add_time_or_null(p, f->start_from_us);
    add_time_or_null(p, f->start_before_us);
    add_time_or_null(p, f->end_from_us);
    add_time_or_null(p, f->end_before_us);
    pg_add_int4(p, (int32_t)statuses);
}

static void add_payload(struct pg_params *p, const struct job_filter *f)
{
    struct pg_param *paths = pg_add_array(p, PG_TEXT), *equals = pg_add_array(p, PG_TEXT),
                    *contains = pg_add_array(p, PG_TEXT);

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

/* Behind what has been touched. */
static struct pg_result *run_touched(struct reader *r, enum sql_id id, int n_touched, struct err *ret_err)
{
    struct pg_result *rows;

    pg_send(r->pg, sql_name(id), &r->params);
    pg_send_commit(r->pg);
    for (int i = 0; i < n_touched; i++)
        pg_free(pg_read(r->pg));
    rows = pg_read_long(r->pg);
    if (pg_commit(r->pg, ret_err) == 0)
        return rows;
    pg_free(rows);
    return NULL;
}

/* Leaves those of the ids that the statement gives. */
static int keep(struct reader *r, enum sql_id id, int n_touched, struct list_part *part, struct err *ret_err)
{
    struct pg_result *fits = run_touched(r, id, n_touched, ret_err);

    if (!fits)
        return -(int)ret_err->code;
    for (part->n = 0; part->n < pg_rows(fits); part->n++)
        part->ids[part->n] = pg_int(fits, part->n, 0);
    pg_free(fits);
    return 0;
}

/* Of a part's ids those whose jobs fit the rest of the filter. `errors`: their types are part of that. */
static int sift(struct reader *r, const struct job_filter *f, bool errors, struct list_part *part, struct err *ret_err)
{
    struct job_filter rest = *f;
    int n_touched, rc = 0;

    if (!errors)
        rest.n_error_types = 0;
    rest.status_mask = part->statuses;
    if (part->n && job_filter_is_fickle(&rest)) {
        n_touched = touch(r, part->ids, part->n, false, true);
        set_ids(&r->params, part->ids, part->n);
        add_sifting(&r->params, &rest, part->statuses);
        rc = keep(r, SQL_LIST_SIFT, n_touched, part, ret_err);
    }
    if (rc == 0 && part->n && rest.n_payload) {
        n_touched = touch(r, part->ids, part->n, true, false);
        set_ids(&r->params, part->ids, part->n);
        add_payload(&r->params, &rest);
        rc = keep(r, SQL_LIST_SIFT_PAYLOAD, n_touched, part, ret_err);
    }
    return rc;
}

/* As many of a part's ids as the page takes. True: the list goes on behind the part. */
static bool fill_page(struct store_list *cmd, const struct list_part *part, struct id_page *page)
{
    int at = 0;

    for (; at < part->n && page->n < cmd->limit; at++)
        page->ids[page->n++] = part->ids[at];
    cmd->more = at < part->n || !part->whole;
    cmd->next_before_id = at < part->n ? page->ids[page->n - 1] : cmd->more ? part->edge : 0;
    return cmd->more && page->n < cmd->limit;
}

static int read_parts(struct reader *r, struct store_list *cmd, const struct job_filter *f,
                      const struct lane_set *lanes, struct list_part *part, struct id_page *page, struct err *ret_err)
{
    bool errors = f->n_error_types && !list_finds_errors(f), sifts = errors || job_filter_needs_sifting(f);
    int64_t until_us = clock_mono_us() + LIST_US, start_us, now_us;
    struct list_walk walk;
    int rc;

    list_walk_init(&walk, cmd, f, sifts);
    do {
        start_us = clock_mono_us();
        rc = list_read_part(r, &walk, f, lanes, cmd->limit - page->n, part, ret_err);
        if (rc == 0)
            rc = sift(r, f, errors, part, ret_err);
        if (rc < 0 || !fill_page(cmd, part, page))
            return rc;
        list_walk_go(&walk, part->edge);
        now_us = clock_mono_us();
        list_walk_pace(&walk, now_us - start_us, until_us - now_us);
    } while (now_us < until_us || f->n_ids || list_tries_type(&walk, f)); /* ids are few */
    return 0;
}

static int read_page(struct reader *r, struct store_list *cmd, const struct job_filter *f, const struct lane_set *lanes,
                     struct id_page *page, struct err *ret_err)
{
    struct list_part *part = arena_alloc(cmd->arena, sizeof *part);

    page->ids = arena_alloc(cmd->arena, (size_t)cmd->limit * sizeof *page->ids);
    if (!page->ids || !part)
        return read_out_of_memory(ret_err);
    return read_parts(r, cmd, f, lanes, part, page, ret_err);
}

/* A job may have changed since its id was read: it is looked at once more, and left out if it no longer fits. */
static int read_jobs(struct reader *r, struct store_list *cmd, const struct id_page *page, struct err *ret_err)
{
    struct pg_result *rows;
    struct job *jobs = arena_alloc(cmd->arena, (size_t)page->n * sizeof *jobs);
    bool good = jobs != NULL;
    int n_touched = touch(r, page->ids, page->n, true, true);

    set_ids(&r->params, page->ids, page->n);
    rows = run_touched(r, cmd->with_payload ? SQL_JOB_GET : SQL_JOB_BASIC, n_touched, ret_err);
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
