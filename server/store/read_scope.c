/* What a query needs of a caller's scope (core/scope.h), as parameters: lanes instead of queues and names, since jobs
 * are indexed by them, and owners as patterns of LIKE. A reader's thread. */
#include "store/reader.h"

void add_texts(struct pg_params *p, const struct span *texts, size_t n)
{
    struct pg_param *a;

    if (n == 0) {
        pg_add_null(p);
        return;
    }
    a = pg_add_array(p, PG_TEXT);
    for (size_t i = 0; i < n; i++)
        pg_put_text(a, texts[i]);
}

/* '*' becomes '%'; what LIKE would take for more than itself is escaped. */
static void put_pattern(struct pg_param *a, struct span pattern)
{
    struct buf like = BUF_INIT;

    for (size_t i = 0; i < pattern.len; i++) {
        char c = pattern.data[i];
        if (c == '%' || c == '_' || c == '\\')
            buf_add_char(&like, '\\');
        buf_add_char(&like, c == '*' ? '%' : c);
    }
    pg_put_text(a, buf_span(&like));
    a->buf.failed |= like.failed;
    buf_done(&like);
}

void add_patterns(struct pg_params *p, const struct span *patterns, size_t n)
{
    struct pg_param *a;

    if (n == 0) {
        pg_add_null(p);
        return;
    }
    a = pg_add_array(p, PG_TEXT);
    for (size_t i = 0; i < n; i++)
        put_pattern(a, patterns[i]);
}

int read_lanes(struct reader *r, const struct lane_query *q, struct lane_set *ret, struct err *ret_err)
{
    const struct job_scope *scope = q->scope;
    bool patterns = scope->bounded && (scope->n_queues > 0 || scope->n_job_names > 0);

    *ret = (struct lane_set){.restricts = q->n_names > 0 || q->n_queues > 0 || patterns, .bounded = scope->bounded};
    if (!ret->restricts && !scope->bounded)
        return 0;
    pg_params_clear(&r->params);
    add_texts(&r->params, q->names, q->n_names);
    add_texts(&r->params, q->queues, q->n_queues);
    add_patterns(&r->params, scope->job_names, scope->bounded ? scope->n_job_names : 0);
    add_patterns(&r->params, scope->queues, scope->bounded ? scope->n_queues : 0);
    pg_add_int4(&r->params, !ret->restricts && !q->all);
    ret->rows = read_rows(r, SQL_LANE_MATCH, ret_err);
    return ret->rows ? 0 : -(int)ret_err->code;
}

void add_lanes(struct pg_params *p, const struct lane_set *lanes, unsigned which)
{
    struct pg_param *a = pg_add_array(p, PG_INT4);

    for (int i = 0; lanes->rows && i < pg_rows(lanes->rows); i++) {
        if (which & (pg_int(lanes->rows, i, 1) ? LANES_RESERVED : LANES_OPEN))
            pg_put_int4(a, (int32_t)pg_int(lanes->rows, i, 0));
    }
}
