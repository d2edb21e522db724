/* A ZIP archive (PKWARE APPNOTE 6.3) that is written straight through: sizes and sums follow each member in a data
 * descriptor, nothing is sought, nothing lies on a disk. One thread. Members below 4 GiB; the archive as large as need
 * be (ZIP64). */
#ifndef EXPORT_ZIP_H
#define EXPORT_ZIP_H

#include <stdint.h>

#include "export/out.h"

struct export_zip;

/* to: kept. NULL: out of memory. */
struct export_zip *export_zip_new(struct export_out *to);
/* Offsets from this on are written in the form of ZIP64, in place of from 4 GiB on, which every reader has to take: for
 * tests. */
void export_zip_far_from(struct export_zip *zip, uint64_t offset);
/* Begins a member; what is then written to export_zip_out is its content. name is copied. 0 or -1. */
int export_zip_begin(struct export_zip *zip, const char *name);
struct export_out *export_zip_out(struct export_zip *zip);
/* Bytes of the member so far, before deflation. */
uint64_t export_zip_member_size(const struct export_zip *zip);
int export_zip_end(struct export_zip *zip);
/* The directory at the end of the archive. */
int export_zip_finish(struct export_zip *zip);
void export_zip_free(struct export_zip *zip); /* takes NULL */

#endif
