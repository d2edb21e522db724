/* An attempt at an export, top to bottom: what was asked, the snapshot, the count, the rows, the file. On the worker's
 * thread; the chunks are hashed and written on the writer's. Memory does not grow with the rows. */
#include "export/attempt.h"

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "export/query.h"
#include "export/request.h"
#include "export/writer.h"
#include "pg/copy.h"

enum {
    WAIT_MS = 50, /* for the writer, between ticks */
    ROWS_BETWEEN_TICKS = 256
};

struct export_attempt {
    struct export_worker *worker;
    const struct export_type *type;
    struct export_request request;
    struct buf count_sql, copy_sql, titles;
    struct arena arena;
    struct pg_copy *source;
    struct export_writer *writer;
    struct export_chunk_buffer *chunk; /* being filled */
    int64_t rows, total;
    struct attempt_result *result;
};

/* The attempt failed, unless it was told to stop. */
static int fail(struct export_attempt *a, const char *type, bool no_retry)
{
    a->result->error_type = type;
    a->result->no_retry = no_retry;
    return -1;
}

/* ---- what was asked ---- */

static int plan(struct export_attempt *a, const struct job *job)
{
    struct err *err = &a->result->err;
    if (export_request_decode(job->payload, &a->arena, &a->request, err) != 0)
        return fail(a, "ExportRequestInvalid", true);
    a->type = export_types_find(a->worker->exports->options.types, a->request.export_type);
    if (!a->type) {
        err_set(err, ERR_NOT_FOUND, NULL, "there is no export type \"%.*s\" any more",
                (int)(a->request.export_type.len < 100 ? a->request.export_type.len : 100),
                a->request.export_type.data);
        return fail(a, "ExportTypeUnknown", true);
    }
    buf_add_str(&a->copy_sql, "COPY (");
    if (export_query_build(a->type, a->request.filters, a->request.n_filters, EXPORT_QUERY_ROWS, &a->copy_sql, err) !=
            0 ||
        export_query_build(a->type, a->request.filters, a->request.n_filters, EXPORT_QUERY_COUNT, &a->count_sql, err) !=
            0)
        return fail(a, "ExportRequestInvalid", true);
    buf_add_str(&a->copy_sql, ") TO STDOUT WITH (FORMAT csv, ENCODING 'UTF8')");
    export_query_titles(a->type, &a->titles);
    if (a->copy_sql.failed || a->titles.failed) {
        err_set(err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
        return fail(a, "ExportFailed", false);
    }
    return 0;
}

/* ---- the snapshot ---- */

/* Faults of the query or of the data come back the same at every try. */
static int source_failed(struct export_attempt *a)
{
    const char *state = a->source ? pg_copy_sqlstate(a->source) : "";
    bool lasting = strncmp(state, "42", 2) == 0 || strncmp(state, "22", 2) == 0;
    return fail(a, "ExportSourceFailed", lasting);
}

static int open_snapshot(struct export_attempt *a)
{
    struct err *err = &a->result->err;
    struct pg_copy_options options = {.uri = a->worker->exports->options.uri,
                                      .name = "joblogd export rows",
                                      .tick = export_worker_tick,
                                      .user = a->worker};
    export_worker_progress(a->worker, "counting rows", 0, 0);
    if (pg_copy_open(&options, &a->source, err) != 0 ||
        pg_copy_exec(a->source, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err) != 0 ||
        pg_copy_int(a->source, a->count_sql.data, &a->total, err) != 0 ||
        pg_copy_start(a->source, a->copy_sql.data, err) != 0)
        return source_failed(a);
    return 0;
}

/* ---- the rows ---- */

static int take_chunk(struct export_attempt *a)
{
    for (;;) {
        int rc = export_writer_take(a->writer, WAIT_MS, &a->chunk, &a->result->err);
        if (rc == 1)
            return 0;
        if (rc < 0)
            return fail(a, "ExportStoreFailed", false);
        if (export_worker_tick(a->worker) != 0)
            return -1;
    }
}

static int append(struct export_attempt *a, const char *data, size_t len)
{
    while (len > 0) {
        size_t room = EXPORT_CHUNK_BYTES - a->chunk->len;
        size_t n = len < room ? len : room;
        memcpy(a->chunk->data + a->chunk->len, data, n);
        a->chunk->len += n;
        data += n;
        len -= n;
        if (a->chunk->len == EXPORT_CHUNK_BYTES) {
            export_writer_put(a->writer, a->chunk);
            a->chunk = NULL;
            if (take_chunk(a) != 0)
                return -1;
        }
    }
    return 0;
}

/* A row of COPY is a record of RFC 4180 but for its end: LF, where the standard has CRLF. */
static int append_row(struct export_attempt *a, struct span row)
{
    size_t len = row.len > 0 && row.data[row.len - 1] == '\n' ? row.len - 1 : row.len;
    if (a->chunk->len + len + 2 < EXPORT_CHUNK_BYTES) {
        char *at = a->chunk->data + a->chunk->len;
        memcpy(at, row.data, len);
        at[len] = '\r';
        at[len + 1] = '\n';
        a->chunk->len += len + 2;
        return 0;
    }
    return append(a, row.data, len) != 0 ? -1 : append(a, "\r\n", 2);
}

static int copy_rows(struct export_attempt *a)
{
    struct span row;
    int rc = append(a, a->titles.data, a->titles.len);
    if (rc != 0)
        return rc;
    while ((rc = pg_copy_next(a->source, &row, &a->result->err)) > 0) {
        if (append_row(a, row) != 0)
            return -1;
        a->rows++;
        if (a->rows % ROWS_BETWEEN_TICKS == 0 && export_worker_tick(a->worker) != 0)
            return -1;
        export_worker_progress(a->worker, "writing file", a->rows, a->total);
    }
    return rc == 0 ? 0 : source_failed(a);
}

/* ---- the file ---- */

static int finish_file(struct export_attempt *a)
{
    struct export_file file = {
        .job_id = a->worker->job_id,
        .name = a->request.file_name,
        .content_type = SPAN_LIT("text/csv; charset=utf-8; header=present"),
        .rows = a->rows,
        .expire_us = clock_wall_us() + a->worker->exports->options.ttl_ms * 1000,
    };
    export_worker_progress(a->worker, "finishing", a->rows, a->rows);
    a->worker->progress.percent = 100; /* also of no rows at all */
    export_writer_put(a->writer, a->chunk);
    a->chunk = NULL;
    export_writer_finish(a->writer, &file);
    for (;;) {
        int rc = export_writer_wait(a->writer, WAIT_MS, &file, &a->result->err);
        if (rc < 0)
            return fail(a, "ExportStoreFailed", false);
        if (rc == 1)
            break;
        if (export_worker_tick(a->worker) != 0)
            return -1;
    }
    a->result->rows = file.rows;
    a->result->size = file.size;
    memcpy(a->result->sha256, file.sha256.data, 64);
    a->result->sha256[64] = '\0';
    return 0;
}

static int run(struct export_attempt *a, const struct job *job)
{
    struct chunk_owner owner = {a->worker->job_id, a->worker->token};
    if (plan(a, job) != 0 || open_snapshot(a) != 0)
        return -1;
    if (export_writer_new(&a->worker->exports->chunks, &owner, &a->writer, &a->result->err) != 0)
        return fail(a, "ExportStoreFailed", false);
    if (take_chunk(a) != 0 || copy_rows(a) != 0)
        return -1;
    return finish_file(a);
}

/* Why it ended, where it did not complete. */
static enum attempt_outcome outcome_of(const struct export_attempt *a)
{
    switch (a->worker->stop) {
    case WORKER_CANCELLED:
        return ATTEMPT_CANCELLED;
    case WORKER_LOST:
        return ATTEMPT_LOST;
    case WORKER_SHUTS_DOWN:
        return ATTEMPT_RELEASED;
    default:
        return strcmp(a->result->err.reason, "LEASE_LOST") == 0 ? ATTEMPT_LOST : ATTEMPT_FAILED;
    }
}

void export_attempt_run(struct export_worker *worker, const struct job *job, struct attempt_result *ret)
{
    struct export_attempt a = {.worker = worker, .result = ret};
    *ret = (struct attempt_result){.error_type = "ExportFailed"};
    arena_init(&a.arena, NULL, 0, 0);
    bool completed = run(&a, job) == 0;
    ret->outcome = completed ? ATTEMPT_COMPLETED : outcome_of(&a);
    if (ret->outcome != ATTEMPT_FAILED) {
        ret->error_type = NULL;
        ret->err = ERR_NONE;
    }
    bool wrote = a.writer != NULL;
    if (a.chunk)
        export_writer_put(a.writer, a.chunk);
    export_writer_free(a.writer);
    pg_copy_close(a.source);
    const struct chunk_store *chunks = &worker->exports->chunks;
    struct chunk_owner owner = {worker->job_id, worker->token};
    struct err err = ERR_NONE;
    /* The commit may have gone through unheard. */
    if (wrote && !completed && chunks->discard(chunks, &owner, &err) != 0)
        log_warning("remains of an export not removed job=%" PRId64, worker->job_id);
    arena_done(&a.arena);
    buf_done(&a.count_sql);
    buf_done(&a.copy_sql);
    buf_done(&a.titles);
}
