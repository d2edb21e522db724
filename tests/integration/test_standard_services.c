/* What stock clients ask of joblogd: which services it has, what they are, and whether they take calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crpc/client.h"
#include "grpc/health/v1/health.crpc.h"
#include "grpc/reflection/v1/reflection.crpc.h"
#include "support/channel.h"
#include "support/server_fixture.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest request_t;
typedef Grpc__Reflection__V1__ServerReflectionResponse response_t;

#define ASK(what)      GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##what
#define ANSWERED(what) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##what

static struct server_fixture *server;
static struct crpc_channel *channel;

static int setup(void **state)
{
    (void)state;
    server = server_fixture_start(NULL);
    assert_non_null(server);
    channel = channel_open(server, NULL);
    assert_non_null(channel);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    crpc_channel_free(channel);
    assert_int_equal(server_fixture_stop(server), 0);
    server_fixture_free(server);
    return 0;
}

static response_t *ask(struct crpc_stream *stream, int what, const char *text)
{
    request_t request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    response_t *response = NULL;
    struct err err = ERR_NONE;
    request.message_request_case = what;
    request.list_services = (char *)text; /* all texts are one member */
    if (grpc_reflection_v1_server_reflection_server_reflection_info_write(stream, &request, &err) != 0 ||
        grpc_reflection_v1_server_reflection_server_reflection_info_read(stream, &response, &err) != 1)
        fail_msg("%s", err.msg);
    return response;
}

/* Each service is listed, found with its file, and known to health. */
static void every_service_is_known(void **state)
{
    (void)state;
    static const char *const names[] = {
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "joblog.v1.AccessService",
        "joblog.v1.ExportService",
        "joblog.v1.JobLogService",
        "joblog.v1.WorkerService",
    };
    enum { N = sizeof names / sizeof *names };
    struct err err = ERR_NONE;
    struct crpc_stream *stream = grpc_reflection_v1_server_reflection_server_reflection_info_open(channel, NULL, &err);
    assert_non_null(stream);
    response_t *list = ask(stream, ASK(LIST_SERVICES), "");
    assert_int_equal(list->message_response_case, ANSWERED(LIST_SERVICES_RESPONSE));
    assert_int_equal(list->list_services_response->n_service, N);
    for (size_t i = 0; i < N; i++) {
        assert_string_equal(list->list_services_response->service[i]->name, names[i]);
        response_t *file = ask(stream, ASK(FILE_CONTAINING_SYMBOL), names[i]);
        assert_int_equal(file->message_response_case, ANSWERED(FILE_DESCRIPTOR_RESPONSE));
        crpc_message_free(&file->base);
        if (strncmp(names[i], "joblog.", 7) != 0)
            continue;
        Grpc__Health__V1__HealthCheckRequest question = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
        Grpc__Health__V1__HealthCheckResponse *answer = NULL;
        question.service = (char *)names[i];
        assert_int_equal(grpc_health_v1_health_check(channel, NULL, &question, &answer, &err), 0);
        assert_int_equal(answer->status, GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING);
        crpc_message_free(&answer->base);
    }
    crpc_message_free(&list->base);
    crpc_stream_free(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_service_is_known)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
