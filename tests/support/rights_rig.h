/* The services of joblogd in this process, on a real PostgreSQL and a real socket, with callers made by the test: the
 * bearer token is the caller's name. A group fixture of cmocka. Not for product code. */
#ifndef SUPPORT_RIGHTS_RIG_H
#define SUPPORT_RIGHTS_RIG_H

#include "core/identity.h"
#include "crpc/client.h"

/* Group setup and teardown. Export types: "lanes" (small), "slow" (runs for a minute), "long" (24 MB). */
int rig_start(void **state);
int rig_stop(void **state);
const char *rig_address(void);

/* Makes or replaces a caller. identity: copied, with what it points to kept; actor becomes "token:NAME". The caller's
 * streams keep the identity that they began with. */
void rig_caller(const char *name, const struct identity *identity);
/* Ends its credentials: no new call, and what runs is to end. */
void rig_revoke(const char *name);
/* References that calls hold on identities at this moment. */
int rig_references(void);

/* A channel whose calls come from this caller. name NULL: without credentials; user not NULL: on behalf of that one.
 * Freed with crpc_channel_free. */
struct crpc_channel *rig_channel(const char *name, const char *user);

#endif
