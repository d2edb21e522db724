/* Who is at the other end of a call, from core's authentication context. Worker's thread only. */
#include <string.h>

#include <grpc/grpc_security.h>

#include "call.h"
#include "crpc/credentials.h"

static bool over_tls(const grpc_auth_context *context)
{
    grpc_auth_property_iterator it =
        grpc_auth_context_find_properties_by_name(context, GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME);
    const grpc_auth_property *p = grpc_auth_property_iterator_next(&it);
    return p && span_eq(span_of(p->value, p->value_length), SPAN_LIT(GRPC_SSL_TRANSPORT_SECURITY_TYPE));
}

bool crpc_call_is_private(const struct crpc_call *call)
{
    const char *peer = crpc_call_peer(call);
    if (peer && strncmp(peer, "unix:", 5) == 0)
        return true;
    grpc_auth_context *context = grpc_call_auth_context(call->core);
    bool is_private = context && over_tls(context);
    grpc_auth_context_release(context);
    return is_private;
}

static bool copy_names(struct arena *arena, const grpc_auth_context *context, const char *property,
                       const struct span **ret, size_t *ret_n)
{
    size_t n = 0;
    grpc_auth_property_iterator it = grpc_auth_context_find_properties_by_name(context, property);
    while (grpc_auth_property_iterator_next(&it))
        n++;
    struct span *names = arena_alloc(arena, n * sizeof *names);
    if (!names)
        return false;
    it = grpc_auth_context_find_properties_by_name(context, property);
    for (size_t i = 0; i < n; i++) {
        const grpc_auth_property *p = grpc_auth_property_iterator_next(&it);
        names[i] = arena_span(arena, span_of(p->value, p->value_length));
        if (!names[i].data)
            return false;
    }
    *ret = names;
    *ret_n = n;
    return true;
}

static struct crpc_peer_identity *copy_identity(struct arena *arena, const grpc_auth_context *context)
{
    grpc_auth_property_iterator it =
        grpc_auth_context_find_properties_by_name(context, GRPC_X509_PEM_CERT_PROPERTY_NAME);
    if (!over_tls(context) || !grpc_auth_property_iterator_next(&it))
        return NULL;
    struct crpc_peer_identity *id = arena_zalloc(arena, sizeof *id);
    if (!id || !copy_names(arena, context, GRPC_PEER_URI_PROPERTY_NAME, &id->uris, &id->n_uris) ||
        !copy_names(arena, context, GRPC_PEER_DNS_PROPERTY_NAME, &id->dns_names, &id->n_dns_names))
        return NULL;
    return id;
}

bool crpc_call_peer_identity(const struct crpc_call *call, struct crpc_peer_identity *ret)
{
    struct crpc_call *c = (struct crpc_call *)call; /* kept for the next time */
    if (!c->identity) {
        grpc_auth_context *context = grpc_call_auth_context(c->core);
        if (context)
            c->identity = copy_identity(&c->arena, context);
        grpc_auth_context_release(context);
    }
    if (!c->identity)
        return false;
    *ret = *c->identity;
    return true;
}
