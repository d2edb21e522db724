/* AccessService.CreateToken. On the call's worker.
 *
 *   start: check, make the secret, ask the store --store--> made: known here at once --reply--> end */
#include <string.h>

#include "auth/auth.h"
#include "base/clock.h"
#include "base/log.h"
#include "joblog/v1/access.crpc.h"
#include "rpc/access_convert.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

#define TTL_MAX_US (INT64_C(3653) * 86400 * 1000000) /* ten years: a longer one is meant to be for ever */

struct create_token {
    struct crpc_event stored;
    struct store_token_create create;
    struct token_text secret;
};

static enum crpc_next create_token_start(struct crpc_call *call);
static enum crpc_next create_token_made(struct crpc_call *call);

static const struct crpc_step START = {"start", create_token_start};
static const struct crpc_step MADE = {"made", create_token_made};

static int create_token_check(struct crpc_call *call, struct token_info *t, struct err *ret_err)
{
    const Joblog__V1__CreateTokenRequest *request = joblog_v1_access_service_create_token_request(call);
    int64_t ttl_us = 0;
    int rc = check_token_name(request->name, &t->name, ret_err);
    if (rc == 0)
        rc = check_grant(request->grant, crpc_call_arena(call), t, ret_err);
    if (rc == 0)
        rc = check_duration(request->ttl, 0, TTL_MAX_US, "", "ttl", &ttl_us, ret_err);
    if (rc != 0)
        return rc;
    if (t->owner.len == 0)
        t->owner = t->name;
    t->create_us = clock_wall_us();
    t->expire_us = ttl_us > 0 ? t->create_us + ttl_us : 0;
    return 0;
}

static enum crpc_next create_token_start(struct crpc_call *call)
{
    struct create_token *c = crpc_call_state(call);
    struct token_info *t = &c->create.token;
    struct err err = ERR_NONE;
    c->create.cmd = (struct store_cmd){.op = STORE_TOKEN_CREATE};
    if (create_token_check(call, t, &err) != 0 || token_make(&c->secret, &err) != 0)
        return crpc_finish(call, &err);
    t->id = span_of(c->secret.id, TOKEN_ID_LEN);
    t->hash = span_of((const char *)c->secret.hash, TOKEN_HASH_LEN);
    t->creator = caller_of(call)->actor;
    return service_submit(call, &c->create.cmd, &c->stored, &MADE);
}

static enum crpc_next create_token_made(struct crpc_call *call)
{
    struct create_token *c = crpc_call_state(call);
    const struct token_info *t = &c->create.token;
    Joblog__V1__CreateTokenResponse response = JOBLOG__V1__CREATE_TOKEN_RESPONSE__INIT;
    if (c->create.cmd.err.code != ERR_OK)
        return crpc_finish(call, &c->create.cmd.err);
    auth_token_made(service_of(call)->auth, t);
    log_info("token made id=%s name=%.*s by=\"%.*s\"", c->secret.id, (int)t->name.len, t->name.data,
             (int)t->creator.len, t->creator.data);
    response.token = convert_token(crpc_call_arena(call), t);
    response.secret = c->secret.text;
    return response.token ? joblog_v1_access_service_create_token_reply(call, &response) : service_no_memory(call);
}

/* What the call kept of the secret must not lie about in freed memory. */
static void create_token_done(struct crpc_call *call)
{
    struct create_token *c = crpc_call_state(call);
    explicit_bzero(&c->secret, sizeof c->secret);
}

const struct crpc_handler create_token_handler = {
    .first = &START, .state_size = sizeof(struct create_token), .ignores_cancel = true, .done = create_token_done};
