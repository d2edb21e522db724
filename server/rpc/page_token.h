/* Page tokens: opaque, fit for a URL, bound to the filter of the list. */
#ifndef RPC_PAGE_TOKEN_H
#define RPC_PAGE_TOKEN_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

/* Token of the page after the job before_id, for the list with this filter (job_filter_hash). In the arena; NULL when
 * out of memory. */
char *page_token_make(struct arena *arena, uint64_t filter_hash, int64_t before_id);
/* Empty text: the first page, *ret_before_id 0. A token that is not ours, was altered, or belongs to another filter:
 * INVALID_ARGUMENT naming page_token. */
int page_token_read(const char *token, uint64_t filter_hash, int64_t *ret_before_id, struct err *ret_err);

#endif
