/* See export_download.h. */
#include "rpc/export_download.h"

#include "joblog/v1/export.crpc.h"

static bool ask(struct crpc_call *call, struct chunk_slot *slot, int32_t seq, struct err *err)
{
    const struct download_export *d = crpc_call_state(call);
    chunk_data_done(&slot->ask.chunk);
    slot->ask = (struct export_ask_chunk){.ask = {.op = EXPORT_ASK_CHUNK}, .file = d->file, .seq = seq};
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
    struct chunk_slot *slot = &d->slots[d->current];
    struct err err = ERR_NONE;
    if (!slot->asked && !ask(call, slot, (int32_t)(d->offset / d->file.chunk_bytes), &err))
        return crpc_finish(call, &err);
    return crpc_await(call, &slot->answered, next);
}

void download_ask_ahead(struct crpc_call *call, int32_t seq)
{
    struct download_export *d = crpc_call_state(call);
    struct err err = ERR_NONE;
    ask(call, &d->slots[d->current], seq, &err);
}

enum crpc_next download_send(struct crpc_call *call, struct span data, uint32_t crc, const struct crpc_step *next)
{
    struct download_export *d = crpc_call_state(call);
    Joblog__V1__DownloadExportResponse response = JOBLOG__V1__DOWNLOAD_EXPORT_RESPONSE__INIT;
    bool complete = d->file.state == EXPORT_FILE_THERE;
    if (!d->file_told || (complete && !d->complete_told && data.len == 0)) {
        if (!(response.file = convert_export_file(crpc_call_arena(call), &d->file)))
            return service_no_memory(call);
        d->file_told = true;
        d->complete_told = complete;
    }
    response.offset = d->offset;
    response.data.data = (uint8_t *)data.data;
    response.data.len = data.len;
    response.crc32c = crc;
    response.attempt = d->attempt;
    d->offset += (int64_t)data.len;
    return joblog_v1_export_service_download_export_send(call, &response, next);
}
