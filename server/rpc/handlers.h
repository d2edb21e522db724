/* The handlers of JobLogService, WorkerService and AccessService, each defined in the file of its name. */
#ifndef RPC_HANDLERS_H
#define RPC_HANDLERS_H

#include "crpc/server.h"

extern const struct crpc_handler dispatch_job_handler;
extern const struct crpc_handler get_job_handler;
extern const struct crpc_handler list_jobs_handler;
extern const struct crpc_handler dispatch_jobs_handler;
extern const struct crpc_handler wait_job_handler;
extern const struct crpc_handler watch_job_handler;
extern const struct crpc_handler watch_jobs_handler;
extern const struct crpc_handler cancel_job_handler;
extern const struct crpc_handler retry_job_handler;
extern const struct crpc_handler cancel_jobs_handler;
extern const struct crpc_handler retry_jobs_handler;
extern const struct crpc_handler pause_queue_handler;
extern const struct crpc_handler resume_queue_handler;
extern const struct crpc_handler list_queues_handler;
extern const struct crpc_handler get_job_stats_handler;
extern const struct crpc_handler cleanup_jobs_handler;
extern const struct crpc_handler list_job_statuses_handler;
extern const struct crpc_handler get_job_log_handler;

extern const struct crpc_handler work_handler;
extern const struct crpc_handler start_job_handler;
extern const struct crpc_handler report_progress_handler;
extern const struct crpc_handler complete_job_handler;
extern const struct crpc_handler fail_job_handler;
extern const struct crpc_handler write_job_log_handler;
extern const struct crpc_handler list_workers_handler;
extern const struct crpc_handler drain_workers_handler;
extern const struct crpc_handler pause_workers_handler;
extern const struct crpc_handler resume_workers_handler;

extern const struct crpc_handler create_token_handler;
extern const struct crpc_handler list_tokens_handler;
extern const struct crpc_handler revoke_token_handler;
extern const struct crpc_handler who_am_i_handler;

#endif
