-- Jobs as they are now, whole. $1 ids. Rows: the columns of joblog.job_now. Of a cancelled job cancel_reason is that of the change,
-- which has the job's revision.
SELECT n.id, n.lane_id, n.queue, n.job_name, n.status, n.priority, n.source_type, n.source_id, n.owner, n.creator, n.batch,
       n.traceparent, n.request_id, n.labels, n.attempt, n.attempts_left, n.max_attempts, n.initial_backoff_us,
       n.max_backoff_us, n.multiplier, n.jitter, n.run_time, n.start_time, n.end_time, n.worker, n.revision, n.percent,
       n.done, n.total, n.unit, n.step, n.eta, n.error_type, n.error_message, n.cancel_time, n.cancel_actor,
       CASE WHEN n.status = 5 THEN (SELECT t.reason FROM joblog.transition t WHERE t.job_id = n.id AND t.revision = n.revision)
            ELSE n.cancel_reason END AS cancel_reason,
       n.token, n.session_id, n.expire_time, n.has_state,
       n.payload, n.result, n.error_stack, n.create_time, n.extra
FROM unnest($1::int8[]) u(id) JOIN joblog.job_now n ON n.id = u.id
