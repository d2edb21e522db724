/* The smallest server: one unary method that answers at once. `hello_server ADDRESS` serves until SIGINT or SIGTERM.
 * See docs/grpc-in-c.md, which shows this file. The handler runs on a worker thread of the server. */
#include <signal.h>
#include <stdio.h>

#include "hello.crpc.h"

static int say_hello(struct crpc_call *call, const ProtobufCMessage *message, ProtobufCMessage *ret_response,
                     struct err *ret_err)
{
    const Hello__V1__SayHelloRequest *request = (const Hello__V1__SayHelloRequest *)message;
    Hello__V1__SayHelloResponse *response = (Hello__V1__SayHelloResponse *)ret_response;
    if (!request->name[0])
        return err_field(ret_err, "name", "must not be empty");
    response->text = arena_printf(crpc_call_arena(call), "Hello, %s!", request->name);
    return response->text ? 0 : err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
}

int main(int argc, char **argv)
{
    static const struct hello_v1_hello_service_handlers handlers = {.say_hello = {.simple = say_hello}};
    const char *address = argc > 1 ? argv[1] : "127.0.0.1:50051";
    struct err err = ERR_NONE;
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);

    struct crpc_server *server = crpc_server_new(NULL, &err);
    if (server && hello_v1_hello_service_mount(server, &handlers, NULL, &err) == 0 &&
        crpc_server_listen(server, address, NULL, &err) == 0 && crpc_server_start(server, &err) == 0) {
        printf("serving on %s\n", address);
        fflush(stdout);
        sigwait(&stop, &(int){0});
        crpc_server_drain(server, 5000);
    }
    crpc_server_free(server);
    if (err.code != ERR_OK)
        fprintf(stderr, "hello_server: %s\n", err.msg);
    return err.code != ERR_OK;
}
