/* gzip and zstd: bytes go in through an export_out of their own and come out, packed, through another. One thread. */
#ifndef EXPORT_PACK_H
#define EXPORT_PACK_H

#include "base/err.h"
#include "export/out.h"
#include "export/request.h"

struct export_pack;

/* compression: GZIP or ZSTD. to: kept. Gives *ret (export_pack_free). */
int export_pack_new(enum export_compression compression, struct export_out *to, struct export_pack **ret,
                    struct err *ret_err);
/* Where to write. */
struct export_out *export_pack_out(struct export_pack *pack);
/* What is left, and the end of the format. 0 or -1. */
int export_pack_end(struct export_pack *pack);
void export_pack_free(struct export_pack *pack); /* takes NULL */

#endif
