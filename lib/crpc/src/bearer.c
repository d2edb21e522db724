/* Bearer tokens as credentials of calls (RFC 6750). Any thread; a token may be replaced while calls are started. */
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "crpc/call_credentials.h"

struct crpc_bearer {
    struct crpc_call_credentials credentials;
    pthread_mutex_t mu; /* value */
    struct buf value;   /* "Bearer TOKEN" */
};

static int supply(void *user, const struct crpc_method *method, struct crpc_call_metadata *out, struct err *ret_err)
{
    struct crpc_bearer *bearer = user;
    (void)method;
    pthread_mutex_lock(&bearer->mu);
    int rc = crpc_call_metadata_add(out, "authorization", buf_span(&bearer->value), ret_err);
    pthread_mutex_unlock(&bearer->mu);
    return rc;
}

/* b64token of RFC 6750 */
static bool token_ok(const char *token)
{
    size_t n = strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/");
    return n > 0 && token[n + strspn(token + n, "=")] == '\0';
}

int crpc_bearer_set(struct crpc_bearer *bearer, const char *token, struct err *ret_err)
{
    if (!token || !token_ok(token))
        return err_field(ret_err, "token", "empty, or with a character that no bearer token may have");
    struct buf value = BUF_INIT;
    buf_add_str(&value, "Bearer ");
    buf_add_str(&value, token);
    if (value.failed) {
        buf_done(&value);
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    }
    pthread_mutex_lock(&bearer->mu);
    struct buf old = bearer->value;
    bearer->value = value;
    pthread_mutex_unlock(&bearer->mu);
    buf_done(&old);
    return 0;
}

struct crpc_bearer *crpc_bearer_new(const char *token, bool allow_plaintext, struct err *ret_err)
{
    struct crpc_bearer *bearer = mem_zalloc(sizeof *bearer);
    if (!bearer) {
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
        return NULL;
    }
    pthread_mutex_init(&bearer->mu, NULL);
    bearer->credentials = (struct crpc_call_credentials){supply, bearer, allow_plaintext};
    if (crpc_bearer_set(bearer, token, ret_err) < 0) {
        crpc_bearer_free(bearer);
        return NULL;
    }
    return bearer;
}

const struct crpc_call_credentials *crpc_bearer_credentials(const struct crpc_bearer *bearer)
{
    return &bearer->credentials;
}

void crpc_bearer_free(struct crpc_bearer *bearer)
{
    if (!bearer)
        return;
    buf_done(&bearer->value);
    pthread_mutex_destroy(&bearer->mu);
    mem_free(bearer);
}
