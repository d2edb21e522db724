/* gzip and deflate, in memory. Core's own are switched off for what comes in, since they inflate without a limit, and
 * left out for what goes out, since they would compress a message once for every stream. Any thread. */
#ifndef CRPC_SRC_CODEC_H
#define CRPC_SRC_CODEC_H

#include <stdbool.h>

#include <grpc/grpc.h>
#include <grpc/slice.h>

#include "base/err.h"
#include "crpc/compression.h"

/* Core's number of it; none for CRPC_COMPRESSION_DEFAULT. */
grpc_compression_algorithm codec_of(enum crpc_compression compression);
/* "gzip" and so on, static; what core wants for metadata GRPC_COMPRESSION_REQUEST_ALGORITHM_MD_KEY. */
const char *codec_name(grpc_compression_algorithm algorithm);

/* Gives *ret_data (mem_free), at most max bytes. 0; -ERR_RESOURCE_EXHAUSTED when it would be more or memory is short;
 * -ERR_INTERNAL when in is not one whole stream of that algorithm. */
int codec_inflate(grpc_compression_algorithm algorithm, const grpc_slice_buffer *in, size_t max, char **ret_data,
                  size_t *ret_len, struct err *ret_err);
/* Gives *ret (grpc_slice_unref). False when that would not be shorter, or memory is short: send it as it is. */
bool codec_deflate(grpc_compression_algorithm algorithm, const grpc_slice_buffer *in, grpc_slice *ret);

#endif
