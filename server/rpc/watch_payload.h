/* What WatchJobs does for a filter with payloads: the hub knows no payloads, so the changes that it brings are asked
 * about in the store, up to a hundred jobs in one query, before they are sent. Nothing of it exists for other watches.
 * One call's, on its worker.
 *
 * A payload is looked at as it is when the change is asked about, which may be newer than the change. */
#ifndef RPC_WATCH_PAYLOAD_H
#define RPC_WATCH_PAYLOAD_H

#include "core/seen.h"
#include "hub/hub.h"
#include "store/store.h"

enum { PAYLOAD_LOOK_MAX = 100 };

struct payload_look {
    struct arena arena;
    struct store_list list; /* the query: those of ids whose payloads fit */
    const struct job_filter *filter;
    bool until_final;
    int64_t ids[PAYLOAD_LOOK_MAX];
    size_t n_ids;
    struct job_snapshot *taken[PAYLOAD_LOOK_MAX]; /* from the hub, in its order */
    size_t n_taken, at;
    struct seen matching; /* jobs that matched when they were last sent, and may cease to; HUB_SHOWN_MAX at most */
};

/* Borrows filter, until payload_look_free. NULL: out of memory. */
struct payload_look *payload_look_new(const struct job_filter *filter, bool until_final);
void payload_look_free(struct payload_look *look); /* takes NULL */

/* Takes a first snapshot and what else the hub has, as much as fits: to be asked about. */
void payload_look_take(struct payload_look *look, struct hub *hub, struct hub_watch *watch, struct job_snapshot *first);
/* One more job to be asked about; there must be room. */
void payload_look_add(struct payload_look *look, int64_t job_id);
/* The query for those that were added. */
struct store_cmd *payload_look_ask(struct payload_look *look);

/* After the query: does the payload of one that was asked about fit? */
bool payload_look_fits(const struct payload_look *look, int64_t job_id);
/* The job is sent as one that matches. */
void payload_look_sent(struct payload_look *look, const struct job *job);
/* The next of those taken that is to be sent: it matches, or did and has ceased to. Gives a reference; NULL: there are
 * no more. */
struct job_snapshot *payload_look_next(struct payload_look *look);

#endif
