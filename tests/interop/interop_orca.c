/* Load reports (ORCA); see interop_orca.h. On the workers' threads; the report that was set is shared under a mutex.
 *
 *   StreamCoreMetrics: send -> pause -> send … until the client goes */
#include "interop_orca.h"

#include <pthread.h>
#include <string.h>

#include "xds/service/orca/v3/orca.crpc.h"

typedef Xds__Data__Orca__V3__OrcaLoadReport report_t;
typedef Grpc__Testing__TestOrcaReport test_report_t;

/* A report is a few numbers with names; the cases send less than 100 bytes. */
enum { NAMES_MAX = 16, REPORT_MAX = 1024, DEFAULT_INTERVAL_MS = 1000, LEAST_INTERVAL_MS = 10 };

static struct {
    pthread_mutex_t mu;
    uint8_t data[REPORT_MAX]; /* encoded; nothing to begin with, which is a report of zeros */
    size_t len;
} current = {.mu = PTHREAD_MUTEX_INITIALIZER};

/* What the tests' message says, as a report on the wire. */
static int encode(const test_report_t *from, uint8_t out[REPORT_MAX], size_t *ret_len, struct err *ret_err)
{
    Xds__Data__Orca__V3__OrcaLoadReport__RequestCostEntry costs[NAMES_MAX], *cost[NAMES_MAX];
    Xds__Data__Orca__V3__OrcaLoadReport__UtilizationEntry uses[NAMES_MAX], *use[NAMES_MAX];
    report_t report = XDS__DATA__ORCA__V3__ORCA_LOAD_REPORT__INIT;
    if (from->n_request_cost > NAMES_MAX || from->n_utilization > NAMES_MAX)
        return err_field(ret_err, "orca_report", "more than %d names", NAMES_MAX);
    report.cpu_utilization = from->cpu_utilization;
    report.mem_utilization = from->memory_utilization;
    for (size_t i = 0; i < from->n_request_cost; i++) {
        xds__data__orca__v3__orca_load_report__request_cost_entry__init(&costs[i]);
        costs[i].key = from->request_cost[i]->key;
        costs[i].value = from->request_cost[i]->value;
        cost[i] = &costs[i];
    }
    for (size_t i = 0; i < from->n_utilization; i++) {
        xds__data__orca__v3__orca_load_report__utilization_entry__init(&uses[i]);
        uses[i].key = from->utilization[i]->key;
        uses[i].value = from->utilization[i]->value;
        use[i] = &uses[i];
    }
    report.request_cost = cost;
    report.n_request_cost = from->n_request_cost;
    report.utilization = use;
    report.n_utilization = from->n_utilization;
    if (xds__data__orca__v3__orca_load_report__get_packed_size(&report) > REPORT_MAX)
        return err_field(ret_err, "orca_report", "more than %d bytes", REPORT_MAX);
    *ret_len = xds__data__orca__v3__orca_load_report__pack(&report, out);
    return 0;
}

int interop_orca_set(const test_report_t *report, struct err *ret_err)
{
    uint8_t data[REPORT_MAX];
    size_t len;
    if (!report)
        return 0;
    int rc = encode(report, data, &len, ret_err);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&current.mu);
    memcpy(current.data, data, len);
    current.len = len;
    pthread_mutex_unlock(&current.mu);
    return 0;
}

int interop_orca_attach(struct crpc_call *call, const test_report_t *report, struct err *ret_err)
{
    uint8_t data[REPORT_MAX];
    size_t len;
    if (!report)
        return 0;
    int rc = encode(report, data, &len, ret_err);
    if (rc != 0)
        return rc;
    return crpc_call_add_trailing_metadata(call, "endpoint-load-metrics-bin", span_of((char *)data, len), ret_err);
}

/* ---- StreamCoreMetrics ---- */

struct watch {
    struct crpc_signal pause; /* never raised: only its time passes */
    int64_t interval_ms;
};

static enum crpc_next watch_send(struct crpc_call *call);

static enum crpc_next watch_sent(struct crpc_call *call)
{
    static const struct crpc_step send = {"watch_send", watch_send};
    struct watch *w = crpc_call_state(call);
    return crpc_call_sent(call) ? crpc_await_signal_for(call, &w->pause, w->interval_ms, &send) : crpc_end(call);
}

static enum crpc_next watch_send(struct crpc_call *call)
{
    static const struct crpc_step sent = {"watch_sent", watch_sent};
    uint8_t data[REPORT_MAX];
    if (crpc_call_cancelled(call))
        return crpc_end(call);
    pthread_mutex_lock(&current.mu);
    size_t len = current.len;
    memcpy(data, current.data, len);
    pthread_mutex_unlock(&current.mu);
    report_t *report = xds__data__orca__v3__orca_load_report__unpack(NULL, len, data);
    if (!report)
        return crpc_finish(call, &(struct err){.code = ERR_RESOURCE_EXHAUSTED, .msg = "out of memory"});
    enum crpc_next next = xds_service_orca_v3_open_rca_service_stream_core_metrics_send(call, report, &sent);
    xds__data__orca__v3__orca_load_report__free_unpacked(report, NULL);
    return next;
}

static enum crpc_next watch_start(struct crpc_call *call)
{
    static const struct crpc_step send = {"watch_send", watch_send};
    const Xds__Service__Orca__V3__OrcaLoadReportRequest *q =
        xds_service_orca_v3_open_rca_service_stream_core_metrics_request(call);
    struct watch *w = crpc_call_state(call);
    crpc_signal_init(call, &w->pause);
    w->interval_ms = DEFAULT_INTERVAL_MS;
    if (q->report_interval && q->report_interval->seconds >= 0 && q->report_interval->seconds < 3600)
        w->interval_ms = q->report_interval->seconds * 1000 + q->report_interval->nanos / 1000000;
    if (w->interval_ms < LEAST_INTERVAL_MS)
        w->interval_ms = LEAST_INTERVAL_MS;
    return crpc_goto(call, &send);
}

int interop_orca_mount(struct crpc_server *server, struct err *ret_err)
{
    static const struct crpc_step start = {"watch_start", watch_start};
    static const struct xds_service_orca_v3_open_rca_service_handlers handlers = {
        .stream_core_metrics = {.first = &start, .state_size = sizeof(struct watch)},
    };
    return xds_service_orca_v3_open_rca_service_mount(server, &handlers, NULL, ret_err);
}
