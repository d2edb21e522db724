/* What the directory store (chunk_store_dir.c) and the mark of whose the directory is (chunk_dir_mark.c) share. Private
 * to both. */
#ifndef EXPORT_CHUNK_DIR_H
#define EXPORT_CHUNK_DIR_H

#include <dirent.h>
#include <stdbool.h>
#include <sys/types.h>

#include "export/chunk_store.h"

enum { PATH_BYTES = 4096 };

/* Of errno; logged. -RESOURCE_EXHAUSTED (reason EXPORT_DISK_FULL), -UNAVAILABLE (reason EXPORT_DIRECTORY). */
int chunk_dir_error(struct err *err, const char *doing);
/* All of it; false: errno. */
bool chunk_dir_write(int fd, const void *data, size_t len, off_t at);
/* How many bytes there are, len at most; -1: errno. */
ssize_t chunk_dir_read(int fd, void *data, size_t len, off_t at);
/* What was renamed in it is on disk. */
bool chunk_dir_sync(const char *dir);
/* Is it one of our files? A directory of such a name is somebody else's, and no reason to sweep no further. */
bool chunk_dir_is_ours(DIR *dir, const struct dirent *entry, struct chunk_owner *ret);
/* Removes it if it is what a start has left that was killed while it put its mark. */
void chunk_dir_sweep_mark(DIR *dir, const struct dirent *entry);

#endif
