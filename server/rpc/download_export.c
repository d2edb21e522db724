/* ExportService.DownloadExport. On the call's worker.
 *
 *   start: check, ask the store --store--> loaded: the caller's, and completed? --store--> found: is the offset in it?
 *     | at its end: send the file's description --> last                  | ask for the first chunk
 *     v                                                                   v
 *   end with OK <-- last        +--> chunk (arrived): ask for the one after, send this one --> sent
 *        ^                      |                                                               |
 *        |                      +---------- wait for the one asked for <------------------------+ more
 *        +--------------------------------------------------------------------------------------+ that was all
 *
 * Two chunks are in memory at a time: one on its way out, one on its way in. The next is sent when the last is out: a
 * slow reader holds up only its own download. */
#include "base/crc32c.h"
#include "joblog/v1/export.crpc.h"
#include "rpc/export_common.h"

struct chunk_slot {
    struct crpc_event stored;
    struct store_export_chunk cmd;
    struct arena arena;
    bool asked; /* armed, or arrived and not used yet */
};

struct download_export {
    struct export_load load;
    struct export_file file;
    int64_t offset; /* next byte to send */
    bool file_told;
    struct chunk_slot slots[2];
    unsigned current;
};

static enum crpc_next download_export_start(struct crpc_call *call);
static enum crpc_next download_export_loaded(struct crpc_call *call);
static enum crpc_next download_export_found(struct crpc_call *call);
static enum crpc_next download_export_chunk(struct crpc_call *call);
static enum crpc_next download_export_sent(struct crpc_call *call);
static enum crpc_next download_export_last(struct crpc_call *call);

static const struct crpc_step START = {"start", download_export_start};
static const struct crpc_step LOADED = {"loaded", download_export_loaded};
static const struct crpc_step FOUND = {"found", download_export_found};
static const struct crpc_step CHUNK = {"chunk", download_export_chunk};
static const struct crpc_step SENT = {"sent", download_export_sent};
static const struct crpc_step LAST = {"last", download_export_last};

static enum crpc_next download_export_start(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    const Joblog__V1__DownloadExportRequest *request = joblog_v1_export_service_download_export_request(call);
    struct err err = ERR_NONE;
    for (int i = 0; i < 2; i++)
        arena_init(&d->slots[i].arena, NULL, 0, 0);
    if (export_load_check(call, &d->load, request->id, &err) != 0)
        return crpc_finish(call, &err);
    if (request->offset < 0) {
        err_field(&err, "offset", "offset must not be negative, is %lld", (long long)request->offset);
        return crpc_finish(call, &err);
    }
    d->offset = request->offset;
    return export_load_job(call, &d->load, &LOADED);
}

static enum crpc_next download_export_loaded(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (export_load_owned(&d->load, &err) != 0)
        return crpc_finish(call, &err);
    if (d->load.get.job.status != JOB_COMPLETED) {
        err_set(&err, ERR_FAILED_PRECONDITION, "EXPORT_NOT_READY", "export %lld is %s: there is no file",
                (long long)d->load.id, job_status_name((int)d->load.get.job.status));
        return crpc_finish(call, &err);
    }
    return export_load_file(call, &d->load, &FOUND);
}

/* ---- chunks ---- */

static bool ask(struct crpc_call *call, struct chunk_slot *slot, int32_t seq, struct err *err)
{
    struct download_export *d = crpc_call_state(call);
    arena_reset(&slot->arena);
    slot->cmd = (struct store_export_chunk){
        .cmd = {.op = STORE_EXPORT_CHUNK}, .job_id = d->load.id, .seq = seq, .arena = &slot->arena};
    slot->cmd.cmd.done = &slot->stored.tag;
    crpc_event_arm(call, &slot->stored);
    slot->asked = store_submit(service_of(call)->store, &slot->cmd.cmd, err) == 0;
    if (!slot->asked)
        crpc_event_disarm(&slot->stored);
    return slot->asked;
}

/* Waits for the chunk that holds the offset; asks for it if nobody has. */
static enum crpc_next await_chunk(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    struct chunk_slot *slot = &d->slots[d->current];
    struct err err = ERR_NONE;
    if (!slot->asked && !ask(call, slot, (int32_t)(d->offset / d->file.chunk_bytes), &err))
        return crpc_finish(call, &err);
    return crpc_await(call, &slot->stored, &CHUNK);
}

static int check_chunk(const struct download_export *d, const struct store_export_chunk *chunk, struct err *err)
{
    int64_t start = (int64_t)chunk->seq * d->file.chunk_bytes;
    int64_t want = d->file.size - start < d->file.chunk_bytes ? d->file.size - start : d->file.chunk_bytes;
    if (chunk->cmd.err.code != ERR_OK) {
        *err = chunk->cmd.err;
        return -(int)err->code;
    }
    if ((int64_t)chunk->data.len != want || crc32c(0, chunk->data.data, chunk->data.len) != chunk->crc32c)
        return err_set(err, ERR_DATA_LOSS, "EXPORT_DAMAGED", "chunk %d of export %lld is damaged", chunk->seq,
                       (long long)d->load.id);
    return 0;
}

/* data empty: the file's description alone. */
static enum crpc_next send_data(struct crpc_call *call, struct span data, uint32_t crc, const struct crpc_step *next)
{
    struct download_export *d = crpc_call_state(call);
    Joblog__V1__DownloadExportResponse response = JOBLOG__V1__DOWNLOAD_EXPORT_RESPONSE__INIT;
    if (!d->file_told && !(response.file = convert_export_file(crpc_call_arena(call), &d->file)))
        return service_no_memory(call);
    d->file_told = true;
    response.offset = d->offset;
    response.data.data = (uint8_t *)data.data;
    response.data.len = data.len;
    response.crc32c = crc;
    d->offset += (int64_t)data.len;
    return joblog_v1_export_service_download_export_send(call, &response, next);
}

/* ---- the chain, on ---- */

static enum crpc_next download_export_found(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    const struct export_file *file = export_load_found(&d->load);
    struct err err = ERR_NONE;
    if (d->load.files.cmd.err.code != ERR_OK)
        return crpc_finish(call, &d->load.files.cmd.err);
    if (!file) {
        err_set(&err, ERR_NOT_FOUND, "EXPORT_EXPIRED", "the file of export %lld has been deleted",
                (long long)d->load.id);
        return crpc_finish(call, &err);
    }
    d->file = *file;
    if (d->offset > file->size) {
        err_set(&err, ERR_OUT_OF_RANGE, "OFFSET_PAST_END", "offset %lld is past the end of the file of %lld bytes",
                (long long)d->offset, (long long)file->size);
        return crpc_finish(call, &err);
    }
    return d->offset == file->size ? send_data(call, (struct span){0}, 0, &LAST) : await_chunk(call);
}

static enum crpc_next download_export_chunk(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    struct chunk_slot *slot = &d->slots[d->current];
    struct err err = ERR_NONE;
    slot->asked = false;
    if (check_chunk(d, &slot->cmd, &err) != 0)
        return crpc_finish(call, &err);
    size_t skip = (size_t)(d->offset % d->file.chunk_bytes);
    struct span data = span_of(slot->cmd.data.data + skip, slot->cmd.data.len - skip);
    uint32_t crc = skip ? crc32c(0, data.data, data.len) : slot->cmd.crc32c;
    d->current = !d->current;
    /* A failure here is no harm: it is asked for again when it is needed. */
    if (d->offset + (int64_t)data.len < d->file.size)
        ask(call, &d->slots[d->current], slot->cmd.seq + 1, &err);
    return send_data(call, data, crc, &SENT);
}

static enum crpc_next download_export_sent(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    if (!crpc_call_sent(call) || d->offset >= d->file.size)
        return crpc_finish(call, NULL);
    struct err err = ERR_NONE;
    if (caller_check(call, &err) != 0)
        return crpc_finish(call, &err);
    return await_chunk(call);
}

static enum crpc_next download_export_last(struct crpc_call *call)
{
    return crpc_finish(call, NULL);
}

static void download_export_done(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    for (int i = 0; i < 2; i++)
        arena_done(&d->slots[i].arena);
}

const struct crpc_handler download_export_handler = {
    .first = &START, .state_size = sizeof(struct download_export), .done = download_export_done};
