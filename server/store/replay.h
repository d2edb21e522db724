/* Inside server/store: cancels and retries that are sent again (plan_replay.c). Writer thread. */
#ifndef STORE_REPLAY_H
#define STORE_REPLAY_H

#include "store/engine.h"

/* The key of a cancel or a retry; NULL of other commands. */
struct steer_key *steer_key_of(struct store_cmd *cmd);
/* Which of the batch's cancels and retries have been done before: before anything of it is sent. False: nothing of the
 * batch was done, *ret_err says why. */
bool steer_look_up(struct writer *w, struct unit *units, size_t n, struct err *ret_err);
/* Is the command a repetition, or refused as none? Then it needs nothing further. */
bool steer_is_known(struct unit *u);
/* It is going to be done: a repetition will be known. */
void steer_note(struct writer *w, struct steer_key *key, int64_t job_id);

#endif
