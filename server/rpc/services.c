/* The tables of handlers, and their mount. Main thread, before the server starts. */
#include "crpc/reflection.h"
#include "joblog/v1/access.crpc.h"
#include "joblog/v1/export.crpc.h"
#include "joblog/v1/job_log.crpc.h"
#include "joblog/v1/worker.crpc.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

int job_log_service_mount(struct crpc_server *server, struct service *service, struct err *ret_err)
{
    /* Filled here since the value of another file's object is no constant to C. */
    static struct joblog_v1_job_log_service_handlers handlers;
    handlers = (struct joblog_v1_job_log_service_handlers){.dispatch_job = dispatch_job_handler,
                                                           .get_job = get_job_handler,
                                                           .list_jobs = list_jobs_handler,
                                                           .dispatch_jobs = dispatch_jobs_handler,
                                                           .wait_job = wait_job_handler,
                                                           .watch_job = watch_job_handler,
                                                           .watch_jobs = watch_jobs_handler,
                                                           .cancel_job = cancel_job_handler,
                                                           .cancel_jobs = cancel_jobs_handler,
                                                           .retry_jobs = retry_jobs_handler,
                                                           .pause_queue = pause_queue_handler,
                                                           .resume_queue = resume_queue_handler,
                                                           .list_queues = list_queues_handler,
                                                           .retry_job = retry_job_handler,
                                                           .get_job_stats = get_job_stats_handler,
                                                           .cleanup_jobs = cleanup_jobs_handler,
                                                           .list_job_statuses = list_job_statuses_handler,
                                                           .get_job_log = get_job_log_handler};
    return joblog_v1_job_log_service_mount(server, &handlers, service, ret_err);
}

int worker_service_mount(struct crpc_server *server, struct service *service, struct err *ret_err)
{
    static struct joblog_v1_worker_service_handlers handlers;
    handlers = (struct joblog_v1_worker_service_handlers){.work = work_handler,
                                                          .start_job = start_job_handler,
                                                          .report_progress = report_progress_handler,
                                                          .complete_job = complete_job_handler,
                                                          .fail_job = fail_job_handler,
                                                          .write_job_log = write_job_log_handler,
                                                          .list_workers = list_workers_handler,
                                                          .drain_workers = drain_workers_handler,
                                                          .pause_workers = pause_workers_handler,
                                                          .resume_workers = resume_workers_handler};
    return joblog_v1_worker_service_mount(server, &handlers, service, ret_err);
}

int access_service_mount(struct crpc_server *server, struct service *service, struct err *ret_err)
{
    static struct joblog_v1_access_service_handlers handlers;
    handlers = (struct joblog_v1_access_service_handlers){.create_token = create_token_handler,
                                                          .list_tokens = list_tokens_handler,
                                                          .revoke_token = revoke_token_handler,
                                                          .who_am_i = who_am_i_handler};
    return joblog_v1_access_service_mount(server, &handlers, service, ret_err);
}

int services_reflect(struct crpc_reflection *reflection, struct err *ret_err)
{
    int rc = crpc_reflection_add(reflection, &joblog_v1_job_log_service, ret_err);
    if (rc == 0)
        rc = crpc_reflection_add(reflection, &joblog_v1_worker_service, ret_err);
    if (rc == 0)
        rc = crpc_reflection_add(reflection, &joblog_v1_access_service, ret_err);
#ifdef JOBLOG_EXPORTS
    if (rc == 0)
        rc = crpc_reflection_add(reflection, &joblog_v1_export_service, ret_err);
#endif
    return rc;
}
