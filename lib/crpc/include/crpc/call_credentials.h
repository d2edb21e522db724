/* Credentials of single calls: metadata that is made anew for each, such as a token that runs out. Goes into
 * crpc_channel_options.call_credentials or crpc_call_options.credentials. */
#ifndef CRPC_CALL_CREDENTIALS_H
#define CRPC_CALL_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/span.h"
#include "crpc/method.h"

/* Collects what a callback supplies. */
struct crpc_call_metadata;
/* Copies. 0, or -code and *ret_err: an illegal key or value, more than 32 entries in all. */
int crpc_call_metadata_add(struct crpc_call_metadata *out, const char *key, struct span value, struct err *ret_err);

struct crpc_call_credentials {
    /* Supplies the metadata of one call, or refuses: -code and *ret_err, with which the call then fails before anything
     * is sent. Runs once a call on the thread that starts it, several at a time where several threads do; it may block,
     * but the call's time-out does not count meanwhile. Retries send what it gave for the first attempt. */
    int (*supply)(void *user, const struct crpc_method *method, struct crpc_call_metadata *out, struct err *ret_err);
    void *user; /* kept while calls are started with it */
    /* Also over plaintext TCP, where everyone on the way can read it. False: such a call fails with UNAUTHENTICATED,
     * reason INSECURE_CHANNEL; TLS and unix sockets are private. */
    bool allow_plaintext;
};

/* ---- ready-made: "authorization: Bearer TOKEN" ---- */

struct crpc_bearer;
/* Copies token. NULL and *ret_err: a token that is empty or not of RFC 6750's characters, or out of memory. */
struct crpc_bearer *crpc_bearer_new(const char *token, bool allow_plaintext, struct err *ret_err);
/* Another token for the calls from now on. 0, or -code and *ret_err: then the old one stays. Any thread. */
int crpc_bearer_set(struct crpc_bearer *bearer, const char *token, struct err *ret_err);
/* Borrowed from bearer. */
const struct crpc_call_credentials *crpc_bearer_credentials(const struct crpc_bearer *bearer);
/* After the channels that use it. Takes NULL. */
void crpc_bearer_free(struct crpc_bearer *bearer);

#endif
