/* The services of joblogd in this process, on a real PostgreSQL and a real socket, with callers of the test's making,
 * each by a token of its own. A group fixture of cmocka. Not for product code. */
#ifndef SUPPORT_RIGHTS_RIG_H
#define SUPPORT_RIGHTS_RIG_H

#include "core/identity.h"
#include "crpc/client.h"

/* Group setup and teardown. Export types: "lanes" (small), "slow" (runs for a minute), "long" (24 MB). */
int rig_start(void **state);
int rig_stop(void **state);
const char *rig_address(void);

/* Makes a token with what the identity may (its actor is "token:NAME"); known at once. */
void rig_caller(const char *name, const struct identity *identity);
/* Revokes the token; the server knows within a second or two. */
void rig_revoke(const char *name);
/* The token's text. Borrowed. */
const char *rig_bearer(const char *name);

/* A channel whose calls come from this caller. name NULL: without credentials; user not NULL: on behalf of that one.
 * Freed with crpc_channel_free. */
struct crpc_channel *rig_channel(const char *name, const char *user);

#endif
