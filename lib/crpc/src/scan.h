/* What protobuf-c does not check before it unpacks: depth (it recurses on the stack), UTF-8, and NUL in strings (its
 * strings end at one). No allocation; any thread. */
#ifndef CRPC_SRC_SCAN_H
#define CRPC_SRC_SCAN_H

#include <protobuf-c/protobuf-c.h>

#include "base/err.h"
#include "base/span.h"

/* Deeper messages are refused; protobuf's own parsers stop at 100. */
enum { SCAN_MAX_DEPTH = 64 };

/* 0, or -ERR_INVALID_ARGUMENT: reason MALFORMED_MESSAGE, and the path of the field when a string is at fault. */
int scan_message(const ProtobufCMessageDescriptor *desc, struct span wire, struct err *ret_err);

/* Valid UTF-8 (RFC 3629) without NUL. */
bool scan_text(struct span text);

#endif
