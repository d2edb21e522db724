/* Changes after a resume point: the log of changes, and the jobs as they are now. A reader's thread.
 *
 * All in one piece: in several pages a job that went from replica to replica could show its states out of order. */
#include "store/changes.h"
#include "store/point.h"
#include "store/reader.h"

enum {
    POINT_AGE_US = 600 * 1000 * 1000 /* the log is kept for 900 s */
};

static int set_expired(struct err *ret_err, const char *why)
{
    return err_set(ret_err, ERR_OUT_OF_RANGE, "RESUME_POINT_EXPIRED", "%s: watch without a resume point", why);
}

static void put_point(struct reader *r, const struct point *point)
{
    struct pg_param *replicas, *batches;

    pg_params_clear(&r->params);
    replicas = pg_add_array(&r->params, PG_INT4);
    batches = pg_add_array(&r->params, PG_INT8);
    for (int i = 0; i < POINT_REPLICAS; i++) {
        if (point->batch[i] < 0)
            continue;
        pg_put_int4(replicas, i);
        pg_put_int8(batches, point->batch[i]);
    }
}

static int check_size(struct reader *r, const struct point *point, struct err *ret_err)
{
    struct pg_result *size;
    int64_t bytes;

    put_point(r, point);
    size = read_rows(r, SQL_CHANGE_SIZE, ret_err);
    if (!size)
        return -(int)ret_err->code;
    bytes = pg_int(size, 0, 0);
    pg_free(size);
    return bytes <= CHANGES_READ_MAX_BYTES ? 0 : set_expired(ret_err, "too much has changed since the resume point");
}

static int fill(struct store_changes *cmd, const struct changes *changes, struct err *ret_err)
{
    cmd->jobs = arena_alloc(cmd->arena, (changes->n + 1) * sizeof *cmd->jobs);
    if (!cmd->jobs)
        return read_out_of_memory(ret_err);
    for (size_t i = 0; i < changes->n; i++) {
        bool is_transition;
        if (changes_job(changes, i, &cmd->jobs[cmd->n_jobs], &is_transition))
            cmd->n_jobs++;
    }
    return 0;
}

int read_changes(struct reader *r, struct store_changes *cmd, struct err *ret_err)
{
    struct changes changes;
    struct point point;
    struct pg_result *log;
    int rc = point_read(cmd->point, "resume_point", &point, ret_err);

    cmd->jobs = NULL;
    cmd->n_jobs = 0;
    if (rc != 0)
        return rc;
    if (clock_wall_us() - point.time_us > POINT_AGE_US)
        return set_expired(ret_err, "the resume point is older than ten minutes");
    if ((rc = check_size(r, &point, ret_err)) != 0)
        return rc;
    put_point(r, &point);
    log = read_rows(r, SQL_CHANGE_SINCE, ret_err);
    if (!log)
        return -(int)ret_err->code;
    rc = changes_load(&changes, r->pg, log, NULL, cmd->arena, ret_err);
    pg_free(log);
    return rc == 0 ? fill(cmd, &changes, ret_err) : rc;
}
