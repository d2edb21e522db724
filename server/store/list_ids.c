/* See list_ids.h. A reader's thread. */
#include "store/list_ids.h"

#include <limits.h>

/* A part whose pages have to come from a disk takes a hundred times as long as one that is in memory, and the first
 * part tells nothing of the next but by its pace: so it is small, and none is more than some times as large as the
 * last. */
enum { LOOKS_MIN = 16, LOOKS_FIRST = 64, LOOKS_GROW = 4, LOOKS_MAX = 2000, SIFT_MAX = 500, LANE_LOOKS_MIN = 10 };
/* Of each place where jobs wait or run, when these are tried before an index that knows nothing of them. */
enum { LIVE_LOOKS = 20 };
/* So many jobs may have a source type for all their ids to be read: a millisecond, and a type that more have is met
 * soon enough on the way. */
enum { TYPE_MAX = 2000 };
enum {
    FINISHED_WELL = 1u << JOB_COMPLETED,
    LIVE = 1u << JOB_PENDING | 1u << JOB_RUNNING,
    FINISHED = FINISHED_WELL | 1u << JOB_FAILED | 1u << JOB_CANCELLED,
    ANY_STATUS = 0x3e
};

/* The parts of a filter that statements know. */
enum part {
    PART_STATUS = 1,
    PART_LANES = 2,
    PART_OWNER = 4,
    PART_SOURCE = 8,
    PART_BATCH = 16,
    PART_LABELS = 32,
    PART_SCOPE = 64,
    PART_ERROR = 128
};

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

static bool has_statuses(const struct job_filter *f)
{
    return f->status_mask && (f->status_mask & ANY_STATUS) != ANY_STATUS;
}

static bool finds_few(const struct list_walk *w)
{
    return w->n_found * 100 < w->n_looked;
}

/* Completed jobs have no index by lane: those of a busy lane are among the newest of all, whatever waits in it; those
 * of another are found by the lane. Likewise labels: what hardly any job has is left to their index. */
static bool by_status(const struct list_walk *w, const struct job_filter *f, bool lanes)
{
    if (!has_statuses(f))
        return false;
    if (w->n_parts > 0 && lanes && f->status_mask & FINISHED_WELL)
        return false;
    return !f->n_labels || !(f->status_mask & FINISHED) || w->n_parts == 0 || !finds_few(w);
}

/* Jobs that wait or run may be few, whatever the history holds: then a look at all of them is the answer. */
static bool live_are_tried(const struct list_walk *w, const struct job_filter *f)
{
    return w->n_parts == 0 && f->status_mask && (f->status_mask & ~(unsigned)LIVE) == 0;
}

/* By how few jobs each is likely to leave. */
static enum sql_id statement_for(const struct list_walk *w, const struct job_filter *f, bool lanes)
{
    if (f->n_ids)
        return SQL_LIST_BY_IDS;
    if (f->batch.len)
        return SQL_LIST_BY_BATCH;
    if (f->source_type.len && f->source_id.len)
        return SQL_LIST_BY_SOURCE_ID;
    if (f->n_error_types)
        return SQL_LIST_BY_ERROR;
    if (f->status_mask == 1u << JOB_RUNNING || live_are_tried(w, f))
        return SQL_LIST_BY_STATUS;
    if (owners_are_known(f))
        return SQL_LIST_BY_OWNER;
    if (by_status(w, f, lanes))
        return SQL_LIST_BY_STATUS;
    if (f->n_labels)
        return SQL_LIST_BY_LABELS;
    return lanes ? SQL_LIST_BY_LANE : SQL_LIST_ALL;
}

/* What the statement finds by its index, and the statement that asks for nothing else, and so reads nothing but the
 * index (SQL_COUNT: there is none; it looks at few jobs anyway). */
static unsigned known_to(enum sql_id id, enum sql_id *ret_key)
{
    *ret_key = SQL_COUNT;
    switch (id) {
    case SQL_LIST_ALL:
        *ret_key = SQL_LIST_KEY_ALL;
        return 0;
    case SQL_LIST_BY_LANE:
        *ret_key = SQL_LIST_KEY_LANE;
        return PART_LANES;
    case SQL_LIST_BY_OWNER:
        *ret_key = SQL_LIST_KEY_OWNER;
        return PART_OWNER;
    case SQL_LIST_BY_ERROR:
        *ret_key = SQL_LIST_KEY_ERROR;
        return PART_ERROR;
    case SQL_LIST_BY_BATCH:
        *ret_key = SQL_LIST_KEY_BATCH;
        return PART_BATCH;
    case SQL_LIST_BY_SOURCE_ID:
        *ret_key = SQL_LIST_KEY_SOURCE;
        return PART_SOURCE;
    default:
        return 0;
    }
}

static unsigned parts_of(const struct job_filter *f, const struct lane_set *lanes)
{
    return (has_statuses(f) ? PART_STATUS : 0u) | (lanes->restricts ? PART_LANES : 0u) |
           (f->owner.len ? PART_OWNER : 0u) | (f->source_type.len || f->source_id.len ? PART_SOURCE : 0u) |
           (f->batch.len ? PART_BATCH : 0u) | (f->n_labels ? PART_LABELS : 0u) | (f->scope.bounded ? PART_SCOPE : 0u);
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

void list_walk_init(struct list_walk *w, const struct store_list *cmd, const struct job_filter *f, bool sifts)
{
    *w = (struct list_walk){.sifts = sifts, .oldest_first = cmd->oldest_first, .looks = LOOKS_FIRST};
    w->lo = f->create_from_us ? id_floor(f->create_from_us) : 0;
    w->hi = least(id_bound(f->create_before_us, 0),
                  least(id_bound(f->start_before_us, 1000), id_bound(f->end_before_us, 1000)));
    if (cmd->before_id > 0)
        list_walk_go(w, cmd->before_id);
}

void list_walk_go(struct list_walk *w, int64_t edge)
{
    if (w->oldest_first)
        w->lo = edge >= w->lo ? edge + 1 : w->lo;
    else
        w->hi = least(w->hi, edge);
}

void list_walk_pace(struct list_walk *w, int64_t took_us, int64_t left_us)
{
    int64_t max = least(w->sifts ? SIFT_MAX : LOOKS_MAX, (int64_t)w->looks * LOOKS_GROW);
    int64_t looks = took_us > 0 ? w->looks * left_us / took_us : max;

    w->looks = (int32_t)(looks < LOOKS_MIN ? LOOKS_MIN : least(looks, max));
}

static void add_key(struct pg_params *p, enum sql_id key, const struct job_filter *f, const struct lane_set *lanes)
{
    switch (key) {
    case SQL_LIST_KEY_LANE:
        add_lanes(p, lanes, LANES_OPEN | LANES_RESERVED);
        break;
    case SQL_LIST_KEY_OWNER:
        add_owners(p, f);
        break;
    case SQL_LIST_KEY_ERROR:
        add_texts(p, f->error_types, f->n_error_types);
        break;
    case SQL_LIST_KEY_BATCH:
        pg_add_text(p, f->batch);
        break;
    case SQL_LIST_KEY_SOURCE:
        pg_add_text(p, f->source_type);
        pg_add_text(p, f->source_id);
        break;
    case SQL_LIST_KEY_TYPE:
        pg_add_text(p, f->source_type);
        pg_add_int4(p, TYPE_MAX);
        break;
    default:
        break;
    }
}

static struct pg_result *run(struct reader *r, const struct list_walk *w, enum sql_id id, struct err *ret_err)
{
    return w->oldest_first ? read_ascending(r, id, ret_err) : read_rows(r, id, ret_err);
}

static int32_t looks_each(const struct list_walk *w, enum sql_id key, const struct job_filter *f,
                          const struct lane_set *lanes)
{
    size_t n = key == SQL_LIST_KEY_LANE && lanes->rows      ? (size_t)pg_rows(lanes->rows)
               : key == SQL_LIST_KEY_OWNER && !f->owner.len ? f->scope.n_owners
                                                            : 1;
    int32_t looks = n > 1 ? (int32_t)((size_t)w->looks / n) : w->looks;

    return looks < LANE_LOOKS_MIN ? LANE_LOOKS_MIN : looks;
}

/* Ids of the part by the index alone: so many, behind so many. */
static struct pg_result *run_key(struct reader *r, const struct list_walk *w, enum sql_id key,
                                 const struct job_filter *f, const struct lane_set *lanes, const struct list_part *part,
                                 int32_t n, int32_t behind, struct err *ret_err)
{
    pg_params_clear(&r->params);
    pg_add_int8(&r->params, part->hi);
    pg_add_int8(&r->params, part->lo);
    pg_add_int4(&r->params, n);
    pg_add_int4(&r->params, behind);
    add_key(&r->params, key, f, lanes);
    return run(r, w, key, ret_err);
}

/* Narrows the range to the jobs that are looked at. 0 or -code. */
static int read_bound(struct reader *r, const struct list_walk *w, enum sql_id key, const struct job_filter *f,
                      const struct lane_set *lanes, struct list_part *part, struct err *ret_err)
{
    struct pg_result *rows = run_key(r, w, key, f, lanes, part, 1, looks_each(w, key, f, lanes), ret_err);

    if (!rows)
        return -(int)ret_err->code;
    if (pg_rows(rows) > 0) {
        part->whole = false;
        if (w->oldest_first)
            part->edge = (part->hi = pg_int(rows, 0, 0)) - 1;
        else
            part->edge = part->lo = pg_int(rows, 0, 0) + 1;
    }
    pg_free(rows);
    return 0;
}

static void add_filter(struct pg_params *p, const struct list_part *part, const struct job_filter *f,
                       const struct lane_set *lanes, unsigned statuses, int32_t limit)
{
    pg_params_clear(p);
    pg_add_int8(p, part->hi);
    pg_add_int8(p, part->lo);
    pg_add_int4(p, limit);
    pg_add_int4(p, (int32_t)statuses);
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
}

/* Of each place. Where every job that is found fits, no more than the page takes; where most will not, few. */
static int32_t status_looks(const struct list_walk *w, const struct job_filter *f, const struct lane_set *lanes,
                            int32_t limit)
{
    bool all_fit = (parts_of(f, lanes) & ~(unsigned)PART_STATUS) == 0 && !(f->status_mask & FINISHED_WELL);

    if (live_are_tried(w, f) && parts_of(f, lanes) & (PART_OWNER | PART_SCOPE))
        return LIVE_LOOKS;
    return all_fit ? limit : w->looks > 4 * limit ? w->looks : 4 * limit; /* they lie close together */
}

/* Takes over the ids, up to the first that is the last of its place; more than `want` are cut off. */
static void take_ids(struct list_part *part, const struct pg_result *rows, enum sql_id id, int want)
{
    bool last = false;

    for (int i = 0; i < pg_rows(rows) && !last; i++) {
        if (part->n == want) {
            part->whole = false;
            part->edge = part->ids[want - 1];
            return;
        }
        last = id == SQL_LIST_BY_STATUS && pg_int(rows, i, 1);
        if (id != SQL_LIST_BY_STATUS || pg_int(rows, i, 2))
            part->ids[part->n++] = pg_int(rows, i, 0);
        if (last) {
            part->whole = false;
            part->edge = pg_int(rows, i, 0);
        }
    }
}

/* What the statement finds by its index is looked at job by job. */
static struct pg_result *run_filter(struct reader *r, const struct list_walk *w, enum sql_id id,
                                    const struct job_filter *f, const struct lane_set *lanes,
                                    const struct list_part *part, int want, struct err *ret_err)
{
    add_filter(&r->params, part, f, lanes, has_statuses(f) && !part->statuses ? f->status_mask : 0, want + 1);
    if (id == SQL_LIST_BY_IDS)
        add_ids(&r->params, f->ids, f->n_ids);
    else if (id == SQL_LIST_BY_OWNER)
        add_owners(&r->params, f);
    else if (id == SQL_LIST_BY_ERROR)
        add_texts(&r->params, f->error_types, f->n_error_types);
    else if (id == SQL_LIST_BY_STATUS)
        pg_add_int4(&r->params, status_looks(w, f, lanes, want + 1));
    return run(r, w, id, ret_err);
}

/* By the index alone, or narrowed by it to few jobs and looked at; the statuses of what an index gives are sifted. */
static struct pg_result *run_part(struct reader *r, const struct list_walk *w, const struct job_filter *f,
                                  const struct lane_set *lanes, enum sql_id id, int want, struct list_part *part,
                                  struct err *ret_err)
{
    enum sql_id key;
    unsigned known = known_to(id, &key) | PART_STATUS;

    if (key == SQL_COUNT)
        return run_filter(r, w, id, f, lanes, part, want, ret_err);
    part->statuses = has_statuses(f) ? f->status_mask : 0;
    if ((parts_of(f, lanes) & ~known) == 0)
        return run_key(r, w, key, f, lanes, part, want + 1, 0, ret_err);
    if (read_bound(r, w, key, f, lanes, part, ret_err) < 0)
        return NULL;
    return run_filter(r, w, id, f, lanes, part, want, ret_err);
}

/* The index by object has the jobs of a source type by their objects, not by their ids: all must be read, and are when
 * the first part of the list has met next to none. Not with an error's type, which has an index in the order of ids. */
static bool type_is_tried(const struct list_walk *w, const struct job_filter *f)
{
    if (!f->source_type.len || f->source_id.len || f->batch.len || f->n_ids || f->n_error_types || w->type_is_common)
        return false;
    return w->type_is_rare || (w->n_parts > 0 && finds_few(w));
}

bool list_tries_type(const struct list_walk *w, const struct job_filter *f)
{
    return !w->type_is_rare && type_is_tried(w, f);
}

/* Of the part's ids those that the rest of the filter lets through. */
static int filter_ids(struct reader *r, const struct list_walk *w, const struct job_filter *f,
                      const struct lane_set *lanes, struct list_part *part, struct err *ret_err)
{
    struct job_filter of = *f;
    struct pg_result *rows;

    of.ids = part->ids;
    of.n_ids = (size_t)part->n;
    rows = run_filter(r, w, SQL_LIST_BY_IDS, &of, lanes, part, part->n, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    part->n = 0;
    take_ids(part, rows, SQL_LIST_BY_IDS, SIFT_MAX);
    pg_free(rows);
    return 0;
}

/* The next jobs of the filter's source type, or w->type_is_common. 0 or -code. */
static int read_type(struct reader *r, struct list_walk *w, const struct job_filter *f, const struct lane_set *lanes,
                     int want, struct list_part *part, struct err *ret_err)
{
    bool alone = (parts_of(f, lanes) & ~(unsigned)(PART_SOURCE | PART_STATUS)) == 0;
    int32_t n = alone ? want : SIFT_MAX;
    struct pg_result *rows = run_key(r, w, SQL_LIST_KEY_TYPE, f, lanes, part, n + 1, 0, ret_err);

    if (!rows)
        return -(int)ret_err->code;
    w->type_is_common = pg_rows(rows) == 1 && pg_int(rows, 0, 0) == 0;
    w->type_is_rare = !w->type_is_common;
    if (w->type_is_rare) {
        part->statuses = has_statuses(f) ? f->status_mask : 0;
        take_ids(part, rows, SQL_LIST_KEY_TYPE, n);
    }
    pg_free(rows);
    return alone || part->n == 0 ? 0 : filter_ids(r, w, f, lanes, part, ret_err);
}

static void note_part(struct list_walk *w, const struct list_part *part)
{
    w->n_parts++;
    w->n_looked += w->looks;
    w->n_found += part->n;
}

int list_read_part(struct reader *r, struct list_walk *w, const struct job_filter *f, const struct lane_set *lanes,
                   int want, struct list_part *part, struct err *ret_err)
{
    enum sql_id key, id = statement_for(w, f, lanes->restricts);
    struct pg_result *rows;

    (void)known_to(id, &key);
    if (w->sifts || ((key != SQL_COUNT || type_is_tried(w, f)) && has_statuses(f)))
        want = w->looks < SIFT_MAX ? w->looks : SIFT_MAX;
    part->lo = w->lo;
    part->hi = w->hi;
    part->n = 0;
    part->whole = true;
    part->statuses = 0;
    if (type_is_tried(w, f)) {
        int rc = read_type(r, w, f, lanes, want, part, ret_err);
        if (rc == 0 && w->type_is_rare)
            note_part(w, part);
        if (rc < 0 || w->type_is_rare)
            return rc;
    }
    rows = run_part(r, w, f, lanes, id, want, part, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    take_ids(part, rows, id, want);
    pg_free(rows);
    note_part(w, part);
    return 0;
}

bool list_finds_errors(const struct job_filter *f)
{
    struct list_walk w = {.n_parts = 0};

    return statement_for(&w, f, false) == SQL_LIST_BY_ERROR;
}
