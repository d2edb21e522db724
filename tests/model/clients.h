/* What the files of the clients share. */
#ifndef MODEL_CLIENTS_H
#define MODEL_CLIENTS_H

#include "model.h"

extern const struct crpc_call_options model_call_options;

/* Whether a call that ended so did, or did not, do what it says; else it may have been done. */
bool answer_is_definite(int code);
void pause_ms(int ms);
/* A new call of this client. The pointer holds until the next. */
struct call_fact *call_new(struct actor *actor, bool own);
/* existing: the job was made by another call. */
void call_answered(struct actor *actor, struct call_fact *fact, int64_t id, bool existing);
void call_refused(struct actor *actor, struct call_fact *fact, const struct err *err);
/* StartJob to its end. */
void own_work(struct actor *actor);

#endif
