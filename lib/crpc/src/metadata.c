/* Metadata that a call sends: the channel's, the call's own, and what its credentials supply, on the thread that starts
 * the call. What may be sent at all is a question of servers too. */
#include <string.h>

#include <grpc/slice.h>

#include "channel.h"

/* gRPC's own, what core makes itself, and what HTTP/2 forbids (RFC 9113, 8.2.2): strict peers would end the call. */
static bool is_reserved(const char *key)
{
    static const char *const keys[] = {"connection", "content-length",   "content-type", "host",
                                       "keep-alive", "proxy-connection", "te",           "transfer-encoding",
                                       "upgrade",    "user-agent"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return strncmp(key, "grpc-", 5) == 0;
}

bool metadata_make(const char *key, struct span value, grpc_metadata *ret)
{
    grpc_slice k = grpc_slice_from_copied_string(key);
    grpc_slice v = grpc_slice_from_copied_buffer(value.data, value.len);
    if (!grpc_header_key_is_legal(k) || is_reserved(key) ||
        (!grpc_is_binary_header(k) && !grpc_header_nonbin_value_is_legal(v))) {
        grpc_slice_unref(k);
        grpc_slice_unref(v);
        return false;
    }
    *ret = (grpc_metadata){.key = k, .value = v};
    return true;
}

int metadata_entry(const char *key, struct span value, grpc_metadata *ret, struct err *ret_err)
{
    if (metadata_make(key, value, ret))
        return 0;
    return err_field(ret_err, "metadata", "illegal metadata for key %.64s", key);
}

void metadata_drop(grpc_metadata *md, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        grpc_slice_unref(md[i].key);
        grpc_slice_unref(md[i].value);
    }
}

int crpc_call_metadata_add(struct crpc_call_metadata *out, const char *key, struct span value, struct err *ret_err)
{
    if (out->n == CHANNEL_METADATA_MAX)
        return err_field(ret_err, "metadata", "more than %d metadata entries", CHANNEL_METADATA_MAX);
    int rc = metadata_entry(key, value, &out->entries[out->n], ret_err);
    if (rc == 0)
        out->n++;
    return rc;
}

static int ask(const struct crpc_call_credentials *credentials, const struct crpc_channel *channel,
               const struct crpc_method *method, struct crpc_call_metadata *md, struct err *ret_err)
{
    if (!channel->is_private && !credentials->allow_plaintext)
        return err_set(ret_err, ERR_UNAUTHENTICATED, "INSECURE_CHANNEL",
                       "credentials of a call are not sent over a connection that others can read");
    struct err why = ERR_NONE;
    if (credentials->supply(credentials->user, method, md, &why) == 0)
        return 0;
    if (why.code == ERR_OK)
        err_set(&why, ERR_UNAUTHENTICATED, "CREDENTIALS_REFUSED", "the call's credentials refused it");
    if (ret_err)
        *ret_err = why;
    return -(int)why.code;
}

int metadata_init(struct crpc_call_metadata *md, const struct crpc_channel *channel, const struct crpc_method *method,
                  const struct crpc_call_options *options, struct err *ret_err)
{
    size_t n = options ? options->n_metadata : 0;
    const struct crpc_call_credentials *credentials = channel->has_credentials ? &channel->credentials : NULL;
    if (options && options->credentials)
        credentials = options->credentials;
    md->n = md->n_shared = channel->n_metadata;
    if (md->n)
        memcpy(md->entries, channel->metadata, md->n * sizeof *md->entries);
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = crpc_call_metadata_add(md, options->metadata[i].key, options->metadata[i].value, ret_err);
    if (rc == 0 && credentials)
        rc = ask(credentials, channel, method, md, ret_err);
    if (rc < 0)
        metadata_done(md);
    return rc;
}

void metadata_done(struct crpc_call_metadata *md)
{
    metadata_drop(md->entries + md->n_shared, md->n - md->n_shared);
}
