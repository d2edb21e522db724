/* See access.h. On the call's worker; neither waits nor allocates, but for a few bytes of the call's own memory. */
#include "rpc/access.h"

#include <string.h>
#include <strings.h>

#include "crpc/credentials.h"
#include "rpc/caller.h"

static int not_bearer(struct err *ret_err)
{
    return err_set(ret_err, ERR_UNAUTHENTICATED, "CREDENTIALS_INVALID",
                   "metadata authorization must be \"Bearer\" and a token, once");
}

/* RFC 6750: the scheme in any case, blanks, the token. */
static int read_bearer(const struct crpc_call *call, struct span *ret, struct err *ret_err)
{
    static const struct span scheme = SPAN_LIT("bearer ");
    struct span value = crpc_call_metadata(call, "authorization");
    if (!value.data)
        return 0;
    if (crpc_call_metadata_count(call, "authorization") > 1 || value.len <= scheme.len ||
        strncasecmp(value.data, scheme.data, scheme.len) != 0)
        return not_bearer(ret_err);
    value = span_of(value.data + scheme.len, value.len - scheme.len);
    while (value.len > 0 && value.data[0] == ' ')
        value = span_of(value.data + 1, value.len - 1);
    if (value.len == 0)
        return not_bearer(ret_err);
    *ret = value;
    return 0;
}

/* "ipv4:10.0.0.1:4711" without the port. Empty for a unix socket, whose peers are not told apart. */
static struct span address_of(const struct crpc_call *call)
{
    const char *peer = crpc_call_peer(call), *colon = strrchr(peer, ':');
    bool is_ip = strncmp(peer, "ipv4:", 5) == 0 || strncmp(peer, "ipv6:", 5) == 0;
    return is_ip && colon ? span_of(peer, (size_t)(colon - peer)) : span_of(peer, 0);
}

static int identify(const struct crpc_call *call, const struct access *access, struct identity **ret,
                    struct err *ret_err)
{
    struct auth_evidence evidence = {.bearer = {NULL, 0}};
    struct crpc_peer_identity peer;
    int rc = read_bearer(call, &evidence.bearer, ret_err);
    if (rc != 0)
        return rc;
    if (evidence.bearer.len == 0 && crpc_call_peer_identity(call, &peer)) {
        evidence.uris = peer.uris;
        evidence.n_uris = peer.n_uris;
        evidence.dns_names = peer.dns_names;
        evidence.n_dns_names = peer.n_dns_names;
    }
    if (evidence.bearer.len > 0 && (evidence.bearer.len < 4 || memcmp(evidence.bearer.data, "jlt_", 4) != 0))
        evidence.address = address_of(call); /* not for opaque tokens: they cost nothing to check */
    return auth_identify(access->auth, &evidence, ret, ret_err);
}

static int access_before(struct crpc_call *call, void *user, struct err *ret_err)
{
    const struct access *access = user;
    const struct right *right = rights_find(crpc_call_method(call)->path);
    struct identity *identity = NULL;
    if (right && right->roles & RIGHT_OPEN)
        return 0;
    int rc = identify(call, access, &identity, ret_err);
    if (rc != 0)
        return rc;
    if ((rc = rights_check(right, identity, ret_err)) != 0 ||
        (rc = caller_begin(call, identity, access->is_anonymous, ret_err)) != 0)
        identity_unref(identity);
    return rc;
}

static void access_after(struct crpc_call *call, void *user, const struct err *status, int64_t duration_us)
{
    const struct caller *caller = crpc_call_context(call);
    (void)user;
    (void)status;
    (void)duration_us;
    if (!caller)
        return;
    crpc_call_set_context(call, NULL);
    identity_unref(caller->identity);
}

struct crpc_interceptor access_interceptor(struct access *access)
{
    return (struct crpc_interceptor){.before = access_before, .after = access_after, .user = access};
}
