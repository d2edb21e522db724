/* Calls of ExportService for tests, each a few words long. Every function fails the running test (cmocka) when a call
 * does not go as it must. Not for product code. */
#ifndef SUPPORT_EXPORT_CLIENT_H
#define SUPPORT_EXPORT_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "crpc/client.h"
#include "joblog/v1/export.pb-c.h"
#include "support/server_fixture.h"

/* One condition of an export. */
struct filter_arg {
    const char *field;
    Joblog__V1__FilterOperator op;
    const char *value;
};

/* A channel to the server with its administrator's token, whose calls are on behalf of this actor. */
struct crpc_channel *export_channel(const struct server_fixture *server, const char *actor);

/* 0 and the id, or -code and *ret_err. filter NULL: none. request_id may be NULL. */
int export_try_start(struct crpc_channel *channel, const char *type, const struct filter_arg *filter,
                     const char *request_id, int64_t *ret_id, struct err *ret_err);
int64_t export_begin(struct crpc_channel *channel, const char *type, const struct filter_arg *filter);
/* Gives the message (export_free); NULL and *ret_err. */
Joblog__V1__Export *export_get(struct crpc_channel *channel, int64_t id, struct err *ret_err);
/* Watches until `enough` says so of a message or the export is final. Gives the last message (export_free). NULL
 * when that is refused. enough may be NULL. */
Joblog__V1__Export *export_watch(struct crpc_channel *channel, int64_t id, bool (*enough)(const Joblog__V1__Export *));
void export_free(Joblog__V1__Export *export);
/* Some rows have been written. */
bool export_is_writing(const Joblog__V1__Export *export);
/* Downloads from an offset to the end: checks offsets and CRCs. 0, or -code and *ret_err. file may be NULL; gives it
 * (protobuf_c_message_free_unpacked). */
int export_download(struct crpc_channel *channel, int64_t id, int64_t offset, struct buf *ret_data,
                    Joblog__V1__ExportFile **ret_file, struct err *ret_err);
/* SHA-256 in hex, a static buffer. */
const char *sha256_hex(const void *data, size_t len);

#endif
