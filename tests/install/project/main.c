/* Server and client in one process, with nothing but what is installed. */
#include <crpc/client.h>
#include <crpc/health.h>
#include <crpc/reflection.h>
#include <crpc/server.h>
#include <stdio.h>
#include <string.h>

#include "greet.crpc.h"

static int greet(struct crpc_call *call, const ProtobufCMessage *message, ProtobufCMessage *ret_response,
                 struct err *ret_err)
{
    const Greet__V1__GreetRequest *request = (const Greet__V1__GreetRequest *)message;
    Greet__V1__GreetResponse *response = (Greet__V1__GreetResponse *)ret_response;
    response->text = arena_printf(crpc_call_arena(call), "hello, %s", request->has_name_case ? request->name : "world");
    response->at = arena_alloc(crpc_call_arena(call), sizeof *response->at);
    if (!response->text || !response->at)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    google__protobuf__timestamp__init(response->at);
    response->at->seconds = 1;
    return 0;
}

static int ask(struct crpc_channel *channel, const char *name, const char *answer)
{
    Greet__V1__GreetRequest request = GREET__V1__GREET_REQUEST__INIT;
    Greet__V1__GreetResponse *response;
    struct err err;
    if (name) {
        request.has_name_case = GREET__V1__GREET_REQUEST__HAS_NAME_NAME;
        request.name = (char *)name;
    }
    if (greet_v1_greet_service_greet(channel, NULL, &request, &response, &err) != 0) {
        fprintf(stderr, "greet: %s\n", err.msg);
        return 1;
    }
    puts(response->text);
    int wrong = strcmp(response->text, answer) != 0 || !response->at || response->at->seconds != 1;
    crpc_message_free(&response->base);
    return wrong;
}

int main(void)
{
    static const struct greet_v1_greet_service_handlers handlers = {.greet = {.simple = greet}};
    struct err err = ERR_NONE;
    int port = 0, wrong = 1;
    char target[64];
    struct crpc_channel *channel = NULL;
    struct crpc_health *health = crpc_health_new();
    struct crpc_reflection *reflection = crpc_reflection_new();
    struct crpc_server *server = crpc_server_new(NULL, &err);
    if (health && reflection && server && greet_v1_greet_service_mount(server, &handlers, NULL, &err) == 0 &&
        crpc_health_mount(health, server, &err) == 0 &&
        crpc_reflection_add(reflection, &greet_v1_greet_service, &err) == 0 &&
        crpc_reflection_mount(reflection, server, &err) == 0 &&
        crpc_server_listen(server, "127.0.0.1:0", &port, &err) == 0 && crpc_server_start(server, &err) == 0) {
        snprintf(target, sizeof target, "127.0.0.1:%d", port);
        channel = crpc_channel_new(target, NULL, &err);
        wrong = !channel || ask(channel, NULL, "hello, world") || ask(channel, "Bo", "hello, Bo");
        crpc_channel_free(channel);
        crpc_server_drain(server, 10000);
    }
    if (err.code != ERR_OK)
        fprintf(stderr, "%s\n", err.msg);
    crpc_server_free(server);
    crpc_reflection_free(reflection);
    crpc_health_free(health);
    return wrong;
}
