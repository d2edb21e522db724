/* The smallest client: `hello_client TARGET NAME` prints the greeting. Blocks; everything on the main thread. See
 * docs/grpc-in-c.md, which shows this file. */
#include <stdio.h>

#include "hello.crpc.h"

int main(int argc, char **argv)
{
    struct err err = ERR_NONE;
    struct crpc_channel *channel = crpc_channel_new(argc > 1 ? argv[1] : "127.0.0.1:50051", NULL, &err);
    Hello__V1__SayHelloRequest request = HELLO__V1__SAY_HELLO_REQUEST__INIT;
    Hello__V1__SayHelloResponse *response;
    request.name = argc > 2 ? argv[2] : "world";
    if (channel && hello_v1_hello_service_say_hello(channel, NULL, &request, &response, &err) == 0) {
        puts(response->text);
        crpc_message_free(&response->base);
    }
    crpc_channel_free(channel);
    if (err.code != ERR_OK)
        fprintf(stderr, "hello_client: %s: %s\n", err_code_name(err.code), err.msg);
    return err.code != ERR_OK;
}
