/* Interop case orca_oob: load reports that come by a service of their own. (That of a single call is out of reach: gRPC
 * core gives it to load balancing policies only.) Main thread. */
#include <string.h>

#include "interop_cases.h"
#include "xds/service/orca/v3/orca.crpc.h"

typedef Xds__Data__Orca__V3__OrcaLoadReport report_t;

/* Sets a report: as a request of the duplex call, whose answer says that it is done. */
static void set_report(struct crpc_stream *stream, double cpu, double memory, double use)
{
    output_request_t q = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
    parameters_t p = GRPC__TESTING__RESPONSE_PARAMETERS__INIT, *all = &p;
    Grpc__Testing__TestOrcaReport report = GRPC__TESTING__TEST_ORCA_REPORT__INIT;
    Grpc__Testing__TestOrcaReport__UtilizationEntry entry = GRPC__TESTING__TEST_ORCA_REPORT__UTILIZATION_ENTRY__INIT,
                                                    *entries = &entry;
    struct err err = ERR_NONE;
    report.cpu_utilization = cpu;
    report.memory_utilization = memory;
    entry.key = "util";
    entry.value = use;
    report.utilization = &entries;
    report.n_utilization = 1;
    p.size = 1;
    q.response_parameters = &all;
    q.n_response_parameters = 1;
    q.orca_oob_report = &report;
    interop_want_code(grpc_testing_test_service_full_duplex_call_write(stream, &q, &err), ERR_OK, &err);
    interop_duplex_read(stream, 1);
}

static bool is_report(const report_t *r, double cpu, double memory, double use)
{
    return r->cpu_utilization == cpu && r->mem_utilization == memory && r->n_request_cost == 0 &&
           r->n_utilization == 1 && strcmp(r->utilization[0]->key, "util") == 0 && r->utilization[0]->value == use;
}

/* Reads until the report comes; those of before may be on their way still. */
static void want_report(struct crpc_stream *stream, double cpu, double memory, double use)
{
    struct err err = ERR_NONE;
    bool found = false;
    while (!found) {
        report_t *r = NULL;
        if (xds_service_orca_v3_open_rca_service_stream_core_metrics_read(stream, &r, &err) != 1)
            interop_fail("no such report came: %s", err.msg);
        found = is_report(r, cpu, memory, use);
        crpc_message_free(&r->base);
    }
}

static void orca_oob(const struct interop *t)
{
    struct crpc_call_options in_time = {.timeout_ms = 20000};
    Xds__Service__Orca__V3__OrcaLoadReportRequest q = XDS__SERVICE__ORCA__V3__ORCA_LOAD_REPORT_REQUEST__INIT;
    Google__Protobuf__Duration interval = GOOGLE__PROTOBUF__DURATION__INIT;
    struct err err = ERR_NONE;
    interval.nanos = 20000000;
    q.report_interval = &interval;
    struct crpc_stream *reports =
        xds_service_orca_v3_open_rca_service_stream_core_metrics_open(t->channel, &in_time, &q, &err);
    INTEROP_CHECK(reports);
    struct crpc_stream *s = interop_duplex(t, &in_time);
    set_report(s, 0.8210, 0.5847, 0.30499);
    want_report(reports, 0.8210, 0.5847, 0.30499);
    set_report(s, 0.29309, 0.2, 0.2039);
    want_report(reports, 0.29309, 0.2, 0.2039);
    interop_want_code(crpc_stream_close_write(s, &err), ERR_OK, &err);
    interop_want_code(interop_duplex_end(s, &err), ERR_OK, &err);
    crpc_stream_free(s);
    crpc_stream_cancel(reports);
    crpc_stream_free(reports);
}

const struct interop_case interop_orca_cases[] = {
    {"orca_oob", orca_oob},
    {NULL, NULL},
};
