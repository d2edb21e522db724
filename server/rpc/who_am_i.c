/* AccessService.WhoAmI: answered at once, from what the interceptor found out. On the call's worker. */
#include "joblog/v1/access.crpc.h"
#include "rpc/access_convert.h"
#include "rpc/convert.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

static int who_am_i(struct crpc_call *call, const ProtobufCMessage *request, ProtobufCMessage *ret_response,
                    struct err *ret_err)
{
    const struct caller *caller = caller_of(call);
    const struct identity *identity = caller->identity;
    Joblog__V1__WhoAmIResponse *response = (Joblog__V1__WhoAmIResponse *)ret_response;
    struct arena *arena = crpc_call_arena(call);
    struct token_info grant = {.roles = identity->roles,
                               .queues = identity->queues,
                               .n_queues = identity->n_queues,
                               .job_names = identity->job_names,
                               .n_job_names = identity->n_job_names,
                               .owners = identity->owners,
                               .n_owners = identity->n_owners,
                               .owner = caller->owner,
                               .own_only = identity->own_only,
                               .may_delegate = identity->may_delegate};
    (void)request;
    response->actor = convert_text(arena, caller->actor);
    response->grant = convert_grant(arena, &grant);
    response->expire_time = identity->expire_us ? convert_time(arena, identity->expire_us) : NULL;
    if (!response->actor || !response->grant || (identity->expire_us && !response->expire_time))
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    return 0;
}

const struct crpc_handler who_am_i_handler = {.simple = who_am_i};
