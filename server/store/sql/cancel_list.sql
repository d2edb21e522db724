-- Cancel requests on leases since $1, perhaps by other replicas. Rows: job_id, token, time, actor, reason, revision.
SELECT job_id, token, cancel_time, cancel_actor, cancel_reason, revision FROM joblog.lease WHERE cancel_time > $1::timestamptz
