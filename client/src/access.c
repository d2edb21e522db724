/* Tokens of the server, and who it takes the caller for. Unary calls, on the caller's thread. */
#include "joblog/access.h"

#include <string.h>

#include "box.h"
#include "convert.h"
#include "joblog/v1/access.crpc.h"

#define ACCESS_METHOD(m) (&joblog_v1_access_service.methods[JOBLOG_V1_ACCESS_SERVICE_##m])

enum { ROLES = 5 };
static const char *const role_names[ROLES] = {"admin", "dispatcher", "worker", "viewer", "exporter"};

const char *joblog_role_name(unsigned role)
{
    for (unsigned i = 0; i < ROLES; i++) {
        if (role == 1u << i)
            return role_names[i];
    }
    return "";
}

unsigned joblog_role_of(const char *name)
{
    for (unsigned i = 0; name && i < ROLES; i++) {
        if (strcmp(name, role_names[i]) == 0)
            return 1u << i;
    }
    return 0;
}

/* Texts of m are borrowed. */
static struct joblog_grant grant_of(const Joblog__V1__Grant *m)
{
    struct joblog_grant g = {.owner = ""};
    if (!m)
        return g;
    for (size_t i = 0; i < m->n_roles; i++) {
        if (m->roles[i] >= JOBLOG__V1__ROLE__ROLE_ADMIN && m->roles[i] <= JOBLOG__V1__ROLE__ROLE_EXPORTER)
            g.roles |= 1u << (m->roles[i] - 1);
    }
    g.queues = (const char *const *)m->queues;
    g.n_queues = m->n_queues;
    g.job_names = (const char *const *)m->job_names;
    g.n_job_names = m->n_job_names;
    g.owners = (const char *const *)m->owners;
    g.n_owners = m->n_owners;
    g.owner = text_of(m->owner);
    g.own_only = m->own_only;
    g.may_delegate = m->may_delegate;
    return g;
}

static struct joblog_token token_of(const Joblog__V1__Token *m, const char *secret)
{
    struct joblog_token t = {.id = "", .name = "", .creator = "", .revoker = "", .secret = text_of(secret)};
    t.grant = grant_of(m ? m->grant : NULL);
    if (!m)
        return t;
    t.id = text_of(m->id);
    t.name = text_of(m->name);
    t.creator = text_of(m->creator);
    t.revoker = text_of(m->revoker);
    t.create_us = time_us_of(m->create_time);
    t.expire_us = time_us_of(m->expire_time);
    t.last_use_us = time_us_of(m->last_use_time);
    t.revoke_us = time_us_of(m->revoke_time);
    return t;
}

int joblog_create_token(struct joblog_client *client, const char *name, const struct joblog_grant *grant,
                        int64_t ttl_ms, struct joblog_token **ret_token, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    Joblog__V1__CreateTokenRequest request = JOBLOG__V1__CREATE_TOKEN_REQUEST__INIT;
    Joblog__V1__Grant g = JOBLOG__V1__GRANT__INIT;
    Joblog__V1__Role roles[ROLES];
    Google__Protobuf__Duration ttl = GOOGLE__PROTOBUF__DURATION__INIT;
    ProtobufCMessage *response = NULL;
    request.name = text_for_message(name);
    request.grant = &g;
    g.roles = roles;
    for (unsigned i = 0; i < ROLES; i++) {
        if (grant->roles & 1u << i)
            roles[g.n_roles++] = (Joblog__V1__Role)(i + 1);
    }
    g.queues = (char **)grant->queues;
    g.n_queues = grant->n_queues;
    g.job_names = (char **)grant->job_names;
    g.n_job_names = grant->n_job_names;
    g.owners = (char **)grant->owners;
    g.n_owners = grant->n_owners;
    g.owner = text_for_message(grant->owner);
    g.own_only = grant->own_only;
    g.may_delegate = grant->may_delegate;
    ttl.seconds = ttl_ms / 1000;
    ttl.nanos = (int32_t)(ttl_ms % 1000) * 1000000;
    if (ttl_ms != 0)
        request.ttl = &ttl;
    call_unary_once(client, ACCESS_METHOD(CREATE_TOKEN), &request.base, &response, &e);
    if (response) {
        const Joblog__V1__CreateTokenResponse *m = (const Joblog__V1__CreateTokenResponse *)response;
        struct joblog_token *token = box_new(response, sizeof *token);
        if (token) {
            *token = token_of(m->token, m->secret);
            *ret_token = token;
        } else {
            error_no_memory(&e);
        }
    }
    return error_give(error, &e);
}

void joblog_token_free(struct joblog_token *token)
{
    if (token)
        explicit_bzero((char *)token->secret, strlen(token->secret));
    box_free(token);
}

int joblog_list_tokens(struct joblog_client *client, bool revoked, const char *page_token,
                       struct joblog_tokens **ret_tokens, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    Joblog__V1__ListTokensRequest request = JOBLOG__V1__LIST_TOKENS_REQUEST__INIT;
    ProtobufCMessage *response = NULL;
    request.show_revoked = revoked;
    request.page_token = text_for_message(page_token);
    call_unary(client, ACCESS_METHOD(LIST_TOKENS), &request.base, NULL, &response, &e);
    if (response) {
        const Joblog__V1__ListTokensResponse *m = (const Joblog__V1__ListTokensResponse *)response;
        struct joblog_tokens *list = box_new(response, sizeof *list);
        if (list)
            list->tokens = arena_alloc(box_arena(list), m->n_tokens * sizeof *list->tokens);
        if (list && list->tokens) {
            for (; list->n_tokens < m->n_tokens; list->n_tokens++)
                list->tokens[list->n_tokens] = token_of(m->tokens[list->n_tokens], "");
            list->next_page_token = text_of(m->next_page_token);
            *ret_tokens = list;
        } else {
            box_free(list);
            error_no_memory(&e);
        }
    }
    return error_give(error, &e);
}

void joblog_tokens_free(struct joblog_tokens *tokens)
{
    box_free(tokens);
}

int joblog_revoke_token(struct joblog_client *client, const char *id, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    Joblog__V1__RevokeTokenRequest request = JOBLOG__V1__REVOKE_TOKEN_REQUEST__INIT;
    ProtobufCMessage *response = NULL;
    request.id = text_for_message(id);
    call_unary(client, ACCESS_METHOD(REVOKE_TOKEN), &request.base, NULL, &response, &e);
    crpc_message_free(response);
    return error_give(error, &e);
}

int joblog_who_am_i(struct joblog_client *client, struct joblog_caller **ret_caller, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    Joblog__V1__WhoAmIRequest request = JOBLOG__V1__WHO_AM_IREQUEST__INIT;
    ProtobufCMessage *response = NULL;
    call_unary(client, ACCESS_METHOD(WHO_AM_I), &request.base, NULL, &response, &e);
    if (response) {
        const Joblog__V1__WhoAmIResponse *m = (const Joblog__V1__WhoAmIResponse *)response;
        struct joblog_caller *caller = box_new(response, sizeof *caller);
        if (caller) {
            *caller = (struct joblog_caller){
                .actor = text_of(m->actor), .grant = grant_of(m->grant), .expire_us = time_us_of(m->expire_time)};
            *ret_caller = caller;
        } else {
            error_no_memory(&e);
        }
    }
    return error_give(error, &e);
}

void joblog_caller_free(struct joblog_caller *caller)
{
    box_free(caller);
}
