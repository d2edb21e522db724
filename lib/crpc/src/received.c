/* Metadata that a server sent, copied out of core's call into one block: entries first, then their bytes. Any thread.
 */
#include <string.h>

#include <grpc/slice.h>

#include "base/alloc.h"
#include "channel.h"

const struct crpc_metadata *crpc_metadata_find(const struct crpc_metadata_list *list, const char *key)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->entries[i].key, key) == 0)
            return &list->entries[i];
    return NULL;
}

/* Bytes of all keys and values, each with a NUL behind. */
static size_t text_size(const grpc_metadata_array *from)
{
    size_t size = 0;
    for (size_t i = 0; i < from->count; i++)
        size += GRPC_SLICE_LENGTH(from->metadata[i].key) + GRPC_SLICE_LENGTH(from->metadata[i].value) + 2;
    return size;
}

static char *put(char **at, const grpc_slice *slice)
{
    char *start = *at;
    size_t len = GRPC_SLICE_LENGTH(*slice);
    if (len)
        memcpy(start, GRPC_SLICE_START_PTR(*slice), len);
    start[len] = '\0';
    *at += len + 1;
    return start;
}

static struct crpc_metadata_list put_all(struct crpc_metadata *entries, char **at, const grpc_metadata_array *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const grpc_metadata *md = &from->metadata[i];
        entries[i].key = put(at, &md->key);
        entries[i].value = span_of(put(at, &md->value), GRPC_SLICE_LENGTH(md->value));
    }
    return (struct crpc_metadata_list){from->count ? entries : NULL, from->count};
}

static int no_memory(struct err *ret_err)
{
    return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

int received_copy(const grpc_metadata_array *from, struct received *ret, struct err *ret_err)
{
    *ret = (struct received){.memory = NULL};
    if (from->count == 0)
        return 0;
    struct crpc_metadata *entries = mem_alloc(from->count * sizeof *entries + text_size(from));
    if (!entries)
        return no_memory(ret_err);
    char *at = (char *)(entries + from->count);
    ret->memory = entries;
    ret->list = put_all(entries, &at, from);
    return 0;
}

void received_done(struct received *r)
{
    mem_free(r->memory);
}

int received_fill(struct crpc_response *response, const grpc_metadata_array *initial,
                  const grpc_metadata_array *trailing, struct err *ret_err)
{
    crpc_response_done(response);
    size_t n = initial->count + trailing->count;
    if (n == 0)
        return 0;
    struct crpc_metadata *entries = mem_alloc(n * sizeof *entries + text_size(initial) + text_size(trailing));
    if (!entries)
        return no_memory(ret_err);
    char *at = (char *)(entries + n);
    response->memory = entries;
    response->initial = put_all(entries, &at, initial);
    response->trailing = put_all(entries + initial->count, &at, trailing);
    return 0;
}

void crpc_response_done(struct crpc_response *response)
{
    mem_free(response->memory);
    *response = (struct crpc_response){.memory = NULL};
}
