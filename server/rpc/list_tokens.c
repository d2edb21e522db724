/* AccessService.ListTokens. On the call's worker.
 *
 *   start: check, ask the store --store--> loaded --reply--> end */
#include "joblog/v1/access.crpc.h"
#include "rpc/access_convert.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

struct list_tokens {
    struct crpc_event stored;
    struct store_token_list list;
};

static enum crpc_next list_tokens_start(struct crpc_call *call);
static enum crpc_next list_tokens_loaded(struct crpc_call *call);

static const struct crpc_step START = {"start", list_tokens_start};
static const struct crpc_step LOADED = {"loaded", list_tokens_loaded};

static enum crpc_next list_tokens_start(struct crpc_call *call)
{
    struct list_tokens *l = crpc_call_state(call);
    const Joblog__V1__ListTokensRequest *request = joblog_v1_access_service_list_tokens_request(call);
    struct err err = ERR_NONE;
    l->list = (struct store_token_list){
        .cmd = {.op = STORE_TOKEN_LIST}, .revoked = request->show_revoked, .arena = crpc_call_arena(call)};
    if (check_page_size(request->page_size, &l->list.limit, &err) != 0 ||
        (*request->page_token && check_token_id(request->page_token, "page_token", &l->list.after_id, &err) != 0))
        return crpc_finish(call, &err);
    return service_submit(call, &l->list.cmd, &l->stored, &LOADED);
}

static enum crpc_next list_tokens_loaded(struct crpc_call *call)
{
    struct list_tokens *l = crpc_call_state(call);
    struct arena *arena = crpc_call_arena(call);
    Joblog__V1__ListTokensResponse response = JOBLOG__V1__LIST_TOKENS_RESPONSE__INIT;
    if (l->list.cmd.err.code != ERR_OK)
        return crpc_finish(call, &l->list.cmd.err);
    response.tokens = arena_alloc(arena, l->list.n_tokens * sizeof *response.tokens);
    if (!response.tokens)
        return service_no_memory(call);
    for (; response.n_tokens < l->list.n_tokens; response.n_tokens++) {
        if (!(response.tokens[response.n_tokens] = convert_token(arena, &l->list.tokens[response.n_tokens])))
            return service_no_memory(call);
    }
    /* The place in the order is no secret: it is the id of the last one. */
    if (l->list.more && response.n_tokens > 0)
        response.next_page_token = response.tokens[response.n_tokens - 1]->id;
    return joblog_v1_access_service_list_tokens_reply(call, &response);
}

const struct crpc_handler list_tokens_handler = {
    .first = &START, .state_size = sizeof(struct list_tokens), .ignores_cancel = true};
