/* Renders struct crpc_retry into JSON; see service_config.h. Any thread. Numbers are written digit by digit, since
 * printf follows the locale. */
#include "service_config.h"

#include <stdio.h>
#include <string.h>

#include "crpc/retry.h"

/* Core cuts more down to this without a word. */
enum { ATTEMPTS_MAX = 5, ATTEMPTS = 3, INITIAL_MS = 100, MAX_MS = 5000, CODES_MAX = 16 };
/* So that all fits into an int of thousandths, and no pause outlives a day. */
enum { BACKOFF_MAX_MS = 86400000, MULTIPLIER_MAX = 1000, TOKENS_MAX = 1000 };

static bool is_name(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.");
    return n > 0 && !s[n];
}

static bool same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static int fault(struct err *ret_err, size_t i, const char *member, const char *why)
{
    char field[64];
    snprintf(field, sizeof field, "retries[%zu].%s", i, member);
    return err_field(ret_err, field, "%s %s", field, why);
}

static int check(const struct crpc_retry *all, size_t i, struct err *ret_err)
{
    const struct crpc_retry *r = &all[i];
    if (r->service && !is_name(r->service))
        return fault(ret_err, i, "service", "is no name of a service");
    if (r->method && (!r->service || !is_name(r->method)))
        return fault(ret_err, i, "method", r->service ? "is no name of a method" : "needs a service");
    if (r->max_attempts != 0 && (r->max_attempts < 2 || r->max_attempts > ATTEMPTS_MAX))
        return fault(ret_err, i, "max_attempts", "must be from 2 to 5");
    if (r->initial_backoff_ms < 0 || r->initial_backoff_ms > BACKOFF_MAX_MS)
        return fault(ret_err, i, "initial_backoff_ms", "must be from 1 to 86400000");
    if (r->max_backoff_ms < 0 || r->max_backoff_ms > BACKOFF_MAX_MS)
        return fault(ret_err, i, "max_backoff_ms", "must be from 1 to 86400000");
    if (r->multiplier != 0 && !(r->multiplier >= 0.001 && r->multiplier <= MULTIPLIER_MAX))
        return fault(ret_err, i, "multiplier", "must be from 0.001 to 1000");
    if (r->codes && (r->n_codes == 0 || r->n_codes > CODES_MAX))
        return fault(ret_err, i, "codes", "must be 1 to 16 codes");
    for (size_t c = 0; r->codes && c < r->n_codes; c++)
        if (r->codes[c] <= ERR_OK || r->codes[c] > ERR_UNAUTHENTICATED)
            return fault(ret_err, i, "codes", "has one that is no failure");
    for (size_t j = 0; j < i; j++)
        if (same(all[j].service, r->service) && same(all[j].method, r->method))
            return fault(ret_err, i, "method", "has a policy already");
    return 0;
}

static void put_thousandths(struct buf *out, int64_t n)
{
    buf_printf(out, "%lld.%03lld", (long long)(n / 1000), (long long)(n % 1000));
}

static void put_seconds(struct buf *out, const char *key, int64_t ms)
{
    buf_printf(out, ",\"%s\":\"", key);
    put_thousandths(out, ms);
    buf_add_str(out, "s\"");
}

static void put_policy(struct buf *out, const struct crpc_retry *r)
{
    static const enum err_code unavailable[] = {ERR_UNAVAILABLE};
    const enum err_code *codes = r->codes ? r->codes : unavailable;
    size_t n_codes = r->codes ? r->n_codes : 1;
    buf_add_str(out, "{\"name\":[{");
    if (r->service)
        buf_printf(out, "\"service\":\"%s\"", r->service);
    if (r->method)
        buf_printf(out, ",\"method\":\"%s\"", r->method);
    buf_printf(out, "}],\"retryPolicy\":{\"maxAttempts\":%d", r->max_attempts ? r->max_attempts : ATTEMPTS);
    put_seconds(out, "initialBackoff", r->initial_backoff_ms ? r->initial_backoff_ms : INITIAL_MS);
    put_seconds(out, "maxBackoff", r->max_backoff_ms ? r->max_backoff_ms : MAX_MS);
    buf_add_str(out, ",\"backoffMultiplier\":");
    put_thousandths(out, (int64_t)((r->multiplier != 0 ? r->multiplier : 2) * 1000 + 0.5));
    buf_add_str(out, ",\"retryableStatusCodes\":[");
    for (size_t i = 0; i < n_codes; i++)
        buf_printf(out, "%s\"%s\"", i ? "," : "", err_code_name(codes[i]));
    buf_add_str(out, "]}}");
}

static int put_throttle(struct buf *out, const struct crpc_retry_throttle *t, struct err *ret_err)
{
    if (t->max_tokens < 1 || t->max_tokens > TOKENS_MAX)
        return err_field(ret_err, "retry_throttle.max_tokens", "max_tokens must be from 1 to 1000");
    if (!(t->token_ratio >= 0.001 && t->token_ratio <= TOKENS_MAX))
        return err_field(ret_err, "retry_throttle.token_ratio", "token_ratio must be from 0.001 to 1000");
    buf_printf(out, ",\"retryThrottling\":{\"maxTokens\":%d,\"tokenRatio\":", t->max_tokens);
    put_thousandths(out, (int64_t)(t->token_ratio * 1000 + 0.5));
    buf_add_char(out, '}');
    return 0;
}

int service_config_render(const struct crpc_channel_options *o, struct buf *out, struct err *ret_err)
{
    if (o->service_config && (o->n_retries || o->retry_throttle))
        return err_field(ret_err, "service_config", "service_config comes in place of retries and retry_throttle");
    if (o->n_retries == 0 && !o->retry_throttle)
        return 0;
    if (o->n_retries == 0)
        return err_field(ret_err, "retry_throttle", "retry_throttle without retries");
    buf_add_str(out, "{\"methodConfig\":[");
    for (size_t i = 0; i < o->n_retries; i++) {
        int rc = check(o->retries, i, ret_err);
        if (rc < 0)
            return rc;
        if (i)
            buf_add_char(out, ',');
        put_policy(out, &o->retries[i]);
    }
    buf_add_char(out, ']');
    int rc = o->retry_throttle ? put_throttle(out, o->retry_throttle, ret_err) : 0;
    buf_add_char(out, '}');
    if (rc == 0 && out->failed)
        rc = err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    return rc;
}
