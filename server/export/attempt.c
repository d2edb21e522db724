/* An attempt at an export, top to bottom: what was asked, the snapshot, the count, the rows, the file. On the worker's
 * thread; the chunks are hashed and written on the writer's. Memory does not grow with the rows. */
#include "export/attempt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "export/fields.h"
#include "export/format.h"
#include "export/idle.h"
#include "export/pack.h"
#include "export/polite.h"
#include "export/query.h"
#include "export/request.h"
#include "export/words.h"
#include "export/writer.h"

enum {
    WAIT_MS = 50, /* for the writer, between ticks */
    ROWS_BETWEEN_TICKS = 256,
    BYTES_BETWEEN_TICKS = 1 << 20 /* rows may be large, and packing them slow */
};

struct export_attempt {
    struct export_out out; /* first: full() finds the rest by it. The chunk that is being filled. */
    struct export_worker *worker;
    struct export_types *types;
    const struct export_type *type;
    const struct export_words *words;
    struct export_request request;
    struct export_query query;
    struct export_field *fields;
    struct span owner;
    struct arena arena;
    struct pg_copy *source;
    struct export_writer *writer;
    struct export_chunk_buffer *chunk;
    struct export_pack *pack;
    struct export_encoder *encoder;
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

static int no_memory(struct export_attempt *a)
{
    err_set(&a->result->err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    return fail(a, "ExportFailed", false);
}

/* At every wait, and now and then among the rows. For pg_copy_options.tick. */
static int tick(void *user)
{
    struct export_attempt *a = user;
    if (a->rows > a->total && !a->type->uncounted) /* it was estimated, and too low: not at its end until it is */
        a->total = a->rows + a->rows / 50;
    if (a->rows > 0)
        export_worker_progress(a->worker, a->words->writing, a->rows, a->total);
    return export_worker_tick(a->worker);
}

/* ---- what was asked ---- */

static int plan(struct export_attempt *a, const struct job *job)
{
    struct err *err = &a->result->err;
    if (export_request_decode(job->payload, &a->arena, &a->request, err) != 0)
        return fail(a, "ExportRequestInvalid", true);
    a->words = export_words(a->request.language);
    a->owner = job->owner;
    a->types = export_types_of(a->worker->exports);
    a->type = export_types_find(a->types, a->request.export_type);
    if (!a->type) {
        err_set(err, ERR_NOT_FOUND, NULL, "there is no export type \"%.*s\" any more",
                (int)(a->request.export_type.len < 100 ? a->request.export_type.len : 100),
                a->request.export_type.data);
        return fail(a, "ExportTypeUnknown", true);
    }
    if (!export_type_allows(a->type, a->request.roles)) {
        err_set(err, ERR_PERMISSION_DENIED, "EXPORT_TYPE_DENIED",
                "who started it had none of the roles that exports of type \"%s\" are for now", a->type->name);
        return fail(a, "ExportDenied", true);
    }
    if (export_query_plan(a->type, &a->request, &a->arena, &a->query, err) != 0)
        return fail(a, "ExportRequestInvalid", true);
    return 0;
}

/* ---- the snapshot ---- */

/* What a caller is told of the rows that the database does not give: not the names of the operator's tables, which are
 * in the log. The first that fits counts. Faults like these come back the same at every try. */
static const struct {
    const char *state; /* the whole SQLSTATE, or its class */
    const char *text;
} lasting_faults[] = {
    /* Such as a division by zero in a view: the caller's values were checked. */
    {"22", "the database failed at a value of the rows that were asked for"},
    {"42P01", "the table or view of this export type is not there any more; its operator finds more in the log"},
    {"42703", "a column of this export type is not there any more; its operator finds more in the log"},
    {"42501", "the server may not read the rows of this export type; its operator finds more in the log"},
    {"P0", "a function of the database refused the rows that were asked for; its operator finds more in the log"},
    /* A statement_timeout of the source's, or somebody there: the same is too long again, and its operator wants it
     * ended. What this server cancels has ended otherwise before it gets here (outcome_of). */
    {"57014", "the database ended the search for the rows: they take longer than it allows; filter more"},
    {"54", "the rows that were asked for are more than the database can work out at once; its operator finds more in "
           "the log"},
    {"42", "the rows of this export type cannot be read as it is declared; its operator finds more in the log"},
};

static int source_failed(struct export_attempt *a)
{
    const char *state = a->source ? pg_copy_sqlstate(a->source) : "";
    for (size_t i = 0; i < sizeof lasting_faults / sizeof *lasting_faults; i++) {
        if (strncmp(state, lasting_faults[i].state, strlen(lasting_faults[i].state)) != 0)
            continue;
        err_set(&a->result->err, a->result->err.code, NULL, "%s", lasting_faults[i].text);
        return fail(a, "ExportSourceFailed", true);
    }
    return fail(a, "ExportSourceFailed", false);
}

/* The text of a statement on the query; NULL: out of memory. */
static char *statement(struct export_attempt *a, enum export_query_kind kind, bool copy)
{
    struct buf sql = BUF_INIT;
    if (copy)
        buf_add_str(&sql, "COPY (");
    export_query_sql(&a->query, kind, &sql);
    if (copy) {
        buf_add_str(&sql, ") TO STDOUT WITH ");
        export_copy_options(&a->request, &sql);
    }
    char *text = sql.failed ? NULL : arena_str(&a->arena, buf_span(&sql));
    buf_done(&sql);
    return text;
}

static int describe(struct export_attempt *a)
{
    struct pg_copy_column *columns = NULL;
    size_t n = 0;
    char *sql = statement(a, EXPORT_QUERY_NO_ROWS, false);
    if (!sql)
        return no_memory(a);
    if (pg_copy_describe(a->source, sql, &columns, &n, &a->result->err) != 0)
        return source_failed(a);
    if (n == a->query.n_columns)
        a->fields = export_fields_make(&a->query, columns, &a->arena);
    mem_free(columns);
    return a->fields ? 0 : no_memory(a);
}

/* How many rows there will be, about: counting a whole big table takes a good part of the time of copying it. 0: not
 * known. */
static int estimate(struct export_attempt *a)
{
    int64_t about = 0;
    struct buf sql = BUF_INIT;
    if (a->type->max_rows > 0 || !export_query_is_whole(&a->query))
        return 0;
    export_query_estimate_sql(&a->query, &sql);
    char *text = sql.failed ? NULL : arena_str(&a->arena, buf_span(&sql));
    buf_done(&sql);
    if (!text)
        return no_memory(a);
    if (pg_copy_int(a->source, text, &about, &a->result->err) != 0)
        return source_failed(a);
    a->total = about > 0 ? about : 0;
    return 0;
}

static int count(struct export_attempt *a)
{
    if (a->type->uncounted)
        return 0;
    if (estimate(a) != 0)
        return -1;
    if (a->total > 0)
        return 0;
    char *sql = statement(a, EXPORT_QUERY_COUNT, false);
    if (!sql)
        return no_memory(a);
    if (pg_copy_int(a->source, sql, &a->total, &a->result->err) != 0)
        return source_failed(a);
    if (a->type->max_rows > 0 && a->total > a->type->max_rows) {
        err_set(&a->result->err, ERR_FAILED_PRECONDITION, "EXPORT_TOO_LARGE",
                "%" PRId64 " rows, and an export of this type may have %" PRId64 ": filter more", a->total,
                a->type->max_rows);
        return fail(a, "ExportTooLarge", true);
    }
    return 0;
}

/* To the server's own database on a connection that an earlier export had, if there is one that is still good. Those of
 * others are closed after each export: who looks after them may want to drop or rename them. */
static int open_source(struct export_attempt *a)
{
    struct exports *exports = a->worker->exports;
    char about[64];
    snprintf(about, sizeof about, "job=%" PRId64 " ", a->worker->job_id);
    struct pg_copy_options options = {.uri = a->type->database ? a->type->database : exports->options.uri,
                                      .name = "joblogd export rows",
                                      .about = arena_str(&a->arena, span_str(about)),
                                      .tick = tick,
                                      .user = a,
                                      .silence_ms = exports->options.silence_ms};
    struct pg_copy *kept = a->type->database ? NULL : export_idle_take(exports->sources);
    if (kept && pg_copy_resume(kept, &options)) {
        a->source = kept;
        return 0;
    }
    if (kept) {
        pg_copy_close(kept);
        export_idle_trim(exports->sources, INT64_MAX); /* the others have no server either */
    }
    if (pg_copy_open(&options, &a->source, &a->result->err) != 0)
        return source_failed(a);
    if (exports->options.is_embedded && !a->type->database)
        export_polite_process(pg_copy_backend_pid(a->source));
    return 0;
}

static void close_source(struct export_attempt *a, bool rows_ended)
{
    struct export_idle *idle = a->type && !a->type->database ? a->worker->exports->sources : NULL;
    if (!rows_ended || !idle || !pg_copy_rest(a->source) || !export_idle_put(idle, a->source, clock_mono_ms()))
        pg_copy_close(a->source);
}

static int open_snapshot(struct export_attempt *a)
{
    struct err *err = &a->result->err;
    export_worker_progress(a->worker, a->type->uncounted ? a->words->writing : a->words->counting, 0, 0);
    if (open_source(a) != 0)
        return -1;
    if (describe(a) != 0 || count(a) != 0)
        return -1;
    char *sql = statement(a, EXPORT_QUERY_ROWS, true);
    if (!sql)
        return no_memory(a);
    return pg_copy_start(a->source, sql, err) == 0 ? 0 : source_failed(a);
}

/* ---- chunks ---- */

static int take_chunk(struct export_attempt *a)
{
    for (;;) {
        int rc = export_writer_take(a->writer, WAIT_MS, &a->chunk, &a->result->err);
        if (rc == 1)
            break;
        if (rc < 0)
            return fail(a, "ExportStoreFailed", strcmp(a->result->err.reason, "EXPORT_QUOTA") == 0);
        if (export_worker_tick(a->worker) != 0)
            return -1;
    }
    a->out.at = a->chunk->data;
    a->out.end = a->chunk->data + EXPORT_CHUNK_BYTES;
    return 0;
}

static void put_chunk(struct export_attempt *a)
{
    if (!a->chunk)
        return;
    a->chunk->len = (size_t)(a->out.at - a->chunk->data);
    export_writer_put(a->writer, a->chunk);
    a->chunk = NULL;
    a->out.at = a->out.end = NULL;
}

static int chunk_full(struct export_out *out)
{
    struct export_attempt *a = (struct export_attempt *)out;
    put_chunk(a);
    if (export_worker_tick(a->worker) != 0) /* a row may have hundreds of chunks */
        return -1;
    return take_chunk(a);
}

/* ---- the rows ---- */

/* The connection of the writer is made while that of the rows is, and while they are counted. */
static int start_writer(struct export_attempt *a)
{
    const struct exports *exports = a->worker->exports;
    struct chunk_owner owner = {a->worker->job_id, a->worker->token};
    struct export_file description = {.name = a->request.file_name,
                                      .content_type = span_str(export_content_type(&a->request))};
    int rc = export_writer_new(exports->chunks, &owner, &description, a->owner, exports->options.limits.max_bytes,
                               &a->writer, &a->result->err);
    return rc == 0 ? 0 : fail(a, "ExportStoreFailed", false);
}

static int open_file(struct export_attempt *a)
{
    struct err *err = &a->result->err;
    if (take_chunk(a) != 0)
        return -1;
    a->out.full = chunk_full;
    struct export_out *out = &a->out;
    if (a->request.compression > EXPORT_PLAIN) {
        if (export_pack_new(a->request.compression, out, &a->pack, err) != 0)
            return fail(a, "ExportFailed", false);
        out = export_pack_out(a->pack);
    }
    if (export_encoder_new(&a->request, a->type->title, a->fields, a->query.n_columns, out, &a->encoder, err) != 0)
        return fail(a, "ExportFailed", false);
    return 0;
}

static int copy_rows(struct export_attempt *a)
{
    struct span row;
    size_t bytes = 0; /* since the last tick for their sake */
    int rc;
    /* Where the encoder fails without a word of the writer's, there was no memory. */
    err_set(&a->result->err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    if (a->encoder->begin(a->encoder) != 0)
        return -1;
    while ((rc = pg_copy_next(a->source, &row, &a->result->err)) > 0) {
        if (a->rows == 0) /* whatever it took to count and to sort them */
            a->worker->since_us = clock_wall_us();
        if (a->encoder->row(a->encoder, row) != 0)
            return -1;
        a->rows++;
        bytes += row.len;
        if ((a->rows % ROWS_BETWEEN_TICKS == 0 || bytes >= BYTES_BETWEEN_TICKS) && tick(a) != 0)
            return -1;
        if (bytes >= BYTES_BETWEEN_TICKS)
            bytes = 0;
    }
    export_worker_progress(a->worker, a->words->finishing, a->rows, a->rows);
    if (rc != 0)
        return source_failed(a);
    return a->encoder->end(a->encoder) != 0 || (a->pack && export_pack_end(a->pack) != 0) ? -1 : 0;
}

/* ---- the file ---- */

/* For the record: the type may be another when somebody looks at it. */
static int note_columns(struct export_attempt *a)
{
    struct span *names = arena_alloc(&a->arena, a->query.n_columns * sizeof *names);
    for (size_t i = 0; names && i < a->query.n_columns; i++)
        names[i] = span_str(a->query.columns[i]->name);
    return names && export_columns_encode(names, a->query.n_columns, &a->result->columns) ? 0 : no_memory(a);
}

static int finish_file(struct export_attempt *a)
{
    struct export_file file = {
        .job_id = a->worker->job_id,
        .name = a->request.file_name,
        .content_type = span_str(export_content_type(&a->request)),
        .rows = a->rows,
        .cut_cells = a->encoder->cut_cells,
        .expire_us = clock_wall_us() + a->worker->exports->options.ttl_ms * 1000,
    };
    if (note_columns(a) != 0)
        return -1;
    a->worker->progress.percent = 100; /* also of no rows at all */
    put_chunk(a);
    export_writer_finish(a->writer, &file);
    for (;;) {
        int rc = export_writer_wait(a->writer, WAIT_MS, &file, &a->result->err);
        if (rc < 0)
            return fail(a, "ExportStoreFailed", strcmp(a->result->err.reason, "EXPORT_QUOTA") == 0);
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
    if (plan(a, job) != 0 || start_writer(a) != 0 || open_snapshot(a) != 0 || open_file(a) != 0 || copy_rows(a) != 0)
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

static void close_all(struct export_attempt *a, bool completed)
{
    bool wrote = a->writer != NULL;
    if (a->chunk && !completed) { /* what is in it is worth nothing */
        a->chunk->len = 0;
        export_writer_put(a->writer, a->chunk);
    }
    export_encoder_free(a->encoder);
    export_pack_free(a->pack);
    export_writer_free(a->writer);
    close_source(a, completed);
    export_types_free(a->types);
    const struct chunk_store *chunks = a->worker->exports->chunks;
    struct chunk_owner owner = {a->worker->job_id, a->worker->token};
    struct err err = ERR_NONE;
    /* The commit may have gone through unheard. */
    if (wrote && !completed && chunks->discard(chunks, &owner, &err) != 0)
        log_warning("remains of an export not removed yet job=%" PRId64, a->worker->job_id);
    arena_done(&a->arena);
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
    close_all(&a, completed);
}
