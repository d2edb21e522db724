/* What must not get into a message of many jobs: the server refuses such a message whole. */
#ifndef CLIENT_SRC_CHECK_TEXTS_H
#define CLIENT_SRC_CHECK_TEXTS_H

#include <protobuf-c/protobuf-c.h>

#include "base/err.h"

/* 0, or -ERR_INVALID_ARGUMENT and the path of the string that is no UTF-8 in ret_err->field, as the server says it of a
 * unary call. No allocation; any thread. */
int check_texts(const ProtobufCMessage *message, struct err *ret_err);

#endif
