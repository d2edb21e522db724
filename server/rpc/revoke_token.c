/* AccessService.RevokeToken. On the call's worker.
 *
 *   start: check, ask the store --store--> ended: forgotten here at once --reply--> end */
#include "auth/auth.h"
#include "base/clock.h"
#include "base/log.h"
#include "joblog/v1/access.crpc.h"
#include "rpc/access_convert.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

struct revoke_token {
    struct crpc_event stored;
    struct store_token_revoke revoke;
};

static enum crpc_next revoke_token_start(struct crpc_call *call);
static enum crpc_next revoke_token_ended(struct crpc_call *call);

static const struct crpc_step START = {"start", revoke_token_start};
static const struct crpc_step ENDED = {"ended", revoke_token_ended};

static enum crpc_next revoke_token_start(struct crpc_call *call)
{
    struct revoke_token *r = crpc_call_state(call);
    struct err err = ERR_NONE;
    r->revoke = (struct store_token_revoke){
        .cmd = {.op = STORE_TOKEN_REVOKE}, .actor = caller_of(call)->actor, .now_us = clock_wall_us()};
    if (check_token_id(joblog_v1_access_service_revoke_token_request(call)->id, "id", &r->revoke.id, &err) != 0)
        return crpc_finish(call, &err);
    return service_submit(call, &r->revoke.cmd, &r->stored, &ENDED);
}

static enum crpc_next revoke_token_ended(struct crpc_call *call)
{
    struct revoke_token *r = crpc_call_state(call);
    Joblog__V1__RevokeTokenResponse response = JOBLOG__V1__REVOKE_TOKEN_RESPONSE__INIT;
    if (r->revoke.cmd.err.code != ERR_OK)
        return crpc_finish(call, &r->revoke.cmd.err);
    auth_token_revoked(service_of(call)->auth, r->revoke.id);
    log_info("token revoked id=%.*s by=\"%.*s\"", (int)r->revoke.id.len, r->revoke.id.data, (int)r->revoke.actor.len,
             r->revoke.actor.data);
    return joblog_v1_access_service_revoke_token_reply(call, &response);
}

const struct crpc_handler revoke_token_handler = {
    .first = &START, .state_size = sizeof(struct revoke_token), .ignores_cancel = true};
