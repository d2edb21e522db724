/* The service config in JSON that a channel's retries amount to. Any thread. */
#ifndef CRPC_SRC_SERVICE_CONFIG_H
#define CRPC_SRC_SERVICE_CONFIG_H

#include "base/buf.h"
#include "crpc/client.h"

/* Appends to out, which stays empty when options ask for nothing. 0; -ERR_INVALID_ARGUMENT naming the option at fault;
 * -ERR_RESOURCE_EXHAUSTED. */
int service_config_render(const struct crpc_channel_options *options, struct buf *out, struct err *ret_err);

#endif
