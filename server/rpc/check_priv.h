/* What check.c and check_job.c share. */
#ifndef RPC_CHECK_PRIV_H
#define RPC_CHECK_PRIV_H

#include <stdarg.h>
#include <stddef.h>

#include "base/err.h"
#include "core/job.h"

enum { LABEL_KEY_MAX_BYTES = 63, LABELS_MAX = 32 };

/* INVALID_ARGUMENT for prefix + name, with a text that begins with it. */
int check_bad(struct err *ret_err, const char *prefix, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
int check_no_memory(struct err *ret_err);
/* Puts a label into its place among *n_labels sorted ones; there is room for it. */
int check_label(const char *key, const char *value, const char *prefix, struct label *labels, size_t *n_labels,
                struct err *ret_err);

#endif
