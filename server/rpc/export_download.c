/* See export_download.h. */
#include "rpc/export_download.h"

#include "base/crc32c.h"
#include "joblog/v1/export.crpc.h"

static struct chunk_slot *slot_of(struct download_export *d, int64_t seq)
{
    return &d->slots[seq % DOWNLOAD_AHEAD];
}

struct chunk_slot *download_slot(struct download_export *d)
{
    return slot_of(d, d->offset / d->file.chunk_bytes);
}

static bool ask(struct crpc_call *call, int64_t seq, struct err *err)
{
    const struct download_export *d = crpc_call_state(call);
    struct chunk_slot *slot = slot_of(crpc_call_state(call), seq);
    chunk_data_done(&slot->ask.chunk);
    slot->ask = (struct export_ask_chunk){.ask = {.op = EXPORT_ASK_CHUNK}, .file = d->file, .seq = (int32_t)seq};
    slot->ask.ask.done = &slot->answered.tag;
    crpc_event_arm(call, &slot->answered);
    slot->asked = export_ask(service_of(call)->exports, &slot->ask.ask, err) == 0;
    if (!slot->asked)
        crpc_event_disarm(&slot->answered);
    return slot->asked;
}

enum crpc_next download_await_chunk(struct crpc_call *call, const struct crpc_step *next)
{
    struct download_export *d = crpc_call_state(call);
    struct chunk_slot *slot = download_slot(d);
    struct err err = ERR_NONE;
    if (!slot->asked && !ask(call, d->offset / d->file.chunk_bytes, &err))
        return crpc_finish(call, &err);
    return crpc_await(call, &slot->answered, next);
}

void download_ask_ahead(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    int64_t next = d->offset / d->file.chunk_bytes + 1, end = next + DOWNLOAD_AHEAD;
    struct err err = ERR_NONE;
    for (; next < end && next * d->file.chunk_bytes < d->file.size; next++)
        if (!slot_of(d, next)->asked && !ask(call, next, &err))
            return;
}

/* The bytes go out as they lie: a copy of them would cost as much as all the rest. */
static enum crpc_next send_chunk(struct crpc_call *call, const ProtobufCMessage *response, struct chunk_data *chunk,
                                 struct span data, const struct crpc_step *next)
{
    uint32_t field = protobuf_c_message_descriptor_get_field_by_name(response->descriptor, "data")->id;
    struct crpc_bytes bytes = {.data = data.data, .len = data.len, .release = chunk->release, .user = chunk->owner};
    *chunk = (struct chunk_data){0};
    return crpc_send_bytes(call, response, field, &bytes, next);
}

enum crpc_next download_send(struct crpc_call *call, struct chunk_data *chunk, size_t skip,
                             const struct crpc_step *next)
{
    struct download_export *d = crpc_call_state(call);
    Joblog__V1__DownloadExportResponse response = JOBLOG__V1__DOWNLOAD_EXPORT_RESPONSE__INIT;
    bool complete = d->file.state == EXPORT_FILE_THERE;
    if (!d->file_told || (complete && !d->complete_told && !chunk)) {
        if (!(response.file = convert_export_file(crpc_call_arena(call), &d->file))) {
            if (chunk)
                chunk_data_done(chunk);
            return service_no_memory(call);
        }
        d->file_told = true;
        d->complete_told = complete;
    }
    response.offset = d->offset;
    response.attempt = d->attempt;
    if (!chunk)
        return joblog_v1_export_service_download_export_send(call, &response, next);
    struct span data = span_of(chunk->data.data + skip, chunk->data.len - skip);
    response.crc32c = skip ? crc32c(0, data.data, data.len) : chunk->crc32c;
    d->offset += (int64_t)data.len;
    return send_chunk(call, &response.base, chunk, data, next);
}
