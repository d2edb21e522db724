/* google.rpc.Status, as it travels in the trailing metadata grpc-status-details-bin: ErrorInfo always, BadRequest when
 * a field is at fault, RetryInfo when waiting helps. Written from the public field numbers of google/rpc/status.proto
 * and google/rpc/error_details.proto. No allocation; any thread. */
#ifndef CRPC_SRC_STATUS_H
#define CRPC_SRC_STATUS_H

#include <stddef.h>

#include "base/err.h"
#include "base/span.h"

/* Enough for every struct err. Far below the 8 KiB of headers that close a whole connection. */
enum { STATUS_ROOM = 2048 };

/* Returns the number of bytes written to out (STATUS_ROOM bytes). domain: at most 128 bytes of it are used. */
size_t status_encode(const struct err *err, const char *domain, char *out);
/* Fills reason, field and retry_after_ms from an encoded google.rpc.Status; what is malformed is left out. */
void status_decode(struct span details, struct err *io_err);
/* Copies a message for a person, cut at a character. */
void status_set_msg(struct err *err, struct span msg);

#endif
