/* Conflation: a place of one frame between whoever has news and a stream that may be slow. News replace what has not
 * been sent yet, so a slow reader skips to the newest, a fast one gets all, and nothing piles up.
 *
 *     struct ticker { struct crpc_latest latest; … };                    state of the call
 *     start:  crpc_latest_init(call, &t->latest); subscribe(t); return crpc_goto(call, &NEXT);
 *     next:   struct crpc_frame *frame = crpc_latest_take(&t->latest);
 *             if (!frame) return crpc_call_ended(call) ? crpc_finish(call, NULL) : crpc_latest_await(call, &t->latest,
 * &NEXT); enum crpc_next next = crpc_send_frame(call, frame, &SENT); crpc_frame_unref(frame); return next; sent: return
 * crpc_call_sent(call) ? crpc_goto(call, &NEXT) : crpc_finish(call, NULL); done:   unsubscribe(t);
 * crpc_latest_done(&t->latest);
 */
#ifndef CRPC_LATEST_H
#define CRPC_LATEST_H

#include <stdatomic.h>
#include <stdbool.h>

#include "crpc/call.h"

/* Embed it in memory that lives as long as the call. */
struct crpc_latest {
    struct crpc_signal news;
    _Atomic(struct crpc_frame *) frame;
};

/* Call's worker only, once. */
void crpc_latest_init(struct crpc_call *call, struct crpc_latest *latest);
/* Any thread, until the end of the handler's done(). Keeps a reference of frame. True: it replaced one that nobody had
 * taken. Lock-free. */
bool crpc_latest_put(struct crpc_latest *latest, struct crpc_frame *frame);
/* Call's worker only. Gives the newest that has not been taken (crpc_frame_unref), or NULL. */
struct crpc_frame *crpc_latest_take(struct crpc_latest *latest);
/* Waits for news, or until the call is cancelled or finished by another chain, then step. */
enum crpc_next crpc_latest_await(struct crpc_call *call, struct crpc_latest *latest, const struct crpc_step *step);
/* In the handler's done(), after the last put. Does nothing for a zeroed one. */
void crpc_latest_done(struct crpc_latest *latest);

#endif
