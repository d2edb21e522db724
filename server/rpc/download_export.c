/* ExportService.DownloadExport. On the call's worker.
 *
 *   start: check, watch the hub when it follows, ask the store --store--> loaded: the caller's? --> look
 *   look: completed, or follows? --export--> found: bind to the file; is the offset in it?
 *     |     nothing to bind to yet: wait           | ask for the chunk at the offset
 *     |                                            v
 *     |                       +--> chunk (arrived): ask for those after, send this one  --> sent
 *     |                       |      | not written yet: wait                                  |
 *     |                       +------+---------------- the one asked for <--------------------+ more
 *     +<-- signal -- wait                                                                     | that was all
 *                                               end with OK <-- last <-- the file's facts <---+
 *
 * A few chunks are in memory at a time: one on its way out, DOWNLOAD_AHEAD on their way in. The next is sent when the
 * last is out: a slow reader holds up only its own download. A download is bound to one attempt: chunks are asked for
 * by its token, so that bytes of two attempts never meet. */
#include "export/attempt_number.h"
#include "joblog/v1/export.crpc.h"
#include "rpc/export_common.h"
#include "rpc/export_download.h"

enum { WAIT_MS = 1000 /* a chunk may come without a word from the hub */ };

static enum crpc_next download_export_start(struct crpc_call *call);
static enum crpc_next download_export_loaded(struct crpc_call *call);
static enum crpc_next download_export_look(struct crpc_call *call);
static enum crpc_next download_export_found(struct crpc_call *call);
static enum crpc_next download_export_chunk(struct crpc_call *call);
static enum crpc_next download_export_sent(struct crpc_call *call);
static enum crpc_next download_export_last(struct crpc_call *call);

static const struct crpc_step START = {"start", download_export_start};
static const struct crpc_step LOADED = {"loaded", download_export_loaded};
static const struct crpc_step LOOK = {"look", download_export_look};
static const struct crpc_step FOUND = {"found", download_export_found};
static const struct crpc_step CHUNK = {"chunk", download_export_chunk};
static const struct crpc_step SENT = {"sent", download_export_sent};
static const struct crpc_step LAST = {"last", download_export_last};

static enum crpc_next finish(struct crpc_call *call, enum err_code code, const char *reason, const char *text)
{
    struct err err = ERR_NONE;
    err_set(&err, code, reason, "%s", text);
    return crpc_finish(call, &err);
}

static enum crpc_next restarted(struct crpc_call *call)
{
    return finish(call, ERR_ABORTED, "EXPORT_RESTARTED",
                  "the attempt that these bytes are of has failed: begin again at offset 0");
}

/* ---- the beginning ---- */

static int follow(struct crpc_call *call, struct download_export *d, struct err *err)
{
    struct service *service = service_of(call);
    struct job_filter filter = {.ids = &d->load.id, .n_ids = 1};
    drain_join(&service->drain, &d->drain, &d->wake.tag);
    return hub_watch(service->hub, &filter, &d->wake.tag, &d->watch, err);
}

static enum crpc_next download_export_start(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    const Joblog__V1__DownloadExportRequest *request = joblog_v1_export_service_download_export_request(call);
    struct err err = ERR_NONE;
    if (export_load_check(call, &d->load, request->id, &err) != 0)
        return crpc_finish(call, &err);
    if (request->offset < 0) {
        err_field(&err, "offset", "offset must not be negative, is %lld", (long long)request->offset);
        return crpc_finish(call, &err);
    }
    crpc_signal_init(call, &d->wake);
    download_guard(call);
    arena_init(&d->arena, NULL, 0, 0);
    d->arena_made = true;
    d->offset = request->offset;
    d->wanted = request->attempt;
    d->follows = request->follow;
    d->packed = request->accept_zstd;
    if (d->follows && follow(call, d, &err) != 0)
        return crpc_finish(call, &err);
    return export_load_job(call, &d->load, &LOADED);
}

static enum crpc_next download_export_loaded(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (export_load_owned(&d->load, &err) != 0 || export_job_granted(call, &d->load.get.job, &err) != 0)
        return crpc_finish(call, &err);
    d->status = d->load.get.job.status;
    d->run = d->load.get.job.attempt;
    return crpc_goto(call, &LOOK);
}

/* ---- is there a file? ---- */

static enum crpc_next not_ready(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    struct err err = ERR_NONE;
    const char *more = job_status_is_final(d->status) ? "there is no file and will be none"
                                                      : "its file is not complete; follow gets it while it is written";
    err_set(&err, ERR_FAILED_PRECONDITION, "EXPORT_NOT_READY", "export %lld %s %s: %s", (long long)d->load.id,
            d->status == JOB_FAILED ? "has" : "is", job_status_name((int)d->status), more);
    return crpc_finish(call, &err);
}

static enum crpc_next wait_for_more(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    return crpc_await_signal_for(call, &d->wake, WAIT_MS, &LOOK);
}

/* The newest that the hub has. */
static void take_news(struct crpc_call *call, struct download_export *d)
{
    struct job_snapshot *snapshot;
    bool cut = false;
    while ((snapshot = hub_next(service_of(call)->hub, d->watch, &cut))) {
        if (snapshot->job.revision > d->revision) {
            d->revision = snapshot->job.revision;
            d->status = snapshot->job.status;
            d->run = snapshot->job.attempt;
        }
        job_snapshot_unref(snapshot);
    }
}

static enum crpc_next download_export_look(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (crpc_call_cancelled(call))
        return crpc_finish(call, NULL);
    if (d->follows && drain_begun(&service_of(call)->drain)) {
        drain_error(&err);
        return crpc_finish(call, &err);
    }
    if (caller_check(call, &err) != 0)
        return crpc_finish(call, &err);
    if (d->follows)
        take_news(call, d);
    if (d->status != JOB_COMPLETED && (!d->follows || d->status == JOB_FAILED || d->status == JOB_CANCELLED))
        return d->bound ? restarted(call) : not_ready(call);
    if (d->bound && d->status == JOB_RUNNING && d->run == d->bound_run) /* on with the chunk that was not there yet */
        return download_await_chunk(call, &CHUNK);
    arena_reset(&d->arena);
    d->files = (struct export_ask_files){
        .ask = {.op = EXPORT_ASK_FILES}, .job_ids = &d->load.id, .n_job_ids = 1, .arena = &d->arena};
    return export_submit(call, &d->files.ask, &d->load.stored, &FOUND);
}

static enum crpc_next missing(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    const struct export_file *file = d->files.n_files > 0 ? &d->files.files[0] : NULL;
    if (file && file->state == EXPORT_FILE_DELETED)
        return finish(call, ERR_NOT_FOUND, "EXPORT_DELETED", "the file of this export has been deleted");
    if (d->status == JOB_COMPLETED)
        return finish(call, ERR_NOT_FOUND, "EXPORT_EXPIRED", "the file of this export has expired");
    return d->bound ? restarted(call) : wait_for_more(call);
}

/* Keeps the file's facts for as long as the call lives. False: out of memory. */
static bool bind(struct crpc_call *call, struct download_export *d, const struct export_file *file)
{
    struct arena *arena = crpc_call_arena(call);
    d->file = *file;
    d->file.name = arena_span(arena, file->name);
    d->file.content_type = arena_span(arena, file->content_type);
    d->file.sha256 = arena_span(arena, file->sha256);
    d->bound = true;
    d->bound_run = d->run;
    d->attempt = attempt_number(file->job_id, file->token);
    return d->file.name.data && d->file.content_type.data && d->file.sha256.data;
}

static enum crpc_next download_export_found(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    const struct export_file *file = d->files.n_files > 0 ? &d->files.files[0] : NULL;
    struct err err = ERR_NONE;
    if (d->files.ask.err.code != ERR_OK)
        return crpc_finish(call, &d->files.ask.err);
    bool writing = file && file->state == EXPORT_FILE_WRITING;
    /* A finished file counts when its attempt has completed the job, and not before. */
    if (!file || (writing ? !d->follows : !export_file_is_there(file) || d->status != JOB_COMPLETED))
        return missing(call);
    if (d->bound && file->token != d->file.token)
        return restarted(call);
    if (!bind(call, d, file))
        return service_no_memory(call);
    if (d->wanted && d->wanted != d->attempt)
        return restarted(call);
    if (!writing && d->offset > d->file.size) {
        err_set(&err, ERR_OUT_OF_RANGE, "OFFSET_PAST_END", "offset %lld is past the end of the file of %lld bytes",
                (long long)d->offset, (long long)d->file.size);
        return crpc_finish(call, &err);
    }
    if (d->offset / d->file.chunk_bytes >
        INT32_MAX) { /* of a file that is written: beyond what chunks are numbered by */
        err_set(&err, ERR_OUT_OF_RANGE, "OFFSET_PAST_END", "offset %lld is past the end of any file",
                (long long)d->offset);
        return crpc_finish(call, &err);
    }
    if (!writing && d->offset == d->file.size)
        return download_send(call, NULL, 0, &LAST);
    return download_await_chunk(call, &CHUNK);
}

/* ---- chunks ---- */

/* Its bytes have been held against its checksum, unless it comes as it is kept: then the caller does that. */
static int check_chunk(const struct download_export *d, const struct export_ask_chunk *ask, struct err *err)
{
    int64_t len = chunk_data_bytes(&ask->chunk);
    int64_t start = (int64_t)ask->seq * d->file.chunk_bytes, most = d->file.chunk_bytes;
    bool whole = d->file.state == EXPORT_FILE_THERE;
    if (whole && d->file.size - start < most)
        most = d->file.size - start;
    return (whole && len != most) || len > most ? chunk_damaged(ask->seq, err) : 0;
}

static enum crpc_next download_export_chunk(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    struct chunk_slot *slot = download_slot(d);
    struct err err = slot->ask.ask.err;
    size_t skip = (size_t)(d->offset % d->file.chunk_bytes);
    bool whole = d->file.state == EXPORT_FILE_THERE;
    slot->asked = false;
    if (err.code == ERR_NOT_FOUND && whole) /* deleted, or expired and swept, in the middle */
        return finish(call, ERR_NOT_FOUND, "EXPORT_EXPIRED", "the file of this export is gone");
    if (err.code != ERR_OK && (whole || err.code != ERR_NOT_FOUND))
        return crpc_finish(call, &err);
    /* Not there yet; or its last chunk, which has been sent and shows only now that it was the last. */
    if (err.code == ERR_NOT_FOUND || (!whole && chunk_data_bytes(&slot->ask.chunk) <= (int64_t)skip))
        return wait_for_more(call);
    if (check_chunk(d, &slot->ask, &err) != 0)
        return crpc_finish(call, &err);
    struct chunk_data chunk = slot->ask.chunk;
    slot->ask.chunk = (struct chunk_data){0};
    if (whole)
        download_ask_ahead(call);
    return download_send(call, &chunk, skip, &SENT);
}

static enum crpc_next download_export_sent(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    d->send_ms = 0;
    if (!crpc_call_sent(call))
        return crpc_finish(call, NULL);
    struct err err = ERR_NONE;
    if (caller_check(call, &err) != 0)
        return crpc_finish(call, &err);
    if (d->file.state != EXPORT_FILE_THERE)
        return d->offset % d->file.chunk_bytes ? crpc_goto(call, &LOOK) : download_await_chunk(call, &CHUNK);
    if (d->offset < d->file.size)
        return download_await_chunk(call, &CHUNK);
    return d->complete_told ? crpc_finish(call, NULL) : download_send(call, NULL, 0, &LAST);
}

static enum crpc_next download_export_last(struct crpc_call *call)
{
    return crpc_finish(call, NULL);
}

static void download_export_done(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    struct service *service = service_of(call);
    download_done(d);
    hub_unwatch(service->hub, d->watch);
    drain_leave(&service->drain, &d->drain);
    if (d->arena_made)
        arena_done(&d->arena);
}

const struct crpc_handler download_export_handler = {
    .first = &START, .state_size = sizeof(struct download_export), .done = download_export_done};
