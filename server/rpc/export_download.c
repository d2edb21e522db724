/* See export_download.h. */
#include "rpc/export_download.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "joblog/v1/export.crpc.h"

enum { ROOM_WAIT_MS = 100, ROOM_WAITS_MS = 2000, GUARD_MS = 1000, STALL_MS = 30000 };

static struct chunk_slot *slot_of(struct download_export *d, int64_t seq)
{
    return &d->slots[seq % DOWNLOAD_AHEAD_PACKED];
}

struct chunk_slot *download_slot(struct download_export *d)
{
    return slot_of(d, d->offset / d->file.chunk_bytes);
}

/* Who begins in the middle of a chunk gets the rest of it with a checksum of its own. */
static bool as_kept(const struct download_export *d, int64_t seq)
{
    return d->packed && seq * d->file.chunk_bytes >= d->offset;
}

static bool ask(struct crpc_call *call, int64_t seq, enum export_room_turn turn, struct err *err)
{
    struct download_export *d = crpc_call_state(call);
    struct chunk_slot *slot = slot_of(d, seq);
    chunk_data_done(&slot->ask.chunk);
    slot->ask =
        (struct export_ask_chunk){.ask = {.op = EXPORT_ASK_CHUNK}, .file = d->file, .seq = (int32_t)seq, .turn = turn};
    slot->ask.as_kept = as_kept(d, seq);
    slot->ask.ask.done = &slot->answered.tag;
    bool hold = turn != ROOM_AHEAD && d->file.state == EXPORT_FILE_THERE && !d->holds;
    if (hold) {
        d->held_fd = -1;
        slot->ask.hold = &d->held_fd;
    }
    crpc_event_arm(call, &slot->answered);
    slot->asked = export_ask(service_of(call)->exports, &slot->ask.ask, err) == 0;
    if (!slot->asked)
        crpc_event_disarm(&slot->answered);
    d->holds = d->holds || (hold && slot->asked);
    return slot->asked;
}

static enum crpc_next download_room(struct crpc_call *call)
{
    const struct download_export *d = crpc_call_state(call);
    return crpc_call_cancelled(call) ? crpc_finish(call, NULL) : download_await_chunk(call, d->after_room);
}

static const struct crpc_step ROOM = {"room", download_room};

static void ask_for(struct crpc_call *call, int64_t from, int64_t to)
{
    struct download_export *d = crpc_call_state(call);
    struct err err = ERR_NONE;
    for (; from < to && from * d->file.chunk_bytes < d->file.size; from++)
        if (!slot_of(d, from)->asked && !ask(call, from, ROOM_AHEAD, &err))
            return;
}

/* The chunk at the offset without a question, when the kernel has it in memory: to read it takes a third of what it
 * takes to send it, and less than to wake an asker, whose bytes would then lie in another processor's cache. */
static bool have_now(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    struct chunk_slot *slot = download_slot(d);
    int32_t seq = (int32_t)(d->offset / d->file.chunk_bytes);
    if (!d->holds || d->held_fd < 0 || d->file.state != EXPORT_FILE_THERE)
        return false;
    if (d->n_cold > 0) {
        d->n_cold--;
        return false;
    }
    if (slot->asked)
        return false;
    chunk_data_done(&slot->ask.chunk);
    slot->ask = (struct export_ask_chunk){.ask = {.op = EXPORT_ASK_CHUNK}, .file = d->file, .seq = seq};
    if (export_chunk_now(service_of(call)->exports, &d->file, d->held_fd, seq, as_kept(d, seq), &slot->ask.chunk))
        return true;
    d->n_cold = DOWNLOAD_COLD;
    return false;
}

enum crpc_next download_await_chunk(struct crpc_call *call, const struct crpc_step *next)
{
    struct download_export *d = crpc_call_state(call);
    struct chunk_slot *slot = download_slot(d);
    struct err err = ERR_NONE;
    d->after_room = next;
    if (have_now(call))
        return crpc_goto(call, next);
    enum export_room_turn turn = d->waited_ms > 0 ? ROOM_AGAIN : ROOM_NEXT;
    if (!slot->asked && !ask(call, d->offset / d->file.chunk_bytes, turn, &err)) {
        /* Others hold it: some of them go on soon, or else the caller comes again with what it has. */
        if (strcmp(err.reason, "DOWNLOAD_ROOM") != 0 || d->waited_ms >= ROOM_WAITS_MS)
            return crpc_finish(call, &err);
        d->waited_ms += ROOM_WAIT_MS;
        return crpc_await_signal_for(call, &d->wake, ROOM_WAIT_MS, &ROOM);
    }
    d->waited_ms = 0;
    return crpc_await(call, &slot->answered, next);
}

void download_ask_ahead(struct crpc_call *call)
{
    struct download_export *d = crpc_call_state(call);
    int64_t next = d->offset / d->file.chunk_bytes + 1;
    if (!d->holds || d->held_fd < 0 || d->n_cold > 0) /* else it will be at hand */
        ask_for(call, next, next + (d->packed ? DOWNLOAD_AHEAD_PACKED : DOWNLOAD_AHEAD));
}

void download_done(struct download_export *d)
{
    for (int i = 0; i < DOWNLOAD_AHEAD_PACKED; i++)
        chunk_data_done(&d->slots[i].ask.chunk);
    if (d->holds && d->held_fd >= 0)
        close(d->held_fd);
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
    d->send_ms = clock_mono_ms();
    if (!chunk)
        return joblog_v1_export_service_download_export_send(call, &response, next);
    struct span data = span_of(chunk->data.data + skip, chunk->data.len - skip);
    response.crc32c = skip ? crc32c(0, data.data, data.len) : chunk->crc32c;
    response.unpacked_size = chunk->unpacked_bytes;
    d->offset += chunk_data_bytes(chunk) - (int64_t)skip;
    return send_chunk(call, &response.base, chunk, data, next);
}

/* ---- readers that do not read ---- */

/* A message that gRPC cannot send, for want of a reader, keeps its chunk. That is its good right for as long as nobody
 * else needs the memory. */
static enum crpc_next download_watch_over(struct crpc_call *call)
{
    static const struct crpc_step WATCH_OVER = {"watch_over", download_watch_over};
    struct download_export *d = crpc_call_state(call);
    const struct service *service = service_of(call);
    int64_t most_ms = service->download_stall_ms > 0 ? service->download_stall_ms : STALL_MS, now_ms = clock_mono_ms();
    struct err err = ERR_NONE;
    if (crpc_call_ended(call))
        return crpc_end(call);
    if (d->send_ms > 0 && now_ms - d->send_ms >= most_ms && export_room_wanted(service->exports)) {
        err_set(&err, ERR_ABORTED, "DOWNLOAD_STALLED",
                "the download stood still for %lld ms while others waited for its memory: go on where it was",
                (long long)(now_ms - d->send_ms));
        /* Half of it: other calls may have gone out after this one had begun to stand. */
        return crpc_cut(call, &err, most_ms / 2);
    }
    return crpc_await_signal_for(call, &d->guard, most_ms / 2 < GUARD_MS ? most_ms / 2 : GUARD_MS, &WATCH_OVER);
}

void download_guard(struct crpc_call *call)
{
    static const struct crpc_step GUARD = {"guard", download_watch_over};
    struct download_export *d = crpc_call_state(call);
    crpc_signal_init(call, &d->guard);
    crpc_fork(call, &GUARD);
}
