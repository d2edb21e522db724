/* See export_client.h. */
#include "support/export_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/sha.h>

#include "base/crc32c.h"
#include "joblog/v1/export.crpc.h"
#include "support/channel.h"

struct crpc_channel *export_channel(const struct server_fixture *server, const char *actor)
{
    struct crpc_metadata metadata = {"joblog-actor", span_str(actor)};
    struct crpc_channel_options options = {.metadata = &metadata, .n_metadata = 1, .max_reconnect_ms = 200};
    struct crpc_channel *channel = channel_open(server, &options);
    assert_non_null(channel);
    return channel;
}

/* A message of crpc's lives in one piece with its parts; this one is the caller's own. */
static void *own_copy(const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = malloc(len + 1);
    assert_non_null(bytes);
    protobuf_c_message_pack(message, bytes);
    void *copy = protobuf_c_message_unpack(message->descriptor, NULL, len, bytes);
    free(bytes);
    assert_non_null(copy);
    return copy;
}

void export_free(Joblog__V1__Export *export)
{
    protobuf_c_message_free_unpacked(&export->base, NULL);
}

static const struct crpc_call_options patient = {.timeout_ms = 60000, .wait_for_ready = true};

int export_try_start(struct crpc_channel *channel, const char *type, const struct filter_arg *filter,
                     const char *request_id, int64_t *ret_id, struct err *ret_err)
{
    Joblog__V1__StartExportRequest request = JOBLOG__V1__START_EXPORT_REQUEST__INIT;
    Joblog__V1__ExportFilter condition = JOBLOG__V1__EXPORT_FILTER__INIT, *filters[] = {&condition};
    Joblog__V1__StartExportResponse *response = NULL;
    char *values[1];
    request.export_type = (char *)type;
    if (request_id)
        request.request_id = (char *)request_id;
    if (filter) {
        condition.field = (char *)filter->field;
        condition.operator_ = filter->op;
        values[0] = (char *)filter->value;
        condition.values = values;
        condition.n_values = filter->value ? 1 : 0;
        request.filters = filters;
        request.n_filters = 1;
    }
    int rc = joblog_v1_export_service_start_export(channel, &patient, &request, &response, ret_err);
    if (rc != 0)
        return rc;
    assert_non_null(response->export);
    assert_non_null(response->export->job);
    assert_string_equal(response->export->export_type, type);
    char want[100];
    snprintf(want, sizeof want, "watch export %lld", (long long)response->export->job->id);
    assert_non_null(strstr(response->message, want));
    *ret_id = response->export->job->id;
    crpc_message_free(&response->base);
    return 0;
}

int64_t export_begin(struct crpc_channel *channel, const char *type, const struct filter_arg *filter)
{
    struct err err = ERR_NONE;
    int64_t id = 0;
    if (export_try_start(channel, type, filter, NULL, &id, &err) != 0)
        fail_msg("start %s: %s (%s)", type, err.msg, err.field);
    return id;
}

Joblog__V1__Export *export_get(struct crpc_channel *channel, int64_t id, struct err *ret_err)
{
    Joblog__V1__GetExportRequest request = JOBLOG__V1__GET_EXPORT_REQUEST__INIT;
    Joblog__V1__Export *export = NULL;
    request.id = id;
    if (joblog_v1_export_service_get_export(channel, &patient, &request, &export, ret_err) != 0)
        return NULL;
    Joblog__V1__Export *copy = own_copy(&export->base);
    crpc_message_free(&export->base);
    return copy;
}

bool export_is_writing(const Joblog__V1__Export *export)
{
    const Joblog__V1__Progress *p = export->job->progress;
    return export->job->status == JOBLOG__V1__JOB_STATUS__JOB_STATUS_RUNNING && p && p->done > 0;
}

/* One call of WatchExport; as export_watch, and *revision is where it broke off. */
static int watch_once(struct crpc_channel *channel, int64_t id, bool (*enough)(const Joblog__V1__Export *),
                      int64_t *revision, Joblog__V1__Export **last, struct err *err)
{
    Joblog__V1__WatchExportRequest request = JOBLOG__V1__WATCH_EXPORT_REQUEST__INIT;
    Joblog__V1__WatchExportResponse *message = NULL;
    request.id = id;
    request.after_revision = *revision;
    struct crpc_stream *stream = joblog_v1_export_service_watch_export_open(channel, &patient, &request, err);
    assert_non_null(stream);
    int rc;
    while ((rc = joblog_v1_export_service_watch_export_read(stream, &message, err)) == 1) {
        assert_true(message->export->job->revision > *revision);
        *revision = message->export->job->revision;
        if (*last)
            export_free(*last);
        *last = own_copy(&message->export->base);
        crpc_message_free(&message->base);
        if (enough && enough(*last))
            break;
    }
    crpc_stream_free(stream);
    return rc;
}

Joblog__V1__Export *export_watch(struct crpc_channel *channel, int64_t id, bool (*enough)(const Joblog__V1__Export *))
{
    Joblog__V1__Export *last = NULL;
    struct err err = ERR_NONE;
    int64_t revision = 0;
    int rc, tries = 0;
    /* A connection that broke with the server may fail the first call after it. */
    do
        rc = watch_once(channel, id, enough, &revision, &last, &err);
    while (rc == -ERR_UNAVAILABLE && ++tries < 20);
    if (rc >= 0)
        return last;
    print_message("watch of %lld ended: %s %s\n", (long long)id, err_code_name(-rc), err.msg);
    if (last)
        export_free(last);
    return NULL;
}

int export_download(struct crpc_channel *channel, int64_t id, int64_t offset, struct buf *ret_data,
                    Joblog__V1__ExportFile **ret_file, struct err *ret_err)
{
    Joblog__V1__DownloadExportRequest request = JOBLOG__V1__DOWNLOAD_EXPORT_REQUEST__INIT;
    Joblog__V1__DownloadExportResponse *message = NULL;
    request.id = id;
    request.offset = offset;
    struct crpc_stream *stream = joblog_v1_export_service_download_export_open(channel, &patient, &request, ret_err);
    assert_non_null(stream);
    int rc, n = 0;
    while ((rc = joblog_v1_export_service_download_export_read(stream, &message, ret_err)) == 1) {
        assert_int_equal(message->offset, offset);
        assert_int_equal(message->crc32c, crc32c(0, message->data.data, message->data.len));
        assert_int_equal(message->file != NULL, n++ == 0);
        buf_add(ret_data, message->data.data, message->data.len);
        offset += (int64_t)message->data.len;
        if (message->file && ret_file)
            *ret_file = own_copy(&message->file->base);
        crpc_message_free(&message->base);
    }
    crpc_stream_free(stream);
    return rc;
}

const char *sha256_hex(const void *data, size_t len)
{
    static char hex[65];
    unsigned char digest[32];
    SHA256(data, len, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return hex;
}
