/* Calls each method of TourService: `tour_client TARGET [CA]`. Blocks; everything on the main thread. See
 * docs/grpc-in-c.md, which shows this file. */
#include <stdio.h>

#include "crpc/credentials.h"
#include "tour.crpc.h"

/* ---- metadata both ways, and errors with details ---- */

static int divide(struct crpc_channel *channel, int32_t dividend, int32_t divisor, struct err *ret_err)
{
    const struct crpc_metadata who = {"x-tourist", SPAN_LIT("Ada")};
    struct crpc_response answer = {0};
    const struct crpc_call_options options = {
        .timeout_ms = 5000, .metadata = &who, .n_metadata = 1, .response = &answer};
    Tour__V1__DivideRequest request = TOUR__V1__DIVIDE_REQUEST__INIT;
    Tour__V1__DivideResponse *response;
    request.dividend = dividend;
    request.divisor = divisor;
    int rc = tour_v1_tour_service_divide(channel, &options, &request, &response, ret_err);
    if (rc == 0) {
        const struct crpc_metadata *welcome = crpc_metadata_find(&answer.initial, "x-welcome");
        printf("%d / %d = %d, welcome %.*s\n", dividend, divisor, response->quotient,
               welcome ? (int)welcome->value.len : 0, welcome ? welcome->value.data : "");
        crpc_message_free(&response->base);
    } else {
        printf("%s: %s (reason %s, field %s)\n", err_code_name(ret_err->code), ret_err->msg, ret_err->reason,
               ret_err->field);
    }
    crpc_response_done(&answer);
    return rc;
}

/* ---- a server stream, with a deadline ---- */

static int countdown(struct crpc_channel *channel, int32_t from, int32_t step_ms, int64_t timeout_ms,
                     struct err *ret_err)
{
    const struct crpc_call_options options = {.timeout_ms = timeout_ms};
    Tour__V1__CountdownRequest request = TOUR__V1__COUNTDOWN_REQUEST__INIT;
    Tour__V1__CountdownResponse *response;
    request.from = from;
    request.step_ms = step_ms;
    struct crpc_stream *stream = tour_v1_tour_service_countdown_open(channel, &options, &request, ret_err);
    if (!stream)
        return -(int)ret_err->code;
    int rc;
    while ((rc = tour_v1_tour_service_countdown_read(stream, &response, ret_err)) == 1) {
        printf("%d\n", response->left);
        crpc_message_free(&response->base);
    }
    crpc_stream_free(stream);
    if (rc < 0)
        printf("%s\n", err_code_name(ret_err->code));
    return rc;
}

/* ---- a stream in both directions ---- */

static int chat(struct crpc_channel *channel, struct err *ret_err)
{
    static const char *const lines[] = {"one", "two", "three"};
    struct crpc_stream *stream = tour_v1_tour_service_chat_open(channel, NULL, ret_err);
    if (!stream)
        return -(int)ret_err->code;
    int rc = 1;
    for (size_t i = 0; i < sizeof lines / sizeof *lines && rc == 1; i++) {
        Tour__V1__ChatRequest request = TOUR__V1__CHAT_REQUEST__INIT;
        Tour__V1__ChatResponse *response;
        request.text = (char *)lines[i];
        if (tour_v1_tour_service_chat_write(stream, &request, ret_err) != 0)
            break; /* reading on would give the status */
        rc = tour_v1_tour_service_chat_read(stream, &response, ret_err);
        if (rc == 1) {
            printf("chat: %s\n", response->text);
            crpc_message_free(&response->base);
        }
    }
    crpc_stream_close_write(stream, NULL);
    if (rc == 1)
        rc = crpc_stream_read(stream, &(ProtobufCMessage *){NULL}, ret_err); /* 0: it ended well */
    crpc_stream_free(stream);
    return rc;
}

int main(int argc, char **argv)
{
    struct err err = ERR_NONE;
    struct crpc_channel_credentials *tls = NULL;
    if (argc > 2 && !(tls = crpc_channel_credentials_tls(&(struct crpc_tls_client_options){.ca_file = argv[2]}, &err)))
        return fprintf(stderr, "tour_client: %s\n", err.msg), 1;
    const struct crpc_channel_options options = {.credentials = tls};
    struct crpc_channel *channel = crpc_channel_new(argc > 1 ? argv[1] : "127.0.0.1:50051", &options, &err);
    crpc_channel_credentials_free(tls);
    if (!channel)
        return fprintf(stderr, "tour_client: %s\n", err.msg), 1;
    bool good = divide(channel, 42, 6, &err) == 0 && divide(channel, 1, 0, &err) == -ERR_INVALID_ARGUMENT &&
                countdown(channel, 3, 10, 5000, &err) == 0 &&
                countdown(channel, 3, 60000, 200, &err) == -ERR_DEADLINE_EXCEEDED && chat(channel, &err) == 0;
    crpc_channel_free(channel);
    return good ? 0 : 1;
}
