/* What a step may ask of its call; see crpc/server.h. Worker's thread only. */
#include <limits.h>
#include <string.h>

#include <grpc/slice.h>

#include "call.h"
#include "metadata.h"
#include "server_priv.h"

void *crpc_call_state(struct crpc_call *call)
{
    return call->state;
}

void *crpc_call_user(const struct crpc_call *call)
{
    return call->method ? call->method->user : NULL;
}

const struct crpc_method *crpc_call_method(const struct crpc_call *call)
{
    return call->method ? call->method->desc : NULL;
}

const ProtobufCMessage *crpc_call_request(const struct crpc_call *call)
{
    return call->request;
}

const ProtobufCMessage *crpc_call_received(const struct crpc_call *call)
{
    return call->received;
}

bool crpc_call_sent(const struct crpc_call *call)
{
    return call->sent;
}

bool crpc_call_cancelled(const struct crpc_call *call)
{
    return call->cancelled;
}

bool crpc_call_ended(const struct crpc_call *call)
{
    return call->ended || call->cancelled;
}

int64_t crpc_call_time_left_ms(const struct crpc_call *call)
{
    if (gpr_time_cmp(call->deadline, gpr_inf_future(call->deadline.clock_type)) == 0)
        return INT64_MAX;
    gpr_timespec left = gpr_time_sub(call->deadline, gpr_now(call->deadline.clock_type));
    int64_t ms = left.tv_sec * 1000 + left.tv_nsec / 1000000;
    return ms > 0 ? ms : 0;
}

static bool has_key(const grpc_metadata *m, const char *key, size_t len)
{
    return GRPC_SLICE_LENGTH(m->key) == len && memcmp(GRPC_SLICE_START_PTR(m->key), key, len) == 0;
}

struct span crpc_call_metadata(const struct crpc_call *call, const char *key)
{
    size_t len = strlen(key);
    for (size_t i = 0; i < call->metadata.count; i++) {
        const grpc_metadata *m = &call->metadata.metadata[i];
        if (has_key(m, key, len))
            return span_of((const char *)GRPC_SLICE_START_PTR(m->value), GRPC_SLICE_LENGTH(m->value));
    }
    return span_of(NULL, 0);
}

size_t crpc_call_metadata_count(const struct crpc_call *call, const char *key)
{
    size_t len = strlen(key), n = 0;
    for (size_t i = 0; i < call->metadata.count; i++)
        n += has_key(&call->metadata.metadata[i], key, len);
    return n;
}

const char *crpc_call_peer(const struct crpc_call *call)
{
    if (!call->peer)
        ((struct crpc_call *)call)->peer = grpc_call_get_peer(call->core);
    return call->peer;
}

uint64_t crpc_call_id(const struct crpc_call *call)
{
    return call->id;
}

struct arena *crpc_call_arena(struct crpc_call *call)
{
    return &call->arena;
}

bool call_list_room(struct crpc_call *call, grpc_metadata **io_list)
{
    if (!*io_list)
        *io_list = arena_alloc(&call->arena, (CALL_METADATA_MAX + 1) * sizeof **io_list);
    return *io_list != NULL;
}

/* Appends to one of the call's two lists; one entry more is left free in it. */
static int add_entry(struct crpc_call *call, grpc_metadata **io_list, size_t *io_n, const char *key, struct span value,
                     struct err *ret_err)
{
    if (*io_n == CALL_METADATA_MAX)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "more than %d metadata entries", CALL_METADATA_MAX);
    if (!call_list_room(call, io_list))
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    if (!metadata_make(key, value, &(*io_list)[*io_n]))
        return err_set(ret_err, ERR_INVALID_ARGUMENT, NULL, "illegal metadata for key %s", key);
    ++*io_n;
    return 0;
}

int crpc_call_add_metadata(struct crpc_call *call, const char *key, struct span value, struct err *ret_err)
{
    if (call->metadata_out)
        return err_set(ret_err, ERR_FAILED_PRECONDITION, NULL, "the first answer has gone out already");
    return add_entry(call, &call->initial, &call->n_initial, key, value, ret_err);
}

int crpc_call_add_trailing_metadata(struct crpc_call *call, const char *key, struct span value, struct err *ret_err)
{
    if (call->ended)
        return err_set(ret_err, ERR_FAILED_PRECONDITION, NULL, "the call has been ended already");
    return add_entry(call, &call->trailing, &call->n_trailing, key, value, ret_err);
}

void crpc_call_set_context(struct crpc_call *call, void *context)
{
    call->context = context;
}

void *crpc_call_context(const struct crpc_call *call)
{
    return call->context;
}
